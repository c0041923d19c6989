"""How outputs move when an observation is changed: sums and extremes per probe and action dimension, mergeable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parity.replay.model import Played, Probe, State
from parity.tensor import Array

SUMS = ("count", "rr", "cc", "rc", "rows", "log_r", "log_c", "log2_r", "log2_c")
SMALLEST = 1e-4  # of the largest output: stands for smaller movements where their logarithm is taken
GAP = "gap"
LOST = ("lost_reference", "lost_candidate")
TOPS = ("top_reference", "top_candidate")
UNSEEN = -1.0  # the size of a movement that was never seen


def reactions(played: Played) -> State:
    """Return what is kept of a shard's probes, P of them, for D action dimensions.

    A movement is the output with the changed observation minus that with the unchanged one. ``probe``: feature and kind
    of each, ``(P, 2)``; ``frames``: how many were changed, ``(P,)``; ``count``: of elements that are finite on both
    sides, and the sums ``rr``, ``cc`` and ``rc`` of their movements' squares and products, ``(P, D)``; ``rows``: of
    frames with such an element, and the sums of logarithms of their movements (root mean square over the chunk) and of
    their squares, ``log_r`` to ``log2_c``, ``(P, D)``; ``gap``: how far the sides are apart at most before anything is
    changed, ``(P, D)``;
    ``top_reference`` and ``top_candidate``: the largest movement of a side, ``(P, D, 4)``: its size, the other side's
    size there, episode and frame; ``lost_reference``: frames at which the reference is not finite, ``lost_candidate``:
    at which only the candidate is not, ``(P, 3)``: how many, episode and frame of the first; ``observed``: names of
    all raw features.
    """
    width = played.reference.shape[-1]
    parts = [_of_probe(played, p) for p in played.probes]
    names = [(p.feature, p.kind) for p in played.probes]
    state = {name: np.zeros((0, *shape)) for name, shape in _shapes(width).items()}
    if parts:
        state = {name: np.stack([part[name] for part in parts]) for name in state}
    observed = np.array(sorted(played.observations), np.str_)
    return merged({"probe": np.array(names, np.str_).reshape(-1, 2), "observed": observed, **state}, nothing(width))


def nothing(width: int) -> State:
    """Return what is kept of a shard without probes."""
    empty = {name: np.zeros((0, *shape)) for name, shape in _shapes(width).items()}
    return {"probe": np.zeros((0, 2), "U1"), "observed": np.zeros(0, "U1"), **empty}


def _shapes(width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"frames": ()}
    shapes |= dict.fromkeys((*SUMS, GAP), (width,)) | dict.fromkeys(LOST, (3,)) | dict.fromkeys(TOPS, (width, 4))
    return shapes


def _of_probe(played: Played, probe: Probe) -> State:
    at = played.at
    base_r, base_c = played.reference[probe.asked], played.candidate[probe.asked]
    with np.errstate(invalid="ignore", over="ignore"):
        trusted, tested = probe.reference - base_r, probe.candidate - base_c
    known, given = np.isfinite(trusted), np.isfinite(tested)
    both = known & given
    r, c = np.where(both, trusted, 0.0), np.where(both, tested, 0.0)
    episode, frame = at.episode[probe.asked], at.frame[probe.asked]
    where = np.stack([episode, frame], axis=-1).astype(np.float64)
    return {
        "frames": np.float64(len(probe.asked)),
        "gap": _gap(base_r, base_c),
        "count": both.sum(axis=(0, 1)).astype(np.float64),
        "rr": (r * r).sum(axis=(0, 1)),
        "cc": (c * c).sum(axis=(0, 1)),
        "rc": (r * c).sum(axis=(0, 1)),
        **_logarithms(r, c, both, base_r),
        "top_reference": _top(np.abs(r), np.abs(c), both, where),
        "top_candidate": _top(np.abs(c), np.abs(r), both, where),
        "lost_reference": _lost(~known, where),
        "lost_candidate": _lost(known & ~given, where),
    }


def _gap(reference: Array, candidate: Array) -> Array:
    with np.errstate(invalid="ignore"):
        apart = np.abs(reference - candidate)
    widest: Array = np.where(np.isfinite(apart), apart, 0.0).max(axis=(0, 1), initial=0.0)
    return widest


def _logarithms(r: Array, c: Array, both: Array, base: Array) -> dict[str, Array]:
    """Return how many frames have finite elements, and sums of the logarithms of their movements, each ``(D,)``."""
    count = both.sum(axis=1)
    there = count > 0
    finite = np.where(np.isfinite(base), np.abs(base), 0.0)
    least = np.maximum(SMALLEST * finite.max(axis=(0, 1), initial=0.0), np.finfo(np.float64).tiny)
    out = {"rows": there.sum(axis=0).astype(np.float64)}
    for name, moved in (("r", r), ("c", c)):
        size = np.sqrt((moved * moved).sum(axis=1) / np.maximum(count, 1))
        logs = np.where(there, np.log(np.maximum(size, least)), 0.0)
        out |= {f"log_{name}": logs.sum(axis=0), f"log2_{name}": (logs * logs).sum(axis=0)}
    return out


def _top(size: Array, other: Array, both: Array, where: Array) -> Array:
    """Return the largest ``size`` of each dimension with ``other``, episode and frame there, ``(D, 4)``."""
    rows, steps, width = size.shape
    top = np.full((width, 4), UNSEEN)
    if rows * steps == 0:
        return top
    flat = np.where(both, size, UNSEEN).reshape(rows * steps, width)
    best = flat.argmax(axis=0)
    dims = np.arange(width)
    top[:, 0] = flat[best, dims]
    top[:, 1] = other.reshape(rows * steps, width)[best, dims]
    top[:, 2:] = where[best // steps]
    return top


def _lost(bad: Array, where: Array) -> Array:
    rows = np.flatnonzero(bad.any(axis=(1, 2)))
    first = where[rows[0]] if rows.size else (UNSEEN, UNSEEN)
    return np.array([rows.size, *first], np.float64)


def merged(earlier: State, later: State) -> State:
    """Return what is kept of both; probes that only one of them has stay as they are."""
    a, b = (np.asarray(s["probe"]) for s in (earlier, later))
    both = np.concatenate([a.astype(np.str_), b.astype(np.str_)])
    names, place = np.unique(both, axis=0, return_inverse=True) if len(both) else (both, np.zeros(0, np.int64))
    place = place.reshape(-1)
    joined = {n: np.concatenate([earlier[n], later[n]]) for n in ("frames", GAP, *SUMS, *LOST, *TOPS)}
    out: dict[str, Array] = {"probe": names}
    out["observed"] = np.unique(np.concatenate([earlier["observed"], later["observed"]]))
    for name in ("frames", *SUMS):
        out[name] = np.zeros((len(names), *joined[name].shape[1:]))
        np.add.at(out[name], place, joined[name])
    out[GAP] = np.zeros((len(names), joined[GAP].shape[1]))
    np.maximum.at(out[GAP], place, joined[GAP])
    for name in LOST:
        out[name] = _first(joined[name], place, len(names))
    for name in TOPS:
        out[name] = _largest(joined[name], place, len(names))
    return out


def _first(lost: Array, place: Array, count: int) -> Array:
    out = np.tile(np.array([0.0, UNSEEN, UNSEEN]), (count, 1))
    for row, at in zip(lost, place, strict=True):
        if row[0] and not out[at, 0]:
            out[at, 1:] = row[1:]
        out[at, 0] += row[0]
    return out


def _largest(top: Array, place: Array, count: int) -> Array:
    """Return the largest movements; of equal ones that of the first episode and frame."""
    out = np.full((count, *top.shape[1:]), UNSEEN)
    for row, at in zip(top, place, strict=True):
        mine = out[at]
        earlier = (row[:, 2] < mine[:, 2]) | ((row[:, 2] == mine[:, 2]) & (row[:, 3] < mine[:, 3]))
        better = (row[:, 0] > mine[:, 0]) | ((row[:, 0] == mine[:, 0]) & earlier)
        mine[better] = row[better]
    return out


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one action dimension moved in one probe, where it moved most on one side: sizes in units."""

    size: float
    other: float
    episode: int
    frame: int
    kind: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """All probes of one feature (or one kind without a feature): K kinds, D dimensions.

    Counts, sums and extremes are those of `reactions`, ``(K, ...)``.
    """

    feature: str
    kinds: tuple[str, ...]
    frames: int
    gap: Array
    count: Array
    rr: Array
    cc: Array
    rc: Array
    rows: Array
    log_r: Array
    log_c: Array
    log2_r: Array
    log2_c: Array
    top_reference: Array
    top_candidate: Array
    lost_reference: Array
    lost_candidate: Array

    @property
    def largest(self) -> tuple[Array, Array]:
        """The largest movement of reference and candidate over all kinds, ``(D,)``; `UNSEEN` where none was."""
        return self.top_reference[..., 0].max(axis=0), self.top_candidate[..., 0].max(axis=0)

    def rms(self, which: Array) -> Array:
        """Return the root of a sum of squares (``rr``, ``cc``) over its count, ``(K, D)``."""
        with np.errstate(invalid="ignore", divide="ignore"):
            root: Array = np.sqrt(which / self.count)
        return root

    def log_size(self, side: str) -> tuple[Array, Array, Array]:
        """Return mean and variance of the logarithm of movements of a side (``r``, ``c``), and of how many frames.

        All ``(K, D)``; NaN with fewer than two frames.
        """
        n = self.rows
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = getattr(self, f"log_{side}") / n
            spread = np.maximum(getattr(self, f"log2_{side}") - n * mean * mean, 0.0) / (n - 1)
        return mean, np.where(n > 1, spread, np.nan), n


