"""Pictures beside rows: frames of videos and encoded images, in step with the arrays of the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array


class Pictures(Protocol):
    """The pictures of one feature that is kept as video or encoded images."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture as it is read, ``(H, W, 3)``, uint8, in the order red, green, blue."""
        ...

    def check(self) -> None:
        """Make sure that there is a decoder.

        Raises:
            UsageError: there is none; it says what to install.
        """
        ...

    def frames(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the pictures of rows ``start:stop``, each ``(H, W, 3)`` uint8.

        Raises:
            ArtifactError: a file is missing or damaged, or a row has no picture.
        """
        ...


class Rows(Protocol):
    """What yields rows of arrays; see `parity.dataset.model.Source`."""

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of features."""
        ...


def with_pictures(
    source: Rows, arrays: Sequence[str], pictures: Mapping[str, Pictures], start: int, stop: int, at_once: int
) -> Iterator[Mapping[str, Array]]:
    """Yield rows ``start:stop`` of arrays and of pictures, at most ``at_once`` of them.

    Raises:
        ArtifactError: a file cannot be read, or there are fewer pictures than rows.
    """
    shown = {name: (p.shape, p.frames(start, stop)) for name, p in pictures.items()}
    for count, columns in _parts(source, arrays, start, stop, at_once):
        yield {**columns, **{n: _stacked(n, shape, frames, count) for n, (shape, frames) in shown.items()}}


def _parts(
    source: Rows, arrays: Sequence[str], start: int, stop: int, at_once: int
) -> Iterator[tuple[int, Mapping[str, Array]]]:
    if not arrays:
        yield from ((min(at_once, stop - at), {}) for at in range(start, stop, at_once))
        return
    for columns in source.rows(arrays, start, stop):
        rows = len(next(iter(columns.values())))
        for at in range(0, rows, at_once):
            end = min(at + at_once, rows)
            yield end - at, {name: values[at:end] for name, values in columns.items()}


def _stacked(name: str, shape: tuple[int, int, int], frames: Iterator[Array], count: int) -> Array:
    stacked = np.empty((count, *shape), np.uint8)
    seen = 0
    for seen, picture in enumerate(islice(frames, count), 1):
        stacked[seen - 1] = picture
    if seen != count:
        raise ArtifactError(f"{name}: {seen} pictures were read", expected=f"{count}, one for each frame")
    return stacked


def picture_shape(declared: Sequence[int]) -> tuple[int, int, int] | None:
    """Return ``(H, W, 3)`` of a declared shape with the channels last or first; None where it is no picture's."""
    if len(declared) == 3 and declared[2] in (1, 3, 4):
        return declared[0], declared[1], 3
    if len(declared) == 3 and declared[0] in (1, 3, 4):
        return declared[1], declared[2], 3
    return None
