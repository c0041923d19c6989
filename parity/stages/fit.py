"""Values between stages in the dtype that the next graph takes: floats are rounded, all else must survive as it is."""

from __future__ import annotations

from parity.errors import ArtifactError
from parity.tensor import Array


def fitted(array: Array, dtype: str | None, where: str, *, exact: bool = False) -> Array:
    """Return ``array`` in ``dtype``; as it is where that is not known.

    With ``exact`` a float stays in its own float type (the float64 variant of a chain is float64 from end to end).

    Raises:
        ArtifactError: an integer, a mask or a float would not be the same value in ``dtype``.
    """
    import numpy as np

    if dtype is None or dtype == "bfloat16" or array.dtype.name in (dtype, "bfloat16"):
        return array
    wanted = np.dtype(dtype)
    if array.dtype.kind == "f" and wanted.kind == "f":
        if exact:
            return array
        with np.errstate(over="ignore"):
            return array.astype(wanted)
    with np.errstate(invalid="ignore", over="ignore"):
        other = array.astype(wanted)
        back = other.astype(array.dtype)  # by itself it would let -1 through as 2⁶⁴ - 1
        same = bool(np.array_equal(back, array) and np.array_equal(other, array)) and not _folded(array, wanted.kind)
    if not same:
        raise ArtifactError(
            f"{where} takes {dtype}, and what it is given ({array.dtype}) is not the same in that",
            remedy="export the stages with the same dtype for it",
        )
    return other


def _folded(array: Array, kind: str) -> bool:
    """Whether an array that becomes booleans holds anything but 0 and 1."""
    import numpy as np

    return kind == "b" and not bool(np.isin(array, (0, 1)).all())
