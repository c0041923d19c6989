"""Imports what came back from a device: verified case by case, and written as a trace that ``recorded`` plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from parity.artifact import file_digest
from parity.bundle.asked import Source
from parity.bundle.findings import MISSING, MIXED, TWICE, UNKNOWN, Refused, error
from parity.bundle.foreign import folder_answers
from parity.bundle.results import ZipAnswers
from parity.errors import ParityError, UsageError
from parity.finding import Finding, by_severity
from parity.tensor import Array, Case, stack
from parity.trace import TraceWriter
from parity.trace.target import check_replaceable
from parity.verdict import Verdict

BYTES_AT_ONCE = 16 << 20
_LISTED = 6  # cases that one sentence names


class Answers(Protocol):
    """What one file or folder answers. ``verified``: it says by hash which inputs it answers."""

    path: Path
    tool: str
    verified: bool
    wrong: list[Finding]

    @property
    def ids(self) -> list[str]: ...

    @property
    def origin(self) -> Mapping[str, Any]: ...

    @property
    def recorded(self) -> str: ...

    @property
    def repeated(self) -> Mapping[str, float]: ...

    @property
    def seconds(self) -> Sequence[float]: ...

    def outputs(self, case_id: str) -> dict[str, Array]:
        """Return what came out, by the artifact's names; raises `Refused`."""
        ...


