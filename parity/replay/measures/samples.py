"""Where a policy samples: do reference and candidate sample the same actions for the same observation?

See `parity.replay.two_sample` for the test and `docs/replay.md` for what it finds, with measured figures.
"""

from __future__ import annotations

from math import ceil, log

import numpy as np

from parity.replay import bottom
from parity.replay import sample_causes as told
from parity.replay.limits import covered
from parity.replay.margin import SHIFT, tolerance
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.permutation import OF_SAMPLES
from parity.replay.sample_rows import Result
from parity.replay.two_sample import repeated, two_sample
from parity.tensor import Array

KEPT = 256  # observations, by hash of their row
OBSERVATIONS = 256  # to ask for: with them a variance that is 10 % off is found in 95 of 100 judgements,
SAMPLES = 64  # even in one of 14 dimensions, and with noise that is the same for a whole chunk
RESOLVED = 1.5  # ratio of variances that must be found in 95 of 100 judgements, or there are too few samples
STEPS = 16  # of a chunk that are kept, evenly from the first to the last
LEAST_OBSERVATIONS, LEAST_SAMPLES = 8, 8
_ARRAYS = ("row", "episode", "frame", "reference", "candidate")


class Samples:
    """Repeated samples for the same observations, where noise could not be injected."""

    name = "samples"
    rank = 41
    gates: Gates = "sampled"

    def observe(self, played: Played) -> State:
        """Keep the samples of `KEPT` observations and `STEPS` steps, in float32, and count those with holes."""
        drawn, width = played.drawn, played.reference.shape[-1]
        if drawn is None:
            empty = np.zeros((0, 0, 0, width), np.float32)
            nowhere = np.zeros(0, np.int64)
            return {
                **dict(zip(_ARRAYS, (*(nowhere,) * 3, empty, empty), strict=True)),
                **_no_holes(width),
                "steps": nowhere,
            }
        row, episode, frame = (a[drawn.asked] for a in (played.at.row, played.at.episode, played.at.frame))
        bad = ~np.isfinite(drawn.reference) | ~np.isfinite(drawn.candidate)
        holes = _no_holes(width)
        if bad.any():
            at = np.flatnonzero(bad.any(axis=(1, 2, 3)))
            worst = at[np.argmin(row[at])]
            holes = {
                "holes": bad.any(axis=(1, 2)).sum(axis=0),
                "first_hole": np.array([row[worst], episode[worst], frame[worst]], np.int64),
            }
        whole = np.flatnonzero(~bad.any(axis=(1, 2, 3)))
        kept = whole[bottom.first(row[whole], KEPT)]
        horizon = drawn.reference.shape[2]
        steps = np.linspace(0, horizon - 1, min(horizon, STEPS)).round().astype(np.int64)
        sides = (side[kept][:, :, steps].astype(np.float32) for side in (drawn.reference, drawn.candidate))
        arrays = (row[kept], episode[kept], frame[kept], *sides)
        return {**dict(zip(_ARRAYS, arrays, strict=True)), **holes, "steps": steps}

    def merge(self, earlier: State, later: State) -> State:
        """Keep the observations of the smallest hashes of both."""
        first = min((earlier, later), key=lambda s: int(s["first_hole"][0]))["first_hole"]
        holes = {"holes": earlier["holes"] + later["holes"], "first_hole": first}
        steps = max((earlier, later), key=lambda s: len(s["steps"]))["steps"]
        return {**bottom.both(earlier, later, _ARRAYS, KEPT), **holes, "steps": steps}

    def judge(self, state: State, context: Context) -> Judged:
        """Return rows of mean, variance ratio and energy distance by dimension, and the energy of all jointly."""
        if not context.sampled:
            return Judged(())
        rows, findings = told.holes(state, context)
        trusted, tested = state["reference"], state["candidate"]
        alike, shown, dimensions = (0.0, 0.0), {}, len(context.names)
        if len(trusted) >= 2 and trusted.shape[1] >= 2:
            alike = repeated(trusted), repeated(tested)
            result = _tested(state, context)
            if not result.counts.any():
                return Judged((*rows, _not_judged("the reference moves in no dimension: its samples say nothing")))
            rows += result.rows()
            findings += told.causes(result, trusted, tested)
            shown, dimensions = result.shown(), int(result.counts.sum())
        few = too_few(trusted.shape, dimensions, alike)
        if few:
            rows = (*(r for r in rows if r.verdict == "FAIL"), _not_judged(few, len(trusted)))
        return Judged(rows, findings + told.repeats(alike, context), shown)


def too_few(shape: tuple[int, ...], dimensions: int, alike: tuple[float, float] = (0.0, 0.0)) -> str:
    """Return how many samples are needed where there are too few, as a sentence, else ""."""
    observations, samples = shape[:2] if shape[0] else (0, 0)
    per = 1 + (observations - 1) * max(alike)  # samples that say as much as one would with noise drawn anew
    wanted = needed(RESOLVED, dimensions)
    if observations < LEAST_OBSERVATIONS or samples < LEAST_SAMPLES:
        why = ""
    elif observations * (samples - 1) >= wanted * per:
        return ""
    else:
        why = "; the same noise served all observations, which counts as one" if per > 2 else ""
    at = max(observations, LEAST_OBSERVATIONS)
    least = max(ceil(wanted / at) + 1, LEAST_SAMPLES)
    return (
        f"too few samples: {observations} observations × {samples} samples{why}; at least {at} × {least} with noise "
        f"drawn anew are needed to find a variance that is {RESOLVED:g} times the reference's, "
        f"{OBSERVATIONS} × {SAMPLES} for one that is 1.1 times"
    )


def needed(ratio: float, dimensions: int) -> int:
    """Return how many degrees of freedom find this ratio of variances in 95 of 100, in any one dimension.

    The logarithm of a ratio of two variances with n degrees of freedom each is about normal with variance 4 / n.
    """
    from scipy.special import ndtri

    threshold = ndtri(1 - OF_SAMPLES / 3 / 2 / (dimensions + 1))
    return ceil(4 * (float(threshold + ndtri(0.95)) / log(ratio)) ** 2)


def _tested(state: State, context: Context) -> Result:
    trusted, tested = state["reference"], state["candidate"]
    centred = trusted - trusted.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = np.sqrt(np.square(centred).mean(axis=(0, 1, 2)))
    rounding = tolerance(context, np.sqrt(np.square(trusted, dtype=np.float64).mean(axis=(0, 1, 2))))
    margin = np.maximum(rounding, SHIFT * spread)
    counts = covered(rounding, context.scale)
    random = np.random.Generator(np.random.PCG64(context.seed))
    return Result(two_sample(trusted, tested, margin, rounding, counts, random), state, context, margin, counts)


def _no_holes(width: int) -> dict[str, Array]:
    return {"holes": np.zeros(width, np.int64), "first_hole": np.full(3, np.iinfo(np.int64).max)}


def _not_judged(reason: str, count: int = 0) -> Row:
    return Row("samples", None, "NOT_JUDGED", n=count, reason=reason)


MEASURE = Samples()
