"""Whose normalization statistics a release uses, where `parity.toml` names their sources under ``[stats]``.

Asked while the release is executed and kept with the reference's facts, so that the suites and a later judging see the
same answer. It is about the release as a whole: no finding here has a candidate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.artifact import digest, recognize
from parity.errors import ParityError, UsageError
from parity.finding import Finding
from parity.release.config import Config
from parity.release.facts import Facts
from parity.release.shown import relative_to
from parity.verdict import Verdict

UNJUDGED = "GATE015"
OF_DATA = ("recomputed", "lerobot_dataset", "relative_actions")  # not shipped, and large
OF_STATISTICS = ("STATS", "DATA", UNJUDGED)


@dataclass(frozen=True, slots=True)
class Surveying:
    """The sources of statistics that are to agree, and the dataset to compute them again from."""

    root: Path = Path()
    sources: tuple[str, ...] = ()
    dataset: str | None = None

    @property
    def asked(self) -> bool:
        return bool(self.sources or self.dataset)


def surveying(config: Config, root: Path) -> Surveying:
    """Return what ``[stats]`` asks for, its paths resolved against the folder of `parity.toml`.

    Raises:
        UsageError: a path where nothing is: a mistyped one must not let statistics pass unseen.
    """
    table = config.stats
    if table is None:
        return Surveying()
    sources = tuple(_place(s, root, "sources") for s in table.sources)
    return Surveying(root, sources, None if table.dataset is None else _place(table.dataset, root, "dataset"))


def _place(source: str, root: Path, key: str) -> str:
    from parity.stats.choose import split  # here, as below: a release without [stats] loads nothing of it

    whole = root / Path(source).expanduser()
    path, name = (source, None) if whole.exists() else split(source)
    place = root / Path(path).expanduser()
    if not place.exists():
        raise UsageError(f"[stats] {key}: there is no {source!r}", remedy="check the path")
    return str(place) if name is None else f"{place}::{name}"


def look(asked: Surveying) -> dict[str, Any]:
    """Return what `parity stats --json` would say, with paths as the user gave them; or the problem that kept it."""
    from parity.stats.survey import survey

    try:
        found = survey(asked.sources, asked.dataset)
    except ParityError as e:
        found = {"problem": e.message}
    for source in found.get("sources", ()):
        if source["kind"] not in OF_DATA:
            source["sha256"] = _sha256(source["path"])
    shown: dict[str, Any] = relative_to(asked.root)(json.loads(json.dumps(found, default=_plain)))
    return shown


def _sha256(path: str) -> str | None:
    """Return the hash of what was read, None where it is gone: statistics are part of what is shipped."""
    try:
        return digest(recognize(path))[0]
    except (ParityError, OSError):
        return None


def _plain(value: Any) -> Any:
    """Return what a finding's evidence holds as JSON: arrays as lists."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def normalization_findings(asked: Surveying, facts: Facts) -> Iterator[Finding]:
    """Yield what is to be said of the statistics; what could not be judged is an error of the gate."""
    if not asked.asked:
        return
    from parity.stats.survey import UNJUDGED as NOT_COMPARED

    if facts.stats is None or "problem" in facts.stats:
        yield unjudged((facts.stats or {}).get("problem", "the run was interrupted before"))
        return
    for told in facts.stats["findings"]:
        finding = Finding(**told)
        yield unjudged(finding.title, finding.where) if finding.code in NOT_COMPARED else finding


def unjudged(why: str, where: str = "[stats]") -> Finding:
    """Return the finding that whose statistics a release uses could not be judged."""
    return Finding(
        UNJUDGED,
        "error",
        f"Whose statistics these are could not be judged: {why.rstrip('.')}.",
        where=where,
        remedy="give sources that can be read and have features in common, or leave them out of [stats]",
    )


def concerned(facts: Facts) -> tuple[str, ...]:
    """Return the sources that are judged, by label; ``[stats]`` where they could not be read."""
    if facts.stats is None:
        return ()
    return tuple(s["label"] for s in facts.stats.get("sources", ())) or ("[stats]",)


def verdict_on(label: str, findings: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the verdict on one source of statistics, with the reasons, from the findings of a report."""
    errors = [f for f in findings if f["severity"] == "error" and f["candidate"] is None and not f["waived"]]
    against = [f for f in errors if f["code"].startswith(OF_STATISTICS) and _about(label, f)]
    failed = any(f["code"] != UNJUDGED for f in against)
    verdict = Verdict.FAIL if failed else Verdict.NOT_JUDGED if against else Verdict.PASS
    return {"verdict": verdict.value, "reasons": [f["title"] for f in against]}


def _about(label: str, finding: Mapping[str, Any]) -> bool:
    """Whether a finding is about a source; one that names no source is about all."""
    evidence = finding["evidence"]
    pairs = evidence.get("pairs", ())
    named = {finding["where"], evidence.get("source"), *(p[k] for p in pairs for k in ("a", "b"))}
    return label in named or (not pairs and "source" not in evidence)
