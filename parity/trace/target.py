"""Where a recording is to be written."""

from __future__ import annotations

from pathlib import Path

from parity.artifact import recognize
from parity.errors import ArtifactError, UsageError


def check_replaceable(target: Path, option: str) -> None:
    """Make sure that what lies at ``target`` is an earlier recording; ``option`` is how the user named it.

    Raises:
        UsageError: it is something else: a mistyped command line must not cost a policy.
    """
    try:
        recorded = recognize(target).kind == "trace"
    except ArtifactError:
        recorded = False
    if not recorded:
        raise UsageError(
            f"{option} {target}: there is a file that is no trace; it is left as it is",
            remedy="give another name, or remove it",
        )
