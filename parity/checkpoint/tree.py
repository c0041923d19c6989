"""The tree inside a checkpoint: which tensors it holds, under which names, and the rest as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from parity.checkpoint.pickle import Global, Record
from parity.checkpoint.storage import Storages, tensor_of
from parity.checkpoint.weight import Weight, is_statistics
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_VISITED = 500_000
MAX_DEPTH = 64
# What training keeps beside the weights. Its tensors have the weights' shapes but are none.
_TRAINING_STATE = re.compile(
    r"^(optimi[sz]ers?(_states?)?(_dict)?|\w*_optimi[sz]er(_state)?(_dict)?|lr_schedulers?|grad_scaler|rng_states?)$"
)
_SETS = {"model", "ema", "ema_model", "params", "module", "policy"}
_TRANSPARENT = ("_parameters", "_buffers", "_modules")
_NUMPY_DTYPE = re.compile(r"^[<>|=]?([biufc])(\d{1,2})$")
# What a checkpoint is made of and this reader understands; all else becomes an inert stand-in that is listed.
_KNOWN = re.compile(
    r"^(torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.(Parameter|Buffer)"
    r"|torch\.(storage\.)?\w*Storage|torch\.(Size|Tensor|device|dtype|[a-z]+\d+\w*|bool)|torch\.serialization\._get_layout"
    r"|numpy(\._?core)?\.(multiarray\.(_reconstruct|scalar)|dtype|ndarray|_?core\.multiarray\.(_reconstruct|scalar))"
    r"|omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig|nodes\.\w+|base\.(Container)?Metadata)|typing\.Any"
    r"|dill\._dill\._load_type|collections\.(OrderedDict|defaultdict|Counter|deque)|pathlib\.\w+|argparse\.Namespace|_codecs\.encode"
    r"|(builtins|__builtin__)\.(dict|list|tuple|set|frozenset|bytes|bytearray|int|long|float|str|bool|complex|slice|range))$"
)


def is_known(name: str) -> bool:
    """Whether a name that a pickle wanted imported is one whose meaning is understood here (nothing is imported)."""
    return _KNOWN.match(name) is not None


def weights_of(root: Any, storages: Storages, where: str) -> dict[str, Weight]:
    """Return every tensor below ``root`` by its dotted name; an optimizer's state is left out.

    A module that was pickled whole gives the names of its state dict.

    Raises:
        ArtifactError: a tensor that does not fit its storage, or a tree that nests or repeats without end.
    """
    found: dict[str, Weight] = {}
    for path, weight in _walk(root, storages, where):
        name = base = ".".join(path)
        n = 1
        while name in found:  # {"a.b": {"c": x}, "a": {"b.c": y}} spells both a.b.c
            n += 1
            name = f"{base}#{n}"
        found[name] = weight
    return {k: replace(w, name=k, tree=_tree(k), statistics=is_statistics(k)) for k, w in found.items()}


def _tree(name: str) -> str:
    """Return the weight set that a name belongs to: ``model`` for ``state_dicts.model.0.weight``, else "".

    A set is what lies below ``state_dicts``, or below a key of the top that says so (``actor_state_dict``, ``model``).
    """
    first, _, rest = name.partition(".")
    if first == "state_dicts":
        return rest.partition(".")[0]
    return first if first.endswith("state_dict") or first in _SETS else ""


def _walk(root: Any, storages: Storages, where: str) -> Iterator[tuple[tuple[str, ...], Weight]]:
    """Yield tensors depth first, in the order of the file. No recursion: the depth is the file's choice."""
    pending: list[tuple[tuple[str, ...], Any, tuple[int, ...]]] = [((), root, ())]
    visited = 0
    while pending:
        path, node, above = pending.pop()
        visited += 1
        if visited > MAX_VISITED:
            raise ArtifactError(f"{where}: the tree repeats itself without end (over {MAX_VISITED} nodes)")
        if isinstance(node, Record):
            name = ".".join(path)
            weight = tensor_of(node, name, storages, where) or _numpy_weight(node, name, where)
            if weight is not None:
                yield path, weight
                continue
        if id(node) in above or len(above) >= MAX_DEPTH:
            continue
        below = (*above, id(node))
        pending.extend((path + step, child, below) for step, child in reversed(_children(node)))


def _children(node: Any) -> list[tuple[tuple[str, ...], Any]]:
    """Return what may hold tensors below a node, with the steps of the name that lead there."""
    named: list[tuple[tuple[str, ...], Any]]
    if isinstance(node, dict):
        named = [((_step(k),), v) for k, v in node.items() if not _is_training_state(k)]
    elif isinstance(node, list | tuple):
        named = [((str(i),), v) for i, v in enumerate(node)]
    elif isinstance(node, Record):
        named = _record_children(node)
    else:
        return []
    return [(step, child) for step, child in named if isinstance(child, dict | list | tuple | Record)]


