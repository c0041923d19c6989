"""Dumps of Ascend's runtime as answers: one folder for each execution, in it a file for each operator.

    <time>/<device>/<model>/<model id>/<execution>/{op_type}.{op_name}.{task}[.{stream}].{time}
    …the same name with .{input|output}.{i}.npy                         converted by Ascend's tools
    mapping.csv                                                         names that were too long, by their hash

The outputs of the model are what its ``NetOutput`` took, else what the nodes gave that the OM says it is fed by.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.bundle.asked import Source
from parity.bundle.dump_file import read_dump
from parity.bundle.findings import OTHER_OUTPUT, UNTOLD, Refused, error, warning
from parity.bundle.npy import decoded
from parity.bundle.tool_folder import outputs_of
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

_DUMP = r"(?P<type>[^.]+)\.(?P<op>.+?)\.(?P<task>\d+)(?:\.\d+){0,2}\.(?P<time>\d{10,20})"
_RAW = re.compile(_DUMP)
_CONVERTED = re.compile(_DUMP + r"\.(?P<side>input|output)\.(?P<index>\d{1,4})\.npy")
_HASHED = re.compile(r"(?P<hash>\d{8,20})(?:\.(?P<side>input|output)\.(?P<index>\d{1,4})\.npy)?")
MAX_FOLDERS = 100_000
MAX_MAPPING = 16 << 20
MAX_NPY = 1 << 30


@dataclass(frozen=True, slots=True)
class _File:
    """A dump: ``side`` and ``index`` are None where one file holds all tensors of the operator."""

    path: Path
    type: str
    op: str
    side: str | None
    index: int | None


def dump_folders(root: Path) -> list[Path]:
    """Return the folders below ``root`` (or it itself) that hold dumps, in the order of the executions.

    Raises:
        OSError: a folder cannot be read.
        ArtifactError: there are too many to be what it should be.
    """
    found: list[Path] = []

    def refuse(e: OSError) -> None:
        raise e

    for count, (place, _, names) in enumerate(os.walk(root, onerror=refuse)):
        if count > MAX_FOLDERS:
            raise ArtifactError(f"{root}: more than {MAX_FOLDERS:,} folders lie in it")
        if any(_RAW.fullmatch(n) or _CONVERTED.fullmatch(n) for n in names):
            found.append(Path(place))
    return sorted(found, key=lambda p: [(0, int(s), s) if s.isdigit() else (1, 0, s) for s in p.parts])


class DumpAnswers:
    """Folders of dumps as answers: the k-th execution is the k-th case asked, and there must be as many."""

    tool = "acl dump"
    verified = False
    repeated: Mapping[str, float] = {}
    seconds: Sequence[float] = ()
    origin: Mapping[str, Any] = {}

    def __init__(self, path: Path, folders: Sequence[Path], source: Source) -> None:
        """Match the executions to the cases that were asked.

        Raises:
            UsageError: there are not as many of the one as of the other.
        """
        self.path, self._source = path, source
        self.recorded = f"folder {path.name}"
        cases = list(source.cases)
        if len(folders) != len(cases):
            raise UsageError(
                f"{path}: dumps of {len(folders)} executions, and {len(cases)} cases were asked: which answers which?",
                remedy="say which cases were run, in order: --case nominal-0000 --case nominal-0001 …",
            )
        self._folders = dict(zip(cases, folders, strict=True))
        text = f"{path.name} holds dumps in the order of their executions: what these were fed is not verified."
        self.wrong: list[Finding] = [warning(UNTOLD, text, path.name)]

    @property
    def ids(self) -> list[str]:
        """The cases that are answered."""
        return list(self._folders)

    def outputs(self, case_id: str) -> dict[str, Array]:
        """Return what the model gave in one execution, by the artifact's names.

        Raises:
            Refused: it is not among the dumps, or is laid out as no reader can tell.
            UsageError: several dumps may be it.
        """
        declared, folder = outputs_of(self._source), self._folders[case_id]
        try:
            files = _files(folder)
            places = self._places(files, len(declared))
            return {spec.name: _array(files, *place) for spec, place in zip(declared, places, strict=True)}
        except (ArtifactError, OSError) as e:
            text = f"The dumps of case {case_id} ({folder.name}): {getattr(e, 'message', None) or e}."
            raise Refused(error(OTHER_OUTPUT, text, case_id)) from None

    def __enter__(self) -> DumpAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""

    def _places(self, files: Sequence[_File], count: int) -> list[tuple[str, str, int]]:
        """Return where each output of the model lies: operator, ``input`` or ``output``, index."""
        net = {f.op for f in files if f.type == "NetOutput"}
        if len(net) == 1:
            return [(next(iter(net)), "input", i) for i in range(count)]
        nodes = self._source.about.artifact.get("output_nodes") or []
        if len(net) > 1 or len(nodes) != count:
            raise ArtifactError(
                f"{len(net)} dumps of NetOutput, and the artifact does not say which operators give its outputs",
                remedy="take the outputs of the model itself: run the bundle, or ais_bench with --output",
            )
        return [(_plain(str(name)), "output", int(index)) for name, index in nodes]


def _files(folder: Path) -> list[_File]:
    mapping = _mapping(folder / "mapping.csv")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file():
            continue
        match = _CONVERTED.fullmatch(path.name) or _RAW.fullmatch(path.name)
        hashed = _HASHED.fullmatch(path.name)
        parts = match.groupdict() if match else {}
        if hashed and not match and hashed["hash"] in mapping:
            long = _RAW.fullmatch(mapping[hashed["hash"]])
            parts = {**long.groupdict(), **hashed.groupdict()} if long else {}
        if parts:
            index = None if parts.get("index") is None else int(parts["index"])
            found.append(_File(path, parts["type"], _plain(parts["op"]), parts.get("side"), index))
    return found


def _mapping(path: Path) -> dict[str, str]:
    """Return long names by their hash, from lines ``hash,name``."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > MAX_MAPPING:
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(",", 1) for line in lines if "," in line)
    return {hashed.strip(): name.strip() for hashed, name in pairs}


def _array(files: Sequence[_File], op: str, side: str, index: int) -> Array:
    """Return one tensor of one operator.

    Raises:
        ArtifactError: it is not there, or cannot be read.
        UsageError: several files may be it.
    """
    mine = [f for f in files if f.op == op]
    converted = [f for f in mine if (f.side, f.index) == (side, index)]
    raw = [f for f in mine if f.side is None]
    candidates = converted or raw
    if len(candidates) > 1:
        names = ", ".join(f.path.name for f in candidates[:4])
        raise UsageError(f"{side} {index} of {op} was dumped several times: {names}", remedy="keep the one that counts")
    if not candidates:
        raise ArtifactError(f"{side} {index} of {op} was not dumped (fused into another operator?)")
    path = candidates[0].path
    if converted:
        if path.stat().st_size > MAX_NPY:
            raise ArtifactError(f"{path.name}: {path.stat().st_size:,} bytes are more than an output takes")
        return decoded(path.read_bytes(), path.name)
    dump = read_dump(path)
    tensors = dump.inputs if side == "input" else dump.outputs
    if index >= len(tensors):
        raise ArtifactError(f"{path.name}: has {len(tensors)} {side}s, asked for is {index}")
    return tensors[index].array()


def _plain(name: str) -> str:
    """Return an operator's name as it stands in file names."""
    return re.sub(r"[/\\.\s]", "_", name)
