"""Both sides against the recorded actions: open-loop error, and what it tells that the two sides alone cannot.

A fault that reference and candidate share (observations that both are fed wrongly, statistics of another robot) leaves
them equal, and shows here only. Nothing is gated by it: how well a policy follows its demonstrations is no matter of
equality. It shows, and warns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.compare.budget import INT8_RMS_RATIO
from parity.finding import Finding
from parity.replay.measure import Gates, added
from parity.replay.model import Context, Judged, Played, State
from parity.replay.recorded_error import SQUARES, recorded_error_of
from parity.replay.resample import lower_bounds
from parity.replay.said import called
from parity.replay.telling import amount, plain, table
from parity.tensor import Array

WORSE = 0.1  # of the reference's own squared error: less is not worth a warning
CHANCE = 5e-4  # of warning that a candidate is worse which is as good, in all dimensions together
TIMES_LOGGED = (
    10.0  # the log has one batch and other noise: each is worth a factor of 2, the steps beyond the executed too
)
UNEXPLAINED = 0.5  # of the recorded actions' variance: a policy on episodes that it never saw still explains half
LOST = 3.0  # times the variance, in half of the dimensions; samples of the demonstrations' own distribution: 2 times
LOGGED = "train_action_mse_error"


@dataclass(frozen=True, slots=True)
class _Errors:
    """Mean squares per dimension, ``(D,)``, in units squared; NaN where nothing is recorded."""

    reference: Array
    candidate: Array
    between: Array
    variance: Array
    count: Array

    def explained(self, side: Array) -> Array:
        """Return the share of the recorded actions' variance that a side explains, ``(D,)``: 1 for exactly."""
        return np.asarray(1 - side / np.where(self.variance > 0, self.variance, np.nan))


