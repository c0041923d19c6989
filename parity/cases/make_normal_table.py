"""Makes ``normal_table.npy``: the quantiles from which `parity.cases.hashing` draws normal noise.

Run ``python -m parity.cases.make_normal_table`` to write it again. The table ships with the package, because a libm
differs from platform to platform in the last bit and cases must not; a test makes it anew and compares.
"""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

CELLS = 4096
LIMIT = 4.0
PATH = Path(__file__).with_name("normal_table.npy")


def quantiles() -> list[float]:
    """Return ``CELLS + 1`` knots of the half-normal quantile function at probabilities ``k / CELLS``.

    Every knot is a multiple of 2⁻³² so that one unit in the last place of a libm leaves it alone. The last knot, which
    would be infinite, is ``LIMIT``: draws never exceed 4 standard deviations.
    """
    inverse = NormalDist().inv_cdf
    knots = [inverse(0.5 + k / (2 * CELLS)) for k in range(CELLS)]
    return [round(z * 2**32) / 2**32 for z in knots] + [LIMIT]


def main() -> None:
    """Write the table beside this file."""
    import numpy as np

    np.save(PATH, np.array(quantiles(), dtype="<f8"), allow_pickle=False)


if __name__ == "__main__":
    main()
