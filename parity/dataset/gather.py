"""Rows of many small parts, put together to blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array


def gathered(pieces: Iterator[Mapping[str, Array]], at_once: int) -> Iterator[Mapping[str, Array]]:
    """Yield pieces put together to at most ``at_once`` rows."""
    waiting: list[Mapping[str, Array]] = []
    rows = 0
    for piece in pieces:
        count = len(next(iter(piece.values())))
        if waiting and rows + count > at_once:
            yield _joined(waiting)
            waiting, rows = [], 0
        waiting.append(piece)
        rows += count
    if waiting:
        yield _joined(waiting)


def _joined(pieces: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
