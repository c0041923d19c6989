"""Finds the reader that fits a log of an evaluation. Readers are found by entry point, group ``parity.evaluations``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from parity.artifact import Artifact, recognize
from parity.errors import ArtifactError, ParityError
from parity.evaluation.model import EvaluationLog
from parity.plugins import ranked

FILES = ("eval_info.json", "eval_log.json")  # by which the folder of an evaluation is known
_HEAD = 65536


class EvaluationReader(Protocol):
    """Reads logs of one format.

    Readers are asked in order of ``rank`` (lowest first) and the first that matches reads; equal ranks go by name.
    A more specific format has a lower rank than a more general one that would match too.
    """

    rank: int

    def matches(self, artifact: Artifact) -> bool:
        """Whether this reader understands the file. Cheap, and False for what is merely similar."""
        ...

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log; one without episodes where the file plans or sums up an evaluation and holds none.

        Raises:
            ArtifactError: the file is of this format but truncated, corrupt or incomplete.
        """
        ...


def readers() -> tuple[EvaluationReader, ...]:
    """Return all registered readers, in the order in which they are asked.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    return ranked("parity.evaluations", "evaluation reader")


def find_log(path: str | Path) -> Artifact | None:
    """Return the log of an evaluation at ``path``, a file or the folder of one, else None.

    Files that are no text and no Parquet are told from their first bytes, without loading any reader.
    """
    file = _file(Path(path))
    if file is None or not _may_be(file):
        return None
    try:
        artifact = recognize(file, foreign=True)
    except ParityError:
        return None
    return artifact if any(r.matches(artifact) for r in readers()) else None


def _file(path: Path) -> Path | None:
    try:
        if path.is_dir():
            found = [path / name for name in FILES if (path / name).is_file()]
            return found[0] if len(found) == 1 and not (path / "config.json").exists() else None
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None


def _may_be(file: Path) -> bool:
    """Whether the first bytes are those of a JSON object, a table, a text log or Parquet."""
    head = read_head(file)
    return head.startswith(b"PAR1") or (bool(head) and b"\0" not in head)


def read_head(file: Path) -> bytes:
    """Return the first 64 KiB of a file; nothing where it cannot be read."""
    try:
        with file.open("rb") as f:
            return f.read(_HEAD)
    except OSError:
        return b""


def read_evaluation(path: str | Path | Artifact) -> EvaluationLog:
    """Return the log of an evaluation, its aggregates held against its episodes; see `EvaluationReader.read`.

    Raises:
        ArtifactError: it cannot be read, or no reader knows the format.
        UsageError: a package is missing that reads it.
    """
    from parity.evaluation.check import check_log

    if isinstance(path, Artifact):
        artifact = path
    else:
        artifact = recognize(_file(Path(path)) or path, foreign=True)
    for reader in readers():
        if reader.matches(artifact):
            log = reader.read(artifact)
            return replace(log, findings=(*log.findings, *check_log(log)))
    raise ArtifactError(
        f"{artifact.path}: recognized as {artifact.kind}, which is no log of an evaluation that parity can read",
        expected="LeRobot's eval_info.json, diffusion_policy's eval_log.json, results of vla-eval, a LIBERO text log, "
        "or a table (CSV, JSON lines, Parquet) with a row for each episode",
    )
