"""What `compare` and `run` share: prepare, execute with progress, measure, judge, explain, show."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from parity.release.config import Config, load_config, parse_config
from parity.release.execute import execute
from parity.release.exhibits import exhibits
from parity.release.explain import explain
from parity.release.facts import Facts
from parity.release.judge import judge
from parity.release.layers import layer_findings
from parity.release.measure import Measured
from parity.release.predicted import with_predictions
from parity.release.prepare import Prepared, prepare
from parity.release.replayed import load_replay
from parity.release.saved import measure_all, save_facts
from parity.release.shown import relative_to
from parity.verdict import Verdict

Measure = Callable[[Path, Prepared], list[Measured]]


@dataclass(slots=True)
class Outcome:
    """A judged release: the report, where time went, and what it was made from."""

    report: dict[str, Any]
    timings: dict[str, Any]
    prepared: Prepared
    facts: dict[str, Facts] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return Verdict(self.report["verdict"]).exit_code


def load_settings(reference: str, candidate: str, options: Mapping[str, Any]) -> Config:
    """Return the configuration of a `parity compare`: two paths, and what ``--config`` and the options say.

    Raises:
        UsageError: the configuration cannot be read.
    """
    base = load_config(options["config"]) if options["config"] else None
    given = base.model_dump(exclude_unset=True) if base else {}
    name = _candidate_named(base, candidate)
    own: dict[str, Any] = next((c for c in given.get("candidate", []) if c["name"] == name), {})
    kept = {k: v for k, v in own.items() if k not in ("path", "command", "runner")}
    cases = dict(given.get("cases") or {})
    cases |= {
        key: value for key, value in (("nominal", options["cases"]), ("worst", options["worst"])) if value is not None
    }
    if options["inputs"] is not None:
        cases["inputs"] = str(options["inputs"].absolute())
    timeout = {} if options["timeout"] is None else {"timeout_s": options["timeout"]}
    precision = {} if options["precision"] is None else {"precision": options["precision"]}
    data = {
        "release": {
            "name": f"{Path(reference).name} → {Path(candidate).name}",
            "seed": options["seed"] if options["seed"] is not None else given.get("release", {}).get("seed", 42),
        },
        "reference": {"path": reference, **timeout},
        "candidate": [{**kept, "name": name, "path": candidate, **precision, **timeout}],
        "budgets": {k: v for k, v in given.get("budgets", {}).items() if k in ("default", name)},
        "adapter": {k: v for k, v in given.get("adapter", {}).items() if k == name},
        "contract": given.get("contract", {}),
        "waiver": given.get("waiver", []),
    }
    if cases:
        data["cases"] = cases
    return parse_config(data, "compare")


def _candidate_named(base: Config | None, path: str) -> str:
    """Return the name of the candidate that the configuration means by ``path``: its only one, or that of this file."""
    if base is None:
        return "candidate"
    if len(base.candidate) == 1:
        return base.candidate[0].name
    return next((c.name for c in base.candidate if c.path and Path(c.path).name == Path(path).name), "candidate")


def judge_now(
    config: Config,
    root: Path,
    folder: Path,
    *,
    strict: bool,
    layers: bool = False,
    measured: Measure | None = None,
    prepared: Prepared | None = None,
    keep: Path | None = None,
    lanes: int = 1,
) -> Outcome:
    """Plan, execute, judge and explain a release, with its evidence in ``folder``.

    With ``strict`` an unreadable candidate raises; else it is NOT_JUDGED. ``measured`` replaces the plain measuring of
    all entries (the suites do it in `parity run`). ``keep`` and ``lanes`` are of the replay: see `execute`.

    Raises:
        ParityError: nothing could be planned.
    """
    from parity.cli.progress import progress

    clock = {"start": time.perf_counter()}
    prepared = prepared or prepare(config, root, strict=strict)
    prepared.plan.save(folder / "plan.json")
    clock["prepared"] = time.perf_counter()
    with progress() as report:
        facts = execute(prepared, folder, report, keep=keep, lanes=lanes)
    save_facts(folder, facts)
    if any(f.failure is not None and f.failure.kind == "interrupted" for f in facts.values()):
        print("interrupted: what was measured is judged now; Ctrl-C again ends at once", file=sys.stderr, flush=True)
    _refuse_unloadable(prepared, facts, strict=strict)
    clock["executed"] = time.perf_counter()
    rows = (measured or (lambda f, p: measure_all(f, p.plan)))(folder, prepared)
    replay = load_replay(folder, facts["reference"].replay)
    document = judge(prepared, config, facts, rows, replay=replay)
    clock["judged"] = time.perf_counter()
    if document["verdict"] != "PASS":
        found, cause = explain(prepared, folder, document)
        if layers:
            found += layer_findings(prepared, folder, document["comparisons"], facts)
        document = judge(prepared, config, facts, rows, extra=found, replay=replay)
        document["cause"] = relative_to(prepared.root)(cause)
    clock["explained"] = time.perf_counter()
    document["exhibits"] = exhibits(prepared, folder, document)
    clock["exhibited"] = time.perf_counter()
    document = with_predictions(document, prepared, facts)
    clock["predicted"] = time.perf_counter()
    return Outcome(document, _timings(clock, facts), prepared, facts)


def _refuse_unloadable(prepared: Prepared, facts: Mapping[str, Facts], *, strict: bool) -> None:
    """In `compare`, an artifact that the runtime cannot read is a usage error, not something left unjudged."""
    from parity.errors import ArtifactError

    if not strict:
        return
    for side in (prepared.reference, *prepared.candidates):
        failure = facts[side.name].failure
        if failure is not None and failure.kind == "artifact":
            raise ArtifactError(failure.message)


def _timings(clock: Mapping[str, float], facts: Mapping[str, Facts]) -> dict[str, Any]:
    names = list(clock)
    steps = {b: clock[b] - clock[a] for a, b in pairwise(names)}
    return {"seconds": steps, "sides": {n: {"number": f.calls, **f.seconds} for n, f in facts.items()}}


def show(outcome: Outcome, *, out: Path | None, json_file: str | None) -> None:
    """Write the report where asked, and print it; with ``json_file`` "-" the JSON alone goes to the standard output.

    Raises:
        OutputError: it could not be written.
    """
    from parity.cli.output import people
    from parity.report.json_file import encode, write_json
    from parity.report.terminal import print_report
    from parity.report.write import write_all

    if out is not None:
        write_all(outcome.report, outcome.timings, out)
    if json_file == "-":
        sys.stdout.buffer.write(encode(outcome.report))
        sys.stdout.flush()
    elif json_file is not None:
        write_json(outcome.report, Path(json_file))
    print_report(outcome.report, people(json_file))
