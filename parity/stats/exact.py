"""Sums of floats and of their squares without any rounding, so that they are the same in whatever order they are made.

A float is a whole number times a power of two. Values of a block are cut into digits of `DIGIT` bits below the largest
of their column; sums of digits and of products of two digits stay below 2**53, so float64 holds them exactly. They
are added up as Python's integers, which have no bound. Values that span too many digits go by their exponents instead.
Mean and variance are one correctly rounded division each at the very end. (The idea of fixed digits: Demmel and Nguyen,
"Fast Reproducible Floating-Point Summation", 2013.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

AT_ONCE = 2048  # values of a row: digits of 21 bits, squared, times 2**11 values stay below 2**53
DIGIT = 21
BLOCKS = 64  # whose sums stay below 2**63 together
MAX_DIGITS = 4
SINGLE = 24  # bits of a float32's significand
FAR = 400  # a power of two beyond which float64 numbers are not scaled
UNIT = 1074  # sums are whole multiples of 2**-1074, the smallest number above 0 of float64, squares of its square
_HALF = 27  # bits; two of them hold a float64's significand
_THIRD = 18


class ExactSums:
    """Sums of ``D`` columns, ``(D,)`` Python integers: of values in 2**-UNIT, of their squares in 2**(-2 UNIT).

    Nothing is lost, whatever the values are.
    """

    __slots__ = ("squares", "total")

    def __init__(self, width: int) -> None:
        self.total: Array = np.zeros(width, object)
        self.squares: Array = np.zeros(width, object)

    def add(self, values: Array, bits: int) -> None:
        """Take in a row of values for each column, ``(D, N)``, float32 or float64, sorted, all of them finite.

        Their significands have at most ``bits`` bits.
        """
        largest = np.maximum(np.abs(values[:, 0]), np.abs(values[:, -1])).astype(np.float64)
        top = np.frexp(largest)[1].astype(np.int64)
        if bits > SINGLE and (top.max() > FAR or _least(values) < 2.0**-FAR):  # scaled numbers could vanish
            self._by_exponent(values)
            return
        for start in range(0, values.shape[1], BLOCKS * AT_ONCE):
            digits = _Digits(len(values))
            for at in range(start, min(start + BLOCKS * AT_ONCE, values.shape[1]), AT_ONCE):
                block = values[:, at : at + AT_ONCE].astype(np.float64)
                if not digits.add(block, top, bits):
                    self._by_exponent(block)
            total, squares = digits.sums(top)
            self.total, self.squares = self.total + total, self.squares + squares

    def merge(self, other: ExactSums) -> None:
        """Take in what another has summed up."""
        self.total = self.total + other.total
        self.squares = self.squares + other.squares

    def mean(self, count: Array) -> Array:
        """Return the mean of each column, ``(D,)``, rounded once; NaN where ``count`` is 0."""
        return np.asarray([_ratio(int(s), int(n) << UNIT) for s, n in zip(self.total, count, strict=True)], np.float64)

    def variance(self, count: Array) -> Array:
        """Return the variance of each column (divided by ``count``), ``(D,)``, rounded once; NaN where that is 0."""
        found = [
            _ratio(int(n) * int(q) - int(s) ** 2, int(n) ** 2 << 2 * UNIT)
            for s, q, n in zip(self.total, self.squares, count, strict=True)
        ]
        return np.asarray(found, np.float64)

    def _by_exponent(self, values: Array) -> None:
        for column, row in enumerate(values):
            part, power = np.frexp(row.astype(np.float64))
            whole = np.ldexp(part, 53).astype(np.int64)
            place = power - 53 + UNIT  # in powers of two of UNIT; at least 0 but for subnormal numbers
            low = np.maximum(-place, 0)
            whole, place = whole >> low, place + low  # a subnormal number's last bits are 0
            for exponent in np.unique(place):
                mine = whole[place == exponent]
                for start in range(0, len(mine), AT_ONCE):
                    some = mine[start : start + AT_ONCE]
                    high, rest = some >> _HALF, some & ((1 << _HALF) - 1)
                    self.total[column] += (int(high.sum()) << _HALF) + int(rest.sum()) << int(exponent)
                    self.squares[column] += _sum_of_squares(some) << 2 * int(exponent)


class _Digits:
    """Sums of digits and of their products, of values below one power of two for each column."""

    __slots__ = ("_ones", "_pairs", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._ones: dict[int, Array] = {}
        self._pairs: dict[int, Array] = {}  # by the sum of both digits' numbers

    def add(self, values: Array, top: Array, bits: int) -> bool:
        """Take in values ``(D, N)`` below 2**top; False, and nothing taken in, where `MAX_DIGITS` are not enough."""
        parts: list[Array] = []
        rest = values * np.ldexp(1.0, DIGIT - top)[:, None]
        while True:
            digit = np.rint(rest)
            parts.append(digit)
            rest -= digit
            if len(parts) * DIGIT >= bits and not rest.any():
                break
            if len(parts) == MAX_DIGITS:
                return False
            rest *= 1 << DIGIT
        for i, one in enumerate(parts):
            self._ones[i] = self._ones.get(i, 0) + one.sum(axis=1).astype(np.int64)
            for j, other in enumerate(parts[i:], i):
                products = np.einsum("dn,dn->d", one, other).astype(np.int64)
                self._pairs[i + j] = self._pairs.get(i + j, 0) + (products if i == j else 2 * products)
        return True

    def sums(self, top: Array) -> tuple[Array, Array]:
        """Return the sums of the values and of their squares; see `ExactSums`."""
        units = top - DIGIT + UNIT  # of the first digit, in powers of two of UNIT
        total, squares = np.zeros(self._width, object), np.zeros(self._width, object)
        for i, ones in self._ones.items():
            total = total + _shifted(ones, units - i * DIGIT)
        for i, products in self._pairs.items():
            squares = squares + _shifted(products, 2 * units - i * DIGIT)
        return total, squares


def _least(values: Array) -> float:
    """Return the smallest size of a value that is not 0."""
    return float(np.abs(values).min(where=values != 0, initial=1.0))


def _sum_of_squares(whole: Array) -> int:
    """Return Σ of squares of integers below 2**53 in size."""
    size = np.abs(whole)
    mask = (1 << _THIRD) - 1
    parts = [size >> (2 * _THIRD), (size >> _THIRD) & mask, size & mask]
    found = 0
    for i, one in enumerate(parts):
        for j, other in enumerate(parts):
            found += int((one * other).sum()) << (4 - i - j) * _THIRD
    return found


def _shifted(sums: Array, by: Array) -> Array:
    """Return whole numbers times 2**by as Python integers; what is shifted down ends in zeros."""
    found: Array = np.empty(len(sums), object)
    for i, (value, places) in enumerate(zip(sums.tolist(), by.tolist(), strict=True)):
        found[i] = value << places if places >= 0 else value >> -places
    return found


def _ratio(part: int, whole: int) -> float:
    if whole == 0:
        return float("nan")
    try:
        return float(part / whole)
    except OverflowError:  # a mean or variance beyond float64
        return float("inf") if part > 0 else float("-inf")
