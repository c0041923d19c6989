"""The weights of any artifact that holds some, by name, each read when it is asked for; nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parity.artifact import Artifact, recognize
from parity.checkpoint.onnx import read_onnx_weights
from parity.checkpoint.pt2 import read_pt2_weights
from parity.checkpoint.safetensors import SafetensorsFile, open_safetensors
from parity.checkpoint.torch_file import read_torch_file
from parity.checkpoint.torchscript import read_torchscript_weights
from parity.checkpoint.tree import weights_of
from parity.checkpoint.weight import Weight, is_statistics, trees
from parity.errors import ArtifactError

__all__ = ["Weight", "read_weights", "trees"]


def read_weights(artifact: Artifact | str | Path) -> Mapping[str, Weight]:
    """Return the tensors of an ONNX, TorchScript, ``.pt2``, checkpoint or safetensors file, or a LeRobot folder.

    Names are the file's own; nested containers are joined by dots (``state_dicts.ema_model.0.weight``), and
    ``Weight.tree`` tells the weight sets of a checkpoint apart. An optimizer's state is left out.

    Raises:
        ArtifactError: unreadable, truncated or corrupt, a tensor outside of its file, or an artifact without weights.
    """
    artifact = artifact if isinstance(artifact, Artifact) else recognize(artifact)
    path = artifact.path
    if artifact.kind == "onnx":
        return read_onnx_weights(path)
    if artifact.kind == "torchscript":
        return read_torchscript_weights(path)
    if artifact.kind == "pt2":
        return read_pt2_weights(path)
    if artifact.kind == "checkpoint":
        payload = read_torch_file(path)
        return weights_of(payload.root, payload.storages, str(path))
    if artifact.kind == "safetensors":
        return _safetensors(open_safetensors(path))
    if artifact.kind == "folder":
        return _safetensors(open_safetensors(_in_folder(path)))
    raise ArtifactError(
        f"{path}: recognized as {artifact.kind}, which holds no weights that parity can read",
        expected="ONNX, TorchScript, .pt2, a checkpoint, safetensors, or a folder with model.safetensors",
    )


def _in_folder(folder: Path) -> Path:
    """Return the weights file of a LeRobot folder (``model.safetensors``, or below ``pretrained_model/``)."""
    for place in (folder / "model.safetensors", folder / "pretrained_model" / "model.safetensors"):
        if place.is_file():
            return place
    raise ArtifactError(
        f"{folder}: a folder without model.safetensors",
        expected="a LeRobot folder, or the path of a weights file",
        remedy="name the file that holds the weights",
    )


def _safetensors(file: SafetensorsFile) -> dict[str, Weight]:
    found = {}
    for name in file.names:
        dtype, shape = file.spec(name)
        found[name] = Weight(name, shape, dtype, partial(file.read, name), statistics=is_statistics(name))
    return found
