"""The plan: every candidate × case × output that must be judged, written before anything runs.

Everything in it starts as NOT_JUDGED. What is planned and not measured stays so; nothing is dropped in silence.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from parity.cases import fingerprint
from parity.errors import UsageError
from parity.release.batches import single
from parity.tensor import Case

SCHEMA = 1
WORST_KEPT = 4  # how many of the worst inputs found by the search are replayed on every candidate


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be judged. ``id`` is ``candidate/level/[stage/]case/output``, opaque to readers."""

    id: str
    candidate: str
    level: str
    stage: str | None
    profile: str
    case: str
    output: str


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """A case as planned. ``sha256`` is of its inputs' names and bytes; None where a search will fill it in."""

    id: str
    profile: str
    seed: int
    note: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All entries and cases of a release."""

    release: str
    seed: int
    entries: tuple[Entry, ...]
    cases: tuple[PlannedCase, ...]

    def save(self, path: Path) -> None:
        document = {"schema": SCHEMA, **asdict(self)}
        path.write_text(json.dumps(document, indent=0), encoding="utf-8")


def load_plan(path: Path) -> Plan:
    """Return the plan at ``path``.

    Raises:
        UsageError: it is not a plan of this schema.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            raise UsageError(f"{path}: a plan of another schema version")
        entries = tuple(Entry(**e) for e in data.pop("entries"))
        cases = tuple(PlannedCase(**c) for c in data.pop("cases"))
        return Plan(entries=entries, cases=cases, **data)
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(f"{path}: not a plan ({e})") from None


def make_plan(
    release: str,
    seed: int,
    candidates: Sequence[str],
    cases: Iterable[Case],
    outputs: Sequence[str],
    worst: int,
    takers: Mapping[str, Collection[str]] | None = None,
    levels: Mapping[str, str] | None = None,
    graphs: Mapping[str, Sequence[str]] | None = None,
    stages: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    looks_at: Callable[[str], bool] = single,
) -> Plan:
    """Return the plan of judging ``outputs`` of every candidate in every case, and in ``worst`` cases to be found.

    ``takers`` names, by id, the candidates of a case that is not for all; ``levels`` gives the level at which a
    candidate is judged, where that is not ``graph``; ``graphs`` the outputs of its graph that are judged besides;
    ``stages`` stage and name of each output of its stages that is, in cases that ``looks_at`` is true of.

    Raises:
        UsageError: two cases, or two outputs, would be told by the same id.
    """
    planned = [PlannedCase(c.id, c.profile, c.seed, c.note, fingerprint(c)) for c in cases]
    planned += [PlannedCase(f"worst-{i:04d}", "worst", seed, "found by the search", None) for i in range(worst)]
    entries = [
        Entry(f"{name}/{level}/{case.id}/{output}", name, level, None, case.profile, case.id, output)
        for name in candidates
        for case in planned
        for output in outputs
        for level in [(levels or {}).get(name, "graph")]
        if name in (takers or {}).get(case.id, (name,))
    ]
    entries += [
        Entry(f"{name}/graph/{case.id}/{output}", name, "graph", None, case.profile, case.id, output)
        for name, shown in (graphs or {}).items()
        for case in planned
        for output in shown
        if name in (takers or {}).get(case.id, (name,))
    ]
    entries += [
        Entry(f"{name}/graph/{stage}/{case.id}/{output}", name, "graph", stage, case.profile, case.id, output)
        for name, shown in (stages or {}).items()
        for case in planned
        for stage, output in shown
        if looks_at(case.id)
    ]
    _refuse_doubles([e.id for e in entries])
    _refuse_doubles([c.id for c in planned])
    return Plan(release, seed, tuple(entries), tuple(planned))


def _refuse_doubles(ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        double = next(i for i, count in Counter(ids).items() if count > 1)
        raise UsageError(f"two comparisons would both be called {double!r}", remedy="rename a case or an output")