def _record_children(record: Record) -> list[tuple[tuple[str, ...], Any]]:
    states = record.state if isinstance(record.state, tuple) else (record.state,)
    merged = {k: v for s in states if isinstance(s, dict) for k, v in s.items()}
    if all(isinstance(merged.get(part), dict | Record) for part in _TRANSPARENT):  # a torch.nn.Module
        return [((_step(k),), v) for part in _TRANSPARENT for k, v in _pairs(merged[part])]
    named = [(() if k == "_tensordict" else (_step(k),), v) for k, v in merged.items() if not _is_training_state(k)]
    named += [((_step(k),), v) for k, v in record.pairs]
    return named + [((str(i),), v) for i, v in enumerate(record.elements)]


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return list(node.items()) if isinstance(node, dict) else list(node.pairs)


def _is_training_state(key: Any) -> bool:
    return isinstance(key, str) and _TRAINING_STATE.match(key) is not None


def _step(key: Any) -> str:
    if isinstance(key, str):
        return key
    return str(key) if isinstance(key, int) and abs(key) < 1 << 63 else f"<{type(key).__name__}>"


def _numpy_weight(node: Any, name: str, where: str) -> Weight | None:
    """Return a pickled NumPy array or scalar of numbers (``numpy.core.multiarray._reconstruct`` and ``scalar``)."""
    if not isinstance(node, Record):
        return None
    last = node.name.rpartition(".")[2]
    if (
        node.name.startswith("numpy.")
        and last == "_reconstruct"
        and isinstance(node.state, tuple)
        and len(node.state) == 5
    ):
        _, shape, dtype, fortran, data = node.state
    elif node.name.startswith("numpy.") and last == "scalar" and isinstance(node.args, tuple) and len(node.args) == 2:
        (dtype, data), shape, fortran = node.args, (), False
    else:
        return None
    text, raw = _numpy_dtype(dtype), as_bytes(data)
    if text is None or raw is None:
        return None  # an array of objects
    plain = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 62 for n in shape) and len(shape) <= 32
    if not plain or math.prod(shape) * int(text[2:]) != len(raw):
        raise ArtifactError(f"{where}: the array {name!r} has {len(raw)} bytes, which do not fit its shape")

    def load() -> Array:
        import numpy as np

        array = np.frombuffer(raw, dtype=text).reshape(shape, order="F" if fortran else "C")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    names = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}
    bits = "" if text[1] == "b" else str(int(text[2:]) * 8)
    return Weight(name, shape, names[text[1]] + bits, load)


def _numpy_dtype(record: Any) -> str | None:
    """Return NumPy's text of a pickled dtype such as ``<f4``; None for anything but plain numbers."""
    if not isinstance(record, Record) or record.name != "numpy.dtype" or not record.args:
        return None
    match = _NUMPY_DTYPE.match(record.args[0]) if isinstance(record.args[0], str) else None
    if match is None or int(match[2]) not in (1, 2, 4, 8, 16):
        return None
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "<"
    return (order if order in ("<", ">", "|") else "<") + match[1] + match[2]


def as_bytes(node: Any) -> bytes | None:
    """Return bytes that a pickle holds; protocol 2 writes them as text to be encoded as Latin-1."""
    if isinstance(node, bytes | bytearray):
        return bytes(node)
    if isinstance(node, Record) and node.name in ("__builtin__.bytes", "builtins.bytes") and not node.args:
        return b""
    if isinstance(node, Record) and node.name == "_codecs.encode" and len(node.args) == 2:
        text, encoding = node.args
        if isinstance(text, str) and encoding in ("latin1", "latin-1"):
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                return None
    return None


def plain(node: Any, *, limit: int = 200_000) -> Any:
    """Return a checkpoint's hyper-parameters as JSON-able data: OmegaConf and Namespace as dicts, paths as text.

    Anything that cannot be said in JSON becomes ``"<module.Class>"``; tensors become ``"<tensor>"``. What lies deeper
    than 64, or beyond ``limit`` nodes, becomes ``"..."``.
    """
    budget = [limit]
    return _plain(node, 0, budget)


def _plain(node: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        return "..."
    if node is None or isinstance(node, bool | str):
        return node
    if isinstance(node, int):
        return node if abs(node) < 1 << 63 else "..."
    if isinstance(node, float):
        return node if math.isfinite(node) else str(node)
    if isinstance(node, dict):
        return {_step(k): _plain(v, depth + 1, budget) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(v, depth + 1, budget) for v in node]
    if isinstance(node, Record):
        return _plain_record(node, depth, budget)
    return f"<{node.name}>" if isinstance(node, Global) else f"<{type(node).__name__}>"


def _plain_record(record: Record, depth: int, budget: list[int]) -> Any:
    module, _, last = record.name.rpartition(".")
    if "_rebuild_" in last:
        return "<tensor>"
    if module.startswith("pathlib") and record.args and all(isinstance(p, str) for p in record.args):
        return "/".join(record.args).replace("//", "/", 1)
    state = record.state if isinstance(record.state, dict) else {}
    if module.startswith("omegaconf"):
        content = state.get("_content", state.get("_val"))
        return _plain(content, depth + 1, budget)
    if last == "Namespace" or state:
        return {_step(k): _plain(v, depth + 1, budget) for k, v in state.items()}
    if record.pairs:
        return {_step(k): _plain(v, depth + 1, budget) for k, v in record.pairs}
    return f"<{record.name}>"
