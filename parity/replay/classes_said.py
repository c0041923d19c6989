"""What is said of a classifier: which frames flip, why, how often it is right and how sure it says it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay.bins import FIRST, SHIFT
from parity.replay.classes import calibration_error
from parity.replay.model import Context, State
from parity.replay.telling import plain
from parity.tensor import Array

FLIPS, PROBABILITY, LOST, TOLD = "REPLAY068", "REPLAY067", "REPLAY069", "REPLAY093"
LISTED = 5  # frames in a sentence
SIDES = ("reference", "candidate")


def flips_of(state: State, reach: float) -> int:
    """Return how many classes flip although the reference is further than ``reach`` from the border.

    Margins are known to within 1/32: one that may lie within reach is not counted.
    """
    low = (np.arange(len(state["margins"]), dtype=np.int64) + FIRST << SHIFT).view(np.float64)
    return int(state["margins"][low >= reach].sum())


def findings_of(
    state: State, context: Context, declared: Mapping[str, Any], beyond: int, *, failed: bool
) -> list[Finding]:
    """Return what is to be said; what blocks comes first."""
    return [
        *(_other_scale(state, context) if failed else ()),
        *(_flipped(state, context, beyond) if failed else ()),
        *_against_labels(state, context, declared),
    ]


def _flipped(state: State, context: Context, beyond: int) -> Iterator[Finding]:
    frames = int(state["frames"][0])
    place = [_place(state, i) for i in np.flatnonzero(state["worst"] >= 0)[:LISTED]]
    first, (was, now) = place[0], state["worst_pair"][0]
    one = int(state["seen"].astype(bool).sum()) == 1
    yield Finding(
        FLIPS,
        "error",
        f"{context.output}: the class flips in {beyond:,} of {frames:,} frames ({100 * beyond / frames:.2g} %); most "
        f"clearly at {first}: {_number(was)} of the reference, {_number(now)} of the candidate.",
        where=context.output,
        detail=f"Flips that rounding can explain are not counted. Look at {', then '.join(place)}."
        + (" The reference names one class only in these frames." if one else ""),
        evidence={"flips": beyond, "frames": frames, "examples": place},
        remedy="compare the head's weights, what it is fed with, and the threshold of both sides; where some flips are "
        f"acceptable, say how many: [replay.classes.{context.output}] flips = 0.01",
    )


def _other_scale(state: State, context: Context) -> Iterator[Finding]:
    """Yield a finding where one side gives probabilities and the other one logits."""
    for gap, (gives, wanted) in zip(state["apart"], (("probability", "logit"), ("logit", "probability")), strict=True):
        if gap < 1e-3:
            yield Finding(
                PROBABILITY,
                "error",
                f"{context.output}: the candidate gives the {gives} where the reference gives the {wanted}: "
                f"sigmoid or softmax explains it to within {gap:.1g}.",
                where=context.output,
                evidence={"largest_gap": float(gap)},
                remedy="export the head without sigmoid or softmax, or move the threshold with it (0 for logits, 0.5)",
            )
            return


def _against_labels(state: State, context: Context, declared: Mapping[str, Any]) -> Iterator[Finding]:
    labelled = int(state["bins"][0, :, 0].sum())
    if not labelled:
        return
    right, candidate = (_accuracy(b) for b in state["bins"])
    errors = [calibration_error(b) for b in state["bins"]]
    commonest = float(state["labels"].max() / labelled)
    told = f"{context.output} against {declared['label']} in {labelled:,} frames"
    evidence = {"frames": labelled, "accuracy": [right, candidate], "ece": errors, "commonest": commonest}
    yield Finding(
        TOLD,
        "info",
        f"{told}: right in {100 * right:.1f} % (reference) and {100 * candidate:.1f} % (candidate), calibration error "
        f"{errors[0]:.3f} and {errors[1]:.3f}.",
        where=context.output,
        evidence=evidence,
    )
    if right <= commonest and int((state["labels"] > 0).sum()) > 1:
        yield Finding(
            LOST,
            "warning",
            f"{told}: the reference is right in {100 * right:.1f} %, and who always says the commonest class in "
            f"{100 * commonest:.1f} %.",
            where=context.output,
            evidence=evidence,
            remedy="check that the labels belong to these frames, that 0 and 1 mean the same, and what it is fed with",
        )


def shown_of(state: State, beyond: int) -> dict[str, Any]:
    """Return the exhibit "classes": agreement, flips with their frames, accuracy and calibration by side."""
    frames, flips = int(state["frames"][0]), int(state["flips"][0])
    kept = np.flatnonzero(state["worst"] >= 0)
    sides = {}
    for name, bins in zip(SIDES, state["bins"], strict=True):
        count = np.where(bins[:, 0] > 0, bins[:, 0], np.nan)
        table = np.stack([bins[:, 0], bins[:, 1] / count, bins[:, 2] / count], axis=1)
        sides[name] = {
            "accuracy": plain(_accuracy(bins)),
            "ece": plain(calibration_error(bins)),
            "bins": [[plain(v) for v in row] for row in table],
        }
    told = {
        "frames": frames,
        "agreement": 1 - flips / frames,
        "flips": flips,
        "flips beyond rounding": beyond,
        "examples": [[_place(state, i), *(plain(v) for v in state["worst_pair"][i])] for i in kept],
        "labelled": int(state["bins"][0, :, 0].sum()),
        **sides,
    }
    return {"classes": told}


def _accuracy(bins: Array) -> float:
    total = float(bins[:, 0].sum())
    return float(bins[:, 2].sum() / total) if total else float("nan")


def _place(state: State, i: Any) -> str:
    _, episode, frame = state["worst_at"][int(i)]
    return f"episode {episode}, frame {frame}"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "not finite"
