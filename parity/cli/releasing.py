"""The body of `parity run`: the folder it writes into, the suites, recording, re-judging, the baseline."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.cli.judging import Outcome, judge_now
from parity.errors import OutputError, UsageError
from parity.release.baseline import against, check_baseline
from parity.release.beside import CHECKPOINT
from parity.release.config import Config, load_config
from parity.release.measure import Measured
from parity.release.prepare import Prepared
from parity.release.rejudge import rejudge
from parity.release.replaying import STATES
from parity.release.suite_run import run_suites
from parity.report.json_file import read_json
from parity.report.terminal import print_report
from parity.report.write import OutputFolder, write_all
from parity.trace.target import check_replaceable
from parity.verdict import Verdict

UNINSPECTED = ("command", "factory", "openvino", "other", "stages")  # kinds that `parity inspect` does not read


def judge_release(path: Path, options: Mapping[str, Any]) -> int:
    """Judge the release at ``path`` and return the exit code.

    Raises:
        ParityError: usage, an unreadable configuration, or a folder that cannot be written.
    """
    config = load_config(path)
    root = (path if path.is_dir() else path.parent).resolve()
    filtered = options["expression"] is not None
    baseline = None if options["baseline"] is None else _read_baseline(options["baseline"])
    if options["record"] is not None and options["record"].is_file():
        check_replaceable(options["record"], "--record")
    source = options["source"]
    again = (
        None if source is None else rejudge(read_json(source), config, folder=source.parent)
    )  # before one is emptied
    out = options["out"] or Path("reports") / folder_name(config.release.name)
    report: dict[str, Any]
    timings: dict[str, Any]
    with OutputFolder(out, partial=filtered) as held:
        if again is not None:
            report, timings = again, {"seconds": {}}
            if source.parent.resolve() != held.path.resolve():
                keep_states(source.parent, held.path)
        else:
            outcome = _run(config, root, options, held.path)
            report, timings = outcome.report, outcome.timings
        report["reproduce"] = reproduce(path, report)
        _scope(report, partial=options["partial"])
        if baseline is not None:
            report["baseline"] = against(report, baseline)
        write_all(report, timings, held.path)
        print_report(report)
        print(f"report: {held.path / 'report.html'}", file=sys.stderr)
    return Verdict(report["verdict"]).exit_code


def _read_baseline(path: Path) -> dict[str, Any]:
    baseline = read_json(path)
    check_baseline(baseline, path)
    return baseline


def reproduce(path: Path, report: Mapping[str, Any]) -> list[str]:
    """Return the command lines that judge the release at ``path`` again and show its artifacts.

    They work where this run was started: the report's paths are relative to the folder of `parity.toml`.
    """
    base = path if path.is_dir() else path.parent
    files = [
        _from_here(base, a["path"])
        for a in report["artifacts"]
        if a["kind"] not in UNINSPECTED and a["sha256"] and not str(a.get("side")).endswith(CHECKPOINT)
    ]
    lines = [["parity", "run", str(path)], *([["parity", "inspect", *dict.fromkeys(files)]] if files else [])]
    return [shlex.join(line) for line in lines]


def _from_here(base: Path, given: str) -> str:
    """Return a path that the user gave relative to ``base``, without ``..`` where that leads to the same place."""
    path = base / Path(given).expanduser()
    plain = Path(os.path.normpath(path))
    return str(plain if plain.resolve() == path.resolve() else path)


def folder_name(name: str) -> str:
    """Return the name of a release as one that a folder can have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "release"


def _run(config: Config, root: Path, options: Mapping[str, Any], out: Path) -> Outcome:
    def suites(folder: Path, prepared: Prepared) -> list[Measured]:
        return run_suites(folder, prepared.plan, expression=options["expression"], workers=options["workers"])

    with tempfile.TemporaryDirectory(prefix="parity-") as work:
        asked: dict[str, Any] = {"layers": options["layers"], "keep": out, "lanes": options["workers"] or 1}
        outcome = judge_now(config, root, Path(work), strict=False, measured=suites, **asked)
        keep_states(Path(work), out)
        if options["record"] is not None:
            _record(Path(work) / "reference.h5", options["record"], outcome)
    return outcome


def keep_states(work: Path, out: Path) -> None:
    """Keep what a replay measured beside its report, so that it can be judged again; an earlier run's goes.

    Raises:
        OutputError: it cannot be written.
    """
    target = out / STATES
    try:
        target.unlink(missing_ok=True)
        if (work / STATES).is_file():
            shutil.copyfile(work / STATES, target)
    except OSError as e:
        raise OutputError(f"{target}: cannot be written: {e.strerror or e}", remedy="choose another --out") from None


def _record(trace: Path, target: Path, outcome: Outcome) -> None:
    """Keep the reference's trace at ``target``, whole or not at all.

    Raises:
        UsageError: the reference did not run to the end.
        OutputError: it cannot be written.
    """
    failure = outcome.facts["reference"].failure
    if failure is not None or not trace.is_file():
        raise UsageError(f"nothing recorded: the reference did not run: {failure.message if failure else 'no trace'}")
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(trace, part)
        part.replace(target)
    except OSError as e:
        part.unlink(missing_ok=True)
        raise OutputError(f"{target}: cannot be written: {e.strerror or e}", remedy="choose another --record") from None
    print(f"recorded: {target}", file=sys.stderr)


def _scope(report: dict[str, Any], *, partial: bool) -> None:
    """A run that judged less than was planned passes only where the user said so."""
    scope = report["release"]["scope"]
    if scope["selected"] == 0 and not (scope["planned"] == 0 and report["measures"]):
        report["verdict"] = Verdict.NOT_JUDGED.value
        report["reasons"] = ["nothing was selected: no case was judged", *report["reasons"]]
    elif scope["selected"] < scope["planned"] and not partial and report["verdict"] == "PASS":
        report["verdict"] = Verdict.NOT_JUDGED.value
        text = f"only {scope['selected']} of {scope['planned']} planned comparisons were selected"
        report["reasons"] = [f"{text} (say --partial to pass on these)", *report["reasons"]]
