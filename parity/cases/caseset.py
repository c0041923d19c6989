"""Cases with what was found while making them, and cases joined into one of a larger batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parity.cases.layout import batch_axis
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Case, TensorSpec


@dataclass(frozen=True, slots=True)
class CaseSet:
    """Cases, findings about how they were made, and for each input in words where its values come from."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def distinct(self) -> int:
        """How many cases differ from all others in at least one bit of an input."""
        return len({fingerprint(c) for c in self.cases})


def fingerprint(case: Case) -> str:
    """Return the SHA-256 over names, shapes, dtypes and bytes of a case's inputs, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(case.inputs):
        array = case.inputs[name]
        digest.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def batch_case(cases: Sequence[Case], size: int, specs: Sequence[TensorSpec] = (), *, index: int = 0) -> Case:
    """Return one case of batch ``size`` whose rows are those of ``cases``, in order; row i is case i at batch 1.

    Its id is ``<profile>-b0000``. ``specs`` tell which axis counts observations (the first, where they do not); an axis
    that the artifact fixes to another size is no batch axis here.

    Raises:
        UsageError: fewer rows than ``size``, or an input without a batch axis differs between the cases.
    """
    axes = {s.name: _free_axis(s, size) for s in specs}
    chosen: list[Case] = []
    rows = 0
    for case in cases:
        if rows >= size:
            break
        chosen.append(case)
        rows += _rows(case, axes)
    if size < 1 or rows != size:
        raise UsageError(f"a batch of {size} cannot be put together from cases that hold {rows} observations")
    inputs = {}
    for name, first in chosen[0].inputs.items():
        axis = axes.get(name, 0 if first.ndim else None)
        parts = [c.inputs[name] for c in chosen]
        if axis is not None:
            inputs[name] = np.concatenate(parts, axis=axis)
        elif all(np.array_equal(p, first) for p in parts):
            inputs[name] = first
        else:
            raise UsageError(
                f"input {name!r} has no batch axis and differs from case to case, so rows cannot share a batch",
                remedy="join only cases in which it is equal",
            )
    lead = chosen[0]
    note = f"rows are {', '.join(c.id for c in chosen)}"
    return Case(f"{lead.profile}-b{index:04d}", lead.profile, lead.seed, inputs, note)


def _free_axis(spec: TensorSpec, size: int) -> int | None:
    axis = batch_axis(spec)
    if axis is None or not spec.batched or spec.shape is None:
        return axis
    dim = spec.shape[axis]
    return axis if not isinstance(dim, int) or dim == size else None


def _rows(case: Case, axes: Mapping[str, int | None]) -> int:
    sizes = {a.shape[x] for n, a in case.inputs.items() if (x := axes.get(n, 0 if a.ndim else None)) is not None}
    if not sizes:
        raise UsageError(f"{case.id}: none of its inputs has a free batch axis: the artifact fixes its batch")
    if len(sizes) != 1:
        raise UsageError(f"{case.id}: its inputs hold different numbers of observations ({sorted(sizes)})")
    return int(sizes.pop())
