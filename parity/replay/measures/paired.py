"""Reference against candidate on the same frames and the same noise: how far off each action dimension is, in units.

Where the candidate's noise cannot be injected, single actions cannot be compared: nothing is judged here, what is shown
is shown all the same, and the distributions of the actions are judged elsewhere.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from parity.compare.budget import INT8_DIMENSION, INT8_FAINT, INT8_RMS_RATIO, rms_ratio
from parity.replay import bins, gaps
from parity.replay.limits import IN_UNITS
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.said import called
from parity.replay.summary import Summary, exhibits, summary
from parity.replay.telling import amount, place, plain


class Paired:
    """The measure "error"."""

    name = "error"
    rank = 10
    gates: Gates = "single"

    def observe(self, played: Played) -> State:
        """Return sums, counts, a histogram and the worst frames of Δ; see `parity.replay.gaps.gaps_of`."""
        return gaps.gaps_of(played)

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        return gaps.joined(earlier, later)

    def judge(self, state: State, context: Context) -> Judged:
        """Return a row for NaN, for infinities, and per dimension for the largest error and for the bias."""
        figures = summary(state, context)
        shown = exhibits(state, context, figures)
        if context.sampled:
            return Judged((), shown=shown)
        if int(state["frames"]) == 0:
            return Judged((Row("max_abs", None, "NOT_JUDGED", reason="no frame was compared"),), shown=shown)
        rows = [*_holes(state, context), *_largest(state, context, figures), *_bias(state, context, figures)]
        budget = _budget(state, context, figures)
        judged_by_rms = context.precision == "int8" and not budget and not np.isfinite(context.limits).any()
        rows += _int8(state, context, figures) if judged_by_rms else budget
        if all(r.name in ("nan", "inf") for r in rows):
            rows.append(Row("max_abs", None, "NOT_JUDGED", n=int(figures.count.sum()), reason=_silent(context)))
        return Judged(tuple(rows), shown=shown)


def _verdict(good: bool) -> Literal["PASS", "FAIL"]:
    return "PASS" if good else "FAIL"


def _silent(context: Context) -> str:
    if np.isfinite(context.limits).any() or context.precision == "int8":
        return f"no dimension of {context.output} moves by more than 4 times its limit: nothing was shown"
    return f"no error of {context.output} is limited"


def _holes(state: State, context: Context) -> list[Row]:
    """Return whether NaN and infinities are where the reference has none; NaN against NaN is a mismatch too."""
    allowed = bool(context.budget.get("allow_nan"))
    nan, reference = state["nan"], state["nan_reference"]
    infinite = state["inf"] + (0 if allowed else state["inf_both"])
    rows = []
    for name, counts, what in (("nan", nan, "not a number"), ("inf", infinite, "infinite")):
        found, reason = int(counts.sum()), ""
        if found:
            d = int(np.argmax(counts))
            row, episode, frame, step, first = (int(v) for v in state["hole"])
            own = int(reference.sum()) if name == "nan" else 0
            whose = f", {own} of them on the reference itself" if own else ""
            look = place(np.asarray([row, episode, frame, step]))
            reason = (
                f"{found} actions are {what}{whose}, {int(counts[d])} of them in {called(context, d)}; the first "
                f"that is not finite is in {called(context, first)} at {look}"
            )
        total = int(state["count"].sum()) + int((nan + state["inf"] + state["inf_both"]).sum())
        rows.append(Row(name, float(found), "FAIL" if found else "PASS", limit=0.0, n=total, reason=reason))
    return rows


def _largest(state: State, context: Context, figures: Summary) -> list[Row]:
    """Return the largest |Δ| of each dimension that is limited.

    One in which the reference does not move neither passes nor blocks, unless the candidate leaves it by more than its
    limit: what is wrong is wrong there too.
    """
    rows = []
    for d, limit in enumerate(np.asarray(context.limits, np.float64)):
        value = figures.max_abs[d]
        over = not value <= limit
        if limit == np.inf or not (figures.covered[d] or over):
            continue
        units, count = context.units[d], int(figures.count[d])
        if count == 0:
            reason = f"{called(context, d)}: nothing is finite on both sides"
            rows.append(Row("max_abs", None, "NOT_JUDGED", plain(limit), units=units, dimension=d, reason=reason))
            continue
        reason = _worst(state, context, d, limit) if over else ""
        rows.append(Row("max_abs", float(value), _verdict(not over), plain(limit), None, units, count, d, reason))
    return rows


def _worst(state: State, context: Context, d: int, limit: float | None = None) -> str:
    """Return where a dimension is furthest off and by how much."""
    value, units = float(state["worst_gap"][d, 0]), context.units[d]
    if value <= 0:
        return f"{called(context, d)} is equal in all frames"
    pair = state["worst_pair"][d, 0]
    allowed = "" if limit is None else f", limit {amount(limit, units)}"
    return (
        f"{called(context, d)}: worst at {place(state['worst_at'][d, 0])}: {amount(value, units)}{allowed} "
        f"(reference {amount(float(pair[0]), units)}, candidate {amount(float(pair[1]), units)})"
    )


def _bias(state: State, context: Context, figures: Summary) -> list[Row]:
    """Return the mean of Δ of each dimension that is limited and covered."""
    rows = []
    for d, limit in enumerate(figures.bias_limit):
        if not np.isfinite(limit) or not figures.covered[d] or not figures.count[d]:
            continue
        value, units = float(figures.bias[d]), context.units[d]
        ends = figures.bias_interval[:, d]
        interval = (float(ends[0]), float(ends[1])) if np.isfinite(ends).all() else None
        over = not abs(value) <= limit
        reason = ""
        if over:
            span = f", in 95 % of resampled episodes {ends[0]:.3g} to {ends[1]:.3g}" if interval else ""
            reason = (
                f"{called(context, d)} is {amount(abs(value), units)} {'higher' if value > 0 else 'lower'} than the "
                f"reference on average{span}; rounding explains {amount(limit, units)}. {_worst(state, context, d)}"
            )
        count = int(figures.count[d])
        rows.append(Row("bias", value, _verdict(not over), float(limit), interval, units, count, d, reason))
    return rows


def _budget(state: State, context: Context, figures: Summary) -> list[Row]:
    """Return what the user limits besides single actions: over all dimensions, or of each where one number is given."""
    rows: list[Row] = []
    for name in IN_UNITS:
        limit = context.budget.get(name)
        if limit is None:
            continue
        if isinstance(limit, int | float):
            d = int(np.argmax(np.nan_to_num(getattr(figures, name))))
            units = context.units[0] if len(set(context.units)) == 1 else None
            value, count = _pooled(state, name, figures), int(figures.count.sum())
            rows.append(_limited(state, context, name, (value, float(limit)), units, count, d, None))
            continue
        values = getattr(figures, name)
        for d, each in enumerate(limit):
            pair, count = (float(values[d]), float(each)), int(figures.count[d])
            rows.append(_limited(state, context, name, pair, context.units[d], count, d, d))
    return rows


def _limited(
    state: State,
    context: Context,
    name: str,
    pair: tuple[float, float],
    units: str | None,
    count: int,
    worst: int,
    of: int | None,
) -> Row:
    value, limit = pair
    good = value <= limit
    whole = context.output if of is None else called(context, of)
    reason = (
        "" if good else f"{name} of {whole} is {amount(value, units)}, limit {amount(limit, units)}; most of it in "
    )
    reason += "" if good else _worst(state, context, worst)
    return Row(name, plain(value), _verdict(good), limit, None, units, count, of, reason)


def _pooled(state: State, name: str, figures: Summary) -> float:
    """Return a figure over all dimensions together; NaN where nothing was compared."""
    count = int(figures.count.sum())
    if count == 0:
        return float("nan")
    if name == "rmse":
        return float(np.sqrt(state["square"].sum() / count))
    if name == "mean_abs":
        return float(state["absolute"].sum() / count)
    return bins.at_most(state["histogram"].sum(axis=0), 0.99, float(np.nanmax(figures.max_abs)))


def _int8(state: State, context: Context, figures: Summary) -> list[Row]:
    """Return RMS(Δ) / RMS(reference): over the dimensions of one unit, and of each that is heard beside the others."""
    gap, reference = state["square"].sum(axis=0), state["square_reference"]
    if not figures.covered.any():
        return []
    worst, ratio = 0, -1.0
    heard = np.zeros(len(gap), bool)
    for units in dict.fromkeys(context.units):
        mine = [d for d, u in enumerate(context.units) if u == units]
        heard[mine] = reference[mine] > INT8_FAINT**2 * reference[mine].max(initial=0.0)
        found = rms_ratio(gap[mine].tolist(), reference[mine].tolist())
        if not found <= ratio:
            ratio, worst = found, mine[int(np.argmax(gap[mine]))]
    rows = [_ratio(state, context, ratio, INT8_RMS_RATIO, int(figures.count.sum()), worst, None)]
    for d in np.flatnonzero(heard & figures.covered):
        each = rms_ratio([float(gap[d])], [float(reference[d])])
        rows.append(_ratio(state, context, each, INT8_DIMENSION, int(figures.count[d]), int(d), int(d)))
    return rows


def _ratio(state: State, context: Context, value: float, limit: float, count: int, worst: int, of: int | None) -> Row:
    good = value <= limit and count > 0
    what = f"RMS of the error is {value:.3g} of the reference's RMS, limit {limit:.2g}"
    reason = "" if good else f"{what}; {_worst(state, context, worst)}"
    return Row("rms_ratio", plain(value), _verdict(good), limit, None, None, count, of, reason)


MEASURE = Paired()
