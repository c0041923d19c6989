"""Values out of untrusted logs: numbers, yes or no, and JSON of a bounded size."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError, ParityError

MAX_EPISODES = 1_000_000  # far beyond any evaluation; a file that claims more is damaged
_YES, _NO = {"true", "1", "1.0", "yes", "success"}, {"false", "0", "0.0", "no", "failure"}


def load(artifact: Artifact) -> Any:
    """Return a JSON file as plain data, to be looked at only; None where it is none that can be read."""
    try:
        state = artifact.path.stat()
    except OSError:
        return None
    return _load(artifact.path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)  # each reader asks for the same file
def _load(path: Path, _changed: int, _size: int) -> Any:
    from parity.contract.text import load_json

    try:
        return load_json(path)
    except ParityError:
        return None


def number(value: Any, where: str) -> float | None:
    """Return a number as a float, None for a missing one. NaN and infinity stay what they are.

    Raises:
        ArtifactError: it is no number.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArtifactError(f"{where}: {_short(value)} is no number", expected="a number") from None


def whole(value: Any, where: str) -> int | None:
    """Return a whole number, None for a missing one.

    Raises:
        ArtifactError: it is no whole number.
    """
    found = number(value, where)
    if found is None:
        return None
    if not math.isfinite(found) or found != int(found):
        raise ArtifactError(f"{where}: {_short(value)} is no whole number", expected="a whole number")
    return int(found)


def yes_or_no(value: Any, where: str) -> bool | None:
    """Return whether an episode succeeded, None for a missing or NaN outcome. 0 and 1, true and false are understood.

    Raises:
        ArtifactError: it is something else; a share such as 0.5 is no outcome of one episode.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    text = str(value).strip().lower()
    if text in ("", "nan", "none", "null"):
        return None
    if text in _YES or text in _NO:
        return text in _YES
    raise ArtifactError(f"{where}: {_short(value)} is no outcome of an episode", expected="true or false, 1 or 0")


def records(value: Any, where: str) -> list[dict[str, Any]]:
    """Return a list of objects.

    Raises:
        ArtifactError: it is none, or longer than any evaluation.
    """
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise ArtifactError(f"{where}: no list of objects", expected="one object for each episode or task")
    if len(value) > MAX_EPISODES:
        raise ArtifactError(f"{where}: {len(value):,} entries", expected=f"at most {MAX_EPISODES:,}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
