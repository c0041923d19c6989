"""The five gates of Ascend's offline accuracy comparison, to show which faults they let through. Not part of parity.

`msprobe compare -m offline_model` flags an output when cosine < 0.99, relative Euclidean distance > 0.05, KL divergence
> 0.005, RMSE > 1.0 or mean relative error > 1.0, over the flattened float32 tensors; a metric that is NaN is skipped.
Definitions from MindStudio Probe 26.2.0 (`msaccucmp/algorithm_manager/builtin_algorithm`; the limits are those of
`infer/offline/compare/msquickcmp/cmp_process.py`), written anew and held against the package by a test.
"""

from __future__ import annotations

import math

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
LEAST = float(np.finfo(np.float32).eps)  # what KL takes for 0


def cosine(device: np.ndarray, golden: np.ndarray) -> float:
    """Return the cosine of the flattened tensors; 1 where both are zero or hold one element; NaN where one is zero."""
    norms = np.linalg.norm(device), np.linalg.norm(golden)
    if device.size == 1 or (norms[0] <= EPSILON and norms[1] < EPSILON):
        return 1.0
    if math.sqrt(norms[0]) <= EPSILON or math.sqrt(norms[1]) <= EPSILON:
        return math.nan
    found = float(np.sum(device / norms[0] * (golden / norms[1])))
    return min(found, 1.0)


def relative_euclidean(device: np.ndarray, golden: np.ndarray) -> float:
    """Return ‖device - golden‖ / ‖golden‖; 0 where the golden tensor is zero."""
    size = float(np.linalg.norm(golden))
    return float(np.linalg.norm(device - golden)) / size if not size <= EPSILON else 0.0


def divergence(device: np.ndarray, golden: np.ndarray) -> float:
    """Return KL(device ‖ golden) of the tensors, each stretched to 0…1 and made to sum to 1."""
    p, q = _as_distribution(device), _as_distribution(golden)
    found = float(np.sum(p * np.log(p / q)))
    return 0.0 if abs(found) < EPSILON else found


def _as_distribution(values: np.ndarray) -> np.ndarray:
    span = values.max() - values.min()
    stretched = (values - values.min()) / span if span != 0 else values
    raised = np.maximum(stretched, LEAST)
    return raised / raised.sum()


def rmse(device: np.ndarray, golden: np.ndarray) -> float:
    """Return the root mean square difference."""
    return float(np.sqrt(np.mean((device - golden) ** 2)))


def mean_relative_error(device: np.ndarray, golden: np.ndarray) -> float:
    """Return the mean of |device / golden - 1|, with 0 for elements where |golden| is at most 2.2e-16."""
    ratio = np.abs(device / np.where(golden == 0, 1, golden) - 1)
    return float(np.mean(np.where(np.abs(golden) > EPSILON, ratio, 0)))


GATES = {
    "cosine": (cosine, lambda v: v < 0.99),
    "relative Euclidean": (relative_euclidean, lambda v: v > 0.05),
    "KL": (divergence, lambda v: v > 0.005),
    "RMSE": (rmse, lambda v: v > 1.0),
    "mean relative error": (mean_relative_error, lambda v: v > 1.0),
}


def flagged(device: np.ndarray, golden: np.ndarray) -> list[str]:
    """Return the gates that flag the output; none means that it passes all five. NaN flags nothing."""
    a, b = (v.astype(np.float32).reshape(-1) for v in (device, golden))
    with np.errstate(all="ignore"):
        return [name for name, (metric, fails) in GATES.items() if fails(metric(a, b))]
