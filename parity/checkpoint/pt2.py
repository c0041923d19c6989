"""The tensors of a ``.pt2`` archive (torch.export.save of torch 2.8 and later), read from its index.

``data/weights/model_weights_config.json`` and ``data/constants/model_constants_config.json`` name for each tensor an
entry of raw bytes, its element type, sizes, strides and offset (torch 2.13: ``torch/export/pt2_archive``). Entries that
need a pickle to be read are left out.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from parity.checkpoint.archive import Archive
from parity.checkpoint.pickle import Global, Persistent, Record
from parity.checkpoint.storage import Storage, tensor_of
from parity.checkpoint.weight import Weight, is_statistics
from parity.errors import ArtifactError

MAX_JSON = 1 << 28
REMEDY = "it is truncated or corrupt: export it again"

# torch._export.serde.schema.ScalarType of torch 2.13
SCALAR_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    34: "uint32",
    35: "uint64",
}


def read_pt2_weights(path: str | Path) -> dict[str, Weight]:
    """Return the parameters, buffers and constants of a ``.pt2`` file by the names that its modules give them.

    Raises:
        ArtifactError: missing, truncated, corrupt, of torch before 2.8, or a tensor that does not fit its bytes.
    """
    archive = Archive(path)
    found: dict[str, Weight] = {}
    for kind in ("weights", "constants"):
        for config in [
            n for n in archive.names if n.split("/", 1)[-1].startswith(f"data/{kind}/") and n.endswith(".json")
        ]:
            entries = read_json(archive, config).get("config")
            if not isinstance(entries, dict):
                raise ArtifactError(f"{path}: {config} holds no list of tensors", remedy=REMEDY)
            folder = config.rpartition("/")[0]
            for name, entry in entries.items():
                weight = _weight(archive, folder, name, entry)
                if weight is not None:
                    found[name] = weight
    if not found and any("serialized_state_dict" in n for n in archive.names):
        raise ArtifactError(
            f"{path}: a .pt2 file in the format of torch before 2.8, whose weights parity does not read",
            remedy="load and save it again with torch 2.8 or later (torch.export.load, torch.export.save)",
        )
    return found


def read_json(archive: Archive, entry: str) -> dict[str, Any]:
    """Return an entry of JSON as an object.

    Raises:
        ArtifactError: it is none, or above 256 MiB.
    """
    try:
        data = json.loads(archive.read(entry, MAX_JSON).decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise ArtifactError(f"{archive.path}: {entry} is not valid JSON ({e})", remedy=REMEDY) from None
    if not isinstance(data, dict):
        raise ArtifactError(
            f"{archive.path}: {entry} is a {type(data).__name__}", expected="a JSON object", remedy=REMEDY
        )
    return data


class _Entry:
    """One entry of raw bytes as the storage of one tensor."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive, self._name = archive, name

    def find(self, key: str, claimed: int) -> Storage:
        return Storage(self._archive.size(self._name), partial(self._archive.map, self._name), name=self._name)


def _weight(archive: Archive, folder: str, name: str, entry: Any) -> Weight | None:
    where = str(archive.path)
    try:
        if entry["use_pickle"] or entry["tensor_meta"] is None:
            return None
        meta = entry["tensor_meta"]
        dtype = SCALAR_TYPES[meta["dtype"]]
        shape = tuple(s["as_int"] for s in meta["sizes"])
        strides = tuple(s["as_int"] for s in meta["strides"])
        offset = meta["storage_offset"]["as_int"]
        place = f"{folder}/{entry['path_name']}"
    except (KeyError, TypeError) as e:
        raise ArtifactError(f"{where}: the tensor {name!r} is described wrongly ({e!r})", remedy=REMEDY) from None
    size = archive.size(place)
    storage = Persistent(("storage", Global("torch.UntypedStorage"), place, "cpu", size))
    args: tuple[Any, ...] = (storage, offset, shape, strides, False, {}, Global(f"torch.{dtype}"))
    weight = tensor_of(Record("torch._utils._rebuild_tensor_v3", args), name, _Entry(archive, place), where)
    if weight is None:
        return None
    return Weight(name, weight.shape, weight.dtype, weight.load, statistics=is_statistics(name), place=weight.place)
