"""Puts measured tables into `docs/benchmarks.md`, each between its own pair of markers.

A section is a module in this folder called `bench_<section>.py` with one function:

    def measure() -> list[dict[str, str]]

Every dictionary is a row, its keys are the columns. To add figures, add such a file and a pair of markers in the page.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
Rows = list[dict[str, str]]


def sections() -> list[str]:
    """Return the names of the sections that there are files for."""
    return sorted(p.stem.removeprefix("bench_") for p in HERE.glob("bench_*.py"))


def measure(section: str) -> Rows:
    """Run one section's measurements and return its rows."""
    for folder in (HERE, HERE.parent / "support"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    rows: Rows = importlib.import_module(f"bench_{section}").measure()
    return rows


def markdown(rows: Rows) -> str:
    """Return rows as a Markdown table."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [_line(columns), _line(["---"] * len(columns)), *(_line([row.get(c, "") for c in columns]) for row in rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def machine() -> str:
    """Return what the figures were measured on, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    import numpy

    return f"{cores} × {_processor()}, Python {platform.python_version()}, NumPy {numpy.__version__}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1] if found else platform.machine()


def write(section: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between a section's markers.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- bench:{section} -->", f"<!-- /bench:{section} -->"
    old = page.read_text(encoding="utf-8")
    if begin not in old or end not in old:
        raise ValueError(f"{page.name} has no place for the section {section!r}: add {begin} and {end}")
    head, tail = old.split(begin)[0], old.split(end)[1]
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")
