"""A checkpoint as a whole: its weights by tree, its configuration, epoch and step, and what in it stayed inert.

Nothing is executed. What a pickle wanted imported beyond torch's and NumPy's own constructors is listed in ``classes``:
each became a stand-in that holds what it was given and does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from parity.artifact import Artifact, recognize
from parity.checkpoint.pickle import read_pickle
from parity.checkpoint.safetensors import open_safetensors
from parity.checkpoint.torch_file import Payload, read_torch_file
from parity.checkpoint.tree import as_bytes, plain, weights_of
from parity.checkpoint.weight import Weight, trees
from parity.checkpoint.weights import in_folder, of_files, read_weights
from parity.errors import ArtifactError

__all__ = ["Checkpoint", "epoch_and_step", "read_checkpoint"]

MAX_CONFIG_BYTES = 16 << 20
MAX_PICKLED_NUMBER = 1 << 16  # bytes of a pickled epoch
# Where trainers keep their configuration: diffusion_policy, Lightning, Hydra users, argparse users.
_CONFIGS = ("cfg", "hyper_parameters", "config", "args", "hparams", "train_cfg")
_STEPS = ("global_step", "step", "iter", "iteration", "num_steps")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        artifact: the file or folder, with its kind.
        layout: who writes such files: ``diffusion_policy``, ``lightning``, ``rsl_rl 2``, ``rsl_rl 3``, ``rsl_rl 4``,
            ``lerobot``, ``module`` (pickled whole), ``state dict`` (bare or nested), or the artifact's kind.
        weights: every tensor by its full name; an optimizer's state is left out.
        trees: the names of the weight sets, in the file's order; ``("",)`` where there is one without a name.
        config: the configuration as JSON-able data, None where the file holds none.
        epoch, step: as the file says, None where it does not.
        classes: what the pickle wanted imported and nothing here knows, sorted; all of it inert.
    """

    artifact: Artifact
    layout: str
    weights: Mapping[str, Weight]
    trees: tuple[str, ...]
    config: dict[str, Any] | None = None
    epoch: int | None = None
    step: int | None = None
    classes: tuple[str, ...] = ()

    @property
    def uses_ema(self) -> bool | None:
        """Whether evaluation takes the averaged weights (``cfg.training.use_ema``); None where nothing tells."""
        training = (self.config or {}).get("training")
        use = training.get("use_ema") if isinstance(training, dict) else None
        return use if isinstance(use, bool) else None


def read_checkpoint(source: Artifact | str | Path) -> Checkpoint:
    """Return what a checkpoint, or any other artifact that holds weights, is made of. Tensors are read when asked for.

    Raises:
        ArtifactError: unreadable, empty, half-written, corrupt, a whole training workspace, or without weights.
    """
    artifact = source if isinstance(source, Artifact) else recognize(source)
    if artifact.kind == "checkpoint":
        return _of_payload(artifact, read_torch_file(artifact.path))
    if artifact.kind == "safetensors":
        file = open_safetensors(artifact.path)
        found = of_files(dict.fromkeys(file.names, file))
        record = _record(file.metadata)
        config = dict(file.metadata) or None
        epoch, step = _number(record, ("epoch",)), _number(record, _STEPS)
        return Checkpoint(artifact, artifact.kind, found, tuple(trees(found)), config, epoch, step)
    weights = read_weights(artifact)
    if artifact.kind != "folder":
        return Checkpoint(artifact, artifact.kind, weights, tuple(trees(weights)))
    folder = in_folder(artifact.path).parent
    beside = folder / "config.json"
    layout = "lerobot" if beside.is_file() else artifact.kind
    step = _number(_json(folder.parent / "training_state" / "training_step.json") or {}, _STEPS)  # LeRobot's own place
    return Checkpoint(artifact, layout, weights, tuple(trees(weights)), _json(beside), None, step)


def _of_payload(artifact: Artifact, payload: Payload) -> Checkpoint:
    weights = weights_of(payload.root, payload.storages, str(artifact.path))
    root = payload.root if isinstance(payload.root, dict) else {}
    return Checkpoint(
        artifact,
        _layout(payload.root, weights),
        weights,
        tuple(trees(weights)),
        _config(root),
        *epoch_and_step(root),
        payload.classes,
    )


def epoch_and_step(root: dict[Any, Any]) -> tuple[int | None, int | None]:
    """Return the epoch and the step that a checkpoint's content tells, None for what it does not."""
    return _number(root, ("epoch",)), _number(root, _STEPS)


def _layout(root: Any, weights: Mapping[str, Weight]) -> str:
    if not isinstance(root, dict):
        return "module"
    if "cfg" in root and "state_dicts" in root:
        return "diffusion_policy"
    if "pytorch-lightning_version" in root:
        return "lightning"
    if "actor_state_dict" in root:
        return "rsl_rl 4"
    if "model_state_dict" in root and "infos" in root:
        inside = any(n.startswith("model_state_dict.") and w.statistics for n, w in weights.items())
        return "rsl_rl 3" if inside else "rsl_rl 2"
    return "state dict"


def _config(root: dict[Any, Any]) -> dict[str, Any] | None:
    for key in _CONFIGS:
        found = plain(root[key]) if key in root else None
        if isinstance(found, dict) and found:
            return found
    return None


def _number(root: dict[Any, Any], names: tuple[str, ...]) -> int | None:
    """Return the first whole number called so: at the top, pickled once more below ``pickles``, or in ``meta``."""
    holders = [root, *(root[k] for k in ("pickles", "meta") if isinstance(root.get(k), dict))]
    for name in names:
        for holder in holders:
            value = holder.get(name)
            raw = None if type(value) is int else as_bytes(value)
            if raw is not None:
                value = _unpickled(raw)
            if type(value) is int and 0 <= value < 1 << 62:
                return value
    return None


def _unpickled(raw: bytes) -> Any:
    if len(raw) > MAX_PICKLED_NUMBER:
        return None
    try:
        return read_pickle(BytesIO(raw), len(raw), "a pickled number")
    except ArtifactError:
        return None


def _record(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the record that `parity convert` leaves in a safetensors file; empty where there is none."""
    try:
        found = json.loads(metadata.get("parity", "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object beside the weights; None where there is none that can be read: it is not what was asked."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
