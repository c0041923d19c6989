"""One tensor of a checkpoint or an exported file: what it is called and shaped, and its values when asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.tensor import Array

_STATISTICS = re.compile(
    r"(^|[._/])(\w*normali[sz]er|normali[sz]ation|normali[sz]e_(in|tar|out)puts?\w*|unnormali[sz]e_outputs?\w*"
    r"|obs_norm\w*|running_mean_std|obs_rms|\w*_rms)([._/]|$)"
)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How integers stand for numbers: ``(integer - zero_point) * scale``, along ``axis`` where there are several."""

    scale: Callable[[], Array]
    zero_point: Callable[[], Array] | None
    axis: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its file a tensor's values lie: bytes ``start`` to ``stop`` of a buffer that other tensors may share."""

    storage: str
    start: int
    stop: int
    strides: tuple[int, ...]  # in elements


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor, read when `array` is asked for and not kept.

    Attributes:
        name: full name, unique in its file; the parts of nested containers are joined by dots.
        shape: as stored.
        dtype: NumPy's name, or ``bfloat16``, ``float8_...``, ``int4``.
        tree: the weight set inside the file that it belongs to (``model``, ``ema_model``), "" where there is one only.
        statistics: whether it is a normalizer's mean, scale or count rather than something that was learned.
        quantization: how to read integers as numbers, where the file says.
        place: where its values lie, where the format lets tensors share memory (torch's own files).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array] = field(repr=False, compare=False)
    tree: str = ""
    statistics: bool = False
    quantization: Quantization | None = field(default=None, repr=False, compare=False)
    place: Place | None = field(default=None, repr=False, compare=False)

    @property
    def array(self) -> Array:
        """The values in `shape`, read now. ``bfloat16`` comes as its raw ``uint16`` bits, float8 as ``uint8``.

        Raises:
            ArtifactError: the file's bytes do not hold what its index says.
        """
        return self.load()

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def as_float(self) -> Array:
        """Return the values as floats: bfloat16 as the equal float32, integers as float32 or, quantized, as they mean.

        Raises:
            ArtifactError: as `array`.
        """
        import numpy as np

        array = self.load()
        if self.dtype == "bfloat16":
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if self.quantization is not None:
            return dequantized(array, self.quantization)
        return array if array.dtype.kind == "f" else array.astype(np.float32)


def dequantized(array: Array, how: Quantization) -> Array:
    """Return ``(array - zero_point) * scale`` in float32, per tensor or along the axis."""
    import numpy as np

    scale = how.scale().astype(np.float32)
    zero = how.zero_point().astype(np.float32) if how.zero_point is not None else np.float32(0)
    if scale.ndim == 1 and scale.size > 1 and array.ndim:
        shape = [1] * array.ndim
        shape[(how.axis if how.axis is not None else array.ndim - 1) % array.ndim] = scale.size
        scale = scale.reshape(shape)
        zero = zero.reshape(shape) if np.size(zero) > 1 else zero
    result: Array = (array.astype(np.float32) - zero) * scale
    return result


def is_statistics(name: str) -> bool:
    """Whether a name belongs to a normalizer (``actor_obs_normalizer._mean``), not to a layer such as BatchNorm."""
    return _STATISTICS.search(name) is not None


def trees(weights: Mapping[str, Weight]) -> Mapping[str, Mapping[str, Weight]]:
    """Return the weights by tree, in the file's order."""
    found: dict[str, dict[str, Weight]] = {}
    for key, weight in weights.items():
        found.setdefault(weight.tree, {})[key] = weight
    return found
