"""One tensor of a checkpoint or an exported file: what it is called and shaped, and its values when asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parity.errors import ArtifactError

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
        compiled: whether a compiler rounded its values once to this dtype, as Ascend's does: then what is computed from
            a checkpoint must agree element by element, not merely to within a share of the largest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array] = field(repr=False, compare=False)
    tree: str = ""
    statistics: bool = False
    quantization: Quantization | None = field(default=None, repr=False, compare=False)
    place: Place | None = field(default=None, repr=False, compare=False)
    compiled: bool = False

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
            try:
                return dequantized(array, self.quantization)
            except ArtifactError as e:
                raise ArtifactError(
                    f"{self.name}: {e.message}", expected="one scale, or one for each channel"
                ) from None
        return array if array.dtype.kind == "f" else array.astype(np.float32)


def dequantized(array: Array, how: Quantization) -> Array:
    """Return ``(array - zero_point) * scale`` in float32, per tensor, along the axis or in blocks.

    Raises:
        ArtifactError: scale or zero point are not of the array's shape.
    """
    import numpy as np

    zero = np.float32(0) if how.zero_point is None else spread(how.zero_point().astype(np.float32), array.shape, how)
    result: Array = (array.astype(np.float32) - zero) * spread(how.scale().astype(np.float32), array.shape, how)
    return result


def spread(parts: Array, shape: tuple[int, ...], how: Quantization) -> Array:
    """Return scales or zero points in a shape that goes with the integers' (ONNX, DequantizeLinear: blocked since 21).

    Raises:
        ArtifactError: they do not fit.
    """
    if parts.size == 1:
        return parts.reshape(())
    if parts.ndim == 1 and shape:
        along = (how.axis if how.axis is not None else len(shape) - 1) % len(shape)
        if parts.size == shape[along]:
            return parts.reshape([-1 if i == along else 1 for i in range(len(shape))])
    if parts.ndim == len(shape) and all(0 < n <= whole for n, whole in zip(parts.shape, shape, strict=True)):
        for i, whole in enumerate(shape):
            parts = parts.repeat(-(-whole // parts.shape[i]), axis=i)[tuple(slice(n) for n in shape[: i + 1])]
        return parts
    raise ArtifactError(f"integers of shape {list(shape)} with scales or zero points of shape {list(parts.shape)}")


def is_statistics(name: str) -> bool:
    """Whether a name belongs to a normalizer (``actor_obs_normalizer._mean``), not to a layer such as BatchNorm."""
    return _STATISTICS.search(name) is not None


def trees(weights: Mapping[str, Weight]) -> Mapping[str, Mapping[str, Weight]]:
    """Return the weights by tree, in the file's order."""
    found: dict[str, dict[str, Weight]] = {}
    for key, weight in weights.items():
        found.setdefault(weight.tree, {})[key] = weight
    return found
