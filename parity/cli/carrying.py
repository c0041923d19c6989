"""What `parity bundle` and `parity capture` find out by themselves and say to people."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from parity.bundle.asked import ByRelease, Only, Source, bundle_asked
from parity.bundle.capture import Captured
from parity.bundle.manifest import SCRIPT
from parity.bundle.question import Question, question_of
from parity.bundle.writing import Written
from parity.errors import UsageError
from parity.release.config import load_config
from parity.report.text import clean, log_line
from parity.runner.origin import told_origin
from parity.verdict import Verdict

WORDS = 400
MAX_SHOWN = 50


def question(release: Path, candidate: str | None) -> Question:
    """Return what a candidate of the release is asked.

    Raises:
        ParityError: the release cannot be read, or no candidate can be chosen.
    """
    root = (release if release.is_dir() else release.parent).resolve()
    return question_of(load_config(release), root, candidate)


def spare_bundle(target: Path) -> None:
    """Make sure, before any work, that ``-o`` replaces nothing but an earlier bundle, and remove that.

    Raises:
        UsageError: something else is there: a mistyped command line must not cost a policy.
    """
    if not target.exists():
        return
    ours = False
    if target.is_file() and zipfile.is_zipfile(target):
        with zipfile.ZipFile(target) as z:
            ours = {SCRIPT, "manifest.json"} <= set(z.namelist())
    if not ours:
        raise UsageError(
            f"-o {target}: there is something that is no bundle; it is left as it is",
            remedy="give another name, or remove it",
        )
    target.unlink()


@contextmanager
def asked_by(bundle: Path | None, config: Path | None, candidate: str | None) -> Iterator[Source]:
    """Yield the source of what was asked.

    Raises:
        ParityError: both or none of the two, or one that cannot be read.
    """
    if bundle is not None and (config is not None or candidate is not None):
        raise UsageError("--bundle says what was asked: leave out --config and --candidate")
    if bundle is not None:
        with bundle_asked(bundle) as source:
            yield source
        return
    release = config or Path("parity.toml")
    if config is None and not release.is_file():
        raise UsageError(
            "what was asked is not known: there is no parity.toml here",
            remedy="say --bundle FILE.zip (what was run), or --config parity.toml (the release it was made from)",
        )
    yield ByRelease(question(release, candidate))


def chosen(source: Source, cases: Sequence[str], results: Sequence[Path]) -> Source:
    """Return the source, or those of its cases that ``--case`` names.

    Raises:
        UsageError: results of a bundle name their cases themselves: none of them may be left away.
    """
    if not cases:
        return source
    if not all(path.is_dir() for path in results):
        raise UsageError("--case is for folders of tools that do not name cases; results of a bundle hold them all")
    return Only(source, cases)


def trace_path(results: Sequence[Path], output: Path | None) -> Path:
    """Return where the trace goes: as asked, else beside the first of the results, called as it is."""
    name = results[0].resolve().name.removesuffix(".zip")
    return output if output is not None else results[0].parent / f"{name or 'results'}.h5"


def print_written(found: Written, stream: TextIO) -> None:
    """Print what was bundled, what was left out, and what to do with it."""
    print(log_line(f"bundled {found.cases} cases of {clean(found.candidate, WORDS)}: {found.path}"), file=stream)
    print(f"  {found.bytes:,} bytes, manifest sha256 {found.manifest_sha256}", file=stream)
    for what in found.left_out:
        print(log_line(f"  not in it: {what}"), file=stream)
    print("on the device:", file=stream)
    print(log_line(f"  python3 -m zipfile -e {found.path.name} bundle"), file=stream)
    print(f"  python3 bundle/{SCRIPT} -o results.zip", file=stream)
    print("back here:", file=stream)
    asked = "--config parity.toml" if found.manifest["adapted"] else f"--bundle {found.path}"
    print(log_line(f"  parity capture results.zip {asked} -o {found.candidate}.h5"), file=stream)


def print_captured(found: Captured, stream: TextIO) -> None:
    """Print every finding, then the outcome."""
    for finding in found.findings[:MAX_SHOWN]:
        print(log_line(f"{finding.code} {finding.severity}: {clean(finding.title, WORDS)}"), file=stream)
    if len(found.findings) > MAX_SHOWN:
        print(f"… and {len(found.findings) - MAX_SHOWN} more: --json FILE lists all", file=stream)
    if found.verdict is not Verdict.PASS:
        print("FAIL: nothing was imported", file=stream)
        return
    print(log_line(f"PASS: {found.cases} cases imported: {found.trace}"), file=stream)
    origin = f"{told_origin(found.captured)} ({found.captured['tool']}), {found.captured['recorded']}"
    print(log_line(f"  {clean(origin, WORDS)}"), file=stream)
    if found.seconds:
        median = sorted(found.seconds)[len(found.seconds) // 2]
        print(f"  a call took {median * 1e3:,.2f} ms (median), {max(found.seconds) * 1e3:,.2f} ms at most", file=stream)
    name, path = clean(found.captured["candidate"], WORDS), clean(str(found.trace), WORDS)
    print(log_line(f'  judge it: [[candidate]] name = "{name}", runner = "recorded", path = "{path}"'), file=stream)
    if found.captured["artifact"]["kind"] == "om":
        behind = clean(str(found.captured["artifact"]["path"]), WORDS)
        print(
            log_line(f'  with artifact = "{behind}" (the file that answered) and its precision'),
            file=stream,
        )
