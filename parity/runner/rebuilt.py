"""Hands an actor that is rebuilt from a checkpoint to the torch worker: its steps as JSON, its weights as ``.npz``.

The checkpoint is read here, as data; the worker unpickles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import file_digest
from parity.contract.actor import Actor
from parity.contract.actor_config import GIVABLE, read_actor
from parity.runner.base import Progress, RunnerSpec, RunResult, Session, SessionInfo, Variant
from parity.tensor import Block

MAX_CHOICES = 512


def rebuilt_request(spec: RunnerSpec, workdir: Path) -> dict[str, Any]:
    """Write the weights into ``workdir`` and return what the worker has to know to rebuild the actor.

    Raises:
        ArtifactError: the checkpoint cannot be read, or is of no actor that can be rebuilt.
        UsageError: `kwargs` name what the actor has not.
    """
    import numpy as np

    path = Path(spec.path)
    sha256 = file_digest(path)[0]
    actor = read_actor(path, spec.kwargs)
    names = list(actor.weights)
    file = workdir / "weights.npz"
    workdir.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"w{i}": actor.weights[n].as_float().astype(np.float32) for i, n in enumerate(names)}
    np.savez(file, **arrays)
    return {
        "weights": str(file.resolve()),
        "names": names,
        "sha256": sha256,
        "steps": [dict(s) for s in actor.steps],
        "takes": list(actor.takes),
        "inputs_taken": [t.name for t in actor.inputs],
        "gives": [o.name if o.name != "actions" else "x" for o in actor.outputs],
        "choices": actor.choices()[:MAX_CHOICES],
        "rebuilt": described(actor),
    }


def described(actor: Actor) -> dict[str, Any]:
    """Return what a reader should know of a rebuilt actor, as plain data."""
    return {
        "actor": actor.what,
        "settled": {k: v[0] for k, v in actor.options.items() if len(v) == 1},
        "told": dict(actor.told),
        "open": {k: list(v) for k, v in actor.open.items()},
        "notes": list(actor.notes),
    }


def said(settled: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that settle an actor as a comparison did, but for what a file had told anyway."""
    found = {k: v for k, v in settled.items() if k in GIVABLE}
    if settled.get("geometry"):
        found["strides"], found["paddings"] = (list(part) for part in settled["geometry"])
    return found


class Chosen:
    """A session that runs one of the choices of a rebuilt actor; see `parity.runner.base.Session`.

    ``how`` tells what was chosen and why; it is in ``info.environment["rebuilt"]``. ``base`` is what runs for the
    variant ``base``.
    """

    def __init__(self, session: Session, choice: int, how: dict[str, Any], base: Variant = "base") -> None:
        self._session, self._choice, self._how, self._base = session, choice, how, base
        self.info = self._told()

    def _told(self) -> SessionInfo:
        info = self._session.info
        environment = {k: v for k, v in info.environment.items() if k != "choices"}
        return replace(info, environment={**environment, "rebuilt": self._how})

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the block with the choice; see `parity.runner.base.Session.run`."""
        name: Any = f"{self._base if variant == 'base' else variant}@{self._choice}"
        result = self._session.run(block, name, repeat=repeat, progress=progress)
        self.info = self._told()
        return result

    def close(self) -> None:
        """End the session."""
        self._session.close()
