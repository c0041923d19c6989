"""How a pair of tensors is cut up to be read: shards that fit the cache, in blocks, by several threads, in order.

The cuts depend on the shape alone, and results are combined in their order. So the metrics are the same, bit for bit,
whatever the number of threads and wherever the tensors come from.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from parity.errors import ArtifactError
from parity.tensor import ArraySource

if TYPE_CHECKING:
    from parity.tensor import Array, TensorSource

T = TypeVar("T")

SHARD = 1 << 16
BLOCK = 1 << 20  # elements read at once by one thread
MAX_WIDTH = 1 << 16  # a longer last axis is cut, and has no sums per action dimension
LANE = 1024  # elements; short rows are reduced in groups of about this length
MAX_THREADS = 4

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """The cuts of a tensor of ``size`` elements whose last axis has ``width``: blocks, and in each its shards.

    A shard holds whole rows, or, where one row is longer than `MAX_WIDTH`, a piece of one row.
    """

    size: int
    width: int
    shard: int
    block: int

    @property
    def whole_rows(self) -> bool:
        return self.width <= MAX_WIDTH

    def blocks(self) -> Iterator[Span]:
        """Yield the flat spans of the blocks, in order."""
        period = self.size if self.whole_rows else self.width
        for row in range(0, self.size, period):
            for start in range(row, row + period, self.block):
                yield start, min(start + self.block, row + period)

    def shards(self, block: Span) -> Iterator[Span]:
        """Yield the flat spans of the shards of one block, in order."""
        for start in range(block[0], block[1], self.shard):
            yield start, min(start + self.shard, block[1])


def layout(shape: tuple[int, ...]) -> Layout:
    """Return the cuts of a tensor of ``shape``; a 0-d tensor counts as one row of one element."""
    size, width = prod(shape), shape[-1] if shape else 1
    if width > MAX_WIDTH or size == 0:
        return Layout(size, width, SHARD, BLOCK)
    rows = max(1, SHARD // width)
    group = max(1, LANE // width)
    shard = width * (rows // group * group or rows)
    return Layout(size, width, shard, shard * max(1, BLOCK // shard))


@dataclass(frozen=True, slots=True)
class Pair:
    """Candidate and reference of one shape, read together. Only arrays are read by several threads at a time."""

    candidate: TensorSource
    reference: TensorSource
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return elements ``start:stop`` of candidate and reference, 1-D, in the machine's byte order.

        Raises:
            ArtifactError: a source gave another number of elements than asked for.
        """
        if isinstance(self.candidate, ArraySource) and isinstance(self.reference, ArraySource):
            return _native(self.candidate.read(start, stop)), _native(self.reference.read(start, stop))
        with self._lock:
            parts = tuple(_native(np.asarray(s.read(start, stop))) for s in (self.candidate, self.reference))
        for part in parts:
            if part.shape != (stop - start,):
                raise ArtifactError(
                    f"elements {start} to {stop} of a tensor were read, and {part.shape} came back",
                    expected=f"{stop - start} elements, as its shape {self.reference.shape} promises",
                    remedy="the file is truncated or was changed while it was read: record it again",
                )
        return parts[0], parts[1]


def _native(values: Array) -> Array:
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def thread_count() -> int:
    """Return how many threads to use: one for each processor this process may use, at most `MAX_THREADS`."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MAX_THREADS)


def scan(work: Callable[[Span], T], blocks: Iterator[Span], threads: int) -> Iterator[T]:
    """Yield ``work(block)`` for every block, in order; a few blocks are under way at a time."""
    if threads <= 1:
        yield from map(work, blocks)
        return
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for block in blocks:
                waiting.append(pool.submit(work, block))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
