"""What happens between two steps of a loop: the next state, and the time that the stages are told."""

from __future__ import annotations

from parity.errors import ArtifactError
from parity.stages.fit import fitted
from parity.stages.model import Loop
from parity.tensor import Array, TensorSpec


def next_state(loop: Loop, before: Array, change: Array) -> Array:
    """Return the state after a step: ``x + dt · v``, or what the graph gave; in the wider float type of the two.

    Raises:
        ArtifactError: the graph's output does not have the state's shape.
    """
    import numpy as np

    if change.shape != before.shape:
        raise ArtifactError(
            f"the loop's state has shape {before.shape[1:]}, what changes it {change.shape[1:]}",
            remedy="correct `loop.state`",
        )
    dtype = np.result_type(before, change) if before.dtype.kind == change.dtype.kind == "f" else before.dtype
    if loop.update == "replace":
        return change.astype(dtype, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):
        moved: Array = before.astype(dtype) + np.asarray(loop.dt, dtype) * change.astype(dtype)
    return moved


def time_array(loop: Loop, step: int, spec: TensorSpec, count: int, batch: int, *, exact: bool = False) -> Array:
    """Return the time of ``step`` (from 1) for ``count`` cases of ``batch`` observations, as the graph declares it.

    Raises:
        ArtifactError: the graph takes integers, and the time is none.
    """
    import numpy as np

    shape = ("batch",) if spec.shape is None else spec.shape
    sizes = tuple(d if isinstance(d, int) else batch for d in shape)
    value = np.full((count, *sizes), loop.at(step), np.float64)
    return fitted(
        value, "float32" if spec.dtype is None else spec.dtype, f"loop.time, step {step}: the graph", exact=exact
    )
