"""placeholder until merge"""

from __future__ import annotations

import numpy as np

from parity.tensor import Array


def limits(precision: str, peak: Array, span: Array, floors: Array, budget: object) -> Array:
    floor = np.fmax(8 * 2.0**-24 * peak, floors)
    result: Array = 32 * floor if precision == "float32" else 1.6e-2 * np.maximum(span, peak)
    return result
