"""Does the gripper open and close as the reference's: half open, the wrong way, less often?

A gripper is a dimension that ``[replay] gripper`` names, or one that is nearly always at one of two ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.measure import Gates
from parity.replay.model import Context, Executed, Judged, Played, Row, State
from parity.replay.said import called, look_at, moving, over_limits
from parity.tensor import Array

SIDES = ("reference", "candidate", "recorded")
WINDOW = 8  # frames in which a gripper opens or closes
OCTAVES, PARTS = 40, 4  # moves are counted by size, four classes for each doubling, from 2^-40 to 2^40
NEAR = 0.15  # of its range: at an end
BIMODAL = 0.9  # of frames near an end, and
EACH = 0.05  # of frames at least near each of them
FEWEST = 64
HALF_OPEN = 0.4  # of frames more than the reference's away from both ends
LESS_OFTEN = 0.5  # of the reference's opening and closing
EXACTLY = 0.9999  # a correlation beyond which a fault of structure says it
OPPOSITE = -0.7  # a correlation from which on it does the opposite


class Gripper:
    """Keeps an even choice of rows, and counts of moves by size."""

    name = "gripper"
    rank = 36
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return the rows ``[R, C, A]``, moves by size, the number of episodes, and the worst places."""
        e = played.executed
        recorded = np.full_like(e.reference, np.nan) if e.recorded is None else e.recorded
        sides = (e.reference, e.candidate, recorded)
        return {
            "episodes": np.array([(1.0 / np.maximum(e.at.length, 1)).sum()]),
            **{f"moves.{k}": _moves(v, e) for k, v in zip(SIDES, sides, strict=True)},
            **kept.under("rows", kept.chosen(np.concatenate(sides, axis=1), e.at.row)),
            **kept.under("worst", kept.compared(played).worst),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        merged = {k: np.asarray(earlier[k] + later[k]) for k in earlier if k == "episodes" or k.startswith("moves.")}
        merged |= kept.under("rows", kept.fewer(kept.of(earlier, "rows"), kept.of(later, "rows")))
        return merged | kept.under("worst", kept.worse(kept.of(earlier, "worst"), kept.of(later, "worst")))

    def judge(self, state: State, context: Context) -> Judged:
        """Return findings of grippers over a limit, warnings where the reference differs from the recording."""
        rows = state["rows.value"]
        width = len(context.names)
        r, c, a = (rows[:, k * width : (k + 1) * width] for k in range(3))
        n = int(np.isfinite(c).all(axis=1).sum())
        if not n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no action that was sent is finite"),))
        named = _named(context)
        place = kept.of(state, "worst")
        over = over_limits(context, place) | context.sampled
        findings, grippers = [], []
        for d in np.flatnonzero(moving(context)).tolist():
            asked = d in named
            if asked or bimodal(r[:, d]):
                grippers.append(d)
                if over[d]:
                    findings += _compared(r[:, d], c[:, d], d, state, "reference", "candidate", context)
            elif bimodal(a[:, d]):
                grippers.append(d)
                findings += _compared(a[:, d], r[:, d], d, state, "recorded", "reference", context)
        bad = [f for f in findings if f.severity == "error"]
        reason = f"{bad[0].title}; {look_at(context, place, bad[0].evidence['dimensions'])}" if bad else ""
        row = Row(self.name, float(len(bad)), "FAIL" if bad else "PASS", n=n, units="findings", reason=reason)
        return Judged((row,), tuple(findings), {"grippers": _shown(grippers, rows, state, context)})


def _shown(dims: Sequence[int], rows: Array, state: State, context: Context) -> list[dict[str, Any]]:
    """Return of each gripper how often per episode each side opens or closes it."""
    told = []
    for d in dims:
        reach = float(np.ptp(rows[:, d][np.isfinite(rows[:, d])]))
        turns = {side: _turns(state, side, d, reach) if reach > 0 else 0.0 for side in SIDES}
        told.append({"dimension": called(context, d), **turns})
    return told


def _named(context: Context) -> set[int]:
    """Return the dimensions that the user names: positions, or names."""
    given = context.options.get("gripper", ())
    wanted = [given] if isinstance(given, int | str) else list(given)
    found = set()
    for d, name in enumerate(context.names):
        number, _, rest = name.partition(" ")
        found |= {d for w in wanted if w in (d, number, name, rest.strip("()"))}
    return found


def _moves(values: Array, e: Executed) -> Array:
    """Return how many moves there are of each size, ``(classes, D)``: from one `WINDOW` to the next, within a run."""
    run = np.cumsum(e.first)
    start = np.flatnonzero(e.at.frame % WINDOW == 0)
    start = start[start + WINDOW < len(run)]
    start = start[run[start] == run[start + WINDOW]]
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.log2(np.abs(values[start + WINDOW] - values[start]))
    classes, dims = 2 * OCTAVES * PARTS, values.shape[1]
    size = np.nan_to_num(size, nan=-OCTAVES, neginf=-OCTAVES, posinf=OCTAVES)
    at = np.clip(np.floor(size * PARTS) + OCTAVES * PARTS, 0, classes - 1).astype(np.int64)
    flat = np.bincount((at * dims + np.arange(dims)).reshape(-1), minlength=classes * dims)
    return flat.reshape(classes, dims).astype(float)


def _turns(state: State, side: str, d: int, reach: float) -> float:
    """Return how often per episode a side moves by more than half of a range within a window."""
    first = int(np.ceil(np.log2(reach / 2) * PARTS)) + OCTAVES * PARTS
    return float(state[f"moves.{side}"][max(first, 1) :, d].sum() / max(float(state["episodes"][0]), 1.0))


def bimodal(values: Array) -> bool:
    """Whether values are nearly always near one of two ends, and near each of them sometimes."""
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return False
    low, high = known.min(), known.max()
    part = (known - low) / max(high - low, 1e-300)
    near = float((part < NEAR).mean()), float((part > 1 - NEAR).mean())
    return high > low and sum(near) >= BIMODAL and min(near) >= EACH


def _compared(of: Array, is_now: Array, d: int, state: State, side: str, now: str, context: Context) -> list[Finding]:
    """Return what is wrong with one side's gripper against the other's; warnings where both sides share it."""
    good = np.isfinite(of) & np.isfinite(is_now)
    of, is_now = of[good], is_now[good]
    if len(of) < FEWEST or np.ptp(of) == 0:
        return []
    severity: Any = "error" if now == "candidate" else "warning"
    name, reach = called(context, d), float(np.ptp(of))

    def half_open(values: Array) -> float:
        part = (values - of.min()) / reach
        return float(((part > NEAR) & (part < 1 - NEAR)).mean())

    def told(code: str, title: str, evidence: dict[str, Any], remedy: str) -> Finding:
        return Finding(code, severity, title, name, evidence={"dimensions": [d], **evidence}, remedy=remedy)

    found = []
    middle, before = half_open(is_now), half_open(of)
    if middle - before >= HALF_OPEN:
        title = (
            f"{name}: the {now}'s gripper is half open in {100 * middle:.0f} % of frames, {side} {100 * before:.0f} %"
        )
        remedy = "look at the last layer: a sigmoid or scale on one side only, or an average of open and closed"
        found.append(told("REPLAY047", title, {"half_open": middle, side: before}, remedy))
    turns, usual = (_turns(state, k, d, reach) for k in (now, side))
    if not found and usual >= 0.5 and turns <= LESS_OFTEN * usual:
        title = f"{name}: the {now} opens or closes {turns:.2g} times per episode, {side} {usual:.2g} times"
        remedy = "look at whether the gripper is relative or absolute, at its threshold, and at logic that holds it"
        found.append(told("REPLAY048", title, {"per_episode": turns, side: usual}, remedy))
    rho = _correlation(of, is_now)
    if -EXACTLY < rho <= OPPOSITE:
        title = f"{name}: the {now} opens where {side} closes, correlation {rho:.2f}"
        remedy = "compare what 0 and 1, or -1 and 1, mean on both sides"
        found.append(told("REPLAY049", title, {"correlation": rho}, remedy))
    return found


def _correlation(a: Sequence[float] | Array, b: Sequence[float] | Array) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


MEASURE = Gripper()
