"""The bundle's files checked, and the zip of results written."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 4 << 20
SPLIT_FROM = 1 << 31  # bytes from which on an entry needs zip's large sizes


class Stop(Exception):
    """Something is not as it has to be: told to the user, and nothing is written."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as `sha256sum` prints it."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as f:
            for piece in iter(lambda: f.read(PIECE), b""):
                sha.update(piece)
    except OSError as e:
        raise Stop(f"{path}: cannot be read: {e.strerror or e}") from None
    return sha.hexdigest()


def place(folder: Path, name: str) -> Path:
    """Return where a file of the bundle lies; a name that leads out of its folder is refused."""
    parts = name.split("/")
    if not name or name.startswith("/") or "\\" in name or ".." in parts or "" in parts:
        raise Stop(f"manifest.json names {name!r}, a path out of the bundle")
    return folder.joinpath(*parts)


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the bundle's manifest and the SHA-256 of its bytes."""
    path = folder / "manifest.json"
    try:
        data = path.read_bytes()
        manifest: dict[str, Any] = json.loads(data.decode("utf-8"))
    except (OSError, ValueError) as e:
        raise Stop(f"{path}: cannot be read: {e}\nUnpack the whole bundle into one folder.") from None
    if manifest.get("kind") != "parity-bundle" or manifest.get("schema") != 1:
        raise Stop(f"{path}: not a bundle of `parity bundle`, schema 1")
    return manifest, hashlib.sha256(data).hexdigest()


def check_files(folder: Path, manifest: dict[str, Any]) -> int:
    """Make sure that every file of the bundle has the SHA-256 that its manifest says; return how many there are."""
    wanted = [("artifact/" + f["path"], f["sha256"]) for f in manifest["artifact"]["files"]]
    for case in manifest["cases"]:
        wanted += [(i["file"], i["sha256"]) for i in case["inputs"].values()]
    for name, sha in wanted:
        if sha256_of(place(folder, name)) != sha:
            raise Stop(f"{name}: not the file that was bundled (another SHA-256): copy the bundle again")
    return len(wanted)


def load_inputs(folder: Path, case: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of one case by name, checked against what the manifest says of each.

    bfloat16 stays the 16-bit integers that hold it.
    """
    found = {}
    for name, told in case["inputs"].items():
        array = np.load(str(place(folder, told["file"])), allow_pickle=False)
        stored = "uint16" if told["dtype"] == "bfloat16" else told["dtype"]
        if array.dtype.name != stored or list(array.shape) != told["shape"]:
            text = f"{told['file']}: holds {array.dtype} {array.shape}, the manifest says {stored} {told['shape']}"
            raise Stop(text)
        found[name] = np.ascontiguousarray(array).reshape(array.shape)
    return found


def fed_sha256(case: dict[str, Any], arrays: dict[str, Any]) -> str:
    """Return the SHA-256 of names, element types, shapes and bytes of what is fed: parity makes the same of its own."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array, dtype = arrays[name], case["inputs"][name]["dtype"]
        sha.update(f"{name}\0{dtype}\0{tuple(array.shape)}\0".encode("utf-8", "surrogatepass"))
        sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes())
    return sha.hexdigest()


class Hashing:
    """A file that is written to, and what was written, hashed and counted."""

    def __init__(self, entry: Any) -> None:
        self.entry, self.sha, self.size = entry, hashlib.sha256(), 0

    def write(self, data: Any) -> Any:
        """Write on."""
        self.sha.update(data)
        self.size += len(data)
        return self.entry.write(data)


class Results:
    """The zip of results: complete under its name, or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.zip = zipfile.ZipFile(str(self.part), "w", zipfile.ZIP_STORED, allowZip64=True)

    def add_array(self, name: str, array: Any) -> dict[str, Any]:
        """Add an array as .npy and return what the manifest says of it."""
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise Stop(f"{name}: the runtime gave {getattr(array, 'dtype', type(array).__name__)}, which is no number")
        plain = np.ascontiguousarray(array).reshape(array.shape)
        with self.zip.open(entry_of(name), "w", force_zip64=plain.nbytes >= SPLIT_FROM) as entry:
            told = Hashing(entry)
            np.lib.format.write_array(told, plain, version=(1, 0), allow_pickle=False)
        found = {"file": name, "sha256": told.sha.hexdigest(), "bytes": told.size}
        return dict(found, dtype=plain.dtype.name, shape=list(plain.shape))

    def add_file(self, name: str, path: Path) -> dict[str, Any]:
        """Add a file and return what the manifest says of it."""
        large = path.stat().st_size >= SPLIT_FROM
        with path.open("rb") as f, self.zip.open(entry_of(name), "w", force_zip64=large) as entry:
            told = Hashing(entry)
            for piece in iter(lambda: f.read(PIECE), b""):
                told.write(piece)
        return {"path": name, "sha256": told.sha.hexdigest(), "bytes": told.size}

    def finish(self, manifest: dict[str, Any]) -> None:
        """Add the manifest and give the zip its name."""
        rest = {k: v for k, v in manifest.items() if k != "cases"}
        lines = [f" {json.dumps(k)}: {json.dumps(v, sort_keys=True, allow_nan=False)}" for k, v in sorted(rest.items())]
        cases = ",\n".join("  " + json.dumps(c, sort_keys=True, allow_nan=False) for c in manifest["cases"])
        text = "{\n" + ",\n".join(lines) + ',\n "cases": [\n' + cases + "\n ]\n}\n"
        self.zip.writestr(entry_of("manifest.json"), text.encode("ascii"))
        self.zip.close()
        self.part.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        try:
            self.zip.close()
        except Exception as e:  # a full disk, an entry that is still open: it goes all the same
            print(f"closing {self.part.name}: {e}")
        if self.part.exists():
            self.part.unlink()


def entry_of(name: str) -> zipfile.ZipInfo:
    """Return an entry of a zip: a plain file without a date."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return info
