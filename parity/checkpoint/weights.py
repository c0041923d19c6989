"""The weights of any artifact that holds some, by name, each read when it is asked for; nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parity.artifact import Artifact, recognize
from parity.checkpoint.npz import read_npz_weights
from parity.checkpoint.om import read_om_weights
from parity.checkpoint.onnx import read_onnx_weights
from parity.checkpoint.pt2 import read_pt2_weights
from parity.checkpoint.safetensors import SafetensorsFile, open_safetensors
from parity.checkpoint.sharded import is_index, open_sharded
from parity.checkpoint.torch_file import read_torch_file
from parity.checkpoint.torchscript import read_torchscript_weights
from parity.checkpoint.tree import weights_of
from parity.checkpoint.weight import Weight, is_statistics, trees
from parity.errors import ArtifactError

__all__ = ["Weight", "read_weights", "trees"]

READABLE = "ONNX, OM, TorchScript, .pt2, a checkpoint, safetensors, .npz, or a folder with model.safetensors"


def read_weights(artifact: Artifact | str | Path) -> Mapping[str, Weight]:
    """Return the tensors of an ONNX, OM, TorchScript, ``.pt2``, checkpoint, safetensors or ``.npz`` file, or a folder.

    A folder is LeRobot's, or any with ``model.safetensors`` or its index; an index stands for all its files.

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
    if artifact.kind == "npz":
        return read_npz_weights(path)
    if artifact.kind == "folder":
        path = in_folder(path)
    if is_index(path):
        return of_files(open_sharded(path))
    if artifact.kind in ("safetensors", "folder"):
        file = open_safetensors(path)
        return of_files(dict.fromkeys(file.names, file))
    if artifact.kind in ("om", "om2"):
        return read_om_weights(path)
    raise ArtifactError(
        f"{path}: recognized as {artifact.kind}, which holds no weights that parity can read", expected=READABLE
    )


def in_folder(folder: Path) -> Path:
    """Return the weights file, or the index of several, of a folder (at its top, or below ``pretrained_model/``).

    Raises:
        ArtifactError: there is none.
    """
    for place in (folder, folder / "pretrained_model"):
        for name in ("model.safetensors", "model.safetensors.index.json"):
            if (place / name).is_file():
                return place / name
    raise ArtifactError(
        f"{folder}: a folder without model.safetensors",
        expected="a LeRobot folder, or the path of a weights file",
        remedy="name the file that holds the weights",
    )


def of_files(files: Mapping[str, SafetensorsFile]) -> dict[str, Weight]:
    """Return the tensors of opened safetensors files, given by name with the file that holds each."""
    found = {}
    for name, file in files.items():
        dtype, shape = file.spec(name)
        found[name] = Weight(name, shape, dtype, partial(file.read, name), statistics=is_statistics(name))
    return found
