"""The tensors of a TorchScript archive: parameters, buffers and other tensor attributes, and constants of its code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.checkpoint.archive import Archive
from parity.checkpoint.torch_file import Payload, read_zip_payload
from parity.checkpoint.tree import weights_of
from parity.checkpoint.weight import Weight


def read_torchscript_weights(path: str | Path) -> dict[str, Weight]:
    """Return the tensors of a TorchScript file by the names that its modules give them; constants as ``constants.<n>``.

    Raises:
        ArtifactError: missing, truncated or corrupt, or a tensor that does not fit its storage.
    """
    return torchscript_weights(Archive(path))


def torchscript_weights(archive: Archive) -> dict[str, Weight]:
    """Return the tensors of an opened TorchScript archive. See `read_torchscript_weights`."""
    found = weights_of(*_parts(read_zip_payload(archive)), str(archive.path))
    if any(n.endswith("/constants.pkl") for n in archive.names):
        constants = read_zip_payload(archive, "constants")
        for name, weight in weights_of(*_parts(constants), str(archive.path)).items():
            found[f"constants.{name}"] = replace(weight, name=f"constants.{name}")
    return {k: replace(w, tree="") for k, w in found.items()}


def _parts(payload: Payload) -> tuple[Any, Any]:
    return payload.root, payload.storages
