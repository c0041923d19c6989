"""A prediction as findings and as plain data. Never an error: an emulation is no evidence, and passes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parity.finding import Finding, Severity
from parity.predict.hazards import Hazard, Kind
from parity.predict.prediction import Prediction

WORD = "PREDICTED"
FAMILY = "PRED"
OUTPUTS, UNPREDICTED = "PRED001", "PRED009"
MOST = 8  # nodes of one kind that are told one by one
KINDS: dict[Kind, tuple[str, str, str]] = {
    "overflow": ("PRED002", "values overflow", "keep the node in float32, or scale what it takes"),
    "lost": ("PRED003", "values lose their precision", "keep the node, and what it takes, in float32"),
    "whole": ("PRED004", "whole numbers beyond 2048 run together", "keep positions and time steps in float32 or int32"),
    "vanishes": ("PRED005", "values vanish", "keep the node in float32, or scale what it takes"),
    "subnormal": ("PRED006", "values are so small that digits are lost", "scale them, or keep the node in float32"),
    "constant_overflow": ("PRED007", "constants overflow", "use a mask of -1e4, which float16 holds"),
    "constant_vanishes": ("PRED008", "constants become 0", "use an epsilon of 1e-5, which float16 holds"),
}


def findings(prediction: Prediction, source: str, candidate: str | None) -> Iterator[Finding]:
    """Yield what is predicted: what becomes of the outputs, then one finding for each kind of trouble on the way.

    Warnings where an output does not survive; what the outputs survive is for information.
    """
    yield _of_outputs(prediction, source, candidate)
    severity: Severity = "info" if prediction.survives else "warning"
    for kind, (code, words, remedy) in KINDS.items():
        some = [h for h in prediction.hazards if h.kind == kind]
        if some:
            yield Finding(
                code,
                severity,
                f"{WORD}, not measured: {words} in float16 at {_places(some)}.",
                where=some[0].value,
                detail=_detail(some[0], prediction),
                evidence={"source": source, "nodes": [h.as_json() for h in some[:MOST]], "of": len(some)},
                remedy=remedy,
                candidate=candidate,
            )


def unpredicted(why: str, candidate: str | None, remedy: str = "") -> Finding:
    """Return the finding that nothing is predicted, and why."""
    title = f"Whether it survives float16 was not {WORD}: {why.rstrip('.')}."
    return Finding(UNPREDICTED, "info", title, where=candidate or "", remedy=remedy, candidate=candidate)


def as_json(prediction: Prediction, source: str, candidate: str | None) -> dict[str, Any]:
    """Return a prediction as the report keeps it."""
    return {
        "candidate": candidate,
        "source": source,
        "basis": prediction.held.basis,
        "unknown_nodes": prediction.held.unknown,
        "survives": prediction.survives,
        "values": prediction.values,
        "unknown_values": prediction.unknown,
        "cases": list(prediction.cases),
        "outputs": [e.as_json() for e in prediction.endings],
        "hazards": [{"kind": h.kind, **h.as_json()} for h in prediction.hazards],
        "keep": None if prediction.keep is None else list(prediction.keep),
    }


def _of_outputs(p: Prediction, source: str, candidate: str | None) -> Finding:
    worst = max(p.endings, key=lambda e: (e.broken > 0, e.ratio), default=None)
    cases = f"{len(p.cases)} case{'' if len(p.cases) == 1 else 's'}"
    if worst is None:
        said, place = "no float output was looked at", source
    elif worst.broken:
        said, place = f"{worst.output} becomes NaN or infinite in {worst.case}", worst.output
    else:
        many = f"{worst.ratio:.2g} × the limit of float16 in dimension {worst.dimension}"
        kept = "survive" if p.survives else "do not survive"
        said, place = f"the outputs {kept} float16; at worst {worst.output} is off by {many}", worst.output
    kept_words = f"; with {len(p.keep)} nodes in float32 they are predicted to survive" if p.keep else ""
    remedy = "" if p.survives else "measure on the device; compile with --precision_mode_v2=origin, or scale the inputs"
    if p.keep:
        names = ", ".join(p.keep[:MOST]) + (", …" if len(p.keep) > MOST else "")
        remedy = f"keep {names} in float32: a file for atc's --keep_dtype, one name a line; then measure"
    return Finding(
        OUTPUTS,
        "info" if p.survives else "warning",
        f"{WORD}, not measured: {said} ({cases}){kept_words}.",
        where=place,
        detail=f"By {p.held.basis}; every value rounded to nearest, nothing else of the device is imitated.{_left(p)}",
        evidence={
            "source": source,
            "cases": list(p.cases[:MOST]),
            "outputs": [e.as_json() for e in p.endings],
            **({"keep": list(p.keep)} if p.keep else {}),
        },
        remedy=remedy,
        candidate=candidate,
    )


def _left(p: Prediction) -> str:
    return f" {p.unknown} values of unknown type were left as they are." if p.unknown else ""


def _places(some: list[Hazard]) -> str:
    more = f" and {len(some) - 1} more" if len(some) > 1 else ""
    return f"{some[0].node}{more}"


def _detail(h: Hazard, p: Prediction) -> str:
    at = f" in case {h.case}" if h.case else ""
    number = f"{h.seen:.4g}{at}: {h.words}."
    return number if not p.survives else f"{number} The outputs are predicted to survive it."
