"""The body of `parity replay`: what to replay, where its report goes."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.cli.output import people, write_json
from parity.cli.progress import progress
from parity.cli.releasing import folder_name, keep_states, reproduce
from parity.errors import UsageError
from parity.release.config import Config, load_config, parse_config
from parity.release.facts import Facts
from parity.release.prepare import Prepared, prepare
from parity.release.replay_report import replay_report
from parity.release.replayed import load_replay
from parity.release.replaying import replay_release
from parity.report.terminal import print_report
from parity.report.write import OutputFolder, write_all
from parity.verdict import Verdict


def replay_now(path: Path, options: Mapping[str, Any], json_file: str | None) -> int:
    """Replay the release at ``path``, write its report, and return the exit code.

    Raises:
        ParityError: usage, an unreadable configuration, or a folder that cannot be written.
    """
    config = _told(load_config(path), options, path)
    root = (path if path.is_dir() else path.parent).resolve()
    prepared = prepare(config, root, strict=False)
    out = options["out"] or Path("reports") / f"{folder_name(config.release.name)}-replay"
    with OutputFolder(out) as held, tempfile.TemporaryDirectory(prefix="parity-") as work:
        report, timings = _replayed(prepared, config, Path(work), held.path, options["lanes"])
        keep_states(Path(work), held.path)
        report["reproduce"] = [_again(path, options), *reproduce(path, report)[1:]]
        write_all(report, timings, held.path)
        write_json(report, json_file)
        print_report(report, people(json_file))
        print(f"report: {held.path / 'report.html'}", file=sys.stderr)
    return Verdict(report["verdict"]).exit_code


def _again(path: Path, options: Mapping[str, Any]) -> str:
    """Return the command line that replays the same again."""
    given = [(f"--{k}", str(options[k])) for k in ("dataset", "episodes", "every") if options[k] is not None]
    return shlex.join(["parity", "replay", str(path), *(word for pair in given for word in pair)])


def _told(config: Config, options: Mapping[str, Any], path: Path) -> Config:
    """Return the configuration with what the command line says put over ``[replay]``.

    Raises:
        UsageError: no dataset is named anywhere.
    """
    data = config.model_dump(exclude_unset=True)
    table = dict(data.get("replay") or {})
    if options["dataset"] is not None:
        table["dataset"] = str(options["dataset"].absolute())
    table |= {k: options[k] for k in ("episodes", "every") if options[k] is not None}
    if not table.get("dataset"):
        raise UsageError(
            f"{path}: [replay] names no dataset, so there is nothing to replay",
            remedy='give --dataset DIR, or write [replay] dataset = "data/pusht"',
        )
    return parse_config({**data, "replay": table}, str(path))


def _replayed(
    prepared: Prepared, config: Config, work: Path, out: Path, lanes: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    started = time.perf_counter()
    facts = {s.name: Facts(s.name) for s in (prepared.reference, *prepared.candidates)}
    with progress("frames") as report:
        told = replay_release(prepared, work, keep=out, lanes=lanes, report=report)
    if told.get("taken_over"):
        print(f"went on after {told['taken_over']} frames that an earlier run had done", file=sys.stderr)
    facts["reference"].replay = told
    replayed = time.perf_counter()
    document = replay_report(prepared, config, facts, load_replay(work, told))
    seconds = {"replayed": replayed - started, "judged": time.perf_counter() - replayed}
    return document, {"seconds": seconds, "sides": {}}
