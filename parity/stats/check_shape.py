"""Shapes: of the statistics among themselves, against the feature they are of, and against the action chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.finding import Finding
from parity.stats.subject import READ, Entry, Subject

OTHER_SHAPE = "STATS006"
CHUNK = "STATS007"
RAGGED = "STATS008"
PADDED = "STATS009"

STATISTICS = ("mean", "std", "min", "max", "scale", "offset", "q01", "q10", "q50", "q90", "q99")
CUT_TO_FIT = frozenset({"openpi"})  # frameworks in which statistics longer than the data are cut to its length


def shape_findings(subject: Subject) -> Iterator[Finding]:
    """Yield statistics whose shapes do not fit each other, their feature, or the chunk; and where they are padding."""
    said: set[tuple[str, str]] = set()
    for entry in subject.entries():
        for finding in _entry(subject, entry):
            if (finding.code, finding.where) not in said:
                said.add((finding.code, finding.where))
                yield finding


def _entry(subject: Subject, entry: Entry) -> Iterator[Finding]:
    shapes = {k: np.shape(v) for k, v in entry.stats.values.items() if k in STATISTICS}
    read = [shapes[k] for k in READ.get(entry.mode or "", ()) if k in shapes] or list(shapes.values())
    if len(set(read)) > 1 or len(set(shapes.values())) > 1:
        yield _ragged(entry, shapes, severe=len(set(read)) > 1)
    if not read:
        return
    pad = padding(entry)
    if pad:
        yield _padded(entry, pad)
    yield from _against(subject, entry, read[0], pad)


def _ragged(entry: Entry, shapes: dict[str, tuple[int, ...]], *, severe: bool) -> Finding:
    listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    return Finding(
        RAGGED,
        "error" if severe else "warning",
        f"the statistics of {entry.name} have different shapes: {listed}",
        where=entry.name,
        evidence={"shapes": {k: list(v) for k, v in shapes.items()}},
        remedy="take all of them from one source",
    )


def padding(entry: Entry) -> int:
    """Return how many dimensions at the end are padding: zeros, with a std (and range) of nothing but zeros or ones.

    At least two, and not all: a single one may be a gripper or a joint that never moved.
    """
    names = [k for k in STATISTICS if k in entry.stats.values and k not in ("scale", "offset")]
    found = entry.values(*names) if names else None
    if found is None or found[0].ndim != 1:
        return 0
    empty = np.ones(found[0].shape, bool)
    for name, array in zip(names, found, strict=True):
        empty &= np.isin(array, (0.0, 1.0) if name in ("std", "max", "q99", "q90") else (0.0,))
    alive = np.flatnonzero(~empty)
    count = int(empty.size - 1 - alive[-1]) if alive.size else 0
    return count if count >= 2 else 0


def _padded(entry: Entry, pad: int) -> Finding:
    size = int(next(np.size(v) for k, v in entry.stats.values.items() if k in STATISTICS))
    return Finding(
        PADDED,
        "info",
        f"the last {pad} of {size} dimensions of {entry.name} are all zero: padding, or never used",
        where=f"{entry.name}[{size - pad}:]",
        evidence={"feature": entry.stats.name, "dimensions": size, "padding": pad},
        remedy="nothing: a model with a fixed action dimension is trained so; they are left out of what is judged",
    )


def _against(subject: Subject, entry: Entry, shape: tuple[int, ...], pad: int) -> Iterator[Finding]:
    declared = None if entry.declared is None else entry.declared.shape
    chunk = subject.chunk if entry.output else None
    if declared is None:
        if chunk is not None and len(shape) == 2 and shape[0] != chunk:
            yield _other_chunk(entry, shape, chunk)
        return
    if fits(shape, declared, image=entry.is_image):
        return
    if len(shape) == len(declared) + 1 and fits(shape[1:], declared, image=entry.is_image):
        if chunk is not None and shape[0] not in (1, chunk):
            yield _other_chunk(entry, shape, chunk)
        return  # one row for each step of the chunk
    if chunk is not None and len(shape) == 1 and int(np.prod(declared)) * chunk == shape[0]:
        yield Finding(
            CHUNK,
            "error",
            f"the statistics of {entry.name} hold {shape[0]} numbers: {chunk} steps × {list(declared)}, flattened",
            where=entry.name,
            evidence={"statistics": list(shape), "feature": list(declared), "chunk": chunk},
            remedy=f"store them as [{chunk}, {', '.join(map(str, declared))}], as the transform computed them",
        )
        return
    if entry.framework in CUT_TO_FIT and len(shape) == len(declared) == 1 and shape[0] > declared[0]:
        if shape[0] - declared[0] <= pad:
            return
        yield Finding(
            OTHER_SHAPE,
            "warning",
            f"the statistics of {entry.name} hold {shape[0]} numbers, the feature {declared[0]}: the rest is cut off",
            where=entry.name,
            evidence={"statistics": list(shape), "feature": list(declared), "padding": pad},
            remedy="take the statistics of the dataset that this policy was trained on",
        )
        return
    yield Finding(
        OTHER_SHAPE,
        "error",
        f"the statistics of {entry.name} have the shape {list(shape)}; it is {list(declared)}",
        where=entry.name,
        evidence={"statistics": list(shape), "feature": list(declared), "source": entry.stats.name},
        remedy="take the statistics of the dataset that this policy was trained on",
    )


def _other_chunk(entry: Entry, shape: tuple[int, ...], chunk: int) -> Finding:
    return Finding(
        CHUNK,
        "error" if shape[0] < chunk else "warning",
        f"the statistics of {entry.name} are for {shape[0]} steps, the policy's chunk has {chunk}",
        where=entry.name,
        evidence={"statistics": list(shape), "chunk": chunk},
        remedy="compute them again with the chunk length of the policy",
    )


def fits(shape: tuple[int, ...], declared: tuple[int, ...], *, image: bool) -> bool:
    """Whether statistics of ``shape`` broadcast against one sample of ``declared``; ``(C,)`` is for an image too."""
    if shape in ((), (1,)):
        return True
    if image and len(shape) == 1 and len(declared) == 3:
        return shape[0] in (declared[0], declared[2]) and shape[0] <= 4
    if len(shape) > len(declared):
        return False
    return all(s in (1, d) for s, d in zip(reversed(shape), reversed(declared), strict=False))
