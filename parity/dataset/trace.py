"""Traces as datasets: what went into a runner and what came out are features, a case is a frame.

The cases of a sequence, in which a policy's state is carried over, follow one another and are one episode. All others
stand alone: each is an episode of its own, so that no window or chunk reaches over two of them. Of a case with a batch
of observations each row is a frame; batch cases that repeat single ones (`parity run` records them) are left out.
"""

from __future__ import annotations

import difflib
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import Artifact
from parity.dataset.gather import gathered
from parity.dataset.model import Dataset, Episodes, Feature, block_rows
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding
from parity.tensor import SEQUENCE
from parity.trace import Trace, TraceCase

if TYPE_CHECKING:
    from parity.tensor import Array

UNEVEN = "DATA018"
_REPEATED = re.compile(r"[a-z]+-b\d{4}")  # ids of batch cases, whose rows are single cases too
Sides = tuple[str, str]  # "inputs" or "outputs", and the name of the tensor
Kept = tuple[Sides, tuple[int, ...], "np.dtype[Any]"]  # with its shape but for the batch, and its dtype


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 40

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind == "trace" or (artifact.kind == "npz" and _is_trace(artifact.path))

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        trace = Trace.open(path)
        cases = [c for c in trace.cases if not _REPEATED.fullmatch(c.id)]
        if not cases:
            raise ArtifactError(f"{path}: the trace holds no cases", remedy="record again")
        tensors, uneven = _tensors(trace, cases)
        if not tensors:
            raise ArtifactError(
                f"{path}: no tensor of the trace has one shape in all {len(cases)} cases",
                expected="inputs and outputs with a batch axis, (B, ...)",
                remedy="record the cases of one policy",
            )
        if columns:
            tensors = _renamed(path, tensors, columns)
        batches = tuple(_batch(trace, case.id, tensors) for case in cases)
        features = {name: Feature(name, shape or (1,), dtype.name) for name, (_, shape, dtype) in tensors.items()}
        lengths = _episodes(cases, batches)
        return Dataset(
            path=path,
            kind="trace",
            features=features,
            episodes=Episodes(lengths),
            source=TraceRows(
                trace, tuple(c.id for c in cases), batches, {n: side for n, (side, _, _) in tensors.items()}, features
            ),
            findings=tuple(_said(path, uneven)),
            facts={
                "episodes": len(lengths),
                "frames": sum(lengths),
                "cases": len(cases),
                "repeated": len(trace.cases) - len(cases),
                "runner": str(trace.meta.get("runner", ""))[:200] or None,
            },
        )


@dataclass(frozen=True, slots=True)
class TraceRows:
    """A `Source` over the cases of a trace, ``batches`` with how many rows each has."""

    trace: Trace
    cases: Sequence[str]
    batches: Sequence[int]
    sides: Mapping[str, Sides]
    features: Mapping[str, Feature]

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features; see `Source.rows`. Rows of many cases come together."""
        yield from gathered(self._pieces(names, start, stop), block_rows([self.features[n] for n in names]))

    def _pieces(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        upto = np.cumsum(self.batches)
        for i in range(int(np.searchsorted(upto, start, side="right")), len(self.cases)):
            begin = int(upto[i]) - self.batches[i]
            if begin >= stop:
                return
            low, high = max(start - begin, 0), min(stop - begin, self.batches[i])
            yield {n: self._read(n, i)[low:high] for n in names}

    def _read(self, name: str, i: int) -> Array:
        shape = (self.batches[i], *self.features[name].shape)
        source = self.trace.sources(self.cases[i])[self.sides[name]]
        return source.read(0, int(np.prod(shape, dtype=np.int64))).reshape(shape)


def _is_trace(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return all(n.startswith(("inputs/", "outputs/")) for n in names) and any(n.startswith("outputs/") for n in names)


def _tensors(trace: Trace, cases: Sequence[TraceCase]) -> tuple[dict[str, Kept], list[str]]:
    """Return tensors that every case has in one shape but for the batch, by feature; and those of which that is not so.

    What is called alike going in and coming out is called ``inputs/<name>`` and ``outputs/<name>``.
    """
    seen: dict[Sides, set[tuple[tuple[int, ...], np.dtype[Any]]]] = {}
    count: dict[Sides, int] = {}
    for case in cases:
        for key, source in trace.sources(case.id).items():
            shape, dtype = tuple(source.shape), np.dtype(source.dtype)
            seen.setdefault(key, set()).add((shape[1:] if shape else (-1,), dtype))
            count[key] = count.get(key, 0) + 1
    even = {k: next(iter(v)) for k, v in seen.items() if len(v) == 1 and count[k] == len(cases)}
    even = {k: v for k, v in even.items() if v[0] != (-1,) and v[1].kind in "biuf"}
    twice = {name for side, name in even if side == "inputs" and ("outputs", name) in even}
    tensors = {
        f"{side}/{name}" if name in twice else name: ((side, name), shape, dtype)
        for (side, name), (shape, dtype) in even.items()
    }
    return tensors, [f"{side}/{name}" for side, name in seen if (side, name) not in even]


def _batch(trace: Trace, case: str, tensors: Mapping[str, Kept]) -> int:
    """Return how many rows a case has.

    Raises:
        ArtifactError: its tensors have different numbers of rows.
    """
    wanted = {side for side, _, _ in tensors.values()}
    sources = trace.sources(case)
    found = {"/".join(side): int(sources[side].shape[0]) for side in sources if side in wanted}
    if len(set(found.values())) != 1:
        raise ArtifactError(
            f"{trace.path}: case {case}: its tensors have different numbers of rows: "
            + ", ".join(f"{n}: {rows}" for n, rows in list(found.items())[:8]),
            expected="a batch axis first, of one length",
            remedy="choose tensors that have one: columns = {action = 'the name of its output'}",
        )
    return next(iter(found.values()))


def _episodes(cases: Sequence[TraceCase], batches: Sequence[int]) -> list[int]:
    lengths: list[int] = []
    for together, run in groupby(zip(cases, batches, strict=True), key=lambda c: c[0].id.startswith(SEQUENCE)):
        counts = [rows for _, rows in run]
        lengths += [len(counts)] if together and set(counts) == {1} else [1] * sum(counts)
    return lengths


def _renamed(
    path: Path,
    tensors: Mapping[str, Kept],
    columns: Mapping[str, str],
) -> dict[str, Kept]:
    known = dict(tensors) | {f"{side}/{name}": t for t in tensors.values() for side, name in [t[0]]}
    for feature, name in columns.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UsageError(
                f"{path}: the trace has no tensor {name!r} for {feature!r}"
                + (f" (did you mean {near[0]!r}?)" if near else ""),
                expected=f"one of {', '.join(list(tensors)[:16])}",
            )
    return {feature: known[name] for feature, name in columns.items()}


def _said(path: Path, uneven: Sequence[str]) -> Iterator[Finding]:
    if uneven:
        yield Finding(
            UNEVEN,
            "warning",
            f"{path.name}: {', '.join(uneven[:8])}: not in every case, or of different shapes: left out",
            where=uneven[0],
            evidence={"tensors": list(uneven[:64]), "count": len(uneven)},
            remedy="nothing, if these are not what is asked about; else record the cases of one policy alone",
        )


READER = _Reader()
