"""Named tensors: what one is declared to be, what one holds, and sets of them that make a case.

A shape's dimensions are ints, names of symbolic dimensions (``"batch"``), or None where nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    Array = Any  # so that modules can import the name without loading NumPy

Dim = int | str | None
Shape = tuple[Dim, ...]

Role = Literal[
    "image",  # a camera frame, channels first: (..., C, H, W)
    "state",  # proprioception, or a flat observation vector
    "environment_state",
    "action",
    "noise",  # injected noise of a sampler
    "timestep",  # diffusion or flow time step
    "tokens",  # integer ids
    "mask",  # booleans, or 0 and 1
    "hidden_state",  # recurrent state that goes in and out
]
Profile = Literal["nominal", "edge", "dataset", "worst"]
PROFILES: tuple[Profile, ...] = ("nominal", "edge", "dataset", "worst")


@dataclass(frozen=True, slots=True)
class Range:
    """Where the values of a tensor lie, element by element of its last axes, and who says so.

    ``kind`` says how ``first`` and ``second`` are to be read: ``mean_std``, ``min_max`` or ``quantiles`` (q01, q99).
    Both are flat tuples that broadcast against the trailing axes given by ``shape`` (a scalar range has shape ()).
    ``source`` names the file and key they were read from, and travels into the report.
    """

    kind: Literal["mean_std", "min_max", "quantiles"]
    first: tuple[float, ...]
    second: tuple[float, ...]
    shape: tuple[int, ...]
    source: str


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What one named input or output is declared to be.

    Attributes:
        name: as the artifact spells it.
        shape: with the batch axis where the artifact has one, symbolic dims as strings; None where unknown.
        dtype: NumPy's name, or ``bfloat16``; None where unknown.
        role: what the tensor means to the policy; None where it cannot be told.
        units: physical units, where declared.
        elements: names of the last axis, such as joint names, in order.
        range: where values lie, if a normalizer, statistics or the user tell.
        batched: whether the first axis counts observations. False for a LeRobot feature's bare shape.
    """

    name: str
    shape: Shape | None = None
    dtype: str | None = None
    role: Role | None = None
    units: str | None = None
    elements: tuple[str, ...] | None = None
    range: Range | None = None
    batched: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return name, shape, dtype and role as in the public JSON (symbolic dims as strings)."""
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "shape": shape, "dtype": self.dtype, "role": self.role}


@dataclass(frozen=True, slots=True)
class Case:
    """One set of inputs. ``inputs`` maps the contract's names to arrays with their batch axis, ``(B, ...)``."""

    id: str
    profile: Profile
    seed: int
    inputs: Mapping[str, Array]
    note: str = ""  # how it was made, such as "obs[3] at its upper end"


SEQUENCE = "nominal-s"  # ids of the steps of a sequence, in which a policy's state is carried over


@dataclass(frozen=True, slots=True)
class Block:
    """Cases whose inputs have the same shapes, stacked: ``inputs[name]`` is ``(N, B, ...)`` for N case ids.

    The cases of a ``sequence`` follow one another: state is reset before the first and carried over to the next.
    """

    ids: tuple[str, ...]
    inputs: Mapping[str, Array]
    sequence: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def stack(cases: Sequence[Case], max_bytes: int = 64 << 20) -> Iterator[Block]:
    """Yield the cases as blocks of equal shapes, in order, none larger than about ``max_bytes`` (but one case)."""
    import numpy as np

    def signature(case: Case) -> tuple[Any, ...]:
        return tuple((n, a.shape, a.dtype.str) for n, a in sorted(case.inputs.items()))

    def flush(run: list[Case]) -> Block:
        names = run[0].inputs
        return Block(tuple(c.id for c in run), {n: np.stack([c.inputs[n] for c in run]) for n in names})

    run: list[Case] = []
    held = 0
    for case in cases:
        size = sum(a.nbytes for a in case.inputs.values())
        if run and (signature(case) != signature(run[0]) or held + size > max_bytes):
            yield flush(run)
            run, held = [], 0
        run.append(case)
        held += size
    if run:
        yield flush(run)


class TensorSource(Protocol):
    """A tensor that can be read in blocks, so that a comparison needs constant memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, start: int, stop: int) -> Array:
        """Return elements ``start:stop`` of the flattened (C order) tensor as a 1-D array."""
        ...


@dataclass(frozen=True, slots=True)
class ArraySource:
    """An array in memory (or a memory map) as a `TensorSource`."""

    array: Array
    _flat: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "_flat", np.ascontiguousarray(self.array).reshape(-1))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read(self, start: int, stop: int) -> Array:
        """Return elements ``start:stop`` of the flattened array."""
        return self._flat[start:stop]
