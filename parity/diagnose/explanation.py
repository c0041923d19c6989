"""A named cause of a difference between two sets of outputs, and how it becomes a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.finding import Finding

CODES: Mapping[str, str] = {
    "sign": "DIAG001",
    "swap": "DIAG002",
    "permutation": "DIAG002",
    "offset": "DIAG003",
    "gain": "DIAG004",
    "affine": "DIAG004",
    "lag": "DIAG005",
    "slice": "DIAG005",
    "constant": "DIAG006",
    "units": "DIAG007",
    "unnormalization": "DIAG008",
}

REMEDIES: Mapping[str, str] = {
    "sign": "compare the joints' direction conventions on both sides; look for a minus in export and deployment",
    "swap": "compare the joint order that both sides declare; map by name instead of by position",
    "permutation": "compare the joint order that both sides declare; map by name instead of by position",
    "offset": "compare the default positions (or the statistics' means) of both sides",
    "gain": "compare the action scales (or the statistics' standard deviations) of both sides",
    "affine": "compare the action scales, default positions and normalization statistics of both sides",
    "lag": "compare which step of the chunk is the first that is executed on both sides",
    "slice": "compare which steps of the horizon both sides return",
    "constant": "look for an input that is not connected, or weights that were never loaded",
    "units": "convert once, and declare the units in the contract",
    "unnormalization": "apply the inverse normalization exactly once, with the statistics of the training run",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One structural fault that turns the reference's outputs into the candidate's.

    Attributes:
        kind: a key of `CODES`.
        explained: share of the whole difference, 0..1, that this and the explanations given with it account for:
            ``1 - ||R∘fault - C||² / ||R - C||²`` in units of each dimension's spread.
        parameters: JSON-able numbers that reproduce the fault, the runner-up and its share.
        sentence: the cause in one plain sentence.
        where: indices of the dimensions (last axis) concerned; empty where all are.
    """

    kind: str
    explained: float
    sentence: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[int, ...] = ()

    @property
    def code(self) -> str:
        """The finding code of this kind of fault."""
        return CODES[self.kind]


def place(output: str, where: Sequence[int]) -> str:
    """Return the place in the words of findings: ``action[3,9]``, or the output's name alone."""
    return f"{output}[{','.join(map(str, where))}]" if where else output


def finding_of(explanation: Explanation, output: str, candidate: str | None = None) -> Finding:
    """Return the finding (an error) that states the explanation about the output called ``output``."""
    return Finding(
        explanation.code,
        "error",
        explanation.sentence,
        where=place(output, explanation.where),
        detail=f"This explains {explanation.explained:.4%} of the difference over the cases that were compared.",
        evidence={"kind": explanation.kind, "explained": explanation.explained, **explanation.parameters},
        remedy=REMEDIES[explanation.kind],
        candidate=candidate,
    )
