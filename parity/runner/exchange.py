"""The folders through which parity and any other program exchange tensors: one sub-folder per case, plain `.npy`.

    inputs/manifest.json                {"version": 1, "cases": [{"id", "folder"}], "inputs": {name: file}, ...}
    inputs/<case>/<input>.npy           one observation, with its batch axis
    outputs/<case>/<output>.npy         what the program must write

What comes back is foreign: links, objects, and files that are not what they claim are refused.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import ArtifactError
from parity.trace.npz import npy_place

if TYPE_CHECKING:
    from parity.tensor import Array, Block

VERSION = 1
_MAP_FROM = 8 << 20  # bytes from which on an output is mapped, not read
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def file_names(names: Sequence[str]) -> dict[str, str]:
    """Return a safe and unique file name (without suffix) for each name: itself where it is safe."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        safe = name if _SAFE.fullmatch(name) else re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip("._-")[:80] or "tensor"
        plain, k = safe, 1
        while safe.lower() in taken:
            k += 1
            safe = f"{plain}-{k}"
        taken.add(safe.lower())
        found[name] = safe
    return found


def write_inputs(folder: Path, block: Block, outputs: Sequence[str]) -> dict[str, str]:
    """Write the block's cases below ``folder`` with their manifest, and return the folder name of each case."""
    import numpy as np

    cases, files = file_names(block.ids), file_names(list(block.inputs))
    manifest = {
        "version": VERSION,
        "cases": [{"id": i, "folder": cases[i]} for i in block.ids],
        "inputs": {name: f"{file}.npy" for name, file in files.items()},
        "outputs": {name: f"{file}.npy" for name, file in file_names(outputs).items()} or None,
    }
    for row, case in enumerate(block.ids):
        place = folder / cases[case]
        place.mkdir(parents=True)
        for name, array in block.inputs.items():
            np.save(place / f"{files[name]}.npy", np.ascontiguousarray(array[row]), allow_pickle=False)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return cases


def read_outputs(folder: Path, outputs: Sequence[str]) -> dict[str, Array]:
    """Return the outputs of one case from its folder, all of ``outputs`` where these are known and nothing else.

    Raises:
        ArtifactError: the folder or an output is missing, unexpected, a link, or not a readable `.npy` of numbers.
    """
    if not _is_folder(folder):
        raise ArtifactError(f"no folder {folder.name} among the outputs", expected="one folder per case")
    files = {p.name.removesuffix(".npy"): p for p in sorted(folder.iterdir()) if p.name.endswith(".npy")}
    known = {file: name for name, file in file_names(outputs).items()} or {file: file for file in files}
    missing = [f"{f}.npy" for f in known if f not in files]
    extra = [f"{f}.npy" for f in files if f not in known]
    if missing or extra or not files:
        said = [f"{', '.join(missing)} is missing"] if missing else []
        said += [f"{', '.join(extra)} was not expected"] if extra else []
        raise ArtifactError(f"case {folder.name}: {'; '.join(said) or 'no .npy file was written'}")
    return {known[file]: _read(path) for file, path in files.items() if file in known}


def unknown_folders(folder: Path, cases: Mapping[str, str]) -> list[str]:
    """Return the sub-folders of the outputs that belong to no case.

    Raises:
        ArtifactError: the program put something else in the place of the folder.
    """
    if not _is_folder(folder):
        raise ArtifactError("the folder of the outputs is gone, or has become a link")
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in set(cases.values()))


def _is_folder(path: Path) -> bool:
    """Whether a folder lies here, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _read(path: Path) -> Array:
    import numpy as np

    where = f"case {path.parent.name}: {path.name}"
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise ArtifactError(f"{where} is a link or no plain file", expected="a file that the program itself wrote")
    with path.open("rb") as f:
        place = npy_place(path, f, 0, info.st_size, where)
        if place.nbytes >= _MAP_FROM:
            return np.memmap(path, place.dtype, mode="r", offset=place.offset, shape=place.shape)
        f.seek(place.offset)
        values: Array = np.frombuffer(f.read(place.nbytes), place.dtype)
        return values.reshape(place.shape)
