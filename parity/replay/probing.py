"""What is changed about some observations to see what a policy depends on: plain arrays in, plain arrays out.

Only integer hashing chooses, so that the same frames and seed give the same probes on every platform.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from parity.cases.hashing import bits, key
from parity.replay.model import ProbeKind
from parity.tensor import Array

STEP = 0.1  # of how far an element moves over the frames: a shift
_MASK = np.uint64((1 << 63) - 1)


def probe_inputs(
    observations: Mapping[str, Array], episodes: Array, seed: int, skip: Collection[str] = ()
) -> Iterator[tuple[str, ProbeKind, dict[str, Array]]]:
    """Yield the name of a feature, how it was changed, and all observations with that one changed.

    A feature is swapped between frames (`partners`), set to zero, and, where it holds floats and is no image, shifted
    by a tenth of how far each of its elements moves over the frames. A change that changes nothing is not yielded, so a
    feature that is the same in all frames is not swapped, and one of zeros not set to zero.

    Args:
        observations: raw features of some frames, ``(M, ...)`` by name.
        episodes: number of each frame's episode, ``(M,)``.
        seed: of the release.
        skip: features that are left as they are.
    """
    partner = partners(episodes, seed)
    for name, values in observations.items():
        if name in skip or values.dtype.kind not in "biuf" or not len(values):
            continue
        changes: tuple[tuple[ProbeKind, Array], ...] = (
            ("swap", values[partner]),
            ("zero", np.zeros_like(values)),
            ("shift", shifted(values)),
        )
        for kind, changed in changes:
            if not np.array_equal(changed, values, equal_nan=values.dtype.kind == "f"):
                yield name, kind, {**observations, name: changed}


def partners(episodes: Array, seed: int) -> Array:
    """Return which frame's observation each frame is given, ``(M,)``.

    One of another episode where there is one, else any other; the only frame is its own partner. All features have the
    same partners.
    """
    episodes = np.asarray(episodes, np.int64)
    count = len(episodes)
    drawn = bits([key(seed, "probe", 0, 0, "partner")], (count,))[0] & _MASK
    order = np.argsort(episodes, kind="stable")  # the frames of an episode stand together: the others follow on them
    ranked = episodes[order]
    start = np.searchsorted(ranked, episodes, side="left")
    stop = np.searchsorted(ranked, episodes, side="right")
    others = count - (stop - start)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    begin = np.where(others > 0, stop, place + 1)
    choices = np.where(others > 0, others, max(count - 1, 1))
    steps = (drawn % choices.astype(np.uint64)).astype(np.int64)
    found: Array = order[(begin + steps) % count] if count > 1 else order
    return found


def shifted(values: Array) -> Array:
    """Return ``values`` plus a tenth of how far each element moves over the first axis; the same for whole numbers.

    Images (three axes behind the first) are not shifted.
    """
    if values.dtype.kind != "f" or values.ndim > 3:
        return values
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=0)
    high = np.where(finite, values, -np.inf).max(axis=0)
    spread = np.where(high > low, high.astype(np.float64) - low, 0.0)
    step: Array = (values + STEP * spread).astype(values.dtype)
    return step
