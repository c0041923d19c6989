"""From float64 values to the dtype that an input declares, by rounding that is the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

_LARGEST = {"float64": 2.0**1023, "float32": float(np.finfo(np.float32).max), "float16": 65504.0}
_LARGEST["bfloat16"] = float.fromhex("0x1.fep+127")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's dtype for a name of `TensorSpec.dtype`.

    Raises:
        UsageError: no cases can be made for this dtype, or bfloat16 without the ``ml_dtypes`` package.
    """
    if name == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise UsageError(
                "an input is bfloat16, which NumPy has only with the package ml_dtypes",
                remedy="pip install ml-dtypes",
            ) from None
        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    if name in FLOATS or name in INTEGERS or name == "bool":
        return np.dtype(name)
    raise UsageError(
        f"an input has dtype {name!r}, for which no cases can be made",
        expected=", ".join((*FLOATS, *INTEGERS, "bool")),
        remedy="give observations of your own with --inputs FILE.npz",
    )


def cast(values: npt.NDArray[np.float64], name: str) -> Array:
    """Return finite float64 values in the dtype ``name``: rounded to nearest even, held inside its finite range."""
    if name == "bool":
        return np.asarray(values != 0.0)
    if name in INTEGERS:
        info = np.iinfo(name)
        return np.asarray(np.clip(values, float(info.min), _below(float(info.max)))).astype(name)
    limit = _LARGEST[name]
    inside = np.asarray(np.clip(values, -limit, limit))
    return _bfloat16(inside) if name == "bfloat16" else inside.astype(name)


def denormal(name: str) -> float:
    """Return a positive subnormal of the dtype: 1e-40, or the smallest of float16, or 1e-310 in float64."""
    return {"float16": 2.0**-24, "float64": 1e-310}.get(name, 1e-40)


def _below(limit: float) -> float:
    """Return ``limit``, or for 64-bit integers, whose largest value float64 rounds up, the float64 below."""
    return limit if limit < 2.0**53 else limit * (1.0 - 2.0**-53)


def _bfloat16(values: npt.NDArray[np.float64]) -> Array:
    """Round by integers: the bits of float32, plus half a unit, ties to even."""
    word = np.array(values, dtype=np.float32, order="C").view(np.uint32)
    odd = (word >> np.uint32(16)) & np.uint32(1)
    half = np.asarray((word + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
    return np.asarray(half).view(numpy_dtype("bfloat16"))
