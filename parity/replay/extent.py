"""Which values of each raw feature policies were shown: extremes, counts and a sample of frames, mergeable.

The sample is the frames whose row has the smallest hashes, so it is the same in whatever order shards come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.cases.hashing import bits, key
from parity.replay.model import Played, State
from parity.tensor import Array

KEPT = 128  # frames in the sample, at most
WIDEST = 256  # elements of a feature that are told apart; a wider one is taken as a whole
PIXELS = 64  # of an image and channel, about, spread over it
CHANNELS = (1, 3, 4)
_ODD = np.uint64(0x9E3779B97F4A7C15)


def extents(played: Played) -> State:
    """Return what is kept of a shard's observations: for each numeric feature of E elements, under ``<what>:<name>``,

    ``low`` and ``high`` (finite values only), ``count`` of finite values and ``lost`` of others, all ``(E,)``, and
    ``sample``, ``(K, E)``; ``hash``: of the sample's rows, ``(K,)``; ``frames``; ``lost_at:<name>``: episode and frame
    of the first value that is not finite, ``(2,)``. Of an image the elements are its channels, seen at about `PIXELS`
    pixels.
    """
    hashes = bits((played.at.row.astype(np.uint64) * _ODD + np.uint64(key(0, "coverage", 0, 0, "row"))).tolist(), ())
    chosen = np.argsort(hashes, kind="stable")[:KEPT]
    state: dict[str, Array] = {"frames": np.array(len(played.at), np.int64), "hash": hashes[chosen]}
    for name, values in played.observations.items():
        if values.dtype.kind in "biuf" and len(values):
            state |= _of_feature(name, elements(values), chosen, played)
    return state


def elements(values: Array) -> Array:
    """Return a feature as ``(N, P, E)``: P places (pixels, or one) of E elements that are told apart."""
    count, shape = len(values), values.shape[1:]
    if len(shape) == 3:
        last = shape[-1] in CHANNELS or shape[0] not in CHANNELS
        flat = (values if last else np.moveaxis(values, 1, -1)).reshape(count, -1, shape[-1 if last else 0])
        return flat[:, :: max(1, flat.shape[1] // PIXELS)]
    size = int(np.prod(shape, dtype=np.int64))
    wide: Array = values.reshape(count, 1, size) if size <= WIDEST else values.reshape(count, size, 1)
    return wide


def _of_feature(name: str, values: Array, chosen: Array, played: Played) -> dict[str, Array]:
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        low = np.where(finite, values, np.inf).min(axis=(0, 1)).astype(np.float64)
        high = np.where(finite, values, -np.inf).max(axis=(0, 1)).astype(np.float64)
        count = finite.sum(axis=(0, 1)).astype(np.int64)
        bad = np.flatnonzero(~finite.all(axis=(1, 2)))
    else:
        low, high = (f(axis=(0, 1)).astype(np.float64) for f in (values.min, values.max))
        count = np.full(values.shape[2], values.shape[0] * values.shape[1], np.int64)
        bad = np.zeros(0, np.int64)
    at = [played.at.episode[bad[0]], played.at.frame[bad[0]]] if bad.size else [-1, -1]
    return {
        f"low:{name}": low,
        f"high:{name}": high,
        f"count:{name}": count,
        f"lost:{name}": values.shape[0] * values.shape[1] - count,
        f"lost_at:{name}": np.array(at, np.int64),
        f"sample:{name}": values[chosen].mean(axis=1, dtype=np.float64).astype(np.float32),
    }


def joined(earlier: State, later: State) -> State:
    """Return what is kept of both. A feature that only one of them has is left out."""
    hashes = np.concatenate([earlier["hash"], later["hash"]])
    chosen = np.argsort(hashes, kind="stable")[:KEPT]
    out: dict[str, Array] = {"frames": np.asarray(earlier["frames"] + later["frames"]), "hash": hashes[chosen]}
    if not int(earlier["frames"]) or not int(later["frames"]):
        return earlier if int(earlier["frames"]) else later
    for name in earlier:
        what, _, feature = name.partition(":")
        if not feature or name not in later:
            continue
        a, b = earlier[name], later[name]
        if what == "sample":
            out[name] = np.concatenate([a, b])[chosen]
        elif what == "lost_at":
            out[name] = a if a[0] >= 0 else b
        else:
            out[name] = np.minimum(a, b) if what == "low" else np.maximum(a, b) if what == "high" else a + b
    return out


@dataclass(frozen=True, slots=True)
class Extent:
    """The values of one feature that were shown, element by element: ``(E,)``, NaN where nothing was finite."""

    feature: str
    low: Array
    high: Array
    lost: Array
    lost_at: tuple[int, int]
    quantiles: Array  # (3, E): 5 %, 50 %, 95 % of a sample of frames

    @property
    def constant(self) -> Array:
        """Which elements have one value only, ``(E,)``."""
        same: Array = self.low == self.high
        return same


def extent_of(state: State) -> list[Extent]:
    """Return the extents of all features, by name."""
    found = []
    for name in sorted(n.removeprefix("low:") for n in state if n.startswith("low:")):
        seen = state[f"count:{name}"] > 0
        low, high = (np.where(seen, state[f"{w}:{name}"], np.nan) for w in ("low", "high"))
        sample = state[f"sample:{name}"]
        finite = sample[np.isfinite(sample).all(axis=1)]
        quantiles = np.quantile(finite, (0.05, 0.5, 0.95), axis=0) if len(finite) else np.full((3, len(low)), np.nan)
        episode, frame = (int(v) for v in state[f"lost_at:{name}"])
        found.append(Extent(name, low, high, state[f"lost:{name}"], (episode, frame), quantiles))
    return found
