"""One candidate table that stands for many checkpoints: ``checkpoints = "runs/*/model_*.pt"``.

Each file becomes a candidate of its own; nothing else differs between them. So one run tells which of a training's
checkpoints the reference is, in one table.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.artifact import is_factory
from parity.errors import UsageError

KEY = "checkpoints"
MAX_CANDIDATES = 1000  # of one table


def expanded(data: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Return the content of a `parity.toml` with each table of ``checkpoints`` replaced by one for each file.

    The file is the candidate's ``path``, or where that is a factory, its keyword argument ``checkpoint``. Budgets,
    adapters and ``[weights] candidates`` that name the table hold for all of its candidates. Order is that of the
    numbers in the names: ``model_900`` before ``model_1000``.

    Raises:
        UsageError: a pattern that no file has, or too many, or a table that also says a path of its own.
    """
    tables = data.get("candidate")
    if not isinstance(tables, list) or not any(isinstance(t, dict) and KEY in t for t in tables):
        return dict(data)
    result, made = dict(data), []
    for table in tables:
        if not isinstance(table, dict) or KEY not in table:
            made.append(table)
            continue
        group = _each(table, root)
        made += group
        _carry(result, str(table.get("name")), [str(t["name"]) for t in group])
    return {**result, "candidate": made}


def _each(table: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    name, path = table.get("name", "candidate"), table.get("path")
    factory = isinstance(path, str) and is_factory(path)
    if path is not None and not factory:
        raise UsageError(f"candidate {name!r} has both `path` and `{KEY}`", remedy="leave out one of them")
    files = _files(table[KEY], str(name), root)
    rest = {k: v for k, v in table.items() if k != KEY}
    found = []
    for file, short in zip(files, _short(files), strict=True):
        own = {"kwargs": {**rest.get("kwargs", {}), "checkpoint": file}} if factory else {"path": file}
        found.append({**rest, **own, "name": f"{name}-{short}"})
    return found


def _files(patterns: Any, name: str, root: Path) -> list[str]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(listed, list) or not listed or not all(isinstance(p, str) for p in listed):
        raise UsageError(f"candidate {name!r}: `{KEY}` must be a path with wildcards, or several")
    found: list[str] = []
    for pattern in listed:
        place = Path(pattern).expanduser()
        hits = glob.glob(str(place), root_dir=root, recursive=True)  # noqa: PTH207  a pattern may be absolute
        if not hits:
            raise UsageError(f"candidate {name!r}: no file is called {pattern!r}", remedy="check the path")
        found += sorted((h for h in hits if h not in found), key=_natural)
    if len(found) > MAX_CANDIDATES:
        raise UsageError(f"candidate {name!r}: {len(found)} checkpoints", expected=f"at most {MAX_CANDIDATES}")
    return found


def _natural(path: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path)
    return [(0, int(p)) if p.isdecimal() and len(p) < 19 else (1, p) for p in parts]


def _short(files: Sequence[str]) -> list[str]:
    """Return a name for each file: of as many of the last parts of its path as tell all of them apart."""
    for length in range(1, 1 + max(len(Path(f).parts) for f in files)):
        names = [_plain("-".join(Path(f).with_suffix("").parts[-length:])) for f in files]
        if len(set(names)) == len(names):
            return names
    return [f"{i:04d}" for i in range(len(files))]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")[-100:] or "checkpoint"


def _carry(data: dict[str, Any], group: str, names: Sequence[str]) -> None:
    """Give what is said of the table to each of its candidates."""
    for key in ("budgets", "adapter"):
        tables = data.get(key)
        if isinstance(tables, dict) and group in tables:
            data[key] = {**{k: v for k, v in tables.items() if k != group}, **dict.fromkeys(names, tables[group])}
    weights = data.get("weights")
    if isinstance(weights, dict) and group in (weights.get("candidates") or []):
        kept = [c for c in weights["candidates"] if c != group]
        data["weights"] = {**weights, "candidates": [*kept, *names]}
