"""What the values that an OM gave tell of the arithmetic that made them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from parity.finding import Finding
from parity.release.sides import Side
from parity.tensor import Array
from parity.trace import Trace

CODE = "OM050"
ELEMENTS = 1 << 20  # that are looked at at once
LEAST = 16  # different broken numbers; fewer may be float16 by what they mean (0.5, 0.25)


def value_findings(side: Side) -> Iterator[Finding]:
    """Yield a finding for each recorded float32 output of which every value is exactly a float16.

    Float16 has 11 bits of precision, float32 24: of what float32 arithmetic gives, one value in 8,192 is one too.
    """
    if side.behind is None or side.artifact is None or side.artifact.kind != "trace":
        return
    different: dict[str, int] = {}
    others: set[str] = set()
    for name, part in _parts(side, others):
        count = float16_values(part)
        if count is None:
            others.add(name)
        else:
            different[name] = max(different.get(name, 0), count)
    for name, count in different.items():
        if name not in others and count >= LEAST:
            yield Finding(
                CODE,
                "info",
                f"{name}: every recorded value is exactly a float16, though it is stored as float32: float16 "
                "arithmetic gave it.",
                where=name,
                evidence={"different_values": count},
                remedy='judge it as `precision = "float16"`; for float32, compile with `--precision_mode_v2=origin`',
            )


def _parts(side: Side, done: set[str]) -> Iterator[tuple[str, Array]]:
    """Yield the recorded float32 outputs in pieces, but for those in ``done``, which may grow meanwhile."""
    assert side.artifact is not None
    with Trace.open(side.artifact.path) as recording:
        for case in recording.cases:
            for name in recording.output_names(case.id):
                output = recording.output(case.id, name)
                for start in range(0, prod(output.shape) if output.dtype == np.float32 else 0, ELEMENTS):
                    if name not in done:
                        yield name, output.read(start, start + ELEMENTS)


def float16_values(values: Array) -> int | None:
    """Return how many different broken numbers are among finite values that all are exactly float16, else None."""
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        rounded = finite.astype(np.float16).astype(values.dtype)
    if not np.array_equal(rounded, finite):
        return None
    return len(np.unique(finite[finite != np.floor(finite)]))
