"""The figures of Δ = candidate - reference, per action dimension, from what was kept of all shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.budget import INT8_RMS_RATIO
from parity.replay import bins, resample
from parity.replay.gaps import PHASES
from parity.replay.limits import bias_limits, covered
from parity.replay.telling import plain, table

if TYPE_CHECKING:
    from parity.replay.model import Context, State
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures in the units of each dimension, all ``(D,)``; NaN in one of which nothing was compared.

    Attributes:
        count: compared elements.
        max_abs: largest |Δ|.
        mean_abs: mean of |Δ|.
        rmse: root of the mean of Δ².
        p50_abs: half of |Δ| are no larger; at most 1/32 too high.
        p99_abs: likewise 99 %.
        bias: mean of Δ: above 0 where the candidate is higher.
        bias_interval: 95 % of it over resampled episodes, ``(2, D)``; NaN where there is only one.
        bias_limit: how far it may be from 0.
        reference_rms: root of the mean of the reference's squares.
        episodes: groups of whole ones that are independent of each other.
        covered: where the reference moves far enough to tell something.
    """

    count: Array
    max_abs: Array
    mean_abs: Array
    rmse: Array
    p50_abs: Array
    p99_abs: Array
    bias: Array
    bias_interval: Array
    bias_limit: Array
    reference_rms: Array
    episodes: int
    covered: Array


def summary(state: State, context: Context) -> Summary:
    """Return the figures of a merged state of `parity.replay.gaps`."""
    count = state["count"].sum(axis=0)
    many = np.where(count > 0, count, np.nan)
    max_abs = np.where(count > 0, np.maximum(state["worst_gap"][:, 0], 0.0), np.nan)
    quantiles = [[bins.at_most(h, q, m) for h, m in zip(state["histogram"], max_abs, strict=True)] for q in (0.5, 0.99)]
    episodes = int(state["count"].any(axis=1).sum())
    reference_rms = np.sqrt(state["square_reference"] / many)
    allowed = np.asarray(context.limits, np.float64)
    derived = "max_abs" not in context.budget
    tells = covered(allowed, context.scale)
    if context.precision == "int8":
        tells &= covered(INT8_RMS_RATIO * reference_rms, context.scale) | np.isfinite(allowed)
    return Summary(
        count=count,
        max_abs=max_abs,
        mean_abs=state["absolute"] / many,
        rmse=np.sqrt(state["square"].sum(axis=0) / many),
        p50_abs=np.asarray(quantiles[0]),
        p99_abs=np.asarray(quantiles[1]),
        bias=state["total"].sum(axis=0) / many,
        bias_interval=resample.interval(resample.ratios(state["total"], state["count"], context.seed)),
        bias_limit=bias_limits(allowed, context.precision, episodes, derived=derived),
        reference_rms=reference_rms,
        episodes=episodes,
        covered=tells,
    )


def exhibits(state: State, context: Context, figures: Summary) -> dict[str, Any]:
    """Return what the report shows: figures per dimension, errors by step and by phase, the worst frames."""
    with np.errstate(invalid="ignore", divide="ignore"):
        by_step = np.sqrt(state["step_square"] / state["step_count"])
        by_phase = np.sqrt(state["phase_square"] / state["phase_count"])
    scale = [plain(s) for s in np.asarray(context.scale, np.float64)]
    return {
        "error": [_dimension(state, context, figures, d) for d in range(len(context.names))],
        "by_step": {"scale": scale, "step": list(range(len(by_step))), "rms": table(by_step)},
        "by_phase": {"scale": scale, "phase": [(p + 0.5) / PHASES for p in range(PHASES)], "rms": table(by_phase)},
        "worst": worst_frames(state, context),
    }


def _dimension(state: State, context: Context, figures: Summary, d: int) -> dict[str, Any]:
    names = ("max_abs", "mean_abs", "rmse", "p50_abs", "p99_abs", "bias", "bias_limit", "reference_rms")
    interval = [plain(v) for v in figures.bias_interval[:, d]]
    return {
        "dimension": d,
        "name": context.names[d],
        "units": context.units[d],
        "n": int(figures.count[d]),
        **{name: plain(getattr(figures, name)[d]) for name in names},
        "bias_interval": None if None in interval else interval,
        "limit": plain(context.limits[d]),
        "scale": plain(context.scale[d]),
        "covered": bool(figures.covered[d]),
        "worst": _frame(state, context, d, 0) if state["worst_gap"][d, 0] > 0 else None,
        **{name: int(state[name][d]) for name in ("nan", "inf", "inf_both")},
    }


def worst_frames(state: State, context: Context) -> list[dict[str, Any]]:
    """Return the worst frames of all dimensions, each in units of its limit (of its scale where it has none)."""
    gap = state["worst_gap"]
    limits, scale = np.asarray(context.limits, np.float64), np.asarray(context.scale, np.float64)
    unit = np.where(np.isfinite(limits), limits, np.where(scale > 0, scale, 1.0))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(gap > 0, gap / unit, -1.0)
    order = np.lexsort((state["worst_at"][:, :, 0].ravel(), -ratio.ravel()))[: gap.shape[1]]
    places = [divmod(int(i), gap.shape[1]) for i in order]
    return [_frame(state, context, d, k) for d, k in places if gap[d, k] > 0]


def _frame(state: State, context: Context, d: int, k: int) -> dict[str, Any]:
    row, episode, frame, step = (int(v) for v in state["worst_at"][d, k])
    reference, candidate = (float(v) for v in state["worst_pair"][d, k])
    where = {"dimension": d, "name": context.names[d], "units": context.units[d]}
    return {
        **where,
        "value": float(state["worst_gap"][d, k]),
        "reference": reference,
        "candidate": candidate,
        "episode": episode,
        "frame": frame,
        "step": step,
        "row": row,
    }
