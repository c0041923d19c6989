"""Shards that are done, on disk: a replay that is killed goes on where it stopped and ends with the same bytes.

A folder belongs to one replay: its name holds the fingerprint of everything that the numbers depend on. A shard is
written whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import OutputError
from parity.replay.model import State
from parity.runner.base import Failure

States = dict[tuple[str, ...], State]  # by (candidate, output, measure)


@dataclass(frozen=True, slots=True)
class Done:
    """What is kept of a shard: the states of all measures, and which candidates failed in it."""

    states: Mapping[tuple[str, ...], State]
    failures: Mapping[str, Failure]


def fingerprint(parts: Any) -> str:
    """Return a short digest of plain data that a replay depends on."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """The shards of one replay that are done, in a folder of their own."""

    def __init__(self, parent: Path, digest: str) -> None:
        self.folder = parent / f".replay-{digest}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(
                f"{self.folder}: cannot be made: {e.strerror or e}", remedy="choose another --out"
            ) from None

    def load(self, shard: int) -> Done | None:
        """Return what is kept of a shard, None where it is not done, or its file is damaged."""
        path = self._path(shard)
        if not path.is_file():
            return None
        try:
            return _decoded(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            path.unlink(missing_ok=True)
            return None

    def save(self, shard: int, done: Done) -> None:
        """Keep a shard.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._path(shard)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                np.savez(file, **_encoded(done))
            part.replace(path)
        except OSError as e:
            part.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written: {e.strerror or e}", remedy="free some disk space") from None

    def remove(self) -> None:
        """Remove the folder: the replay is over."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:08d}.npz"


def remove_others(parent: Path, digest: str) -> None:
    """Remove what earlier replays of another fingerprint left behind when they were killed."""
    with contextlib.suppress(OSError):
        for path in parent.glob(".replay-*"):
            if path.name != f".replay-{digest}" and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def kept(parent: Path) -> int:
    """Return how many shards replays that were killed have left in the folder."""
    return sum(1 for _ in parent.glob(".replay-*/*.npz"))


def save_states(path: Path, states: Mapping[tuple[str, ...], State]) -> None:
    """Write merged states to ``path``."""
    with path.open("wb") as file:
        np.savez_compressed(file, **_encoded(Done(states, {})))


def load_states(path: Path) -> States:
    """Return the states that `save_states` wrote."""
    return dict(_decoded(path).states)


def _encoded(done: Done) -> dict[str, Any]:
    arrays = [(*owner, name) for owner, state in done.states.items() for name in state]
    values = [np.asarray(array) for state in done.states.values() for array in state.values()]
    failures = {n: [f.kind, f.message, f.remedy] for n, f in done.failures.items()}
    owners = [list(owner) for owner in done.states]
    return {f"a{i}": a for i, a in enumerate(values)} | {
        "names": np.array(json.dumps({"arrays": arrays, "failures": failures, "owners": owners}))
    }


def _decoded(path: Path) -> Done:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        told = json.loads(str(file["names"]))
        states: dict[tuple[str, ...], dict[str, Any]] = {tuple(o): {} for o in told["owners"]}
        for i, (*owner, last) in enumerate(told["arrays"]):
            states[tuple(owner)][last] = file[f"a{i}"]
    return Done(states, {n: Failure(*f) for n, f in told["failures"].items()})
