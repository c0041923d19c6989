"""Classes out of numbers: which one each side names, how far it is from naming another, how sure it says it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.replay.model import Frames, Played
from parity.tensor import Array

BINS = 15  # of confidence, as Guo et al. have it
MOST = 64  # classes at most


@dataclass(frozen=True, slots=True)
class Named:
    """What both sides name at the frames where the reference gives finite numbers, n of them.

    Attributes:
        at: the frames.
        reference: its classes, ``(n,)``, from 0.
        candidate: likewise; -1 where its numbers are not finite.
        label: the recorded classes, -1 where there is none.
        margin: how far the reference is from naming another class, in units of the output, ``(n,)``.
        values: what both give for the class that the reference names, ``(n, 2)``.
        square: sum over the frames of the reference's mean square over classes.
        apart: largest difference between the candidate and the probability of the reference, and the other way
            around, ``(2,)``: where it is nothing, one side gives probabilities and the other one logits.
        bins: frames, confidence and right answers by confidence, of reference and candidate, ``(2, BINS, 3)``.
    """

    at: Frames
    reference: Array
    candidate: Array
    label: Array
    margin: Array
    values: Array
    square: float
    apart: Array
    bins: Array


def of_frames(played: Played) -> Named:
    """Return what both sides name: one number is a logit against a border, several are one logit for each class."""
    known = np.asarray(np.isfinite(played.reference[:, 0]).all(axis=1))
    trusted, tested = played.reference[known, 0], played.candidate[known, 0]
    border = played.border or 0.0
    finite = np.asarray(np.isfinite(tested).all(axis=1))
    filled = np.where(np.isfinite(tested), tested, 0.0)
    reference, candidate = (class_of(v, border) for v in (trusted, filled))
    label = _labels(played, known)
    single = trusted.shape[1] == 1
    column = np.zeros(len(reference), np.int64) if single else reference
    picked = np.arange(len(reference))
    with np.errstate(over="ignore"):
        apart = np.array([_largest(filled - likely(trusted)), _largest(trusted - likely(filled))])
    sides = ((reference, trusted, np.ones_like(finite)), (candidate, filled, finite))
    return Named(
        Frames(*(a[known] for a in (played.at.row, played.at.episode, played.at.frame, played.at.length))),
        reference,
        np.where(finite, candidate, -1),
        label,
        _margin(trusted, border),
        np.stack([trusted[picked, column], tested[picked, column]], axis=1),
        float((trusted**2).mean(axis=1).sum()),
        apart if finite.all() else np.full(2, np.inf),
        np.stack([_by_confidence(c, v, label, use) for c, v, use in sides]),
    )


def class_of(values: Array, border: float) -> Array:
    """Return the classes of ``(n, D)``: above the border or not, or the largest of several."""
    single = values.shape[1] == 1
    return np.asarray(values[:, 0] > border, np.int64) if single else np.asarray(values.argmax(axis=1), np.int64)


def likely(values: Array) -> Array:
    """Return the probabilities that logits ``(n, D)`` stand for: the sigmoid of one, the softmax of several."""
    from scipy.special import expit, softmax

    found: Array = expit(values) if values.shape[1] == 1 else softmax(values, axis=1)
    return found


def rounding_of(limits: Array) -> float:
    """Return how far apart a class may flip if single numbers may be off by ``limits``: twice between two of them."""
    return float(limits[0]) if len(limits) == 1 else 2 * float(limits.max())


def clearest(named: Named, flipped: Array, count: int) -> dict[str, Array]:
    """Return the flips furthest from the border, of equal ones the first row; a margin of -1 is none."""
    places = np.flatnonzero(flipped)
    places = places[np.lexsort((named.at.row[places], -named.margin[places]))][:count]
    margin, at, pair = np.full(count, -1.0), np.full((count, 3), -1, np.int64), np.zeros((count, 2))
    margin[: len(places)] = named.margin[places]
    at[: len(places)] = np.stack([named.at.row, named.at.episode, named.at.frame], axis=1)[places]
    pair[: len(places)] = named.values[places]
    return {"worst": margin, "worst_at": at, "worst_pair": pair}


def _margin(values: Array, border: float) -> Array:
    if values.shape[1] == 1:
        return np.abs(values[:, 0] - border)
    two = np.partition(values, values.shape[1] - 2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _labels(played: Played, known: Array) -> Array:
    if played.labels is None:
        return np.full(int(known.sum()), -1, np.int64)
    given = played.labels[known]
    whole = np.isfinite(given) & (given == np.round(given)) & (given >= 0) & (given < MOST)
    return np.where(whole, np.where(whole, given, 0), -1).astype(np.int64)


def _by_confidence(named: Array, values: Array, label: Array, use: Array) -> Array:
    """Return frames, sum of confidence and right answers by confidence, ``(BINS, 3)``, where there is a label."""
    use = use & (label >= 0)
    named, label = named[use], label[use]
    chance = likely(values[use])
    sure = np.where(named == 1, chance[:, 0], 1 - chance[:, 0]) if values.shape[1] == 1 else chance.max(axis=1)
    at = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)  # Guo et al.: ((m - 1)/M, m/M]
    parts = (np.ones(len(sure)), sure, named == label)
    return np.stack([np.bincount(at, weights=p, minlength=BINS) for p in parts], axis=1)


def _largest(gaps: Array) -> float:
    return float(np.abs(gaps).max(initial=0.0))


def calibration_error(bins: Array) -> float:
    """Return the expected calibration error of ``(BINS, 3)``: mean |accuracy - confidence| of bins, weighed by frames.

    NaN where there is no labelled frame. Guo et al. 2017, equation 3.
    """
    total = float(bins[:, 0].sum())
    return float(np.abs(bins[:, 2] - bins[:, 1]).sum() / total) if total else float("nan")
