"""What was found, in words: one sentence, and a finding for everything that somebody should know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from parity.finding import Finding, by_severity
from parity.provenance.evaluated import not_evaluated
from parity.provenance.health import health, left_out_adapters
from parity.provenance.origin import Candidate, Trace
from parity.provenance.relation import Outcome
from parity.provenance.tell_names import names_finding
from parity.provenance.tell_om import om_findings
from parity.provenance.words import LISTED, NAMED, finding_on, listed
from parity.verdict import Verdict

MADE, PARTLY, STALE, FOREIGN, SILENT = "PROV001", "PROV002", "PROV003", "PROV004", "PROV005"
UNREADABLE, RAW, NEWER, NORMALIZER, TIED, LEFT_OUT = "PROV006", "PROV007", "PROV008", "PROV009", "PROV010", "PROV011"


def verdict_of(best: Candidate) -> Verdict:
    """Return PASS for MATCH, NOT_JUDGED where no tensor says anything, else FAIL."""
    if best.outcome.relation == "NOT_JUDGED":
        return Verdict.NOT_JUDGED
    return Verdict.PASS if best.outcome.relation == "MATCH" else Verdict.FAIL


def sentence(found: Trace) -> str:
    """Return the outcome in one sentence, such as ``Made from a.ckpt (step 25,000), from `ema_model`; ...``."""
    parts = [_first(found), *_asides(found)]
    return "; ".join(parts) + "."


def _first(found: Trace) -> str:
    o, where = found.best.outcome, place(found.best)
    if o.relation == "MATCH":
        return f"Made from {where}"
    if o.relation == "PARTIAL":
        exported, names = found.exported.checkpoint.weights, listed([f.exported for f in o.missing])
        apart = ", its normalizer's" if all(exported[f.exported].statistics for f in o.missing) else ""
        return f"{o.matched + o.folded} of {o.total} tensors are from {where}; not from there: {names}{apart}"
    if o.relation == "STALE":
        return f"No given checkpoint matches; this is another state of {where} (cosine {_short(o.cosine)})"
    if o.relation == "FOREIGN":
        return f"No given checkpoint matches: at most {o.matched + o.folded} of {o.total} tensors are in one, {where}"
    return "The exported file holds no tensor that says whose it is"


def place(candidate: Candidate) -> str:
    """Return a candidate in words: its checkpoint, the step where it is known, and the weight set."""
    when = f" ({candidate.source.when})" if candidate.source.when else ""
    return f"{candidate.source.name}{when}" + (f", from `{candidate.tree}`" if candidate.tree else "")


def _asides(found: Trace) -> list[str]:
    best, said = found.best, []
    sets = not_evaluated(found)
    if sets is not None:
        said.append(f"evaluation uses `{sets[1]}`")
    newest = max(newer(found), key=lambda c: c.source.step or 0, default=None)
    if newest is not None:
        said.append(f"{newest.source.name} ({newest.source.when}) is newer")
    if best.unused:
        said.append(f"the {normalizer(best)} in the checkpoint is not in the exported file")
    if found.ties and best.outcome.relation == "MATCH":
        others = len(found.ties)
        said.append(f"{others} other{'s' if others > 1 else ''} match{'' if others > 1 else 'es'} equally")
    return said


def normalizer(best: Candidate) -> str:
    """Return what normalizer the unused statistics are of, in words."""
    return "action normalizer" if all("action" in n.lower() for n in best.unused) else "observation normalizer"


def newer(found: Trace) -> list[Candidate]:
    """Return the candidates of the same training run with a later step than the best one's."""
    best = found.best
    if best.source.step is None or best.outcome.relation not in ("MATCH", "PARTIAL"):
        return []
    return [
        c
        for c in found.candidates
        if c.source.step is not None
        and c.source.step > best.source.step
        and c.tree == best.tree
        and (c.source.run == best.source.run or c.outcome.relation in ("PARTIAL", "STALE"))
    ]


def findings_of(found: Trace) -> list[Finding]:
    """Return everything that was found about an exported file, the most severe first."""
    best = found.best
    told = [_main(found), _left_out(found), *(unreadable_finding(n, e.message) for n, e in found.unreadable)]
    sets = not_evaluated(found)
    told += [_other_set(best, *sets)] if sets else []
    told += [_newer(best, newer(found))] if newer(found) else []
    told.append(_normalizer(best))
    if found.ties and best.outcome.relation == "MATCH":
        told.append(_tied(best, found.ties))
    with np.errstate(all="ignore"):  # as in `trace`
        told += health(found.exported)
        if best.outcome.relation in ("MATCH", "PARTIAL"):
            told.append(left_out_adapters(best.outcome.found, best.source.checkpoint.weights))
        told.append(names_finding(found.exported, best))
    told += om_findings(found)
    return by_severity([f for f in told if f is not None])


