"""The body of `parity demo`: the artifacts in `parity/demo/` copied, both releases judged, both verdicts told."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.cli.judging import judge_now
from parity.errors import NOT_JUDGED, PASSED, OutputError
from parity.release.config import load_config
from parity.report.atomic import make_folder, replace_file
from parity.report.text import clean
from parity.report.view import far_off, headline, worst_first
from parity.report.write import FILES, OutputFolder, write_all

SOURCE = Path(__file__).resolve().parents[1] / "demo"  # artifacts/, good/, broken/ and their MANIFEST.json
MUST = {"good": "PASS", "broken": "FAIL"}
LOCK = ".parity.lock"


@dataclass(frozen=True, slots=True)
class Told:
    """A judged release of the demo: its name, its report, and where that was written."""

    name: str
    report: Mapping[str, Any]
    folder: Path


def demonstrate(out: Path) -> int:
    """Judge both releases of the demo in ``out`` and return 0 where the good one passed and the broken one failed.

    Raises:
        OutputError: ``out`` holds what the demo did not write, or cannot be written; parity's own files are damaged.
    """
    files = carried()
    refuse_foreign(out, files)
    for name, data in files.items():
        replace_file(out / name, data)
    told = [_judge(out / name, name) for name in MUST]
    for release in told:
        _tell(release)
    wrong = [r for r in told if r.report["verdict"] != MUST[r.name]]
    if wrong:
        for r in wrong:
            print(f"unexpected: {r.name} is {r.report['verdict']}, it must be {MUST[r.name]}", file=sys.stderr)
        return NOT_JUDGED
    _next(out)
    return PASSED


def carried() -> dict[str, bytes]:
    """Return the files that come with parity, by their path below the folder of the demo, checked by their hashes.

    Raises:
        OutputError: one is missing or not as it was packed: this installation is damaged.
    """
    try:
        listed = json.loads((SOURCE / "MANIFEST.json").read_text(encoding="utf-8"))["sha256"]
        files = {str(name): (SOURCE / name).read_bytes() for name in listed}
    except (OSError, ValueError) as e:
        raise OutputError(f"the files of the demo cannot be read: {e}", remedy="install parity again") from None
    changed = [name for name, data in files.items() if hashlib.sha256(data).hexdigest() != listed[name]]
    if changed:
        raise OutputError(f"{SOURCE / changed[0]}: not as it was packed", remedy="install parity again")
    return files


def refuse_foreign(out: Path, files: Mapping[str, bytes]) -> None:
    """Make sure that all in ``out`` was written by the demo: its own files unchanged, and reports.

    Raises:
        OutputError: something else is there; it is left as it is.
    """
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    reports = {f"{name}/{file}" for name in MUST for file in (*FILES, LOCK)}
    if not out.is_dir():
        return  # absent, or a file, of which `make_folder` tells
    waiting = [out]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            name = path.relative_to(out).as_posix()
            if path.is_dir() and not path.is_symlink() and name in folders:
                waiting.append(path)
            elif not _own(path, name, files, reports):
                raise OutputError(
                    f"{path}: not written by the demo, or changed since; it is left as it is",
                    remedy="write elsewhere with --out DIR, or remove it",
                )


def _own(path: Path, name: str, files: Mapping[str, bytes], reports: set[str]) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return name in reports or (name in files and path.read_bytes() == files[name])


def _judge(folder: Path, name: str) -> Told:
    """Judge the release in ``folder``, write its report there, and return it."""
    make_folder(folder)
    path = folder / "parity.toml"
    print(f"judging {path}", file=sys.stderr, flush=True)
    with OutputFolder(folder) as held, tempfile.TemporaryDirectory(prefix="parity-") as work:
        outcome = judge_now(load_config(path), folder.resolve(), Path(work), strict=False)
        outcome.report["reproduce"] = [shlex.join(["parity", "run", str(path), "--out", str(folder)])]
        write_all(outcome.report, outcome.timings, held.path)
    return Told(name, outcome.report, folder)


def _tell(release: Told) -> None:
    report = release.report
    print(f"{release.name}: {report['verdict']}  {clean(headline(report))}")
    worst = worst_first(report["comparisons"])
    if worst:
        print(f"  off by {clean(far_off(worst[0]))}")
    print(f"  report: {release.folder / 'report.html'}")


def _next(out: Path) -> None:
    artifacts = out / "artifacts"
    commands = (
        ("compare", artifacts / "policy.onnx", artifacts / "stale.onnx"),
        ("inspect", artifacts / "policy", artifacts / "policy.onnx"),
        ("run", out / "good" / "parity.toml"),
    )
    print("try next:")
    for command in commands:
        print(f"  {shlex.join(['parity', *map(str, command)])}")
