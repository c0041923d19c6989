"""A side in stages: each stage is a side of its own, with its file, runner, contract and hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import RunnerError
from parity.release.config_sides import LoopTable, StageTable
from parity.runner.base import RunnerSpec, Session, runner_for
from parity.stages import Program, StagedSession

if TYPE_CHECKING:
    from parity.release.sides import Side

RUNNER = "stages"  # what the report calls the runner of a side in stages; each stage has its own
HASHED_ALIKE = ("onnx", "torchscript", "pt2", "openvino", "command", "checkpoint", "om")


@dataclass(frozen=True, slots=True)
class Staged:
    """The stages of a side in order, with their tables, the loop that was asked for, and all of it wired."""

    sides: tuple[Side, ...]
    tables: tuple[StageTable, ...]
    asked: LoopTable | None
    program: Program | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(t.name for t in self.tables)

    def artifacts_json(self, name: str) -> list[dict[str, Any]]:
        """Return the entries of all stages in the report's ``artifacts``."""
        found = []
        for table, side in zip(self.tables, self.sides, strict=True):
            kind = side.artifact.kind if side.artifact else side.spec.runner
            told = {"path": side.given, "kind": kind, "sha256": side.sha256, "bytes": side.bytes}
            found.append({**told, "side": f"{name} stage {table.name}"})
        return found


def combined(staged: Staged) -> str | None:
    """Return one SHA-256 of those of all stages and of how parity.toml joins them; None where one has none."""
    if any(s.sha256 is None for s in staged.sides):
        return None
    joined = [(t.name, t.rename, t.inputs, t.outputs) for t in staged.tables]
    loop = None if staged.asked is None else staged.asked.model_dump(mode="json")
    told = {"sha256": [s.sha256 for s in staged.sides], "stages": joined, "loop": loop}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@contextmanager
def open_stages(side: Side, work: Path) -> Iterator[Session]:
    """Load every stage in a process of its own and yield them as one session.

    Raises:
        RunnerError: a stage could not be loaded, or its file changed since it was hashed.
        ArtifactError: a stage's file cannot be read.
    """
    assert side.staged is not None
    assert side.staged.program is not None
    sessions: dict[str, Session] = {}
    with ExitStack() as exits:
        for table, stage in zip(side.staged.tables, side.staged.sides, strict=True):
            spec = _spec_of(stage, side.staged.program, table.name)
            folder = work / table.name
            folder.mkdir(parents=True, exist_ok=True)
            session = exits.enter_context(runner_for(spec).open(spec, folder))
            _check_loaded(side.name, table.name, stage, session.info.loaded_sha256)
            sessions[table.name] = session
        yield StagedSession(side.staged.program, sessions)


def _spec_of(stage: Side, program: Program, name: str) -> RunnerSpec:
    wired = program.stage(name)
    assert wired is not None
    return replace(stage.spec, inputs=tuple(w.spec for w in wired.takes), outputs=tuple(w.spec for w in wired.gives))


def _check_loaded(side: str, name: str, stage: Side, loaded: str | None) -> None:
    kind = stage.artifact.kind if stage.artifact else stage.spec.runner
    if kind in HASHED_ALIKE and loaded is not None and stage.sha256 is not None and loaded != stage.sha256:
        raise RunnerError(
            f"{side}: stage {name!r}: {stage.given} changed while it was being tested: {stage.sha256[:12]} was hashed, "
            f"{loaded[:12]} was loaded",
            remedy="run again, and leave the file alone",
        )
