"""Worker that executes an ONNX file with ONNX Runtime. Stand-alone: NumPy and onnxruntime; onnx only for float64."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.double_graph import in_double, put_back
    from parity.runner.worker.kept_state import keep_state
    from parity.runner.worker.protocol import Call, Policy, Refused, alone, cast, digest, pick, serve
else:
    from double_graph import in_double, put_back
    from kept_state import keep_state
    from protocol import Policy, Refused, alone, cast, digest, pick, serve

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
# Operators that compute shapes and indices; providers for accelerators leave them to the CPU on purpose.
SHAPE_OPS = frozenset(
    ["Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Cast", "Slice", "Range", "Constant", "Identity"]
)
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxPolicy(Policy):
    """An ONNX file with one inference session per variant, made when first asked for."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.path = Path(request["path"])
        self.provider = request.get("provider") or "CPUExecutionProvider"
        self.threads = int(request["options"].get("threads", 2))
        self.data = self.path.read_bytes()
        self.sha = self._digest()
        self.calls: dict[str, Call] = {}
        self.float64_by = ""
        self.session = self._session(self.data)
        self.elsewhere: list[str] = []
        if self.provider != "CPUExecutionProvider":
            self.elsewhere = check_assigned(
                self.session, self.provider, request["options"].get("allow_fallback", False)
            )

    def _digest(self) -> str:
        sha = hashlib.sha256(self.data).hexdigest()
        external = [self.path.parent / n for n in self.request.get("external", [])]
        return sha if not external else digest(self.path.parent, [self.path, *external], folder=False)

    def _session(
        self, data: bytes, threads: int = 0, optimize: bool = True, path: str = "", weights: Any = None
    ) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the other runner needs the cores too
        options.add_session_config_entry(EXTERNAL_FOLDER, str(self.path.parent))
        if self.provider != "CPUExecutionProvider":
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        for key, value in self.request["options"].get("session_config", {}).items():
            options.add_session_config_entry(key, str(value))
        if weights:
            values = [ort.OrtValue.ortvalue_from_numpy(w) for w in weights.values()]
            options.add_external_initializers(list(weights), values)
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        provider: Any = self.provider
        if self.request["options"].get("provider_options"):
            provider = (self.provider, {k: str(v) for k, v in self.request["options"]["provider_options"].items()})
        providers = [provider] if self.provider == "CPUExecutionProvider" else [provider, "CPUExecutionProvider"]
        by_path = data is self.data and self.request.get("external") and _needs_path(ort.__version__)
        session = ort.InferenceSession(path or (str(self.path) if by_path else data), options, providers=providers)
        if by_path and self.path.read_bytes() != data:
            raise Refused("load", "the file was changed while it was loaded")
        ran = session.get_providers()
        if not ran or ran[0] != self.provider:
            found = ", ".join(ran) or "nothing"
            raise Refused("absent", f"asked for {self.provider}, but ONNX Runtime ran {found}")
        return session

    def call(self, variant: str) -> Call:
        """Return the function that runs one variant."""
        if variant not in self.calls:
            if variant == "float64":
                self.calls[variant] = self._float64()
            elif variant == "base":
                self.calls[variant] = _caller(self.session)
            else:
                session = self._session(self.data, 1 if variant == "one_thread" else 0, variant != "no_optimization")
                self.calls[variant] = _caller(session)
        return self.calls[variant]

    def _float64(self) -> Call:
        """Return the same graph in float64: by ONNX Runtime where it has the kernels, else by onnx.reference."""
        model, weights = in_double(self.path)
        wanted = [i.name for i in self.session.get_inputs()]
        names = [o.name for o in self.session.get_outputs()]
        try:
            self.float64_by = "onnxruntime"
            return _caller(self._session(model.SerializeToString(), weights=weights))
        except Exception as e:  # no float64 kernel for some node: ONNX Runtime names it
            reason = str(e).splitlines()[0]
        from onnx.reference import ReferenceEvaluator

        if model.ByteSize() + sum(w.nbytes for w in weights.values()) > 64 << 20:
            raise Refused("run", f"no float64 variant: {reason} (and too large for onnx's reference)")
        self.float64_by = "onnx.reference"
        put_back(model, weights)
        evaluator = ReferenceEvaluator(model)

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            feeds = dict(zip(wanted, pick(inputs, wanted)))  # noqa: B905 (Python 3.8)
            for name in wanted:
                if feeds[name].dtype.kind == "f":
                    feeds[name] = feeds[name].astype("float64")
            return dict(zip(names, evaluator.run(names, feeds)))  # noqa: B905 (Python 3.8)

        return run

    def learnt(self) -> dict[str, Any]:
        """Return by what the float64 variant was computed, once it was."""
        return {"environment": {"float64_by": self.float64_by}} if self.float64_by else {}

    def info(self) -> dict[str, Any]:
        """Return what was loaded and where it runs."""
        import onnxruntime as ort

        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        environment = {
            "onnxruntime": ort.__version__,
            "provider": self.session.get_providers()[0],
            "providers": self.session.get_providers(),
            "device": ort.get_device(),
            "threads": self.threads,
            "graph_optimization": "all",
            "python": platform.python_version(),
        }
        if saturates():
            environment["int8_saturates"] = True
        if self.elsewhere:
            environment["nodes_elsewhere"] = self.elsewhere
        return {
            "inputs": [_spec(t) for t in inputs],
            "outputs": [_spec(t) for t in outputs],
            "environment": environment,
            "loaded_sha256": self.sha,
            "variants": ["base", "float64", "no_optimization", "one_thread"],
        }


