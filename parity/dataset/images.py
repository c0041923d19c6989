"""Encoded pictures (PNG, JPEG) in a column of a table, decoded by Pillow.

Source: Hugging Face `datasets`, features/image.py: a cell holds ``bytes`` and ``path``, the bytes where it is embedded.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

FORMATS = ("PNG", "JPEG")
AT_ONCE = 16  # cells that are read at once
_REMEDY = "write the dataset again with its pictures embedded as PNG or JPEG, all of one size"


class Table(Protocol):
    """What yields columns as arrow batches, each with the file that it is of."""

    def batches(self, names: Sequence[str], start: int, stop: int, at_once: int) -> Iterator[tuple[Path, Any]]:
        """Yield rows ``start:stop``."""
        ...


@dataclass(frozen=True, slots=True)
class ImageFrames:
    """The pictures of one column, as `parity.dataset.pictures.Pictures`: ``shape`` is ``(H, W, 3)``."""

    name: str
    shape: tuple[int, int, int]
    table: Table

    def check(self) -> None:
        """Pillow comes with parity."""

    def frames(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the pictures of rows ``start:stop``; see `Pictures.frames`."""
        at = start
        for path, batch in self.table.batches([self.name], start, stop, AT_ONCE):
            for cell in batch.column(self.name).to_pylist():
                yield self._decoded(cell, f"{path}: {self.name} of row {at}")
                at += 1

    def _decoded(self, cell: Any, where: str) -> Array:
        with _picture(cell, where) as picture:
            if (picture.height, picture.width) != self.shape[:2]:  # known before anything is unpacked
                raise ArtifactError(
                    f"{where} is {picture.width} x {picture.height}",
                    expected=f"{self.shape[1]} x {self.shape[0]}, as the dataset says",
                    remedy=_REMEDY,
                )
            try:
                return np.asarray(picture.convert("RGB"))
            except (OSError, ValueError, SyntaxError) as e:
                raise ArtifactError(f"{where} cannot be decoded: {str(e)[:120]}", remedy=_REMEDY) from None


def shape_of_first(name: str, table: Table) -> tuple[int, int, int] | None:
    """Return the shape of the first picture, None where it cannot be told."""
    try:
        path, batch = next(iter(table.batches([name], 0, 1, 1)))
        with _picture(batch.column(name).to_pylist()[0], f"{path}: {name} of row 0") as picture:
            return picture.height, picture.width, 3
    except (ArtifactError, StopIteration, IndexError):
        return None


def _picture(cell: Any, where: str) -> Any:
    """Return a picture whose header was read, and nothing more."""
    from PIL import Image, UnidentifiedImageError

    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise ArtifactError(f"{where} is not embedded in the table", expected="encoded bytes", remedy=_REMEDY)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombWarning) as e:
        said = "it is none" if isinstance(e, UnidentifiedImageError) else " ".join(str(e).split())[:120]
        raise ArtifactError(f"{where} cannot be read as PNG or JPEG: {said}", remedy=_REMEDY) from None
    except Image.DecompressionBombError as e:
        raise ArtifactError(f"{where} claims too many pixels: {str(e)[:120]}", remedy=_REMEDY) from None
