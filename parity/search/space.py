"""The box that is searched: points of the unit cube, and the inputs that each stands for.

Every element with a range is one dimension, from its low end (0) to its high end (1). An image is moved in 4 x 4 tiles
per channel, because a search of a few hundred evaluations has no use for a hundred thousand independent pixels. Tokens,
masks and recurrent state stay as in ``nominal-0000``, and elements whose range has no width at their only value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parity.cases.dtypes import FLOATS, cast
from parity.cases.generate import nominal_rows, spreads
from parity.cases.layout import Layout, resolve
from parity.cases.spread import Spread
from parity.cases.tiles import pick_tiles, spread_tiles
from parity.contract.model import Contract
from parity.tensor import Case, Range, TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array

Floats = npt.NDArray[np.float64]

TILES = 4

_MOVED = ("image", "state", "environment_state", "action", "noise", "timestep", None)


@dataclass(frozen=True, slots=True)
class Part:
    """The dimensions of one input.

    ``low`` and ``high`` have its row's shape, or for an image that of its tiles; ``moved`` are the flat indices of
    elements that have a width.
    """

    layout: Layout
    low: Floats
    high: Floats
    moved: npt.NDArray[np.intp]
    whole: bool  # integers

    def decode(self, points: Floats) -> Array:
        """Return rows ``(N, *row_shape)`` for points ``(N, len(moved))``."""
        low, high = self.low.reshape(-1), self.high.reshape(-1)
        flat = np.repeat((low + 0.5 * (high - low))[None], len(points), axis=0)
        a, b = low[self.moved], high[self.moved]
        flat[:, self.moved] = np.floor(a + points * (b - a + 1.0)) if self.whole else a + points * (b - a)
        rows = np.clip(flat, low, high).reshape(len(points), *self.low.shape)
        return cast(spread_tiles(rows, self.layout), self.layout.dtype)

    def encode(self, row: Array) -> Floats:
        """Return the point ``(len(moved),)`` next to a row; of an image's tile, the value at its first pixel."""
        values = pick_tiles(np.asarray(row, dtype=np.float64), self.layout, TILES)
        low, high = self.low.reshape(-1)[self.moved], self.high.reshape(-1)[self.moved]
        values = np.nan_to_num(values.reshape(-1)[self.moved], posinf=np.finfo(np.float64).max)
        return np.asarray(np.clip((np.clip(values, low, high) - low) / (high - low), 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Space:
    """All parts side by side: ``dims`` dimensions. ``base`` holds nominal inputs, for those that do not move."""

    parts: tuple[Part, ...]
    layouts: tuple[Layout, ...]
    base: Mapping[str, Array]

    @property
    def dims(self) -> int:
        return sum(len(p.moved) for p in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of one set of inputs."""
        return sum(x.nbytes for x in self.layouts)

    def decode(self, points: Floats) -> list[dict[str, Array]]:
        """Return one set of inputs, ``(B, ...)`` each, for each of the points ``(N, dims)``.

        The point makes row 0; further rows of a larger batch are nominal draws.
        """
        made: list[dict[str, Array]] = [dict(self.base) for _ in points]
        start = 0
        for part in self.parts:
            stop = start + len(part.moved)
            rows = part.decode(points[:, start:stop])
            start = stop
            for inputs, row in zip(made, rows, strict=True):
                inputs[part.layout.name] = self._placed(part.layout, row)
        return made

    def encode(self, case: Case) -> Floats | None:
        """Return the point next to a case; None where the case has other inputs or shapes."""
        found = []
        for part in self.parts:
            array = case.inputs.get(part.layout.name)
            if array is None or array.shape != part.layout.shape:
                return None
            axis = part.layout.batch_axis
            found.append(part.encode(array if axis is None else np.take(array, 0, axis=axis)))
        return np.concatenate(found)

    def _placed(self, layout: Layout, row: Array) -> Array:
        if layout.batch_axis is None:
            return row
        if layout.rows == 1:
            return np.ascontiguousarray(np.expand_dims(row, layout.batch_axis))
        array = self.base[layout.name].copy()
        array[(slice(None),) * layout.batch_axis + (0,)] = row
        return array


def space_of(
    contract: Contract | Sequence[TensorSpec],
    ranges: Mapping[str, Range],
    *,
    seed: int,
    start: Sequence[Case] = (),
    batch: int = 1,
    bind: Mapping[str, int] | None = None,
) -> Space:
    """Return the box inside ``ranges`` (before those of the contract). Shapes that are not known come from ``start``.

    Raises:
        UsageError: shapes are known from nowhere, or a range does not fit.
    """
    if start:
        contract = _completed(contract, start[0])
    layouts, _ = resolve(contract, batch=batch, bind=bind, ranges=ranges)
    inputs, _ = spreads(layouts, ranges, contract if isinstance(contract, Contract) else None)
    parts = [_part(x, s) for x, s in inputs if x.role in _MOVED and s.kind in ("normal", "uniform", "integers")]
    base = nominal_rows(inputs, seed, 1)[0]
    return Space(tuple(p for p in parts if len(p.moved)), layouts, base)


def _completed(contract: Contract | Sequence[TensorSpec], case: Case) -> Contract | tuple[TensorSpec, ...]:
    """Give every input the very shape and dtype that it has in a case."""
    specs = contract.inputs if isinstance(contract, Contract) else tuple(contract)
    told = []
    for spec in specs:
        array = case.inputs.get(spec.name)
        if array is not None and (spec.shape is None or (spec.batched and len(spec.shape) == array.ndim)):
            spec = replace(spec, shape=array.shape, dtype=spec.dtype or array.dtype.name)
        told.append(spec)
    return replace(contract, inputs=tuple(told)) if isinstance(contract, Contract) else tuple(told)


def _part(layout: Layout, spread: Spread) -> Part:
    low, high = (
        np.array(pick_tiles(np.broadcast_to(a, layout.row_shape), layout, TILES)) for a in (spread.low, spread.high)
    )
    moved = np.flatnonzero((high > low).reshape(-1))
    return Part(layout, low, high, moved, spread.kind == "integers" or layout.dtype not in FLOATS)
