"""The commit of a git tree, and whether anything in it differs from that commit.

`git status` is run with hooks and file system monitors off. It may still run filters that the tree's own configuration
names, so it is asked only about a tree that the user pointed at.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.errors import UsageError

GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks")
TIMEOUT_S = 60
MAX_LISTED = 20


@dataclass(frozen=True, slots=True)
class SourceCode:
    """A commit, and the tracked files that differ from it (at most 20); files git does not track are no part of it."""

    commit: str
    changed: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether the tree is not what its commit says."""
        return bool(self.changed)

    def as_json(self) -> dict[str, Any]:
        """Return commit and state as plain data."""
        return {"commit": self.commit, "dirty": self.dirty}


def source_code(folder: Path) -> SourceCode | None:
    """Return the commit of the git tree that ``folder`` lies in; None where it lies in none, or git is not there.

    Raises:
        UsageError: it is a git tree, but git cannot tell its commit or its state.
    """
    try:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    except OSError:
        return None
    if inside.returncode != 0 or inside.stdout.strip() != "true":
        return None
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    status = _git(folder, "status", "--porcelain", "-z", "--untracked-files=no")
    for done in (head, status):
        if done.returncode != 0:
            raise UsageError(
                f"{folder}: git cannot tell the commit: {done.stderr.strip()[:300]}",
                remedy="commit the code first, and run as the user that it belongs to",
            )
    return SourceCode(head.stdout.strip(), tuple(e for e in status.stdout.split("\0") if e)[:MAX_LISTED])


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*GIT, "-C", str(folder), *words],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{folder}: git did not answer within {TIMEOUT_S} s") from None