class OpenLoop:
    """The measure "open_loop": shows and warns, judges nothing."""

    name = "open_loop"
    rank = 20
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return sums of squared errors; see `parity.replay.recorded_error.recorded_error_of`."""
        return recorded_error_of(played)

    def merge(self, earlier: State, later: State) -> State:
        """Return the sums of both."""
        return added(earlier, later)

    def judge(self, state: State, context: Context) -> Judged:
        """Return no row. Warns of a candidate that follows the recorded actions worse, and of both that do not."""
        if not state["count"].any():
            return Judged(())
        errors = _errors(state)
        lower = _excess(state, context)
        findings = [*_worse(state, context, errors, lower), *_astray(context, errors)]
        return Judged((), tuple(findings), _shown(state, context, errors, lower))


MEASURE = OpenLoop()


def _errors(state: State) -> _Errors:
    count = state["count"].sum(axis=0)
    many = np.where(count > 0, count, np.nan)
    mean = state["recorded"].sum(axis=0) / many
    square = state["recorded_square"].sum(axis=0) / many
    variance = square - mean**2
    variance = np.where(variance > 1e-12 * square, variance, 0.0)  # what is left of rounding: it does not move
    reference, candidate, between = (state[name].sum(axis=0) / many for name in SQUARES)
    return _Errors(reference, candidate, between, variance, count)


def _excess(state: State, context: Context) -> Array:
    """Return by how much the candidate's squared error surely exceeds what is to be expected, ``(D,)``.

    An error that does not depend on how far the reference is off adds its own square, which rounding does. Where noise
    differs between the sides, both are equally far off on average.
    """
    above = state["candidate"] - state["reference"]
    if not context.sampled:
        above = above - state["between"]
    return lower_bounds(above, state["count"], CHANCE)


def _worse(state: State, context: Context, errors: _Errors, lower: Array) -> list[Finding]:
    """Return a warning where the candidate is worse than the reference by more than errors within its limits can do.

    With no single action off by more than a limit L, the mean squared error rises by at most 2 L RMS + L² (Cauchy and
    Schwarz), of which L² is that of the error itself.
    """
    allowed = WORSE * errors.reference
    if not context.sampled:
        rms = np.sqrt(state["recorded_square"].sum(axis=0) / np.maximum(errors.count, 1))
        limits = np.asarray(context.limits, np.float64)
        limit = np.where(np.isfinite(limits), limits, INT8_RMS_RATIO * rms)
        allowed = np.maximum(allowed, 2 * limit * np.sqrt(errors.reference))
    dims = [int(d) for d in np.flatnonzero(lower > allowed)]
    if not dims:
        return []
    worst = max(dims, key=lambda d: lower[d] / max(allowed[d], 1e-300))
    roots = [amount(float(np.sqrt(e[worst])), context.units[worst]) for e in (errors.candidate, errors.reference)]
    more = f" (and {len(dims) - 1} more dimensions)" if len(dims) > 1 else ""
    return [
        Finding(
            "REPLAY001",
            "warning",
            f"{called(context, worst)} follows the recorded actions worse than the reference: RMS error {roots[0]} "
            f"against {roots[1]}{more}",
            where=called(context, worst),
            detail="The rise is larger than errors that do not depend on the recorded actions can explain.",
            evidence={
                "dimensions": dims,
                "mse_candidate": [plain(errors.candidate[d]) for d in dims],
                "mse_reference": [plain(errors.reference[d]) for d in dims],
                "mse_between": [plain(errors.between[d]) for d in dims],
                "excess_at_least": [plain(lower[d]) for d in dims],
            },
            remedy="See the findings about the error itself: the candidate is further from what was demonstrated.",
        )
    ]


def _astray(context: Context, errors: _Errors) -> list[Finding]:
    """Return a warning where a side is far from the recorded actions: by the training log, else by their variance."""
    moving = (errors.variance > 0) & (errors.count > 0)
    if not moving.any():
        return []
    sides = {"the reference": errors.reference, "the candidate": errors.candidate}
    logged = _logged(context)
    if logged is not None:
        weights = errors.count / errors.count.sum()
        found = {who: float(np.nansum(weights * e)) for who, e in sides.items()}
        least = max(TIMES_LOGGED * logged, UNEXPLAINED * float(np.nansum(weights * errors.variance)))
        far = {who: mse for who, mse in found.items() if not mse <= least}
        return [_off_the_log(context, far, logged)] if far else []
    found = {who: float(np.median(e[moving] / errors.variance[moving])) for who, e in sides.items()}  # a parked joint
    far = {who: times for who, times in found.items() if not times <= LOST}
    far = {who: times for who, times in far.items() if who == "the reference"} or far  # the candidate is held to it
    return [_off_the_data(context, far, errors)] if far else []


def _logged(context: Context) -> float | None:
    value = context.options.get(LOGGED)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        return None
    return float(value)


def _off_the_log(context: Context, far: dict[str, float], logged: float) -> Finding:
    who, mse = max(far.items(), key=lambda item: item[1])
    return Finding(
        "REPLAY002",
        "warning",
        f"{_who(far)} further off the recorded actions than the training log says: mean squared error {mse:.3g}, "
        f"{mse / logged:.0f} times its {LOGGED} of {logged:.3g}",
        where=context.output,
        detail=f"Less than half of the variance of the recorded actions is explained ({who}).",
        evidence={LOGGED: logged, "mse": {name: plain(value) for name, value in far.items()}},
        remedy="Check that the episodes are of the training data, and that observations, statistics and the step that "
        "is executed first are those of training.",
    )


def _off_the_data(context: Context, far: dict[str, float], errors: _Errors) -> Finding:
    side = errors.candidate if "the candidate" in far else errors.reference
    ratios = np.where(errors.variance > 0, side / np.where(errors.variance > 0, errors.variance, 1), -1.0)
    moving = np.flatnonzero(ratios >= 0)
    worst = int(moving[np.argsort(ratios[moving])[len(moving) // 2]])  # as the others are: no parked joint
    root = [amount(float(np.sqrt(v[worst])), context.units[worst]) for v in (side, errors.variance)]
    return Finding(
        "REPLAY003",
        "warning",
        f"{_who(far)} further off the recorded actions than if they were their mean all the time: in "
        f"{called(context, worst)} RMS error {root[0]}, while the recorded actions spread by {root[1]}",
        where=context.output,
        evidence={
            "mse_over_variance": {name: plain(value) for name, value in far.items()},
            "variance": [plain(v) for v in errors.variance],
        },
        remedy="Check that the recorded actions are what the policy gives (absolute or relative, units, order of the "
        "joints) and that observations are bound to the right features.",
    )


def _who(far: dict[str, float]) -> str:
    return "Reference and candidate are" if len(far) > 1 else f"{next(iter(far)).capitalize()} is"


def _shown(state: State, context: Context, errors: _Errors, lower: Array) -> dict[str, Any]:
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = {s: np.sqrt(state[f"step_{s}"] / state["step_count"]) for s in ("reference", "candidate")}
    figures = {
        "mse_reference": errors.reference,
        "mse_candidate": errors.candidate,
        "mse_between": errors.between,
        "variance": errors.variance,
        "explained_reference": errors.explained(errors.reference),
        "explained_candidate": errors.explained(errors.candidate),
        "excess_at_least": lower,
    }
    dims = range(len(context.names))
    named = [{"dimension": d, "name": context.names[d], "units": context.units[d]} for d in dims]
    each = [
        {**named[d], "n": int(errors.count[d]), **{name: plain(values[d]) for name, values in figures.items()}}
        for d in dims
    ]
    total = int(errors.count.sum())
    whole = {f"mse_{s}": plain(float(state[s].sum()) / total) for s in ("reference", "candidate", "between")}
    return {
        "open_loop": {**whole, "n": total, LOGGED: _logged(context), "dimensions": each},
        "open_loop_by_step": {name: table(values) for name, values in steps.items()},
    }
