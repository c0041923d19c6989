"""Loads a PyTorch policy of any kind and tells what it is. Part of the stand-alone torch worker."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker import torch_lerobot, torch_rebuilt
    from parity.runner.worker.protocol import Refused, digest
    from parity.runner.worker.torch_loaded import Loaded, class_of, float_tensors, lowest
else:
    import torch_lerobot
    import torch_rebuilt
    from protocol import Refused, digest
    from torch_loaded import Loaded, class_of, float_tensors, lowest

RANDOM_OPS = ("rand", "normal", "bernoulli", "multinomial", "uniform", "dropout", "exponential", "randint", "randperm")
MODE_MATTERS = ("Dropout", "BatchNorm", "InstanceNorm", "RReLU", "RandomCrop")


def load(request: dict[str, Any]) -> Loaded:
    """Return the policy that the request names.

    Raises:
        Refused: it cannot be loaded; the message says why.
    """
    how = {"torchscript": _torchscript, "pt2": _pt2, "factory": _factory}
    how.update(folder=torch_lerobot.load, checkpoint=torch_rebuilt.load)
    loaded: Loaded = how[request["kind"]](request)
    return loaded


# ------------------------------------------------------------------------------------------------------- TorchScript


def _torchscript(request: dict[str, Any]) -> Loaded:
    import torch

    data = Path(request["path"]).read_bytes()
    device = request.get("device") or "cpu"

    def read() -> Any:
        return torch.jit.load(io.BytesIO(data), map_location=device)

    try:
        module = read()
    except RuntimeError as e:
        raise Refused("load", f"TorchScript that torch {torch.__version__} cannot load: {_first(e)}") from None
    loaded = Loaded("torchscript", module)
    loaded.sha256 = hashlib.sha256(data).hexdigest()
    loaded.again = lambda: _eval(read())
    graph = _inlined(module)
    schema = module.forward.schema
    loaded.keywords = [a.name for a in schema.arguments[1:]]
    loaded.lists = [a.name for a in schema.arguments[1:] if str(a.type) == "List[Tensor]"]  # rsl_rl's images
    was = _training(module)
    _eval(module)
    loaded.random_ops = sorted({n.kind() for n in graph if _is_random(n)})
    reads_flag = any(n.kind() == "prim::GetAttr" and n.s("name") == "training" for n in graph)
    _tell_mode(loaded, was, reads_flag)
    loaded.precision = lowest(
        [class_of(p.dtype) for p in float_tensors(module)] + [c for n in graph for c in _casts(n)]
    )
    return loaded


def _eval(module: Any) -> Any:
    module.eval()
    return module


def _training(module: Any) -> list[str]:
    return [n or "the module" for n, m in module.named_modules() if getattr(m, "training", False)]


def _inlined(module: Any) -> list[Any]:
    """Return all nodes of the forward graph, those of called methods and inner blocks included."""
    try:
        graph = module.inlined_graph
    except RuntimeError:
        graph = module.graph
    found: list[Any] = []

    def walk(block: Any) -> None:
        for node in block.nodes():
            found.append(node)
            for inner in node.blocks():
                walk(inner)

    walk(graph)
    _KEEP.append(graph)
    return found


_KEEP: list[Any] = []  # graphs, which must outlive their nodes


def _is_random(node: Any) -> bool:
    kind = node.kind()
    if not kind.startswith("aten::"):
        return False
    name = kind[6:].rstrip("_")
    if name.endswith("dropout"):  # inactive where its last argument, the training flag, is read from the module
        flags = [v.toIValue() for v in node.inputs() if v.node().kind() == "prim::Constant"]
        return any(f is True for f in flags)
    return bool(name.startswith(RANDOM_OPS))


def _casts(node: Any) -> list[str]:
    """Return the lower class that a node converts to, if it does: ScalarType 5 is half, 15 is bfloat16."""
    if node.kind().startswith("quantized::"):
        return ["int8"]
    if node.kind() not in ("aten::to", "aten::half", "aten::type_as"):
        return []
    if node.kind() == "aten::half":
        return ["float16"]
    kinds = [v.toIValue() for v in node.inputs() if v.node().kind() == "prim::Constant"]
    return [{5: "float16", 15: "bfloat16"}[k] for k in kinds[:2] if type(k) is int and k in (5, 15)]


# --------------------------------------------------------------------------------------------------------------- pt2


def _pt2(request: dict[str, Any]) -> Loaded:
    import torch

    data = Path(request["path"]).read_bytes()
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # the loader must not fall back to unpickling
    try:
        program = torch.export.load(io.BytesIO(data))
        module = program.module()
    except Exception as e:
        raise Refused("load", f".pt2 that torch {torch.__version__} cannot load: {_first(e)}") from None
    loaded = Loaded("pt2", module.to(request.get("device") or "cpu"))
    loaded.sha256 = hashlib.sha256(data).hexdigest()
    loaded.fixed_mode = True
    loaded.keywords = list(program.graph_signature.user_inputs)
    spec = getattr(program.call_spec, "in_spec", None)
    loaded.positional = spec is None or not _all_keywords(program)
    nodes = [n for n in program.graph.nodes if n.op == "call_function"]
    names = [str(n.target) for n in nodes]
    loaded.random_ops = sorted({n for n in names if n.startswith("aten.") and n[5:].startswith(RANDOM_OPS)})
    loaded.training_flag = "fixed at export"
    if any("dropout" in n for n in names):
        loaded.notes.append("dropout is active in the exported program: it was exported in train mode")
    if any(".batch_norm" in n and "no_training" not in n for n in names if "native" in n):
        loaded.notes.append("batch norm runs in train mode in the exported program")
    loaded.precision = lowest([class_of(p.dtype) for p in float_tensors(module)])
    return loaded


def _all_keywords(program: Any) -> bool:
    try:
        args, kwargs = program.example_inputs
    except (TypeError, ValueError):
        return False
    return not args and bool(kwargs)


# ----------------------------------------------------------------------------------------------------------- factory


def _factory(request: dict[str, Any]) -> Loaded:
    import torch

    name, _, function = request["path"].partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    before = set(sys.modules)
    try:
        build = getattr(importlib.import_module(name), function, None)
    except ModuleNotFoundError as e:
        raise Refused("load", f"module {name} cannot be imported from {here}: {e}") from None
    if build is None:
        raise Refused("load", f"module {name} has no function {function!r}")
    target = build(**request["kwargs"])
    if not callable(target):
        text = "{} returned a {}, which cannot be called; it must return the policy"
        raise Refused("load", text.format(request["path"], type(target).__name__))
    loaded = Loaded("factory", target)
    loaded.sha256 = _source_digest(here, name, before)
    loaded.environment["callable"] = type(target).__name__
    if isinstance(target, torch.nn.Module):
        target.to(request.get("device") or "cpu")
        was = _training(target)
        matters = [n for n, m in target.named_modules() if type(m).__name__.startswith(MODE_MATTERS) and n in was]
        target.eval()
        _tell_mode(loaded, was, bool(matters))
        loaded.precision = lowest([class_of(p.dtype) for p in float_tensors(target)])
        if any("quantized" in type(m).__module__ for m in target.modules()):
            loaded.precision = "int8"
    loaded.keywords = _arguments(target)
    return loaded


def _arguments(target: Any) -> list[str] | None:
    """Return the names of a callable's arguments; None where they cannot be told (``*args``)."""
    import inspect

    try:
        signature = inspect.signature(getattr(target, "forward", target))
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())
    if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _source_digest(here: str, name: str, before: Any) -> str:
    """Return the hash of the factory's own module and of all that it imported from the folder it lies in."""
    files = set()
    for module_name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and (module_name == name or (module_name not in before and file.startswith(here + os.sep))):
            files.add(Path(file).resolve())
    base = Path(here).resolve()
    inside = sorted(f for f in files if str(f).startswith(str(base) + os.sep))
    if len(inside) < len(files):
        base, inside = Path("/"), sorted(files)
    return digest(base, inside, folder=True)


# ------------------------------------------------------------------------------------------------------------ shared


def _tell_mode(loaded: Loaded, was: list[str], matters: bool) -> None:
    loaded.training_flag = "train, set to eval" if was else "eval"
    loaded.environment["training_matters"] = bool(was and matters)
    if was and matters:
        text = "saved in train mode, where dropout or batch norm change the result; parity runs it in eval mode"
        loaded.notes.append(text + f" (train mode in {len(was)} of its modules, first {was[0]})")


def _first(e: BaseException) -> str:
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return lines[0][:500] if lines else type(e).__name__
