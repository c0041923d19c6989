"""What looking layer by layer has shown, as plain data and as one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from parity.finding import Finding


@dataclass(frozen=True, slots=True)
class LayerDiff:
    """One value on both sides. ``rel`` is RMS(Δ) / RMS(reference); ``max_abs`` is judged against ``limit``."""

    reference: str
    candidate: str
    op: str
    node: str
    shape: tuple[int | None, ...] | None
    rel: float
    max_abs: float
    scale: float
    floor: float
    limit: float
    over: bool
    matched_by: str
    broken: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        numbers = {k: _plain(getattr(self, k)) for k in ("rel", "max_abs", "scale", "floor", "limit")}
        texts = {k: getattr(self, k) for k in ("reference", "candidate", "op", "node", "matched_by", "broken", "over")}
        return {**texts, "shape": None if self.shape is None else list(self.shape), **numbers}


@dataclass(frozen=True, slots=True)
class WeightDiff:
    """A stored tensor of the first diverging layer on both sides; ``rel`` is None where it could not be compared."""

    reference: str
    candidate: str
    same: bool
    rel: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """Where two policies part.

    ``first`` is the first value (in the reference's order) over its limit, ``last_agreed`` the value before it that
    agreed, ``inputs_rel`` the largest ``rel`` among the inputs of the layer that makes ``first`` (None where they have
    no partner), ``weights`` that layer's stored tensors. ``sentence`` says all that in one line.
    """

    sentence: str
    first: LayerDiff | None
    last_agreed: LayerDiff | None
    inputs_rel: float | None
    weights: tuple[WeightDiff, ...]
    rows: tuple[LayerDiff, ...]
    unmatched_reference: tuple[str, ...]
    unmatched_candidate: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values, numbers that are not finite as strings."""
        return {
            "sentence": self.sentence,
            "first": self.first.as_json() if self.first else None,
            "last_agreed": self.last_agreed.as_json() if self.last_agreed else None,
            "inputs_rel": _plain(self.inputs_rel),
            "weights": [
                {
                    "reference": w.reference,
                    "candidate": w.candidate,
                    "same": w.same,
                    "rel": _plain(w.rel),
                    "note": w.note,
                }
                for w in self.weights
            ],
            "layers": [r.as_json() for r in self.rows],
            "unmatched": {"reference": list(self.unmatched_reference), "candidate": list(self.unmatched_candidate)},
            "notes": list(self.notes),
        }

    def finding(self, candidate: str | None = None) -> Finding:
        """Return the finding: info, because layers explain a verdict and never make one."""
        where = self.first.reference if self.first else ""
        evidence = {k: v for k, v in self.as_json().items() if k not in ("layers", "sentence")}
        return Finding("DIAG020", "info", self.sentence, where=where, evidence=evidence, candidate=candidate)


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
