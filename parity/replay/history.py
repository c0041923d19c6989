"""How a flat vector of several observations is laid out: term by term or frame by frame, oldest or newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.contract.model import Contract
from parity.finding import Finding

LAYOUT = "TIME007"


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a history; None where the artifact does not say.

    Attributes:
        major: ``term``: all steps of a term stand together; ``frame``: all terms of a step do.
        order: which step comes first.
        lengths: steps of each term, or under "" of all.
    """

    major: Literal["term", "frame"] | None
    order: Literal["oldest", "newest"] | None
    lengths: Mapping[str, int]


def layout_of(contract: Contract) -> Layout | None:
    """Return the layout of the observations' history, None where the contract knows of none.

    Sources: Isaac Lab's observation manager and circular buffer (each term's steps together, oldest first); rl_sar's
    ObservationBuffer: ``observations_history`` numbers the steps, 0 the latest, as long as it has no
    ``observations_history_priority``; with one the order of ``time`` (by frame) and ``term`` is not told by the numbers
    alone, as versions count differently.
    """
    metadata = contract.metadata
    terms = metadata.get("observation_history")
    if isinstance(terms, Mapping) and terms and metadata.get("format") == "isaac lab environment":
        lengths = {str(n): v for n, v in terms.items() if type(v) is int and v > 1}
        return Layout("term", "oldest", lengths) if lengths else None
    numbers = metadata.get("observations_history")
    if isinstance(numbers, Sequence) and not isinstance(numbers, str) and len(numbers) > 1:
        return _rl_sar(numbers, metadata.get("observations_history_priority"))
    return None


def _rl_sar(numbers: Sequence[Any], priority: Any) -> Layout | None:
    if not all(type(n) is int for n in numbers):
        return None
    if priority is not None:
        return Layout("term" if priority == "term" else "frame", None, {"": len(numbers)})
    rising, falling = (list(numbers) == sorted(numbers, reverse=r) for r in (False, True))
    order: Literal["oldest", "newest"] | None = "newest" if rising else "oldest" if falling else None
    return Layout("frame", order, {"": len(numbers)})


def layout_disagreement(reference: Contract, candidate: Contract) -> list[Finding]:
    """Return a finding where two contracts lay out the history differently, as far as both say."""
    a, b = layout_of(reference), layout_of(candidate)
    if a is None or b is None:
        return []
    said = []
    if a.major and b.major and a.major != b.major:
        said.append(f"{a.major} by {a.major} on the reference's side, {b.major} by {b.major} on the candidate's")
    if a.order and b.order and a.order != b.order:
        said.append(f"{a.order} first on the reference's side, {b.order} first on the candidate's")
    lengths = {max(a.lengths.values()), max(b.lengths.values())}
    if len(lengths) > 1:
        said.append(f"{max(a.lengths.values())} steps on the reference's side, {max(b.lengths.values())} on the other")
    if not said:
        return []
    return [
        Finding(
            LAYOUT,
            "error",
            f"The history of observations is laid out differently: {'; '.join(said)}.",
            where="observation history",
            evidence={
                side: {"major": one.major, "order": one.order, "lengths": dict(one.lengths)}
                for side, one in (("reference", a), ("candidate", b))
            },
            remedy="build the vector as in training: same order of terms and steps, or export with a layer that does",
        )
    ]
