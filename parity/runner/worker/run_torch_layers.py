"""Worker that executes a PyTorch policy and gives back what every layer computed. Stand-alone: NumPy and torch.

TorchScript: every tensor of the inlined forward graph. ``.pt2``: every node of the exported graph. A checkpoint: every
step of the actor rebuilt from it. Anything else: the result of every module, by forward hooks. The description of the
values comes with the end of a run, in ``environment["layers"]``: name, op, inputs, weights, scopes. The stored tensors
``asked`` for in the request come instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from parity.runner.worker import torch_load
    from parity.runner.worker.protocol import Call, Refused, alone, serve
    from parity.runner.worker.run_torch import TorchPolicy
    from parity.runner.worker.torch_loaded import Loaded
else:
    import torch_load
    from protocol import Refused, alone, serve
    from run_torch import TorchPolicy

MAX_BYTES = 512 << 20  # of one case's values; what comes after is left out and named


class Recorder:
    """Values of one call, in the order in which they were computed, and what they are."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.values: dict[str, Any] = {}
        self.layers: dict[str, dict[str, Any]] = {}
        self.skipped: list[str] = []
        self._bytes = 0

    def clear(self) -> None:
        """Forget the values, keep what they are."""
        self.values, self._bytes = {}, 0

    def add(self, name: str, value: Any, layer: dict[str, Any]) -> None:
        """Record a tensor under the name, or under ``name#2``, ``name#3`` where that is taken."""
        if not isinstance(value, self.torch.Tensor) or value.is_sparse:
            return
        unique, k = name, 1
        while unique in self.values:
            k += 1
            unique = f"{name}#{k}"
        self._bytes += value.numel() * value.element_size()
        if self._bytes > MAX_BYTES:
            self.skipped.append(unique)
            return
        self.values[unique] = value.detach().clone()
        self.layers[unique] = dict(layer, name=unique)


