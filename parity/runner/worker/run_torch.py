"""Worker that executes PyTorch policies of every kind. Stand-alone: NumPy and torch (and the user's lerobot)."""

from __future__ import annotations

import copy
import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker import torch_load, torch_state
    from parity.runner.worker.protocol import Call, Policy, Refused, alone, cast, pick, serve
    from parity.runner.worker.torch_loaded import Loaded
else:
    import torch_load
    import torch_state
    from protocol import Policy, Refused, alone, cast, pick, serve
    from torch_loaded import Loaded


class TorchPolicy(Policy):
    """A loaded module or callable; its state is restored before every case."""

    def __init__(self, loaded: Loaded, request: dict[str, Any]) -> None:
        import torch

        self.torch = torch
        self.loaded, self.request = loaded, request
        self.device = torch.device(request.get("device") or "cpu")
        self.threads = int(request["options"].get("threads", 2))
        self.double: Any = None
        torch.set_num_threads(self.threads)
        self.state = torch_state.State(loaded.target)
        self.states = [self.state]
        self.names = [t["name"] for t in request["outputs"]]
        self.dtypes = {t["name"]: t["dtype"] for t in request["inputs"]}

    def call(self, variant: str) -> Call:
        """Return the function that runs one variant."""
        torch = self.torch
        variant, _, choice = variant.partition("@")  # of an actor rebuilt from a checkpoint
        torch.set_num_threads(1 if variant == "one_thread" else self.threads)
        if variant == "float64" and self.double is None:
            self.double = self._in_double()
        if choice:
            for target in filter(None, (self.loaded.target, self.double)):
                target.choose(int(choice))
        if variant == "float64":
            return self._double_caller()
        plain = self._caller(self.loaded.target)
        if variant != "no_optimization":
            return plain

        def unoptimized(inputs: dict[str, Any]) -> dict[str, Any]:
            with torch.jit.optimized_execution(False), torch.backends.mkldnn.flags(enabled=False):
                return plain(inputs)

        return unoptimized

    def _in_double(self) -> Any:
        target = self.loaded.target
        if not isinstance(target, self.torch.nn.Module):
            raise Refused("run", "no float64 variant: a plain callable cannot be converted")
        self.state.restore()
        try:
            double = (self.loaded.again() if self.loaded.again else copy.deepcopy(target)).double()
        except Exception as e:  # whatever a module's copy or conversion raises means that there is no such variant
            raise Refused("run", f"no float64 variant: {type(e).__name__}: {e}") from None
        self.states.append(torch_state.State(double))
        return double

    def _double_caller(self) -> Call:
        """Return the function that computes in float64, constants made on the way included; refuse what does not."""
        torch, plain = self.torch, self._caller(self.double, float64=True)

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            default = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                outputs = plain(inputs)
            except (RuntimeError, TypeError) as e:
                raise Refused("run", f"no float64 variant: {str(e).strip().splitlines()[-1]}") from None
            finally:
                torch.set_default_dtype(default)
            lower = [n for n, a in outputs.items() if a.dtype.kind == "f" and a.dtype.itemsize < 8]
            if lower:
                raise Refused("run", "no float64 variant: {} still comes as float32".format(", ".join(lower)))
            return outputs

        return run

    def _caller(self, target: Any, float64: bool = False) -> Call:
        torch, wanted, keywords = self.torch, self._order(), self.loaded.keywords

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            names = list(inputs) if wanted is None else self._match(inputs, wanted)
            tensors = [self._tensor(n, inputs[n], float64) for n in names]
            for i, name in enumerate((keywords or [])[: len(tensors)]):
                if name in self.loaded.lists:
                    tensors[i] = [tensors[i]]
            by_name = keywords is None or all(n in keywords for n in names)
            with torch.no_grad():
                if self.loaded.takes_dict:
                    result = target(dict(zip(names, tensors)))  # noqa: B905 (Python 3.8)
                elif by_name and not self.loaded.positional:
                    result = target(**dict(zip(names, tensors)))  # noqa: B905 (Python 3.8)
                else:
                    result = target(*tensors)
                return self._named(result)

        return run

    def _order(self) -> Any:
        """Return the input names in the order of the policy's arguments; None where any order will do."""
        given = [t["name"] for t in self.request["inputs"]]
        return given or self.loaded.keywords

    def _match(self, inputs: dict[str, Any], wanted: list[str]) -> list[str]:
        keywords = self.loaded.keywords
        if len(inputs) == 1 and len(wanted) == 1:
            return list(inputs)
        if keywords and set(inputs) <= set(keywords):
            return [k for k in keywords if k in inputs]
        pick(inputs, wanted)
        return wanted

    def _tensor(self, name: str, array: Any, float64: bool) -> Any:
        torch = self.torch
        dtype = self.dtypes.get(name)
        if dtype not in (None, "bfloat16"):
            array = cast(name, array, dtype)
        tensor = torch.from_numpy(array)
        if dtype == "bfloat16":
            tensor = tensor.to(torch.bfloat16)
        if float64 and tensor.is_floating_point():
            tensor = tensor.double()
        return tensor.to(self.device)

    def _named(self, result: Any) -> dict[str, Any]:
        if isinstance(result, dict):
            return {str(k): self._array(v, k) for k, v in result.items() if v is not None}
        parts = list(result) if isinstance(result, (tuple, list)) else [result]
        parts = [p for p in parts if p is not None]
        names = self.names
        if len(names) != len(parts):
            names = [f"output_{i}" for i in range(len(parts))]
        return {n: self._array(p, n) for n, p in zip(names, parts)}  # noqa: B905 (Python 3.8)

    def _array(self, value: Any, name: Any) -> Any:
        import numpy as np

        if isinstance(value, self.torch.Tensor):
            value = value.detach()
            if value.is_quantized:
                value = value.dequantize()
            if value.dtype == self.torch.bfloat16:
                value = value.float()  # NumPy has no bfloat16; float32 holds every value of it
            return value.cpu().contiguous().numpy()
        if isinstance(value, (np.ndarray, float, int, bool)):
            return np.asarray(value)
        raise Refused("run", f"output {name!r} is a {type(value).__name__}, not a tensor")

    def reset(self) -> None:
        """Bring every copy of the policy back to the state it had when loaded."""
        for state in self.states:
            state.restore()

    def learnt(self) -> dict[str, Any]:
        """Return the state that running has shown."""
        return {"stateful": self.state.described()}

    def info(self) -> dict[str, Any]:
        """Return what was loaded and how it runs."""
        torch, loaded = self.torch, self.loaded
        environment = {
            "torch": torch.__version__,
            "numpy": __import__("numpy").__version__,
            "python": platform.python_version(),
            "device": str(self.device),
            "threads": self.threads,
            "tf32_matmul": bool(torch.backends.cuda.matmul.allow_tf32),
            "tf32_cudnn": bool(torch.backends.cudnn.allow_tf32),
            "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
            "kind": loaded.kind,
            "training_flag": loaded.training_flag,
            "random_ops": loaded.random_ops,
            "left_over_state": self.state.left_over,
        }
        if self.device.type == "cuda":
            environment["device_name"] = torch.cuda.get_device_name(self.device)
            environment["cuda"] = torch.version.cuda
        environment.update(loaded.environment)
        inputs = self.request["inputs"] or [{"name": n} for n in loaded.keywords or []]
        return {
            "inputs": inputs,
            "outputs": self.request["outputs"],
            "environment": environment,
            "loaded_sha256": loaded.sha256,
            "precision": loaded.precision,
            "stateful": self.state.described(),
            "variants": ["base", "float64", "no_optimization", "one_thread"]
            if isinstance(loaded.target, torch.nn.Module)
            else ["base", "no_optimization", "one_thread"],
            "notes": loaded.notes + self.state.notes,
        }


def open_policy(request: dict[str, Any]) -> Any:
    """Load the policy that the request names and return it with its description."""
    import torch

    torch.manual_seed(
        request.get("seed") or 0
    )  # once: a random op must still differ from call to call, so that it is noticed
    if request.get("device") and request["device"].startswith("cuda") and not torch.cuda.is_available():
        raise Refused(
            "absent", "asked for device {}, but torch {} sees none".format(request["device"], torch.__version__)
        )
    policy = TorchPolicy(torch_load.load(request), request)
    return policy, policy.info()


if __name__ == "__main__":
    alone()
    serve(open_policy, "torch")
