"""What `parity convert` reads from its options and says to people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TextIO

from parity.convert.conversion import Conversion
from parity.convert.source_code import SourceCode, source_code
from parity.errors import UsageError
from parity.report.text import clean, log_line
from parity.verdict import Verdict

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
WORDS = 400


def byte_size(text: str) -> int:
    """Return the bytes that a size such as ``5GB``, ``200MB``, ``64MiB`` or ``1000`` means.

    Raises:
        UsageError: it is none, or nothing fits in it.
    """
    match = _SIZE.fullmatch(text.strip())
    base = 1024 if match and match[3] else 1000
    size = int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if size < 1:
        raise UsageError(f"--max-shard-size {text!r}: no size", expected="such as 5GB, 200MB or 64MiB")
    return size


def code_of(folder: Path | None) -> SourceCode | None:
    """Return the commit of the git tree that the user points at.

    Raises:
        UsageError: it is none.
    """
    if folder is None:
        return None
    found = source_code(folder)
    if found is None:
        raise UsageError(f"--code {folder}: no git tree, or git is not installed", remedy="give the training code's")
    return found


def print_conversion(outcome: Conversion, stream: TextIO) -> None:
    """Print what was written, whence, and every finding."""
    meta = outcome.meta
    for finding in outcome.findings:
        words = f"{finding.code} {finding.severity}: {clean(finding.title, WORDS)}"
        print(log_line(words), file=stream)
    if outcome.verdict is not Verdict.PASS:
        print("FAIL: nothing was written", file=stream)
        return
    moment = ", ".join(f"{k} {meta[k]}" for k in ("epoch", "step") if meta[k] is not None)
    what = f"{meta['tensors']} tensors of {meta['source']['name']}" + (f" ({moment})" if moment else "")
    print(log_line(f"wrote {clean(what, WORDS)}, read back bit by bit:"), file=stream)
    for path in outcome.files:
        print(log_line(f"  {clean(path, WORDS)} ({path.stat().st_size:,} bytes)"), file=stream)