class Layers(TorchPolicy):
    """A policy whose outputs are all its values."""

    def __init__(self, loaded: Loaded, request: dict[str, Any]) -> None:
        super().__init__(loaded, request)
        self.recorder = Recorder(self.torch)
        self.graph_inputs: list[str] = []
        self.source = "hooks"
        self.taps: dict[int, Callable[..., Any]] = {}

    def call(self, variant: str) -> Call:
        """Return the function that runs one variant and gives all values."""
        wanted = self.request.get("asked")
        if wanted:
            return lambda inputs: self._weights(wanted)
        plain = super().call(variant)

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            self.recorder.clear()
            plain(inputs)
            return {name: self._array(v, name) for name, v in self.recorder.values.items()}

        return run

    def _caller(self, target: Any, float64: bool = False) -> Call:
        if id(target) not in self.taps:
            self.taps[id(target)] = self._tapped(target)
        return super()._caller(self.taps[id(target)], float64)

    def _tapped(self, target: Any) -> Callable[..., Any]:
        if self.loaded.kind == "checkpoint":
            return self._rebuilt(target)
        if isinstance(target, self.torch.jit.ScriptModule):
            return self._script(target)
        if isinstance(target, self.torch.fx.GraphModule):
            return self._exported(target)
        if isinstance(target, self.torch.nn.Module):
            return self._hooked(target)
        raise Refused("run", "a plain callable has no layers to look into: let the factory return a torch.nn.Module")

    def _script(self, module: Any) -> Callable[..., Any]:
        """Return the forward graph with every tensor as an output; methods inlined, inner blocks left closed."""
        torch = self.torch
        graph = module.graph.copy()
        torch._C._jit_pass_inline(graph)
        tensor = torch._C.TensorType.get()
        first = next(graph.inputs()).debugName()
        paths, values, described = {first: ""}, [], []
        changed = {n.inputsAt(0).debugName() for n in graph.nodes() if _in_place(n.kind())}
        for node in graph.nodes():
            if node.kind() == "prim::GetAttr":
                owner = paths.get(node.inputsAt(0).debugName())
                if owner is not None:
                    paths[node.output().debugName()] = f"{owner}.{node.s('name')}".strip(".")
                continue
            for out in node.outputs():
                if out.type().isSubtypeOf(tensor) and out.debugName() not in changed:
                    values.append(out)
                    described.append(_script_layer(node, out, paths))
        inner = [i.debugName() for i in graph.inputs()][1:]
        names = self.loaded.keywords or inner
        called = dict(zip(inner, names if len(names) == len(inner) else inner))  # noqa: B905 (Python 3.8)
        for layer in described:
            layer["inputs"] = [called.get(n, n) for n in layer["inputs"]]
        self.graph_inputs = [called[n] for n in inner]
        self.source = "torchscript"
        outputs = len(list(graph.outputs()))
        for value in values:
            graph.registerOutput(value)
        graph.makeMultiOutputIntoTuple()
        function = torch._C._create_function_from_graph("forward", graph)

        def run(*tensors: Any) -> Any:
            results = function(module._c, *tensors)
            results = results if isinstance(results, tuple) else (results,)
            for layer, result in zip(described, results[outputs:]):  # noqa: B905 (Python 3.8)
                self.recorder.add(layer["name"], result, layer)
            return results[0]

        self.loaded.positional = True
        return run

    def _rebuilt(self, module: Any) -> Callable[..., Any]:
        self.source = "checkpoint"
        self.graph_inputs = list(self.loaded.keywords or [])
        module.watch(lambda layer, value: self.recorder.add(layer["name"], value, layer), self.graph_inputs)
        return lambda *tensors: module(*tensors)

    def _exported(self, module: Any) -> Callable[..., Any]:
        torch, recorder = self.torch, self.recorder
        self.source = "pt2"
        self.graph_inputs = [n.name for n in module.graph.nodes if n.op == "placeholder"]

        class Interpreter(torch.fx.Interpreter):  # type: ignore[name-defined,misc]
            def run_node(self, n: Any) -> Any:
                result = super().run_node(n)
                if n.op == "call_function":
                    recorder.add(n.name, result, _exported_layer(n))
                return result

        return lambda *tensors: Interpreter(module).run(*tensors)

    def _hooked(self, module: Any) -> Callable[..., Any]:
        def hook(path: str, part: Any) -> Callable[..., None]:
            own = [n for n, _ in part.named_parameters(recurse=False)] + [
                n for n, _ in part.named_buffers(recurse=False)
            ]
            layer = {
                "op": type(part).__name__ if not list(part.children()) else "Module",
                "inputs": [],
                "weights": [f"{path}.{n}" for n in own],
                "scopes": _scopes(path),
                "node": f"{type(part).__name__} {path}",
            }

            def record(_module: Any, _args: Any, result: Any) -> None:
                for value in result if isinstance(result, (tuple, list)) else [result]:
                    self.recorder.add(path, value, layer)

            return record

        for path, part in module.named_modules():
            if path:
                part.register_forward_hook(hook(path, part))
        return lambda *args, **kwargs: module(*args, **kwargs)

    def _weights(self, wanted: list[str]) -> dict[str, Any]:
        found = {}
        for name in wanted:
            at = self.loaded.target
            if self.loaded.kind == "checkpoint":
                at = at.stored(name)
            else:
                for part in name.split("."):
                    at = getattr(at, part, None)
            if isinstance(at, self.torch.Tensor):
                found[name] = self._array(at, name)
        return found

    def learnt(self) -> dict[str, Any]:
        """Return what the values are, in the order of the last call."""
        layers = [self.recorder.layers[n] for n in self.recorder.values]
        environment = {"layers": layers, "graph_inputs": self.graph_inputs, "source": self.source}
        return {"environment": dict(environment, skipped=sorted(set(self.recorder.skipped)))}


def _in_place(kind: str) -> bool:
    return kind.startswith("aten::") and kind.endswith("_") and not kind.endswith("__")


def _script_layer(node: Any, out: Any, paths: dict[str, str]) -> dict[str, Any]:
    fed = [i.debugName() for i in node.inputs() if "Tensor" in str(i.type())]
    weights = [paths[n] for n in fed if n in paths]
    home = weights[0].rpartition(".")[0] if weights else ""
    return {
        "name": out.debugName(),
        "op": node.kind().split("::")[-1],
        "inputs": [n for n in fed if n not in paths],
        "weights": weights,
        "scopes": [home] if home else [],  # of the modules around it the graph does not tell the last value
        "node": f"{node.kind()} {home or out.debugName()}",
    }


def _exported_layer(node: Any) -> dict[str, Any]:
    stack = node.meta.get("nn_module_stack") or {}
    # str.removeprefix is of Python 3.9
    scopes = [re.sub(r"^L\['self'\]\.", "", str(v[0])) for v in stack.values() if v[0]]
    fed = list(node.all_input_nodes)
    return {
        "op": str(node.target).split(".")[1] if "." in str(node.target) else str(node.target),
        "inputs": [n.name for n in fed if n.op != "get_attr"],
        "weights": [str(n.target) for n in fed if n.op == "get_attr"],
        "scopes": scopes,
        "node": f"{node.target} {scopes[-1] if scopes else node.name}",
    }


def _scopes(path: str) -> list[str]:
    parts = [p for p in path.split(".") if p]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def open_layers(request: dict[str, Any]) -> Any:
    """Load the policy that the request names and return it with its description."""
    import torch

    torch.manual_seed(0)
    policy = Layers(torch_load.load(request), request)
    return policy, policy.info()


if __name__ == "__main__":
    alone()
    serve(open_layers, "torch")
