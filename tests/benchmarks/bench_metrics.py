"""The metrics of one tensor pair against Polygraphy's, side by side in one process."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from parity.compare import compiled
from parity.compare.metrics import Diff, diff

ELEMENTS = 16 << 20
WIDTH = 32
ROUNDS = 7


def pair(elements: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a reference and a candidate that rounds differently, float32, ``(N, width)``."""
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((elements // width, width), dtype=np.float32)
    noise = rng.standard_normal(reference.shape, dtype=np.float32)
    return reference, reference + np.float32(1e-6) * noise


def best(work: Callable[[], Any], rounds: int) -> float:
    """Return the shortest time of one call, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def by_numpy(candidate: np.ndarray, reference: np.ndarray, *, percentiles: bool) -> Diff:
    """Return what `diff` does where numba is not installed."""
    with mock.patch.object(compiled, "installed", return_value=False):
        return diff(candidate, reference, percentiles=percentiles)


def polygraphy(reference: np.ndarray, candidate: np.ndarray) -> tuple[str, Callable[[], Any]] | None:
    """Return the version of Polygraphy and its comparison of the pair, or None where it is not installed."""
    try:
        import polygraphy
        from polygraphy.comparator import CompareFunc, IterationResult
        from polygraphy.logger import G_LOGGER
    except ImportError:
        return None
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare = CompareFunc.simple()
    return polygraphy.__version__, lambda: compare(
        IterationResult({"action": candidate}), IterationResult({"action": reference})
    )


def measure() -> list[dict[str, str]]:
    """Return one row per way to call `diff`, with Polygraphy's time for the same pair beside it."""
    reference, candidate = pair(ELEMENTS, WIDTH)
    peer = polygraphy(reference, candidate)
    ways: list[tuple[str, Callable[[], Any]]] = [
        ("all metrics but percentiles", lambda: diff(candidate, reference, percentiles=False)),
        ("whole set", lambda: diff(candidate, reference)),
        ("without numba: all but percentiles", lambda: by_numpy(candidate, reference, percentiles=False)),
        ("without numba: whole set", lambda: by_numpy(candidate, reference, percentiles=True)),
    ]
    ours: dict[str, list[float]] = {name: [best(work, 1)] for name, work in ways}  # the first call loads numba
    theirs = []
    for _ in range(ROUNDS if peer else 1):  # in turns, so that a busy machine slows both
        theirs.append(best(peer[1], 1) if peer else float("nan"))
        for name, work in ways:
            ours[name].append(best(work, 2))
    label = f"Polygraphy {peer[0]}" if peer else "Polygraphy (not installed)"
    rows = [
        {
            "what": f"{ELEMENTS >> 20} M float32, last axis {WIDTH}: {name}",
            "parity": f"{min(times) * 1e3:.0f} ms",
            label: f"{min(theirs) * 1e3:.0f} ms",
            "ratio": f"{min(theirs) / min(times):.0f} ×",
        }
        for name, times in ours.items()
    ]
    for shape in ((1, 12), (1, 50, 7)):
        size = int(np.prod(shape))
        b, a = (v.reshape(shape) for v in pair(size, size))
        once = polygraphy(b, a)
        mine = best(lambda b=b, a=a: diff(a, b), 2000)
        other = best(once[1], 200) if once else float("nan")
        rows.append(
            {
                "what": f"one call, {shape}: whole set",
                "parity": f"{mine * 1e6:.0f} µs",
                label: f"{other * 1e6:.0f} µs",
                "ratio": f"{other / mine:.0f} ×",
            }
        )
    return rows