def _main(found: Trace) -> Finding:
    best = found.best
    code = {"MATCH": MADE, "PARTIAL": PARTLY, "STALE": STALE, "FOREIGN": FOREIGN, "NOT_JUDGED": SILENT}
    remedy = {
        "MATCH": "",
        "PARTIAL": "look at how the named tensors were exported, or give the checkpoint that they are from",
        "STALE": "export again from the checkpoint that is meant, or give the one that this was made from",
        "FOREIGN": "give the checkpoints of the run that this was made from, or export again",
        "NOT_JUDGED": "give the file that holds the trained weights",
    }
    o = best.outcome
    return Finding(
        code[o.relation],
        "info" if o.relation == "MATCH" else "error",
        sentence(found),
        where=o.missing[0].exported if o.missing else "",
        evidence={**best.as_json(), "missing": [_evidence(f) for f in o.missing[:LISTED]], "how": how(o)},
        remedy=remedy[o.relation],
    )


def how(outcome: Outcome) -> dict[str, int]:
    """Return how many tensors were found in which way."""
    counts = {"exact": outcome.matched - outcome.rounded, "rounded": outcome.rounded, "folded": outcome.folded}
    return {k: n for k, n in counts.items() if n}


def _evidence(found: Any) -> dict[str, Any]:
    return {"exported": found.exported, "nearest": found.source, "cosine": found.cosine}


def _short(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _left_out(found: Trace) -> Finding | None:
    if not found.silent:
        return None
    number = sum(found.silent.values())
    listed = ", ".join(f"{n} {why}" for why, n in sorted(found.silent.items(), key=lambda kv: -kv[1]))
    return Finding(
        LEFT_OUT,
        "info",
        f"{number} tensor{'s' if number > 1 else ''} of the exported file tell nothing and were not counted: {listed}.",
        evidence={"left_out": dict(found.silent)},
    )


def unreadable_finding(name: str, message: str) -> Finding:
    """Return the finding that one checkpoint among others cannot be read."""
    return Finding(
        UNREADABLE,
        "warning",
        f"A checkpoint cannot be read: {message}",
        where=name,
        remedy="fetch it again, or leave it out; the others were judged without it",
    )


def _other_set(best: Candidate, tree: str, used: str) -> Finding:
    averaged = used == "ema_model"
    return Finding(
        RAW,
        "warning",
        f"The weights are those of `{tree}`, but evaluation of this run uses the {'averaged' if averaged else 'raw'} "
        f"ones, `{used}` (training.use_ema is {str(averaged).lower()}).",
        where=best.source.name,
        evidence={"tree": tree, "evaluated": used, "use_ema": averaged},
        remedy=f"export again from `{used}`",
    )


def _newer(best: Candidate, others: Sequence[Candidate]) -> Finding:
    newest = max(others, key=lambda c: c.source.step or 0)
    return Finding(
        NEWER,
        "info",
        f"{newest.source.name} ({newest.source.when}) is newer than what this was made from ({best.source.when}).",
        where=newest.source.name,
        evidence={"made_from": best.source.step, "newer": sorted({c.source.step or 0 for c in others})},
        remedy="nothing, if the older one was chosen; else export the newer",
    )


def _normalizer(best: Candidate) -> Finding | None:
    return finding_on(
        NORMALIZER,
        best.unused,
        f"The {normalizer(best)} in the checkpoint is not in the exported file: {', '.join(best.unused[:NAMED])}.",
        "apply it before the exported file runs, or export with it",
        key="statistics",
    )


def _tied(best: Candidate, ties: Sequence[Candidate]) -> Finding:
    return Finding(
        TIED,
        "info",
        f"Others match as well as {place(best)}: {listed([place(c) for c in ties])}.",
        detail="Their weights are the same as far as the exported file goes"
        + (": after the rounding that it was made with." if best.outcome.rounded else "."),
        where=best.source.name,
        evidence={"also": [{"checkpoint": c.source.name, "tree": c.tree} for c in ties[:LISTED]]},
    )


def as_json(found: Trace, findings: Sequence[Finding], verdict: Verdict) -> dict[str, Any]:
    """Return the JSON of `parity provenance`, schema version 1."""
    head = document(found.exported.name, found.best, found.candidates, findings, verdict)
    return {**head, "left_out": dict(found.silent)}


def document(
    exported: str, best: Candidate, candidates: Iterable[Candidate], findings: Sequence[Finding], verdict: Verdict
) -> dict[str, Any]:
    """Return what the JSON of `parity provenance` holds with and without ``--only``."""
    return {
        "schema": 1,
        "verdict": str(verdict),
        "reasons": [] if verdict is Verdict.PASS else [f.title for f in findings if f.severity == "error"],
        "exported": exported,
        "best": best.as_json(),
        "candidates": [c.as_json() for c in candidates],
        "findings": [f.as_json() for f in findings],
    }
