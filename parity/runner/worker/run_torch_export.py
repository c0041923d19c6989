"""Worker that writes a PyTorch policy as ONNX while it runs its first case. Stand-alone: NumPy and torch.

What the exporter was asked for is ``export`` in the request: ``file``, ``opset``, ``exporter`` (``torchscript`` or
``dynamo``), ``batch`` (true: the first axis stays free). What came of it is ``environment["export"]`` at the end of the
run. The outputs of the case are those of the policy itself.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker import torch_load
    from parity.runner.worker.protocol import Call, Refused, alone, serve
    from parity.runner.worker.run_torch import TorchPolicy
else:
    import torch_load
    from protocol import Refused, alone, serve
    from run_torch import TorchPolicy

MAX_WARNINGS = 20


class Exporting(TorchPolicy):
    """A policy that is written as ONNX with the inputs of the first case it runs."""

    written: dict[str, Any] | None = None

    def call(self, variant: str) -> Call:
        """Return the function that runs one case, and exports the policy with its inputs the first time."""
        plain = super().call(variant)

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            outputs = plain(dict(inputs))
            if self.written is None:
                self.reset()
                self.written = self._export(inputs, list(outputs))
            return outputs

        return run

    def learnt(self) -> dict[str, Any]:
        """Return what was written."""
        return dict(super().learnt(), environment={"export": self.written})

    def _export(self, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
        torch, asked, target = self.torch, self.request["export"], self.loaded.target
        wanted = self._order()
        names = list(inputs) if wanted is None else self._match(inputs, wanted)
        tensors = tuple(self._tensor(n, inputs[n], False) for n in names)
        module, prefix = self._module(target, names)
        before = dict(_flags(target), **_hashes(torch, target))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with torch.no_grad():
                self._write(module, tensors, names, outputs, asked)
        after = _flags(target)
        self.reset()  # what a policy keeps from call to call is no change
        after.update(_hashes(torch, target))
        changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        return {
            "torch": torch.__version__,
            "exporter": asked["exporter"],
            "inputs": names,
            "outputs": outputs,
            "prefix": prefix,
            "changed": changed,
            "warnings": _texts(caught),
        }

    def _write(self, module: Any, tensors: Any, names: list[str], outputs: list[str], asked: dict[str, Any]) -> None:
        torch = self.torch
        options: dict[str, Any] = {"input_names": names, "output_names": outputs, "opset_version": asked["opset"]}
        if asked["exporter"] == "dynamo":
            options.update(dynamo=True, optimize=True, verbose=False)
            if asked["batch"]:
                options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in names)
        else:
            options.update(training=torch.onnx.TrainingMode.EVAL, do_constant_folding=True)
            if _takes_dynamo(torch):
                options["dynamo"] = False
            if asked["batch"]:
                options["dynamic_axes"] = {n: {0: "batch"} for n in [*names, *outputs]}
        try:
            torch.onnx.export(module, tensors, asked["file"], **options)
        except Exception as e:  # an exporter fails with whatever the operator it stumbles over raises
            lines = [line.strip() for line in str(e).splitlines() if line.strip()]
            text = "torch {} cannot export this policy (exporter {}, opset {}): {}"
            found = "{}: {}".format(type(e).__name__, " ".join(lines)[:600] or "no reason given")
            raise Refused("run", text.format(torch.__version__, asked["exporter"], asked["opset"], found)) from None

    def _module(self, target: Any, names: list[str]) -> Any:
        """Return what the exporter is given, and the scope that it puts before the policy's own."""
        torch, loaded = self.torch, self.loaded
        if isinstance(target, torch.jit.ScriptModule):
            return target, ""
        plain = isinstance(target, torch.nn.Module) and not loaded.takes_dict
        if plain and loaded.keywords is not None and loaded.keywords[: len(names)] == names:
            return target, ""
        return _wrapped(torch, target, names, loaded.takes_dict, loaded.positional), "policy"


def _wrapped(torch: Any, target: Any, names: list[str], takes_dict: bool, positional: bool) -> Any:
    """Return a module that takes the inputs by position and has every module that ``target`` holds as its own."""

    class Wrapped(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            if isinstance(target, torch.nn.Module):
                self.policy = target
            else:
                for name, value in vars(target).items() if hasattr(target, "__dict__") else ():
                    if isinstance(value, torch.nn.Module):
                        setattr(self, name, value)

        def forward(self, *tensors: Any) -> Any:
            given = dict(zip(names, tensors))  # noqa: B905 (Python 3.8)
            if takes_dict:
                result = target(given)
            else:
                result = target(*tensors) if positional else target(**given)
            return tuple(v for v in result.values() if v is not None) if isinstance(result, dict) else result

    return Wrapped().eval()  # an exporter takes the training flag of the outermost module for all


def _modules(target: Any) -> list[Any]:
    """Return the modules that ``target`` is or holds, each with the name under which it is held."""
    held = {"": target} if hasattr(target, "named_modules") else dict(getattr(target, "__dict__", {}))
    return [(name, module) for name, module in held.items() if hasattr(module, "named_modules")]


def _flags(target: Any) -> dict[str, Any]:
    """Return the training flag of every module."""
    return {
        f"{name}.{path}.training".strip("."): bool(getattr(inner, "training", False))
        for name, module in _modules(target)
        for path, inner in module.named_modules()
    }


def _hashes(torch: Any, target: Any) -> dict[str, Any]:
    """Return the hash of every parameter and buffer."""
    found: dict[str, Any] = {}
    for name, module in _modules(target):
        for path, tensor in [*module.named_parameters(), *module.named_buffers()]:
            data = tensor.detach().cpu().contiguous()
            whole = data.int_repr() if data.is_quantized else data
            raw = whole.reshape(-1).view(torch.uint8).numpy() if data.numel() else b""
            found[f"{name}.{path}".strip(".")] = hashlib.sha256(raw).hexdigest()
    return found


def _takes_dynamo(torch: Any) -> bool:
    """Whether this torch knows both exporters (2.1 and later; from 2.9 on the other one is the default)."""
    import inspect

    return "dynamo" in inspect.signature(torch.onnx.export).parameters


def _texts(caught: list[Any]) -> list[str]:
    """Return what the exporter warned of the policy (a value frozen while tracing), each once."""
    texts: list[str] = []
    for warning in caught:
        text = " ".join(str(warning.message).split())[:400]
        if warning.category.__name__ == "TracerWarning" and text not in texts:
            texts.append(text)
    return texts[:MAX_WARNINGS]


def open_export(request: dict[str, Any]) -> Any:
    """Load the policy that the request names and return it with its description."""
    import torch

    torch.manual_seed(0)
    policy = Exporting(torch_load.load(request), request)
    return policy, policy.info()


if __name__ == "__main__":
    alone()
    serve(open_export, "torch")