@dataclass(frozen=True, slots=True)
class Captured:
    """The outcome: PASS where all was imported. ``trace`` is None where nothing was written.

    ``seconds`` are those that each call took on the device, where that is known.
    """

    verdict: Verdict
    trace: Path | None
    findings: tuple[Finding, ...]
    cases: int
    captured: Mapping[str, Any]
    seconds: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `parity capture`."""
        return {
            "schema": 1,
            "verdict": str(self.verdict),
            "reasons": [f.title for f in self.findings if f.severity == "error"],
            "trace": None if self.trace is None else str(self.trace),
            "cases": self.cases,
            "captured": dict(self.captured),
            "seconds": list(self.seconds),
            "findings": [f.as_json() for f in self.findings],
        }


def capture(paths: Sequence[Path], source: Source, target: Path) -> Captured:
    """Verify what came back and write it as a trace at ``target``: all of it, or nothing where anything is wrong.

    Raises:
        ArtifactError: a file or folder cannot be read, or is nothing that came back from a device.
        UsageError: ``target`` is something that parity did not write, or which case an output answers is ambiguous.
        OutputError: the trace cannot be written.
    """
    if target.exists():
        check_replaceable(target, "-o")
        target.unlink()  # an earlier recording must not be taken for this one if this one is refused
    with ExitStack() as stays:
        answers = [stays.enter_context(_opened(path, source)) for path in paths]
        findings = [f for a in answers for f in a.wrong]
        by_case, wrong = _shared_out(answers, source)
        findings += wrong
        told = _told(answers, source)
        try:
            with TraceWriter(target, _meta(told, source)) as trace:
                count = 0
                for cases, outputs in _blocks(_verified(by_case, source, findings)):
                    count += len(cases)
                    _add(trace, cases, outputs)
                if any(f.severity == "error" for f in findings):
                    raise _Nothing
        except _Nothing:
            return Captured(Verdict.FAIL, None, tuple(by_severity(findings)), 0, told)
    seconds = tuple(s for a in answers for s in a.seconds)
    return Captured(Verdict.PASS, target, tuple(by_severity(findings)), count, told, seconds)


class _Nothing(Exception):
    """Nothing is written: the trace that was begun is discarded."""


def _opened(path: Path, source: Source) -> AbstractContextManager[Answers]:
    return folder_answers(path, source) if path.is_dir() else ZipAnswers(path, source)


def _shared_out(answers: Sequence[Answers], source: Source) -> tuple[dict[str, Answers], list[Finding]]:
    """Return who answers each case that was asked, in the order of the release, and what is missing or too much."""
    found: dict[str, Answers] = {}
    wrong: list[Finding] = []
    for one in answers:
        for case_id in one.ids:
            if case_id not in source.cases:
                wrong.append(error(UNKNOWN, f"{one.path.name} answers {case_id!r:.120}, which is no case asked."))
            elif case_id in found:
                wrong.append(error(TWICE, f"{one.path.name} answers {case_id}, as {found[case_id].path.name} does."))
            else:
                found[case_id] = one
    missing = [i for i in source.cases if i not in found]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        text = f"{len(missing)} of {len(source.cases)} cases are not answered: {', '.join(missing[:_LISTED])}{more}."
        wrong.append(error(MISSING, text, missing[0], missing=missing[:100]))
    if len({(a.tool, tuple(sorted((k, str(v)) for k, v in a.origin.items()))) for a in answers}) > 1:
        names = ", ".join(a.path.name for a in answers)
        wrong.append(error(MIXED, f"{names} were not recorded on the same device with the same runtime."))
    return {i: found[i] for i in source.cases if i in found}, wrong


def _verified(
    by_case: Mapping[str, Answers], source: Source, findings: list[Finding]
) -> Iterator[tuple[Case, dict[str, Array]]]:
    """Yield each case with what is judged of it; what is refused becomes a finding."""
    for case_id, answers in by_case.items():
        try:
            yield source.case(case_id), source.answered(answers.outputs(case_id))
        except Refused as e:
            findings.append(e.finding)
        except UsageError as e:
            raise UsageError(f"case {case_id}: {e.message}", expected=e.expected, remedy=e.remedy) from None


def _blocks(
    pairs: Iterator[tuple[Case, dict[str, Array]]],
) -> Iterator[tuple[list[Case], list[dict[str, Array]]]]:
    """Yield cases that lie together in a trace: of one profile, inputs of equal shapes, in about 16 MiB."""
    cases: list[Case] = []
    outputs: list[dict[str, Array]] = []
    held, first = 0, None
    for case, given in pairs:
        kind = (case.profile, *((n, a.shape, a.dtype.str) for n, a in (*case.inputs.items(), *given.items())))
        if cases and (kind != first or held > BYTES_AT_ONCE):
            yield cases, outputs
            cases, outputs, held = [], [], 0
        first = kind
        cases.append(case)
        outputs.append(given)
        held += sum(a.nbytes for a in (*case.inputs.values(), *given.values()))
    if cases:
        yield cases, outputs


def _add(trace: TraceWriter, cases: Sequence[Case], outputs: Sequence[Mapping[str, Array]]) -> None:
    import numpy as np

    (block,) = stack(cases, max_bytes=1 << 62)
    stacked = {name: np.stack([o[name] for o in outputs]) for name in outputs[0]}
    trace.add(block, cases[0].profile, [c.seed for c in cases], [c.note for c in cases], stacked)


def _told(answers: Sequence[Answers], source: Source) -> dict[str, Any]:
    """Return what the trace says of its origin: a report shows it wherever the trace is judged."""
    first = answers[0]
    repeated: dict[str, float] = {}
    for one in answers:
        for name, gap in one.repeated.items():
            repeated[name] = max(gap, repeated.get(name, 0.0))
    return {
        "tool": first.tool,
        "verified": all(a.verified for a in answers),
        "recorded": first.recorded,
        "origin": dict(first.origin),
        "repeated": repeated,
        "release": source.about.release,
        "candidate": source.about.candidate,
        "artifact": dict(source.about.artifact),
        "cases": {"answered": len(source.cases), "asked": source.about.count},
        "files": [{"name": a.path.name, "sha256": _sha(a.path)} for a in answers],
    }


def _sha(path: Path) -> str | None:
    try:
        return None if path.is_dir() else file_digest(path)[0]
    except ParityError:
        return None


def _meta(told: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Return the trace's meta. What the artifact's own contract would say of noise and state is said here."""
    meta: dict[str, Any] = {"seed": source.about.seed, "captured": dict(told)}
    if source.about.artifact["random_ops"]:
        meta["random_ops"] = list(source.about.artifact["random_ops"])
    if source.about.state:
        pairs = ", ".join(f"{before} (from {after})" for before, after in source.about.state.items())
        meta["facts"] = {"stateful": f"{pairs} kept between calls; zeros at reset"}
    return meta
