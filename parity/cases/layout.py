"""From what a contract declares to concrete arrays: every dim a number, every dtype known, the batch axis found.

How a dim gets its size, first rule first:

1. ``bind``, by the dim's name or, for a dim without one, by ``input[axis]``;
2. the batch axis: ``batch``;
3. a name of the contract's temporal window (``horizon``, ``chunk_size``, ``n_obs_steps``, ``n_action_steps``);
4. the input's range, which has a number per element, and the names of its elements;
5. a small default: 3 channels and 96 x 96 pixels in images, 8 elsewhere, with a finding that says so (CASE002).

A feature's bare shape (``batched=False``) gets a batch axis, and before it a time axis where the window holds more than
one observation.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from parity.cases.dtypes import FLOATS, INTEGERS, numpy_dtype
from parity.contract.model import Contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Dim, Range, Role, TensorSpec

DEFAULT_DIM, DEFAULT_CHANNELS, DEFAULT_PIXELS = 8, 3, 96
MAX_INPUT_BYTES = 1 << 30  # of one input of one case; artifacts are untrusted and may declare any size

_BATCH = re.compile(r"batch([_ ]?(size|dim))?|bs|b|n", re.IGNORECASE)
_CHANNELS = (1, 3, 4)
_WINDOW = ("n_obs_steps", "horizon", "chunk_size", "n_action_steps")


@dataclass(frozen=True, slots=True)
class Layout:
    """One input made concrete. ``shape`` holds the batch axis, if there is one, at ``batch_axis``."""

    spec: TensorSpec
    role: Role | None
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int | None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def rows(self) -> int:
        """How many observations one array holds."""
        return 1 if self.batch_axis is None else self.shape[self.batch_axis]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape without the batch axis."""
        if self.batch_axis is None:
            return self.shape
        return self.shape[: self.batch_axis] + self.shape[self.batch_axis + 1 :]

    @property
    def pixel_axes(self) -> tuple[int, int] | None:
        """The axes of an image's rows and columns, counted from the end; None where the input is no image."""
        row = self.row_shape
        if self.role != "image" or len(row) < 2:
            return None
        channels_last = len(row) >= 3 and row[-1] in _CHANNELS and row[-3] not in _CHANNELS
        return (-3, -2) if channels_last else (-2, -1)

    @property
    def nbytes(self) -> int:
        size = numpy_dtype(self.dtype).itemsize
        for dim in self.shape:
            size *= dim
        return size


@dataclass(slots=True)
class _Sizes:
    """Sizes of dims by name while inputs are resolved, and which of them were guessed."""

    batch: int
    bind: Mapping[str, int]
    known: dict[str, int]
    used: set[str] = field(default_factory=set)
    guessed: dict[str, int] = field(default_factory=dict)

    def of(self, dim: Dim, place: str, *, is_batch: bool, default: int) -> int:
        if isinstance(dim, int):
            return dim
        key = place if dim is None else dim
        for name in (key, place):
            if name in self.bind:
                self.used.add(name)
                return self.bind[name]
        if is_batch:
            self.known.setdefault(key, self.batch)
            return self.batch
        if key in self.known:
            return self.known[key]
        return self.guessed.setdefault(key, default)


