"""Passes over a tensor pair: one for the moments, more for percentiles, and a look back at the worst element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import local
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from parity.compare import compiled, quantiles
from parity.compare.kernel import Scratch, gap_of, measure
from parity.compare.moments import Moments
from parity.compare.shards import Layout, Pair, Span, scan

if TYPE_CHECKING:
    from parity.tensor import Array

T = TypeVar("T")
FRACTIONS = (0.5, 0.99)


class Streaming:
    """Reads a pair of tensors of one shape, as often as needed, a few blocks at a time."""

    def __init__(self, pair: Pair, cuts: Layout, ulp: np.dtype[Any] | None, threads: int) -> None:
        self._pair, self._cuts, self._ulp = pair, cuts, ulp
        self._one_block = cuts.size <= cuts.block and (cuts.whole_rows or cuts.size == cuts.width)
        self._threads = 1 if self._one_block else threads
        self._own = local()
        self._compiled = cuts.whole_rows and compiled.suits(cuts.size, pair.candidate.dtype, pair.reference.dtype)
        self._step = quantiles.sample_step(cuts.size, cuts.width)

    def moments(self, *, percentiles: bool) -> Moments:
        """Return the moments of the whole pair, with what `percentiles` will need where that is asked for."""

        def work(block: Span) -> Moments:
            return self._block_moments(block, percentiles)

        total = Moments()
        for part in self._scan(work):
            total.add(part)
        total.close_rows()
        return total

    def _block_moments(self, block: Span, percentiles: bool) -> Moments:
        a, b = self._pair.read(*block)
        total = Moments()
        for start, stop in self._cuts.shards(block):
            span = slice(start - block[0], stop - block[0])
            total.add(self._shard_moments(a[span], b[span], start, percentiles))
        return total

    def _shard_moments(self, a: Array, b: Array, start: int, percentiles: bool) -> Moments:
        step = 1 if self._one_block else self._step
        moments = compiled.measure(a, b, start, self._cuts.width) if self._compiled else None
        if moments is not None:
            moments.sample = [np.abs(a[::step].astype(np.float64) - b[::step])] if percentiles else []
            return moments
        moments, found = measure(a, b, start, self._cuts.width, self._ulp, self._scratch())
        moments.sample = [found.compared()[::step].copy()] if percentiles else []
        return moments

    def percentiles(self, moments: Moments) -> list[float]:
        """Return the percentiles `FRACTIONS` of |Δ|, after `moments` was asked to prepare them."""
        sample = np.concatenate(moments.sample)
        if self._one_block:
            return quantiles.of_values(sample, FRACTIONS)
        if moments.max_abs == 0:
            return [0.0 for _ in FRACTIONS]

        def visits(visit: Callable[[Array], T]) -> Iterator[T]:
            def work(block: Span) -> list[T]:
                return [visit(gaps) for gaps in self._gaps(block)]

            for parts in self._scan(work):
                yield from parts

        select = compiled.select if self._compiled else quantiles.select
        return quantiles.of_stream(moments.compared, sample, FRACTIONS, visits, select)

    def _gaps(self, block: Span) -> Iterator[Array]:
        a, b = self._pair.read(*block)
        for start, stop in self._cuts.shards(block):
            span = slice(start - block[0], stop - block[0])
            fast = compiled.gap(a[span], b[span], self._scratch().gap) if self._compiled else None
            yield fast if fast is not None else gap_of(a[span], b[span], self._scratch()).compared()

    def worst(self, moments: Moments) -> tuple[int, Any, Any]:
        """Return the flat index of the largest |Δ|, the reference's value there and the candidate's."""
        start, stop = moments.max_span
        a, b = self._pair.read(start, stop)
        found = gap_of(a, b, self._scratch())
        gap = found.gap if found.left_out is None else np.where(found.left_out, -1, found.gap)
        place = int(gap.argmax())
        return start + place, b[place], a[place]

    def _scratch(self) -> Scratch:
        if not hasattr(self._own, "scratch"):
            self._own.scratch = Scratch(min(self._cuts.shard, self._cuts.size))
        scratch: Scratch = self._own.scratch
        return scratch

    def _scan(self, work: Callable[[Span], T]) -> Iterator[T]:
        def quietly(block: Span) -> T:
            with np.errstate(all="ignore"):  # NaN, Inf and overflow are what is being measured; per thread
                return work(block)

        return scan(quietly, self._cuts.blocks(), self._threads)
