"""A training workspace that was pickled whole (diffusion_policy's ``snapshots/*.pkl``), told from a checkpoint.

Such a file is the training program's own object: its weights lie under the names of that program's attributes, its
datasets and loggers beside them. Source: ``save_snapshot`` of diffusion_policy/workspace/base_workspace.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.checkpoint.pickle import Record
from parity.errors import ArtifactError

_ATTRIBUTES = {"cfg", "_output_dir", "_saving_thread", "global_step", "epoch"}


def refuse_workspace(root: Any, path: Path) -> None:
    """Raise where what a file holds is a pickled training workspace instead of weights.

    Raises:
        ArtifactError: it is one; the message names what to use instead.
    """
    if not isinstance(root, Record):
        return
    state = root.state[0] if isinstance(root.state, tuple) and root.state else root.state
    named = root.args[0].name if root.args and hasattr(root.args[0], "name") else root.name
    attributes = set(state) & _ATTRIBUTES if isinstance(state, dict) else set()
    if "_parameters" in (state or {}) or not ("cfg" in attributes and len(attributes) > 1):
        return
    checkpoints = path.parent.parent / "checkpoints" if path.parent.name == "snapshots" else Path("checkpoints")
    raise ArtifactError(
        f"{path}: a whole training workspace ({named}), pickled as the running program; reading it means running it",
        expected="a checkpoint: cfg and state_dicts",
        remedy=f"use the checkpoint of the same run instead: {checkpoints / 'latest.ckpt'} (workspace.save_checkpoint)",
    )