def by_feature(state: State) -> dict[str, Reaction]:
    """Return the probes of each feature, by its name; those without a feature by their kind in brackets."""
    found: dict[str, Reaction] = {}
    names = [(str(f), str(k)) for f, k in state["probe"]]
    labels = [label(f, k) for f, k in names]
    for name in dict.fromkeys(labels):
        at = [i for i, one in enumerate(labels) if one == name]
        parts = {n: state[n][at] for n in (GAP, *SUMS, *TOPS, *LOST)}
        frames = int(state["frames"][at].max())
        found[name] = Reaction(names[at[0]][0], tuple(names[i][1] for i in at), frames, **parts)
    return found


def label(feature: str, kind: str) -> str:
    """Return under which name a probe is kept."""
    return feature or f"[{kind}]"


def largest(reaction: Reaction, of: Array, dimensions: Sequence[int], scale: Array) -> Moved:
    """Return the largest movement in ``of`` (one of the tops) over these dimensions, in units of ``scale``."""
    dims = list(dimensions)
    with np.errstate(invalid="ignore", divide="ignore"):
        sizes = np.where(of[:, dims, 0] >= 0, of[:, dims, 0] / scale[dims], UNSEEN)
    kind, place = np.unravel_index(int(sizes.argmax()), sizes.shape)
    size, other, episode, frame = of[kind, dims[int(place)]]
    return Moved(float(size), float(other), int(episode), int(frame), reaction.kinds[int(kind)], dims[int(place)])
