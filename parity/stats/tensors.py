"""Statistics stored as tensors, ``<feature>.<statistic>`` or ``<feature>/<statistic>``, in any file of tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from parity.artifact import Artifact
from parity.checkpoint.weight import Weight
from parity.checkpoint.weights import read_weights
from parity.contract.ranges import MAX_ELEMENTS, Statistics, from_names
from parity.errors import ArtifactError
from parity.stats.feature import unbatched

if TYPE_CHECKING:
    from parity.tensor import Array


_SLASHED = re.compile(r"[^/]/[a-z0-9]+$")


def tensor_statistics(source: Artifact | Path, name: str) -> dict[str, Statistics]:
    """Return the statistics in a file of tensors, by feature; ``name`` is what the file is called in their sources.

    Raises:
        ArtifactError: the file cannot be read, or a statistic in it.
    """
    weights = read_weights(source)
    read = reading(weights, name)
    dotted = {".".join(n.rpartition("/")[::2]) if _SLASHED.search(n) else n: n for n in weights}
    return from_names(dotted, lambda n: unbatched(read(dotted[n])), name)


def reading(weights: Mapping[str, Weight], where: str) -> Callable[[str], Array]:
    """Return a function that reads one of the weights as float64, of at most 2^20 elements."""

    def read(name: str) -> Array:
        import numpy as np

        weight = weights[name]
        if weight.size > MAX_ELEMENTS:
            raise ArtifactError(
                f"{where}: the statistic {name!r} has the shape {list(weight.shape)}", expected="a few numbers"
            )
        if weight.dtype.startswith(("float8", "complex", "int4", "uint4")):
            raise ArtifactError(f"{where}: the statistic {name!r} is stored as {weight.dtype}", expected="float32")
        exact = weight.array if weight.dtype != "bfloat16" and weight.quantization is None else weight.as_float()
        return exact.astype(np.float64)

    return read
