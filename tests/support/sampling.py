"""Samples of a policy that samples, right and wrong, as a measure sees them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from parity.replay.measures.samples import MEASURE
from parity.replay.model import Context, Drawn, Executed, Frames, Judged, Played
from parity.tensor import Array

Kind = Literal[
    "right",
    "variance",  # 1.1 times the variance, in dimension 0
    "variances",  # 1.1 times, in all dimensions
    "shift",  # of a tenth of the spread, in dimension 0
    "mean",  # the mean each time
    "still",  # one sample, again and again
    "modes",  # two modes, on both sides
    "one mode",  # one of the two at each observation, by chance
    "same noise",  # all observations share their noise
    "float16",  # rounded to float16
]


def samples(random: np.random.Generator, shape: tuple[int, int, int, int], kind: Kind = "right") -> tuple[Array, Array]:
    """Return reference and candidate, ``(M, S, H, D)``; the noise is one for the whole chunk, the hardest to see.

    Observations differ in their mean, by 2, and in their spread, about 0.3.
    """
    m, s, h, d = shape
    mean = 2 * random.standard_normal((m, 1, 1, d)) + np.linspace(0, 1, h)[:, None]
    spread = 0.3 * np.exp(0.5 * random.standard_normal((m, 1, 1, d)))
    one, other = (random.standard_normal((m, s, 1, d)) for _ in range(2))
    if kind in ("modes", "one mode"):
        each = [np.where(random.random((m, s, 1, 1)) < 0.5, -1.0, 1.0) for _ in range(2)]
        always = np.where(random.random((m, 1, 1, 1)) < 0.5, -1.0, 1.0)
        return mean + 0.1 * one + each[0], mean + 0.1 * other + (always if kind == "one mode" else each[1])
    if kind == "same noise":
        other = np.repeat(other[:1], m, axis=0)
    if kind in ("variance", "variances"):
        other[..., : 1 if kind == "variance" else d] *= np.sqrt(1.1)
    if kind == "shift":
        other[..., 0] += 0.1
    if kind == "still":
        other = np.repeat(other[:, :1], s, axis=1)
    reference = np.broadcast_to(mean + spread * one, shape).copy()
    candidate = np.broadcast_to(mean + (0 if kind == "mean" else 1) * spread * other, shape).copy()
    return reference, candidate.astype(np.float16).astype(np.float64) if kind == "float16" else candidate


def seen(reference: Array, candidate: Array, rows: Array | None = None) -> Played:
    """Return a shard whose every observation is drawn at, 20 frames to an episode."""
    row = np.arange(len(reference)) if rows is None else rows
    at = Frames(row, row // 20, row % 20, np.full(len(row), 20))
    first = (reference[:, 0], candidate[:, 0])
    sent = Executed(at, row % 20 == 0, np.zeros(len(row), np.int64), first[0][:, 0], first[1][:, 0], None)
    return Played(at, *first, None, {}, sent, Drawn(np.arange(len(row)), reference, candidate))


def context(width: int, **given: Any) -> Context:
    """Return the context of a candidate that samples: limits of rounding, actions that move by 5 rad."""
    given = {"limits": np.full(width, 1e-5), "scale": np.full(width, 5.0), "sampled": True, **given}
    return Context("ort", "action", tuple(map(str, range(width))), ("rad",) * width, **given)


def judged(reference: Array, candidate: Array, **given: Any) -> Judged:
    """Return what is said of samples, ``(M, S, H, D)``."""
    return MEASURE.judge(MEASURE.observe(seen(reference, candidate)), context(reference.shape[-1], **given))


def failed(shape: tuple[int, int, int, int], kind: Kind, seed: int) -> bool:
    """Whether samples of a kind fail."""
    sides = samples(np.random.Generator(np.random.PCG64([seed, 17])), shape, kind)
    return any(row.verdict == "FAIL" for row in judged(*sides, seed=seed).rows)