def specs_of(contract: Contract | Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the inputs.

    Raises:
        UsageError: there are none, or two have one name.
    """
    specs = contract.inputs if isinstance(contract, Contract) else tuple(contract)
    if not specs:
        read = f"{contract.path}: " if isinstance(contract, Contract) else ""
        raise UsageError(
            f"{read}no inputs are declared, so no cases can be made",
            expected="names, shapes and dtypes of the inputs",
            remedy="compare with an ONNX export or a config.json of the same policy, or give --inputs FILE.npz",
        )
    names = [s.name for s in specs]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError(f"two inputs are called {twice[0]!r}", expected="one input per name")
    return specs


def resolve(
    contract: Contract | Sequence[TensorSpec],
    *,
    batch: int = 1,
    bind: Mapping[str, int] | None = None,
    ranges: Mapping[str, Range] | None = None,
) -> tuple[tuple[Layout, ...], tuple[Finding, ...]]:
    """Return one layout per input, in the contract's order, and findings about what had to be assumed.

    ``ranges`` are those that go before the inputs' own.

    Raises:
        UsageError: an input's shape or dtype is unknown or impossible, ``bind`` names a dim that no input has, or an
            input would take more than 1 GiB.
    """
    specs = specs_of(contract)
    bind = dict(bind or {})
    for name, size in (*bind.items(), ("batch", batch)):
        if isinstance(size, bool) or not isinstance(size, int) or size < (0 if name == "n_obs_steps" else 1):
            raise UsageError(f"the size of {name!r} is {size!r}", expected="a whole number, 1 or more")
    window = contract.window if isinstance(contract, Contract) else None
    told = {n: getattr(window, n) for n in _WINDOW} if window else {}
    sizes = _Sizes(batch, bind, {n: v for n, v in told.items() if isinstance(v, int) and v > 0})
    steps = bind.get("n_obs_steps", sizes.known.get("n_obs_steps", 1))
    for spec in specs:  # the names of batch dims first: they may come up again in other inputs
        axis = batch_axis(spec)
        if spec.batched and spec.shape is not None and axis is not None:
            sizes.of(spec.shape[axis], f"{spec.name}[{axis}]", is_batch=True, default=batch)
    for spec in specs:
        _learn(spec, (ranges or {}).get(spec.name) or spec.range, sizes)
    layouts = tuple(_layout(spec, sizes, steps) for spec in specs)
    _refuse_unused(bind, sizes, specs)
    return layouts, tuple(_findings(layouts, sizes, steps))


def batch_axis(spec: TensorSpec) -> int | None:
    """Return the axis that counts observations, None for a scalar.

    It is the axis named like a batch, else the second of a recurrent state ``(layers, batch, hidden)`` whose first is a
    number, else the first.
    """
    if not spec.batched:
        return 0
    shape = spec.shape or ()
    if not shape:
        return None
    for axis, dim in enumerate(shape):
        if isinstance(dim, str) and _BATCH.fullmatch(dim):
            return axis
    return 1 if spec.role == "hidden_state" and len(shape) >= 3 and isinstance(shape[0], int) else 0


def role_of(spec: TensorSpec) -> Role | None:
    """Return the declared role; without one, what dtype and shape tell: a mask is bool, ``(…, C, H, W)`` an image."""
    if spec.role is not None:
        return spec.role
    if spec.dtype == "bool":
        return "mask"
    shape = (spec.shape or ())[0 if not spec.batched else 1 :]
    if len(shape) >= 3 and shape[-3] in _CHANNELS:
        pixels = [d for d in shape[-2:] if isinstance(d, int)]
        return "image" if all(d >= 8 for d in pixels) else None
    return None


def _learn(spec: TensorSpec, declared: Range | None, sizes: _Sizes) -> None:
    """Take sizes of symbolic dims from the range and the elements' names; the axes are those at the end."""
    shape = spec.shape or ()
    told = [*(declared.shape if declared is not None else ())][-len(shape) :] if shape else []
    lengths = {-1 - i: n for i, n in enumerate(reversed(told)) if n > 1}
    if spec.elements:
        lengths[-1] = len(spec.elements)
    for axis, length in lengths.items():
        dim = shape[axis] if -axis <= len(shape) else 0
        if not isinstance(dim, int):
            place = f"{spec.name}[{len(shape) + axis}]"
            sizes.known.setdefault(place if dim is None else dim, length)


def _layout(spec: TensorSpec, sizes: _Sizes, steps: int) -> Layout:
    if spec.shape is None:
        raise UsageError(
            f"input {spec.name!r}: its shape is not known, so no cases can be made",
            expected="a shape such as (1, 45)",
            remedy="compare with an ONNX export or a config.json of the same policy, or give --inputs FILE.npz",
        )
    role, axis = role_of(spec), batch_axis(spec)
    shape = []
    for i, dim in enumerate(spec.shape):
        is_batch = spec.batched and i == axis
        default = _default(role, i - len(spec.shape))
        shape.append(sizes.of(dim, f"{spec.name}[{i}]", is_batch=is_batch, default=default))
    if not spec.batched:
        shape = [sizes.bind.get("batch", sizes.batch), *([steps] if steps > 1 else []), *shape]
    layout = Layout(spec, role, _dtype(spec, role), tuple(shape), axis)
    if any(d < 0 for d in shape) or layout.nbytes > MAX_INPUT_BYTES:
        raise UsageError(
            f"input {spec.name!r} {layout.shape} of {layout.dtype} would take {layout.nbytes / 2**30:,.1f} GiB",
            expected="an input of at most 1 GiB",
            remedy="check the declared shape; a smaller size for a symbolic dim can be bound",
        )
    return layout


def _default(role: Role | None, from_end: int) -> int:
    if role == "image" and from_end >= -3:
        return DEFAULT_CHANNELS if from_end == -3 else DEFAULT_PIXELS
    return DEFAULT_DIM


def _dtype(spec: TensorSpec, role: Role | None) -> str:
    name = spec.dtype
    if name is None:
        name = {"tokens": "int64", "timestep": "int64", "mask": "bool"}.get(role or "", "float32")
    if name not in FLOATS and name not in INTEGERS and name != "bool":
        raise UsageError(
            f"input {spec.name!r} has dtype {name!r}, for which no cases can be made",
            expected=", ".join((*FLOATS, *INTEGERS, "bool")),
            remedy="give observations of your own with --inputs FILE.npz",
        )
    numpy_dtype(name)
    return name


def _refuse_unused(bind: Mapping[str, int], sizes: _Sizes, specs: Sequence[TensorSpec]) -> None:
    dims = {d for s in specs for d in (s.shape or ()) if isinstance(d, str)}
    free = {f"{s.name}[{i}]" for s in specs for i, d in enumerate(s.shape or ()) if d is None}
    for name in bind:
        if name not in sizes.used and name not in (*dims, "batch", "n_obs_steps"):
            near = difflib.get_close_matches(name, [*dims, *free], 1)
            raise UsageError(
                f"no input has a dim called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                expected=", ".join(sorted((*dims, *free))) or "no size at all: every dim is a number",
            )


def _findings(layouts: Sequence[Layout], sizes: _Sizes, steps: int) -> list[Finding]:
    found = []
    if sizes.guessed:
        text = ", ".join(f"{k} = {v}" for k, v in sizes.guessed.items())
        found.append(
            Finding(
                "CASE002",
                "info",
                f"symbolic dims without a size were set to {text}",
                evidence=dict(sizes.guessed),
                remedy="bind them to the sizes that the robot uses",
            )
        )
    bare = [x for x in layouts if not x.spec.batched]
    if bare:
        shapes = {x.name: list(x.shape) for x in bare}
        axes = "batch and time axes" if steps > 1 else "a batch axis"
        found.append(Finding("CASE007", "info", f"{axes} put before the bare shapes of features", evidence=shapes))
    fixed = {x.name: x.rows for x in layouts if _fixed_elsewhere(x, sizes.batch)}
    if fixed:
        title = f"the artifact fixes its batch: {sizes.batch} was asked for and is not used"
        found.append(Finding("CASE008", "info", title, where=", ".join(fixed), evidence=fixed))
    assumed = {x.name: x.dtype for x in layouts if x.spec.dtype is None}
    if assumed:
        told = ", ".join(f"{n}: {d}" for n, d in assumed.items())
        title = f"dtypes that are not known were assumed ({told})"
        found.append(Finding("CASE009", "info", title, where=", ".join(assumed), evidence=assumed))
    return found


def _fixed_elsewhere(layout: Layout, batch: int) -> bool:
    axis = layout.batch_axis
    if axis is None or layout.spec.shape is None or not layout.spec.batched or batch == 1:
        return False
    return isinstance(layout.spec.shape[axis], int) and layout.rows != batch
