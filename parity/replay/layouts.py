"""Other orders in which a window of observations may stand: what a candidate may have taken it for.

Sources: reports of deployments that failed by it, history newest first (mjswan) and term- against frame-major (mjlab).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from parity.tensor import Array

ORDERS: Mapping[str, str] = {
    "newest_first": "newest observation first",
    "by_element": "element by element instead of frame by frame",
    "by_element_newest_first": "element by element instead of frame by frame, newest first",
}


def orders(windows: Array, steps: int) -> Iterator[tuple[str, Array]]:
    """Yield the name of each other order and the windows in it.

    Args:
        windows: oldest observation first, ``(M, To, D)``, or flat and frame by frame, ``(M, To * D)``.
        steps: To.
    """
    if steps < 2 or windows.ndim not in (2, 3) or windows.reshape(len(windows), -1).shape[1] % steps:
        return
    framed = windows.reshape(len(windows), steps, -1)
    other = {
        "newest_first": framed[:, ::-1],
        "by_element": np.swapaxes(framed, 1, 2),
        "by_element_newest_first": np.swapaxes(framed[:, ::-1], 1, 2),
    }
    for name, values in other.items():
        changed = np.ascontiguousarray(values).reshape(windows.shape)
        if not np.array_equal(changed, windows, equal_nan=windows.dtype.kind == "f"):
            yield name, changed
