"""The metrics of Ascend's accuracy comparison as `mindstudio-probe` itself computes them. Not part of parity.

Only the modules of its metrics are imported; they need nothing but NumPy, so the package may be installed alone:
``pip install --no-deps mindstudio-probe`` (its dependencies, TensorBoard and scikit-learn among them, are not used).
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ABSENT = "mindstudio-probe is not installed here: pip install --no-deps mindstudio-probe==26.2.0"
MODULES = {
    "cosine": "CosineSimilarity",
    "relative Euclidean": "RelativeEuclideanDistance",
    "KL": "KullbackLeiblerDivergence",
    "RMSE": "RootMeanSquareError",
    "mean relative error": "MeanRelativeError",
}
Metric = Callable[[np.ndarray, np.ndarray], float]


def folder() -> Path | None:
    """Return where the modules lie, without importing the package; None where it is not installed."""
    found = find_spec("msprobe")
    places = [] if found is None else [Path(p) / "msaccucmp" for p in found.submodule_search_locations or ()]
    return next((p for p in places if p.is_dir()), None)


def metrics() -> Mapping[str, Metric]:
    """Return the five metrics that have a gate: device's and golden tensor, both float32 and flat, to a number.

    Raises:
        ImportError: the package is not installed.
    """
    place = folder()
    if place is None:
        raise ImportError(ABSENT)
    sys.path.insert(0, str(place))  # its modules import one another from here
    try:
        return {name: _metric(module) for name, module in MODULES.items()}
    finally:
        sys.path.remove(str(place))


def _metric(module: str) -> Metric:
    algorithm = importlib.import_module(f"algorithm_manager.builtin_algorithm.alg_{module}")
    parameter = importlib.import_module("algorithm_manager.algorithm_parameter").AlgorithmParameter
    shapes = importlib.import_module("cmp_utils.utils_type").ShapeType

    def compute(device: np.ndarray, golden: np.ndarray) -> float:
        given = parameter()
        given.shape_type = shapes.Scalar if device.size == 1 else shapes.Vector
        given.my_output_dump_file, given.ground_truth_dump_file = "device", "golden"
        logging.disable(logging.WARNING)  # it says what it skips, line by line
        try:
            with np.errstate(all="ignore"):
                return float(algorithm.compare(device, golden, given)[0])  # it gives text with six decimals
        finally:
            logging.disable(logging.NOTSET)

    return compute
