"""How far the reference moves and how far its own arithmetic lets it waver: what limits are derived from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.replay.model import State
from parity.replay.player import Player, PlayFailed
from parity.runner.base import Variant
from parity.tensor import Array

VARIANTS: tuple[Variant, ...] = ("float64", "no_optimization", "one_thread")


def scale_of(reference: Array, floor: Array | None = None) -> State:
    """Return the extremes of the reference's finite actions ``(N, H, D)`` and the largest floor, each ``(D,)``.

    ``step_low`` and ``step_high`` are the extremes of each step of the chunk, ``(H, D)``: a chunk that is the same in
    all frames moves along its steps, and depends on nothing.

    ``floor`` is |variant - base| on some frames, ``(M, H, D)``; the state holds NaN where none was measured.
    """
    width = reference.shape[-1]
    flat = reference.reshape(-1, width)
    finite = np.isfinite(flat)
    low = np.where(finite, flat, np.inf).min(axis=0, initial=np.inf)
    high = np.where(finite, flat, -np.inf).max(axis=0, initial=-np.inf)
    step_low = np.where(np.isfinite(reference), reference, np.inf).min(axis=0, initial=np.inf)
    step_high = np.where(np.isfinite(reference), reference, -np.inf).max(axis=0, initial=-np.inf)
    waver = np.full(width, np.nan)
    if floor is not None and floor.size:
        waver = np.nanmax(np.where(np.isfinite(floor), floor, 0.0).reshape(-1, width), axis=0)
    steps = {"step_low": step_low, "step_high": step_high}
    return {"low": low, "high": high, **steps, "floor": waver, "frames": np.array([len(reference)])}


def moved(state: State) -> Array:
    """Return how far the reference moves from frame to frame, at the step of the chunk where that is most, ``(D,)``."""
    apart = state["step_high"] - state["step_low"]
    return np.asarray(np.where(np.isfinite(apart), apart, 0.0).max(axis=0, initial=0.0))


def merge_scales(states: Sequence[State]) -> State:
    """Return the extremes of all."""
    return {
        "low": np.min([s["low"] for s in states], axis=0),
        "high": np.max([s["high"] for s in states], axis=0),
        "step_low": np.min([s["step_low"] for s in states], axis=0),
        "step_high": np.max([s["step_high"] for s in states], axis=0),
        "floor": np.fmax.reduce([s["floor"] for s in states], axis=0),
        "frames": np.sum([s["frames"] for s in states], axis=0),
    }


def measured_floor(player: Player, inputs: dict[str, Array], base: dict[str, Array], names: Sequence[str]) -> State:
    """Return, by output, how far legitimate variants of the reference are from it on these observations, ``(M, ...)``.

    The variants are those of its runner (float64, no graph optimization, one thread) and inputs one ulp higher.
    """
    found: dict[str, Array] = {}
    runs: list[tuple[Variant, dict[str, Array]]] = [(v, inputs) for v in VARIANTS if v in player.session.info.variants]
    runs.append(("base", {n: np.nextafter(a, np.inf, dtype=a.dtype) if _real(a) else a for n, a in inputs.items()}))
    for variant, given in runs:
        try:
            other = player.answer(given, variant)
        except PlayFailed:  # a variant that does not work gives no floor; the run itself is not at risk
            continue
        for name in names:
            if name in other and other[name].shape == base[name].shape:
                gap = np.abs(other[name].astype(np.float64) - base[name].astype(np.float64))
                found[name] = np.fmax(found[name], gap) if name in found else gap
    return found


def _real(array: Array) -> bool:
    return array.dtype.name in ("float32", "float64")
