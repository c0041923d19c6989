"""What the pytest plugin talks to: the evidence of one release, judged entry by entry."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from parity.release.compiled import UNREADABLE
from parity.release.config import Config, load_config
from parity.release.execute import execute
from parity.release.facts import Facts
from parity.release.judge import judge
from parity.release.measure import Evidence, Measured, measure
from parity.release.normalization import concerned, verdict_on
from parity.release.plan import Entry, Plan
from parity.release.prepare import Prepared, prepare
from parity.release.replay_findings import UNJUDGED as REPLAY_UNJUDGED
from parity.release.replayed import load_replay
from parity.release.saved import append_measured, load_evidence, measure_all, save_facts
from parity.release.weights import UNJUDGED
from parity.verdict import Verdict

OF_REPLAY = ("REPLAY", "TIME", REPLAY_UNJUDGED)
OF_WEIGHTS = ("PROV", "WEIGHT", UNJUDGED)
OF_OM = ("OM", UNREADABLE)  # what a compiled file tells without a device; a prediction (PRED) is not among it


class Gateway:
    """The evidence of one release. With a `parity.toml` it judges; without, it measures and the run judges."""

    def __init__(self, folder: Path, worker: str, toml: str | None, *, owned: bool) -> None:
        self.folder = folder
        self._worker = worker
        self._toml = None if toml is None else Path(toml)
        self._owned = owned
        self.plan, self.facts = load_evidence(folder)
        self._evidence = Evidence(folder, self.plan)

    @classmethod
    def attached(cls, folder: str, worker: str, toml: str | None) -> Gateway:
        """Return a gateway to evidence that exists."""
        return cls(Path(folder), worker, toml, owned=False)

    @classmethod
    def executed(cls, toml: str) -> Gateway:
        """Execute the release that ``toml`` describes and return a gateway to its evidence."""
        prepared = _prepared(Path(toml))[0]
        folder = Path(tempfile.mkdtemp(prefix="parity-"))
        try:
            prepared.plan.save(folder / "plan.json")
            save_facts(folder, execute(prepared, folder))
            return cls(folder, "main", toml, owned=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.plan.entries

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the candidates to be judged as a whole; none where the run itself does that."""
        return () if self._toml is None else tuple(name for name in self.facts if name != "reference")

    @property
    def weighed(self) -> tuple[str, ...]:
        """Names of the candidates whose weights are judged."""
        return () if self._toml is None else tuple(name for name, f in self.facts.items() if f.weights is not None)

    @property
    def statistics(self) -> tuple[str, ...]:
        """Labels of the sources whose normalization statistics are judged."""
        return () if self._toml is None else concerned(self.facts["reference"])

    def note_selected(self, entries: list[Entry]) -> None:
        """Write down which entries were selected, for the run that judges them."""
        note = self.folder / f"collected-{self._worker}.json"
        note.write_text(json.dumps([e.id for e in entries]), encoding="utf-8")

    def judged(self, entry: Entry) -> Measured:
        """Return the comparison of ``entry``; measured is kept for the run, and judged where budgets are known."""
        row = measure(self._evidence, entry)
        if self._toml is None:
            append_measured(self.folder, self._worker, row)
            return row
        return self._decided[entry.id]

    def candidate(self, name: str) -> dict[str, Any]:
        """Return the verdict on one candidate and its reasons; what stands against the release stands against each."""
        found: dict[str, Any] = next(c for c in self._report["candidates"] if c["name"] == name)
        findings = self._report["findings"]
        against = [f for f in findings if f["candidate"] is None and f["severity"] == "error" and not f["waived"]]
        if against and found["verdict"] == Verdict.PASS:
            return {**found, "verdict": Verdict.NOT_JUDGED.value, "reasons": [f["title"] for f in against]}
        return found

    def weights(self, name: str) -> dict[str, Any]:
        """Return the verdict on whose weights one candidate holds, and the reasons."""
        found = [f for f in self._report["findings"] if f["candidate"] == name and f["severity"] == "error"]
        against = [f for f in found if f["code"].startswith(OF_WEIGHTS) and not f["waived"]]
        unjudged = any(f["code"] == UNJUDGED for f in against)
        verdict = Verdict.NOT_JUDGED if unjudged else Verdict.FAIL if against else Verdict.PASS
        return {"verdict": verdict.value, "reasons": [f["title"] for f in against]}

    @property
    def replayed(self) -> tuple[str, ...]:
        """Names of the candidates whose behaviour on recorded data is judged."""
        asked = self._toml is not None and self.facts["reference"].replay is not None
        return tuple(name for name in self.facts if name != "reference") if asked else ()

    def replay(self, name: str) -> dict[str, Any]:
        """Return the verdict on how one candidate behaves on recorded data, and the reasons."""
        found = [f for f in self._report["findings"] if f["candidate"] == name and f["severity"] == "error"]
        against = [f for f in found if f["code"].startswith(OF_REPLAY) and not f["waived"]]
        failed = any(f["code"] != REPLAY_UNJUDGED for f in against)
        rows = [m for m in self._report["measures"] if m.get("candidate") == name]
        verdict = Verdict.FAIL if failed else Verdict.NOT_JUDGED if against or not rows else Verdict.PASS
        return {"verdict": verdict.value, "reasons": [f["title"] for f in against] or ["nothing was replayed"]}

    @property
    def compiled(self) -> tuple[str, ...]:
        """Names of the candidates behind which an OM file is: what it tells without a device is judged."""
        return () if self._toml is None else tuple(name for name, f in self.facts.items() if f.compiled is not None)

    def om(self, name: str) -> dict[str, Any]:
        """Return the verdict on what one OM file tells without a device, and the reasons."""
        found = [f for f in self._report["findings"] if f["candidate"] == name and f["severity"] == "error"]
        against = [f for f in found if f["code"].startswith(OF_OM) and not f["waived"]]
        unjudged = bool(against) and all(f["code"].startswith("GATE") for f in against)
        verdict = Verdict.NOT_JUDGED if unjudged else Verdict.FAIL if against else Verdict.PASS
        return {"verdict": verdict.value, "reasons": [f["title"] for f in against]}

    def normalization(self, label: str) -> dict[str, Any]:
        """Return the verdict on one source of normalization statistics, and the reasons."""
        return verdict_on(label, self._report["findings"])

    @cached_property
    def _release(self) -> tuple[Prepared, Config]:
        assert self._toml is not None
        return _prepared(self._toml)

    @cached_property
    def _report(self) -> dict[str, Any]:
        prepared, config = self._release
        replay = load_replay(self.folder, self.facts["reference"].replay)
        return judge(prepared, config, self.facts, measure_all(self.folder, self.plan), replay=replay)

    @cached_property
    def _decided(self) -> dict[str, Measured]:
        return {r["id"]: r for r in self._report["comparisons"]}

    def close(self) -> None:
        """Close the traces; remove the evidence if this gateway made it."""
        self._evidence.__exit__(None, None, None)
        if self._owned:
            shutil.rmtree(self.folder, ignore_errors=True)


def _prepared(toml: Path) -> tuple[Prepared, Config]:
    config = load_config(toml)
    root = (toml if toml.is_dir() else toml.parent).resolve()
    return prepare(config, root, strict=False), config


__all__ = ["Facts", "Gateway", "Plan"]
