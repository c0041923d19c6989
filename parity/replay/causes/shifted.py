"""Sums of two sequences against each other at several lags, and of two chunks at several steps of each other.

Sums add up over shards. Rows of a state are lags or alignments, columns dimensions: ``(L, D)``; ``n`` is ``(L, 1)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parity.replay.model import State
from parity.tensor import Array

REACH = 8  # steps that are looked at in each direction
LAGS = tuple(range(-REACH, REACH + 1))
SPEEDS = (0.25, 1 / 3, 0.5, 0.6, 5 / 3, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class Aligned:
    """What is known of x against y at each lag: mean squares, and what the best line of x leaves of y, ``(L, D)``."""

    n: Array
    apart: Array  # mean of (y - x)²
    left: Array  # of y, by its regression on x
    gain: Array
    offset: Array
    spread: Array  # variance of y


def sequences(x: Array, y: Array, first: Array) -> dict[str, Array]:
    """Return the sums of ``x[t]`` against ``y[t + lag]`` for `LAGS`, within runs of consecutive rows ``(F, D)``.

    ``zero`` are the squares of ``y - x`` as they are, over the same rows of ``y``.
    Rows that are not finite on a side are left out, on both.
    """
    finite: Array = np.isfinite(np.concatenate([x, y], axis=1)).all(axis=1)
    run = np.cumsum(first)
    at = np.arange(len(x)) + REACH * run  # runs stand apart, so that no lag reaches from one into the next
    size = len(x) + REACH * (int(run[-1]) + 1) if len(x) else 1
    dims = x.shape[1]
    there = np.zeros(size)
    there[at] = finite
    # x, y, x², y² and (y - x)² side by side
    both = np.zeros((size, 5 * dims))
    both[at, :dims], both[at, dims : 2 * dims] = np.where(finite[:, None], x, 0), np.where(finite[:, None], y, 0)
    np.square(both[:, : 2 * dims], out=both[:, 2 * dims : 4 * dims])
    np.square(both[:, dims : 2 * dims] - both[:, :dims], out=both[:, 4 * dims :])
    rows, zero = [], []
    for lag in LAGS:
        early, late = slice(0, size - abs(lag)), slice(abs(lag), size)
        at_x, at_y = (early, late) if lag >= 0 else (late, early)
        sx, sy = there[at_y] @ both[at_x], there[at_x] @ both[at_y]
        xy = np.einsum("td,td->d", both[at_x, :dims], both[at_y, dims : 2 * dims])
        n = float(there[at_x] @ there[at_y])
        rows.append((n, sx[:dims], sy[dims : 2 * dims], sx[2 * dims : 3 * dims], sy[3 * dims : 4 * dims], xy))
        zero.append(sy[4 * dims :])
    return {**_stacked(rows, dims), "zero": np.array(zero)}


def alignments(horizon: int) -> Iterator[tuple[str, Array, Array]]:
    """Yield names, steps of the candidate and the (fractional) steps of the reference that they are held against.

    ``shift 1`` holds step k against the reference's k + 1; ``speed 2`` against its 2k; ``hold 2`` against k // 2.
    """
    steps = np.arange(horizon)
    for lag in LAGS:
        yield f"shift {lag}", steps, (steps + lag).astype(float)
    for speed in SPEEDS:
        yield f"speed {speed:.4g}", steps, steps * speed
    for times in (2, 3):
        yield f"hold {times}", steps, (steps // times).astype(float)


def chunks(reference: Array, candidate: Array) -> dict[str, Array]:
    """Return the sums of the reference's steps against the candidate's in every one of `alignments`, ``(N, H, D)``.

    ``zero`` are the mean squares of the difference as it is, over the same steps.
    """
    horizon, dims = reference.shape[1:]
    finite = np.isfinite(reference).all(axis=(1, 2)) & np.isfinite(candidate).all(axis=(1, 2))
    r, c = reference[finite], candidate[finite]
    as_it_is = np.einsum("nhd,nhd->hd", c - r, c - r)
    rows, zero = [], []
    for name, steps, other in alignments(horizon):
        fits: Array = (other >= 0) & (other <= horizon - 1) & ((steps > 0) | name.startswith("shift"))
        k, j = steps[fits], other[fits]
        low = np.floor(j).astype(int)
        part = j - low
        x = r[:, low]
        if part.any():
            x = x + part[:, None] * (r[:, np.minimum(low + 1, horizon - 1)] - x)
        x, y = x.reshape(-1, dims), c[:, k].reshape(-1, dims)
        one = np.ones(len(x))
        rows.append(
            (float(len(x)), one @ x, one @ y, *(np.einsum("td,td->d", a, b) for a, b in ((x, x), (y, y), (x, y))))
        )
        zero.append(as_it_is[k].sum(axis=0))
    return {**_stacked(rows, dims), "zero": np.array(zero).reshape(len(zero), dims)}


def _stacked(rows: list[tuple[float, Array, Array, Array, Array, Array]], dims: int) -> dict[str, Array]:
    state = {"n": np.array([[r[0]] for r in rows])}
    for i, name in enumerate(("x", "y", "xx", "yy", "xy"), start=1):
        state[name] = np.array([r[i] for r in rows]).reshape(len(rows), dims)
    return state


def aligned(state: State) -> Aligned:
    """Return what the sums say; where there is nothing at a lag, infinities."""
    n = np.maximum(state["n"], 1.0)
    mx, my = state["x"] / n, state["y"] / n
    vx, vy = np.maximum(state["xx"] / n - mx**2, 0.0), np.maximum(state["yy"] / n - my**2, 0.0)
    cov = state["xy"] / n - mx * my
    gain = np.divide(cov, vx, out=np.zeros_like(cov), where=vx > 1e-12 * np.maximum(mx**2, 1e-300))
    none = state["n"] < 1
    # What is left of sums of squares by rounding counts as left over.
    rounding = 1e-15 * (state["xx"] + state["yy"]) / n
    apart = np.maximum((state["xx"] + state["yy"] - 2 * state["xy"]) / n, rounding)
    left = np.maximum(vy - gain * cov, rounding)
    return Aligned(state["n"], np.where(none, np.inf, apart), np.where(none, np.inf, left), gain, my - gain * mx, vy)
