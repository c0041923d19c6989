"""One point in which two artifacts contradict each other, and the codes under which such points are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from parity.contract.model import Contract
from parity.finding import Finding, Severity

Kind = Literal[
    "input",
    "output",
    "name",
    "order",
    "shape",
    "batch",
    "dtype",
    "window",
    "chunk",
    "range",
    "normalization",
    "sampler",
    "elements",
    "control_rate",
    "action_scale",
    "default_positions",
    "gains",
    "policy",
    "units",
]

CODES: dict[Kind, tuple[str, str]] = {
    "input": ("INSP001", "an input that one artifact takes and the other does not"),
    "output": ("INSP002", "an output that one artifact gives and the other does not"),
    "name": ("INSP003", "the same tensor under two names"),
    "order": ("INSP004", "the same tensors in another order"),
    "shape": ("INSP005", "shapes that contradict each other"),
    "batch": ("INSP006", "batch sizes that contradict each other"),
    "dtype": ("INSP007", "element types that contradict each other"),
    "window": ("INSP008", "temporal windows that contradict each other"),
    "chunk": ("INSP009", "an output that is not the executed part of the predicted actions"),
    "range": ("INSP010", "normalization statistics that contradict each other"),
    "normalization": ("INSP011", "normalization modes that contradict each other"),
    "sampler": ("INSP012", "samplers that contradict each other"),
    "elements": ("INSP013", "joints or elements that differ or stand in another order"),
    "control_rate": ("INSP014", "control rates that contradict each other"),
    "action_scale": ("INSP015", "action scales that contradict each other"),
    "default_positions": ("INSP016", "default joint positions that contradict each other"),
    "gains": ("INSP017", "joint stiffness or damping that contradict each other"),
    "policy": ("INSP018", "different kinds of policy"),
    "units": ("INSP019", "units that contradict each other"),
}
ONLY_ONE_SAYS = "INSP020"  # what only one of two artifacts says: nothing contradicts it, and nothing confirms it
SIBLING_UNREADABLE = "INSP021"  # a configuration beside an artifact that looks like one of its own but cannot be read
SIBLINGS_DISAGREE = "INSP022"  # a configuration beside an artifact contradicts the artifact
ADAPTER_AMBIGUOUS = "INSP030"  # how two artifacts split or order one vector cannot be told from their contracts
ADAPTER_BY_POSITION = "INSP031"  # tensors were matched by position or shape, because their names say nothing

REMEDIES: dict[Kind, str] = {
    "name": "nothing, where it is the same tensor; else name the pairs in [adapter.<candidate>] rename",
    "order": "check that whoever calls the artifact passes its inputs by name, not by position",
    "batch": "compare at a batch size that both take, or export with a dynamic batch axis",
    "dtype": 'if a lower class is meant, declare it: precision = "float16" in the candidate\'s table',
    "chunk": "cut the executed steps out of the trajectory, inside the exported graph or in what calls it",
    "elements": "reorder in [adapter.<candidate>] (permute), or export again from the right robot description",
    "range": "find out which statistics the weights were trained with, and export the other again",
}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What one artifact says and another contradicts.

    ``where`` is the tensor, field or joint concerned, in the first artifact's words; ``a`` and ``b`` name the two
    artifacts, ``a_value`` and ``b_value`` are JSON-able and in each artifact's own words. ``info`` marks what is worth
    knowing but no contradiction that could change the robot's behaviour (such as numbers rounded on export).
    """

    kind: Kind
    severity: Severity
    where: str
    a: str
    b: str
    a_value: Any
    b_value: Any
    sentence: str

    @property
    def code(self) -> str:
        """The code of the finding."""
        return CODES[self.kind][0]

    def as_json(self) -> dict[str, Any]:
        """Return the disagreement as `parity inspect --json` writes it."""
        return {
            "code": self.code,
            "kind": self.kind,
            "severity": self.severity,
            "where": self.where,
            "artifacts": [self.a, self.b],
            "values": [self.a_value, self.b_value],
            "sentence": self.sentence,
        }

    def as_finding(self) -> Finding:
        """Return the disagreement as a finding."""
        return Finding(
            code=self.code,
            severity=self.severity,
            title=self.sentence,
            where=self.where,
            evidence={"kind": self.kind, self.a: self.a_value, self.b: self.b_value},
            remedy=REMEDIES.get(self.kind, "find out which of the two is right and export the other again"),
        )


@dataclass(frozen=True, slots=True)
class Sides:
    """Two contracts under comparison, with short names that tell them apart in sentences."""

    a: Contract
    b: Contract

    @property
    def names(self) -> tuple[str, str]:
        """The files' names, or their paths where the names are the same."""
        a, b = self.a.path, self.b.path
        if a.name != b.name:
            return a.name or str(a), b.name or str(b)
        return str(a), str(b)

    def disagree(
        self, kind: Kind, where: str, a_value: Any, b_value: Any, sentence: str, severity: Severity = "error"
    ) -> Disagreement:
        """Return a disagreement between the two."""
        return Disagreement(kind, severity, where, str(self.a.path), str(self.b.path), a_value, b_value, sentence)
