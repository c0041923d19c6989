"""Named causes of samples that are not the reference's: no noise, the same noise, another scale, a missing mode."""

from __future__ import annotations

import numpy as np

from parity.finding import Finding
from parity.replay.model import Context, Row, State
from parity.replay.said import called
from parity.replay.sample_rows import Result
from parity.replay.telling import amount
from parity.tensor import Array

STILL = 1e-6  # of the reference's variance: less is no sampling at all
MISSING = 0.05  # share of samples far from all of the other side's, from which on a mode is called missing


def holes(state: State, context: Context) -> tuple[tuple[Row, ...], tuple[Finding, ...]]:
    """Return what is said of samples that are NaN or infinite: on either side, none of them passes."""
    if not state["holes"].any():
        return (), ()
    count, (_, episode, frame) = int(state["holes"].max()), state["first_hole"].tolist()
    names = ", ".join(called(context, int(d)) for d in np.flatnonzero(state["holes"]))
    where = f"first at episode {episode}, frame {frame}"
    title = f"Samples are NaN or infinite at {count} observations, {where}."
    row = Row("sample holes", float(count), "FAIL", 0.0, n=count, reason=f"{names}: {title}")
    finding = Finding(
        "REPLAY060",
        "error",
        title,
        where=names,
        evidence={"observations": count, "episode": episode, "frame": frame},
        remedy="Look at that observation: an overflow of a lower precision, or a division by zero while sampling.",
    )
    return (row,), (finding,)


def repeats(alike: tuple[float, float], context: Context) -> tuple[Finding, ...]:
    """Return what is said of noise that is the same for all observations, ``alike`` of reference and candidate."""
    if alike[1] == 0 or alike[0] > 0:
        return ()
    return (
        Finding(
            "REPLAY063",
            "warning",
            f"The candidate draws the same noise for each observation ({alike[1]:.2f} alike), unlike the reference.",
            where=context.output,
            evidence={"reference": alike[0], "candidate": alike[1]},
            remedy="Seed its generator once, not at each call or reset. It may also make one noise for a whole batch.",
        ),
    )


def causes(result: Result, trusted: Array, tested: Array) -> tuple[Finding, ...]:
    """Return findings where rows fail: the one that explains the others, else one for each kind.

    Args:
        result: of the test.
        trusted: the reference's samples, ``(M, S, H, D)``.
        tested: the candidate's.
    """
    mean, spread, energy = result.fails_mean(), result.fails_spread(), result.fails_energy()
    if not (mean.any() or spread.any() or energy.any()):
        return ()
    moving = result.counts & (result.test.deviation[0] > 0)
    still = result.test.deviation[1] ** 2 <= STILL * result.test.deviation[0] ** 2
    if moving.any() and still[moving].all() and spread.any():
        return (_no_noise(result, trusted, tested, moving),)
    missing = _modes(result) if energy.any() else ()
    out = list(missing)
    if spread.any():
        out.append(_spread(result, spread))
    if mean.any():
        out.append(_mean(result))
    return tuple(out) or (_shape(result, energy),)


def _no_noise(result: Result, trusted: Array, tested: Array, moving: Array) -> Finding:
    """Tell a candidate that gives the reference's mean from one that always uses the same noise."""
    variance = trusted.var(axis=1, ddof=1, dtype=np.float64)[..., moving]
    gap = (tested.mean(axis=1, dtype=np.float64) - trusted.mean(axis=1, dtype=np.float64))[..., moving]
    distance = float(np.square(gap).mean() / variance.mean())  # 1 / S for the mean itself, 1 for a sample
    worst = int(np.argmax(np.where(moving, result.test.deviation[0], 0)))
    spread = amount(float(result.test.deviation[0][worst]), result.context.units[worst])
    means = distance < 0.25
    what = "it gives their mean" if means else "its noise is always the same"
    return Finding(
        "REPLAY061",
        "error",
        f"The candidate does not sample: the same action each time, where the reference's samples spread by {spread} "
        f"in {called(result.context, worst)}; {what}.",
        where=result.context.output,
        evidence={"spread_reference": _list(result.test.deviation[0]), "distance_from_mean": distance},
        remedy="Export with sampling, not with the mean or a deterministic mode; or judge it against a reference that "
        "does the same."
        if means
        else "Make the noise an input, or a random node without a seed: noise drawn while tracing becomes a constant.",
    )


def _modes(result: Result) -> tuple[Finding, ...]:
    lost, added = result.test.uncovered
    if max(lost, added) < MISSING:
        return ()
    if lost >= added:
        title = f"A mode is missing: {lost:.0%} of the reference's samples are far from all of the candidate's."
    else:
        title = f"There is another mode: {added:.0%} of the candidate's samples are far from all of the reference's."
    return (
        Finding(
            "REPLAY062",
            "error",
            title,
            where=result.context.output,
            evidence={"reference_uncovered": lost, "candidate_uncovered": added},
            remedy="Look at the sampler: number of steps, guidance, temperature, clipping, where its noise comes from.",
        ),
    )


def _spread(result: Result, failing: Array) -> Finding:
    worst = int(np.argmax(np.abs(np.log(np.maximum(result.test.spread.effect, 1e-12))) * failing))
    where = result.context.output if worst == len(result.margin) else called(result.context, worst)
    return Finding(
        "REPLAY064",
        "error",
        f"The candidate samples with another spread: {result.spread_words(worst)}.",
        where=where,
        evidence={"variance_ratio": _list(result.test.spread.effect), "p": _list(result.test.spread.p)},
        remedy="Look at the scale of the noise: temperature, noise schedule, number of steps, log_std, seeds.",
    )


def _mean(result: Result) -> Finding:
    failing = result.fails_mean()
    margin = np.resize(result.margin, len(failing))
    share = np.abs(result.test.mean.effect) / np.where(margin > 0, margin, 1e-300) * failing
    worst = int(np.argmax(share)) % len(result.margin)
    return Finding(
        "REPLAY065",
        "error",
        f"The candidate's samples are shifted: {result.mean_words(worst)}.",
        where=called(result.context, worst),
        evidence={"shift": _list(result.test.mean.effect[: len(result.margin)]), "margin": _list(result.margin)},
        remedy="Look at what is added or scaled after sampling, and at the last steps of the sampler.",
    )


def _shape(result: Result, failing: Array) -> Finding:
    worst = int(np.argmax(result.test.energy.effect * failing))
    where = result.context.output if worst == len(result.margin) else called(result.context, worst)
    return Finding(
        "REPLAY066",
        "error",
        f"The candidate samples from a distribution of another shape in {where}: neither mean nor spread is off.",
        where=where,
        evidence={"energy": _list(result.test.energy.effect), "margin": _list(result.test.energy_margin)},
        remedy="Look at the sampler: scheduler, number of steps, clipping, how noise of steps and dimensions hangs "
        "together.",
    )


def _list(values: Array) -> list[float]:
    return [float(v) for v in values]
