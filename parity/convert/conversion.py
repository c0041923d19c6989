"""A training checkpoint turned into inference weights: chosen, cast, written, read back, put in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from parity.artifact import file_digest
from parity.checkpoint.checkpoint import read_checkpoint
from parity.checkpoint.weight import Weight
from parity.convert.cast import Rounding, cast, target_dtype
from parity.convert.choose import choose
from parity.convert.destination import put_in_place, refuse_foreign, written_beside
from parity.convert.meta import checksum_findings, meta_findings, meta_of
from parity.convert.sharing import shared_groups, sharing
from parity.convert.source_code import SourceCode
from parity.convert.write import Written, check_types, need_torch, read_back, write_pth, write_safetensors
from parity.errors import UsageError
from parity.finding import Finding
from parity.verdict import Verdict

NOT_THE_SAME = "CONVERT010"
SOURCES = ("checkpoint", "safetensors", "folder", "json", "torchscript", "pt2", "npz")


@dataclass(frozen=True, slots=True)
class Request:
    """What to convert, where to, and how."""

    source: Path
    target: Path
    tree: str | None = None
    dtype: str | None = None
    max_shard: int | None = None
    code: SourceCode | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of it. ``files`` are the files written, none where the verdict is FAIL."""

    verdict: Verdict
    files: tuple[Path, ...]
    meta: Mapping[str, Any]
    findings: tuple[Finding, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `parity convert`."""
        digests = [(str(p), *file_digest(p)) for p in self.files]
        return {
            "schema": 1,
            "verdict": str(self.verdict),
            "reasons": [f.title for f in self.findings if f.severity == "error"],
            "files": [{"path": p, "sha256": sha, "bytes": size} for p, sha, size in digests],
            "meta": dict(self.meta),
            "findings": [f.as_json() for f in self.findings],
        }


def convert(request: Request) -> Conversion:
    """Convert and return the outcome; where it is FAIL, nothing was written and what was there is as it was.

    Raises:
        UsageError: an output that cannot be written like this, a weight set that is not there or has to be named.
        ArtifactError: the checkpoint cannot be read.
        OutputError: the disk is full, or the folder cannot be written.
    """
    torch_format = _format(request)
    checkpoint = read_checkpoint(request.source)
    if checkpoint.artifact.kind not in SOURCES:
        raise UsageError(
            f"{request.source}: recognized as {checkpoint.artifact.kind}, which is no checkpoint",
            expected="a checkpoint, safetensors, a LeRobot folder, TorchScript, .pt2 or .npz",
        )
    _not_itself(request)
    earlier = refuse_foreign(request.target, force=request.force)
    choice = choose(checkpoint, request.tree)
    check_types(choice.weights, request.target)
    groups = shared_groups(choice.weights)
    meta = meta_of(checkpoint, choice, dtype=request.dtype, shared=groups, code=request.code)
    rounding = Rounding(request.dtype or "")
    tensors = _tensors(choice.weights, request.dtype, groups)
    where = str(request.source)
    findings = [*choice.findings(where), *sharing(groups, where), *meta_findings(meta, checkpoint)]
    findings += checksum_findings(checkpoint)
    with written_beside(request.target) as beside:
        if request.dtype:
            for name, weight in choice.weights.items():
                rounding.see(name, weight, tensors[name].values(), tensors[name].dtype)
            findings += rounding.findings(where)
        if rounding.overflown:
            return Conversion(Verdict.FAIL, (), meta, tuple(findings))
        if torch_format:
            names = write_pth(beside, request.target, tensors, meta)
        else:
            names = write_safetensors(beside, request.target, tensors, meta, request.max_shard)
        differing = read_back(beside / names[-1], tensors, "state_dict." if torch_format else "")
        if differing:
            return Conversion(Verdict.FAIL, (), meta, (*findings, _not_the_same(request, differing)))
        placed = put_in_place(beside, names, request.target, earlier, force=request.force)
    return Conversion(Verdict.PASS, tuple(placed), meta, tuple(findings))


def _format(request: Request) -> bool:
    """Return whether torch's format is written; refuses, before anything is read, what cannot be written."""
    suffix = request.target.suffix.lower()
    if suffix not in (".safetensors", ".pth", ".pt"):
        raise UsageError(f"{request.target}: no format is known by that suffix", expected=".safetensors, .pth or .pt")
    if suffix == ".safetensors":
        return False
    if request.max_shard is not None:
        raise UsageError("--max-shard-size is for .safetensors: torch's format is one file")
    need_torch()
    return True


def _not_itself(request: Request) -> None:
    target, source = request.target.resolve(), request.source.resolve()
    if target == source or (source.is_dir() and target.name == "model.safetensors" and target.parent == source):
        raise UsageError(f"{request.target}: this is the checkpoint itself", remedy="give another -o")


def _tensors(weights: Mapping[str, Weight], dtype: str | None, groups: list[list[str]]) -> dict[str, Written]:
    same = {name: _same_as(name, group, weights) for group in groups for name in group}
    return {
        name: Written(
            to := target_dtype(weight, dtype), weight.shape, partial(cast, weight, to), same_as=same.get(name)
        )
        for name, weight in weights.items()
    }


def _same_as(name: str, group: list[str], weights: Mapping[str, Weight]) -> str | None:
    """Return the first tensor of a group that is the very same view of the memory, None where that is itself."""
    mine = weights[name]
    for other in group:
        if other == name:
            return None
        if (weights[other].place, weights[other].shape, weights[other].dtype) == (mine.place, mine.shape, mine.dtype):
            return other
    return None


def _not_the_same(request: Request, names: list[str]) -> Finding:
    return Finding(
        NOT_THE_SAME,
        "error",
        f"{len(names)} tensors read back from what was written are not bit by bit what they must be: it was removed",
        where=names[0],
        evidence={"tensors": names[:20]},
        remedy="check disk and memory of this machine, and report it",
    )
