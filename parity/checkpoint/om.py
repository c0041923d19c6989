"""The weights inside an Ascend OM file: the constants of its graph, in the source model's layout and shape."""

from __future__ import annotations

from pathlib import Path

from parity.checkpoint.weight import Weight, is_statistics
from parity.om.model import OmModel
from parity.om.reading import open_om


def read_om_weights(path: str | Path) -> dict[str, Weight]:
    """Return the constants of an OM file by the name of their node, none of them read yet; without texts.

    Raises:
        ArtifactError: as `open_om`.
    """
    return om_weights(open_om(path))


def om_weights(model: OmModel) -> dict[str, Weight]:
    """Return the constants of an opened OM file. See `read_om_weights`."""
    return {
        name: Weight(name, c.shape, c.dtype, c.read, statistics=is_statistics(c.origin_name or name), compiled=True)
        for name, c in model.constants.items()
        if c.dtype not in ("str", "undefined")
    }
