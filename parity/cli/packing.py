"""What `parity pack` and `parity verify` find out by themselves and say to people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from parity.cli.converting import code_of
from parity.cli.releasing import folder_name
from parity.convert.source_code import SourceCode, source_code
from parity.errors import UsageError
from parity.finding import Finding
from parity.pack.packing import Packed
from parity.pack.verify import Verified
from parity.release.config import load_config
from parity.report.text import clean, log_line
from parity.verdict import Verdict

WORDS = 400
MAX_SHOWN = 50


def report_places(release: Path, asked: Path | None) -> list[Path]:
    """Return where the report of a release may be: as asked, else where `parity run` writes it.

    Raises:
        UsageError: the one asked for is not there, or the release cannot be read.
    """
    if asked is not None:
        if not asked.is_file():
            raise UsageError(f"--report {asked}: no such file", remedy="give the report.json of `parity run`")
        return [asked]
    name = folder_name(load_config(release).release.name)
    root = release if release.is_dir() else release.parent
    return [*(base / "reports" / name / "report.json" for base in (Path(), root)), root / "report.json"]


def code_tree(release: Path, asked: Path | None) -> SourceCode | None:
    """Return the commit of the tree asked for, else of the one that the release lies in; None where there is none.

    Raises:
        UsageError: the tree asked for is none, or git cannot tell its state.
    """
    return code_of(asked) if asked is not None else source_code(release if release.is_dir() else release.parent)


def check_sha256(text: str | None) -> str | None:
    """Return a SHA-256 in lower case.

    Raises:
        UsageError: it is none.
    """
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"--manifest {text!r:.80}: no SHA-256", expected="64 hexadecimal digits")
    return None if text is None else text.lower()


def print_packed(found: Packed, stream: TextIO) -> None:
    """Print what was packed and the hash to keep."""
    _findings(found.findings, stream)
    ready = "ready for sign-off" if found.manifest["signable"] else "not for sign-off"
    print(log_line(f"packed {clean(found.manifest['release'], WORDS)}: {ready}"), file=stream)
    print(log_line(f"  {clean(found.folder, WORDS)}"), file=stream)
    print(f"  MANIFEST.json sha256 {found.manifest_sha256}", file=stream)


def print_verified(found: Verified, stream: TextIO) -> None:
    """Print every change, then the verdict."""
    _findings(found.findings, stream)
    changes = sum(f.severity == "error" for f in found.findings)
    if found.verdict is Verdict.PASS:
        print(f"PASS: {found.checked} files are what was packed", file=stream)
    else:
        print(f"FAIL: {changes} change{'' if changes == 1 else 's'} since it was packed", file=stream)


def _findings(findings: Sequence[Finding], stream: TextIO) -> None:
    for finding in findings[:MAX_SHOWN]:
        print(log_line(f"{finding.code} {finding.severity}: {clean(finding.title, WORDS)}"), file=stream)
    if len(findings) > MAX_SHOWN:
        print(f"… and {len(findings) - MAX_SHOWN} more: --json FILE lists all", file=stream)
