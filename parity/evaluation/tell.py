"""The outcome of a comparison in one sentence, in points of success."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.evaluation.gates import Effect, Sample

WORDS = {"success": "success", "max_reward": "score"}


def percent(share: float) -> str:
    """Return a share as ``93.5 %``."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def points(difference: float, *, sign: bool = True) -> str:
    """Return a difference of shares in points, ``−4.2``."""
    text = f"{100 * difference:+.1f}" if sign else f"{100 * difference:.1f}"
    return text.removesuffix(".0").replace("-", "−")


def tell(sample: Sample, effect: Effect, margin: float, verdict: Verdict) -> str:
    """Return what was found over all tasks."""
    of = f"{effect.n:,} {'paired ' if sample.paired else ''}episodes" + ("" if sample.paired else " a side")
    moved = f"{WORDS[sample.figure]} {percent(effect.reference)} → {percent(effect.candidate)}"
    found = f"{_found(effect)} over {of}"
    if verdict is Verdict.FAIL:
        return f"{moved}: {found}, wholly below the {points(-margin)} allowed{_tested(effect, effect.p_value)}"
    if verdict is Verdict.PASS:
        return f"{moved}: {found}, wholly above the {points(-margin)} allowed"
    return (
        f"{of} cannot tell a drop of {points(margin, sign=False)} points: {moved}, {_found(effect)}; {needed(effect)}"
    )


def needed(effect: Effect) -> str:
    """Return how many episodes would tell, and what these can."""
    p = effect.power
    if p.needed <= effect.n:
        return f"of policies that are alike as many tell it {p.power:.0%} of the time: a small drop is likely"
    return (
        f"about {p.needed:,} are needed if the two are alike (these show it {p.power:.0%} of the time, and a drop of "
        f"{points(p.detectable, sign=False)} points)"
    )


def tell_task(figure: str, task: str, effect: Effect, margin: float, p_value: float) -> str:
    """Return what was found in one task that fails by itself."""
    moved = f"{WORDS[figure]} {percent(effect.reference)} → {percent(effect.candidate)}"
    return f"{task}: {moved}: {_found(effect)} over {effect.n:,} episodes{_tested(effect, p_value)}"


def _found(effect: Effect) -> str:
    low, high = effect.interval
    return f"{points(effect.value)} points [{points(low)}, {points(high)}]"


def _tested(effect: Effect, p_value: float) -> str:
    changed = "" if effect.lost is None else f", {effect.lost} lost, {effect.gained} gained"
    return f" (p = {p_value:.2g}{changed})"
