"""The outcome of a comparison in one sentence: success in percent and points, a score as the number it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.evaluation.gates import Effect, Sample
    from parity.evaluation.proportions import Interval

WORDS = {"success": "success", "max_reward": "score"}


def percent(share: float) -> str:
    """Return a share as ``93.5 %``."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def points(difference: float, *, sign: bool = True) -> str:
    """Return a difference of shares in points, ``−4.2``."""
    text = f"{100 * difference:+.1f}" if sign else f"{100 * difference:.1f}"
    return text.removesuffix(".0").replace("-", "−")


def level(figure: str, value: float) -> str:
    """Return a mean: success as a share, a score as the number it is."""
    return percent(value) if figure == "success" else f"{value:.3f}"


def change(figure: str, value: float) -> str:
    """Return a difference of means: success in points, a score as the number it is."""
    return points(value) if figure == "success" else f"{value:+.3f}".replace("-", "−")


def around(figure: str, interval: Interval) -> str:
    """Return an interval of a difference, in brackets."""
    return f"[{change(figure, interval[0])}, {change(figure, interval[1])}]"


def tell(sample: Sample, effect: Effect, margin: float, verdict: Verdict) -> str:
    """Return what was found over all tasks."""
    figure = sample.figure
    of = f"{effect.n:,} {'paired ' if sample.paired else ''}episodes" + ("" if sample.paired else " a side")
    moved, found, limit = _moved(figure, effect), _found(figure, effect), change(figure, -margin)
    if verdict is Verdict.FAIL:
        return f"{moved}: {found} over {of}, wholly below the {limit} allowed{_tested(effect, effect.p_value)}"
    if verdict is Verdict.PASS:
        return f"{moved}: {found} over {of}, wholly above the {limit} allowed"
    drop = f"{points(margin, sign=False)} points" if figure == "success" else f"{margin:g}"
    return f"{of} cannot tell a drop of {drop}: {moved}, {found}; {needed(figure, effect)}"


def needed(figure: str, effect: Effect) -> str:
    """Return how many episodes would tell, and what these can."""
    p = effect.power
    if p.needed <= effect.n:
        return f"of policies that are alike as many tell it {p.power:.0%} of the time: a small drop is likely"
    drop = change(figure, p.detectable).removeprefix("+")
    more = f"{drop} points" if figure == "success" else drop
    return (
        f"about {p.needed:,} are needed if the two are alike (with {effect.n:,} such a pair passes {p.power:.0%} of the"
        f" time, and a drop fails from about {more} on)"
    )


def tell_task(figure: str, task: str, effect: Effect, p_value: float) -> str:
    """Return what was found in one task that fails by itself."""
    found = f"{_found(figure, effect)} over {effect.n:,} episodes"
    return f"{task}: {_moved(figure, effect)}: {found}{_tested(effect, p_value)}"


def _moved(figure: str, effect: Effect) -> str:
    return f"{WORDS[figure]} {level(figure, effect.reference)} → {level(figure, effect.candidate)}"


def _found(figure: str, effect: Effect) -> str:
    units = " points" if figure == "success" else ""
    return f"{change(figure, effect.value)}{units} {around(figure, effect.interval)}"


def _tested(effect: Effect, p_value: float) -> str:
    changed = "" if effect.lost is None else f", {effect.lost} lost, {effect.gained} gained"
    return f" (p = {p_value:.2g}{changed})"
