"""What is wrong with one log: aggregates that are not those of its episodes, rewards that are NaN, starts twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from parity.evaluation.model import Claim, Episode, EvaluationLog
from parity.finding import Finding

TOLERANCE = 1e-6  # of a claimed mean, relative: means of the same numbers added in another order
SHOWN = 5


def check_log(log: EvaluationLog) -> tuple[Finding, ...]:
    """Return what is wrong with the log; what is an error keeps a comparison with it from passing."""
    if not log.episodes:
        return (_no_episodes(log),)
    return tuple(f for question in (_claims, _rewards, _twice, _outcomes, _shards, _starts) for f in question(log))


def _no_episodes(log: EvaluationLog) -> Finding:
    return Finding(
        "EVAL001",
        "warning",
        f"{log.kind}: holds no episodes",
        where=log.path,
        remedy="give the log that the evaluation itself wrote, with an entry for each episode",
    )


def _claims(log: EvaluationLog) -> Iterator[Finding]:
    for claim in log.claims:
        found = figure(claim, log.episodes)
        if found is None:
            continue
        room = claim.rounding * claim.scale + TOLERANCE * max(1.0, abs(claim.value))
        if not (abs(found - claim.value) <= room or (math.isnan(found) and math.isnan(claim.value))):
            yield Finding(
                "EVAL002",
                "error",
                f"{claim.name} says {claim.value:.6g}, its own episodes say {found:.6g}",
                where=log.path,
                evidence={"claim": claim.name, "claimed": claim.value, "of_its_episodes": found},
                remedy="episodes were lost, merged twice or edited: evaluate again, or find the whole log",
            )


def figure(claim: Claim, episodes: Sequence[Episode]) -> float | None:
    """Return what the episodes say where ``claim`` sums them up; None where they do not have the figure.

    Means leave out what is NaN, as LeRobot's do; NaN where nothing is left.
    """
    chosen = [e for e in episodes if claim.tasks is None or e.task in claim.tasks]
    if claim.judged_only and claim.of != "count":
        chosen = [e for e in chosen if not e.problem]
    if claim.of == "count":
        return float(len(chosen))
    values = [v for e in chosen if (v := getattr(e, claim.of)) is not None and not math.isnan(v)]
    if not values:
        return math.nan if any(getattr(e, claim.of) is not None for e in chosen) else None
    return claim.scale * math.fsum(values) / len(values)


def _rewards(log: EvaluationLog) -> Iterator[Finding]:
    for name, words in (("total_reward", "return"), ("max_reward", "largest reward")):
        bad = [i for i, e in enumerate(log.episodes) if (v := getattr(e, name)) is not None and not math.isfinite(v)]
        if bad:
            yield Finding(
                "EVAL003",
                "error",
                f"the {words} of {len(bad)} of {len(log.episodes)} episodes is NaN or infinite",
                where=log.path,
                detail="LeRobot's means leave NaN out, so that the aggregates do not show it.",
                evidence={"figure": name, "episodes": bad[:SHOWN], "number": len(bad)},
                remedy="find out what the environment returned there: a policy that gives NaN, an unstable simulation",
            )


def _twice(log: EvaluationLog) -> Iterator[Finding]:
    counts = Counter((e.task, e.start) for e in log.episodes if e.start is not None)
    twice = [(task, start, n) for (task, start), n in counts.items() if n > 1]
    if twice:
        task, start, n = twice[0]
        yield Finding(
            "EVAL004",
            "error",
            f"{len(twice)} starts are there more than once, such as {start} of {task} ({n} times)",
            where=log.path,
            detail="Episodes from the same start are not independent: counting them twice makes a sample look larger.",
            evidence={
                "starts": [{"task": t, "start": s, "times": k} for t, s, k in twice[:SHOWN]],
                "number": len(twice),
            },
            remedy="give every episode a seed of its own, and merge no log twice",
        )


def _outcomes(log: EvaluationLog) -> Iterator[Finding]:
    told = sum(e.success is not None for e in log.episodes)
    without = [i for i, e in enumerate(log.episodes) if e.problem or (told and e.success is None)]
    if without:
        why = next((e.problem for e in log.episodes if e.problem), "")
        yield Finding(
            "EVAL005",
            "error",
            f"{len(without)} of {len(log.episodes)} episodes have no outcome" + (f" ({why[:80]})" if why else ""),
            where=log.path,
            detail="Leaving them out could hide failures: a policy that crashes an episode has not done its task.",
            evidence={"episodes": without[:SHOWN], "number": len(without)},
            remedy="run these episodes again",
        )


def _shards(log: EvaluationLog) -> Iterator[Finding]:
    missing = log.facts.get("shards_missing")
    if missing:
        yield Finding(
            "EVAL006",
            "error",
            f"parts of the evaluation are missing: {len(missing)} shards"
            if isinstance(missing, list)
            else "parts are missing",
            where=log.path,
            evidence={"shards_missing": missing},
            remedy="run the shards that are missing and merge again",
        )


def _starts(log: EvaluationLog) -> Iterator[Finding]:
    if all(e.start is None for e in log.episodes):
        yield Finding(
            "EVAL007",
            "info",
            "the log does not say how its episodes began (no seeds)",
            where=log.path,
            remedy="if two evaluations began alike and in the same order, say so with --paired",
        )