def saturates(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether onnxruntime's kernels for unsigned times signed int8 may saturate on this CPU.

    x86 without VNNI adds pairs of products in 16 bits (VPMADDUBSW), which overflow for weights of the full range:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(flags) and "vnni" not in flags


def _spec(t: Any) -> dict[str, Any]:
    return {"name": t.name, "shape": list(t.shape), "dtype": DTYPES.get(t.type, t.type)}


def check_assigned(session: Any, provider: str, allow: bool) -> list[str]:
    """Return the nodes that another provider than the one asked for executes; those that only handle shapes may be.

    Raises:
        Refused: others ran elsewhere too and this is not allowed, or this version of ONNX Runtime cannot tell.
    """
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        if allow:
            return []
        text = "this ONNX Runtime cannot tell which nodes {} executes; update it, or set `allow_fallback = true`"
        raise Refused("absent", text.format(provider))
    nodes = [n for part in ask() if part.ep_name != provider for n in part.get_nodes()]
    found = [f"{n.name} ({n.op_type})" for n in nodes]
    computing = [f"{n.name} ({n.op_type})" for n in nodes if n.op_type not in SHAPE_OPS]
    if computing and not allow:
        text = (
            "asked for {}, but {} of the graph's nodes ran on another provider: {}; `allow_fallback = true` accepts it"
        )
        raise Refused("absent", text.format(provider, len(computing), ", ".join(computing[:6])))
    return found


def _needs_path(version: str) -> bool:
    """Whether this ONNX Runtime finds external data only beside a file that it reads itself: so before 1.21."""
    return tuple(int(n) for n in version.split(".")[:2]) < (1, 21)


def _caller(session: Any) -> Call:
    wanted = [i.name for i in session.get_inputs()]
    types = [DTYPES.get(i.type) for i in session.get_inputs()]
    names = [o.name for o in session.get_outputs()]

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        arrays = pick(inputs, wanted)
        feeds = {n: cast(n, a, t) if t else a for n, a, t in zip(wanted, arrays, types)}  # noqa: B905 (Python 3.8)
        return dict(zip(names, session.run(names, feeds)))  # noqa: B905 (Python 3.8)

    return run


def open_policy(request: dict[str, Any]) -> Any:
    """Load the ONNX file that the request names and return it with its description."""
    import onnxruntime as ort

    provider = request.get("provider") or "CPUExecutionProvider"
    available = ort.get_available_providers()
    if provider not in available:
        text = "asked for {}, but this onnxruntime {} has only {}"
        raise Refused("absent", text.format(provider, ort.__version__, ", ".join(available)))
    if request.get("seed") is not None:
        ort.set_seed(request["seed"])  # of RandomNormal and its like; without it they are seeded by the clock
    policy = OnnxPolicy(request)
    return keep_state(policy, policy.info(), request["options"].get("state"))


if __name__ == "__main__":
    alone()
    serve(open_policy, "onnxruntime")
