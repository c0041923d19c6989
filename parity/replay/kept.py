"""What measures keep of a shard: moments that can be joined, worst places, and an even choice of rows.

States are flat: ``under("pair", {...})`` puts a name before each array's, ``of(state, "pair")`` takes it off again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from parity.replay.model import Frames, Played, State
from parity.tensor import Array

ROWS = 256  # rows of an even choice


def under(name: str, state: State) -> dict[str, Array]:
    """Return the arrays with a name before theirs."""
    return {f"{name}.{k}": v for k, v in state.items()}


def of(state: State, name: str) -> dict[str, Array]:
    """Return the arrays that were put under a name; empty where there are none."""
    return {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(name + ".")}


def comoments(rows: Array) -> dict[str, Array]:
    """Return number, means ``(K,)`` and centred cross sums ``(K, K)`` of finite rows ``(M, K)``; others are left out.

    ``n`` counts the finite rows, ``lost`` the others.
    """
    finite = np.isfinite(rows).all(axis=1)
    kept = rows if finite.all() else rows[finite]
    mean = kept.mean(axis=0) if len(kept) else np.zeros(rows.shape[1])
    centred = kept - mean
    return {
        "n": np.array([len(kept)], np.float64),
        "lost": np.array([len(rows) - len(kept)], np.float64),
        "mean": mean,
        "cross": centred.T @ centred,
    }


def joined(a: State, b: State) -> dict[str, Array]:
    """Return the `comoments` of both (Chan, Golub, LeVeque 1979: no large sums are subtracted from each other)."""
    n = a["n"] + b["n"]
    if not n[0]:
        return {**a, "lost": np.asarray(a["lost"] + b["lost"])}
    apart = b["mean"] - a["mean"]
    share = b["n"] / n
    return {
        "n": n,
        "lost": np.asarray(a["lost"] + b["lost"]),
        "mean": np.asarray(a["mean"] + apart * share),
        "cross": np.asarray(a["cross"] + b["cross"] + np.outer(apart, apart) * a["n"] * share),
    }


def apart(reference: Array, candidate: Array) -> Array:
    """Return ``|C - R|``; NaN where one of both is none, or both are infinite."""
    with np.errstate(invalid="ignore"):
        difference: Array = candidate - reference
    return np.abs(difference, out=difference)


def worst(size: Array, at: Frames) -> dict[str, Array]:
    """Return the largest of absolute errors ``(F, D)`` or ``(N, H, D)`` in each dimension, and where it is.

    NaN counts as infinite. Arrays are ``(D,)``: ``value``, ``episode`` and ``frame`` (-1 where there are no frames),
    and ``step`` of the chunk.
    """
    dims = size.shape[-1]
    if not size.size:
        return {"value": np.zeros(dims), **{k: np.full(dims, -1) for k in ("episode", "frame", "step")}}
    flat = size.reshape(len(size), -1)
    largest = flat.max(axis=0).reshape(-1, dims)
    step = largest.argmax(axis=0)  # of NaN and numbers, NaN
    value = largest[step, np.arange(dims)]
    row = np.array([flat[:, s * dims + d].argmax() for d, s in enumerate(step)], np.int64)
    value = np.where(np.isnan(value), np.inf, value)
    return {"value": value, "episode": at.episode[row], "frame": at.frame[row], "step": step}


ROUNDING = 2.0**-17  # half of what a float32 candidate may be off at most, as a share of the largest action


def rounds(size: Array, reference: Array) -> bool:
    """Return whether all errors are what rounding does at most, so that there is nothing to explain; False for NaN."""
    if not size.size:
        return True
    dims = size.shape[-1]
    largest = np.abs(reference.reshape(len(reference), -1)).max(axis=0).reshape(-1, dims).max(axis=0)
    off = size.reshape(len(size), -1).max(axis=0).reshape(-1, dims).max(axis=0)
    return bool((off <= ROUNDING * largest).all())


def worse(a: State, b: State) -> dict[str, Array]:
    """Return the `worst` of both; of two that are equal, the earlier step of a chunk, episode and frame."""
    place = tuple(b[k] - a[k] for k in ("step", "episode", "frame"))
    before = (place[0] < 0) | ((place[0] == 0) & ((place[1] < 0) | ((place[1] == 0) & (place[2] < 0))))
    tied = (b["value"] == a["value"]) & (b["episode"] >= 0) & before
    later = (b["value"] > a["value"]) | (a["episode"] < 0) | tied
    return {k: np.where(later, b[k], a[k]) for k in a}


def chosen(values: Array, row: Array) -> dict[str, Array]:
    """Return `ROWS` of ``(N, ...)`` values, or all of fewer: those whose number in the dataset hashes lowest."""
    key = _mixed(row)
    order = np.argsort(key, kind="stable")[:ROWS]
    return {"key": key[order], "value": values[order]}


def fewer(a: State, b: State) -> dict[str, Array]:
    """Return the `chosen` rows of both, whatever their order."""
    key = np.concatenate([a["key"], b["key"]])
    order = np.argsort(key, kind="stable")[:ROWS]
    return {"key": key[order], "value": np.concatenate([a["value"], b["value"]])[order]}


def _mixed(row: Array) -> Array:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits."""
    z = row.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


@dataclass(frozen=True, slots=True)
class Compared:
    """A shard's absolute errors: of what was sent ``(F, D)`` and of chunks ``(N, H, D)``, their worst places, and
    whether all of them are what rounding does at most (`rounds`).
    """

    sent: Array
    chunk: Array
    worst: Mapping[str, Array]
    worst_chunk: Mapping[str, Array]
    same: bool


class _Last(threading.local):
    """The shard that measures look at in this thread, one after the other: shards of other threads are not theirs."""

    found: tuple[Played, Compared] | None = None


_last = _Last()


def compared(played: Played) -> Compared:
    """Return a shard's errors, computed once for all measures that ask one after the other."""
    found = _last.found
    if found is None or found[0] is not played:
        e = played.executed
        sent, chunk = apart(e.reference, e.candidate), apart(played.reference, played.candidate)
        same = rounds(sent, e.reference) and rounds(chunk, played.reference)
        found = _last.found = (played, Compared(sent, chunk, worst(sent, e.at), worst(chunk, played.at), same))
    return found[1]
