"""The `dataset` profile: the user's own observations, one array per input, the first axis counting observations."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.cases.caseset import CaseSet
from parity.cases.dtypes import FLOATS, INTEGERS, cast, numpy_dtype
from parity.cases.layout import batch_axis, role_of, specs_of
from parity.cases.npz import read_arrays
from parity.contract.model import Contract
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Case, Dim, TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array


def cases_from_npz(path: str | Path, contract: Contract | Sequence[TensorSpec], *, batch: int = 1) -> CaseSet:
    """Return ``dataset-0000`` and on, each of as many observations as the artifact's batch axis fixes, else ``batch``.

    An array is called like its input and holds ``(N, ...)``, an observation with or without the batch axis of length 1;
    an array of another name does where it is the only one, the policy has one input, and its shape fits: that, and
    casts, which lose nothing, are reported.

    Raises:
        ArtifactError: the file cannot be read, or its names, shapes, dtypes or counts do not fit the contract.
        UsageError: the contract declares no inputs.
    """
    path = Path(path)
    specs = specs_of(contract)
    arrays, findings = _matched(read_arrays(path), specs, path)
    steps = contract.window.n_obs_steps if isinstance(contract, Contract) else None
    named: dict[str, int] = {}
    rows: dict[str, Array] = {}
    for spec in specs:
        shaped = _observations(arrays[spec.name], _with_time(spec, steps), named, path)
        rows[spec.name], said = _typed(shaped, spec, path)
        findings += said
    count = _count(rows, path)
    size = _batch(specs, batch, path)
    findings += _observed(rows, count, path)
    if count % size:
        title = f"{path.name}: {count} observations do not fill batches of {size}: the last {count % size} are left out"
        findings.append(Finding("CASE014", "warning", title, evidence={"observations": count, "batch": size}))
    if count < size:
        raise ArtifactError(f"{path}: {count} observations, but the policy takes {size} at once", remedy="give more")
    cases = tuple(_case(rows, specs, i, size) for i in range(count // size))
    sources = {s.name: f"{path.name}, {count} observations" for s in specs}
    return CaseSet(cases, tuple(findings), sources)


def _matched(
    arrays: dict[str, Array], specs: Sequence[TensorSpec], path: Path
) -> tuple[dict[str, Array], list[Finding]]:
    """Return the arrays by the names of the inputs, and what is to be said of a name that is not its input's.

    Raises:
        ArtifactError: which array is for which input cannot be told.
    """
    names = [s.name for s in specs]
    if len(arrays) == 1 and len(names) == 1 and names[0] not in arrays:
        ((found, array),) = arrays.items()
        if not found or specs[0].shape is not None:  # a name that is not the input's, and no shape to go by: refused
            return {names[0]: array}, [_misnamed(found, names[0], path)]
    missing = [n for n in names if n not in arrays]
    unknown = [n for n in arrays if n not in names]
    if not missing and not unknown:
        return arrays, []
    said = []
    for name in missing:
        said.append(f"no array for input {name!r}")
    for name in unknown:
        near = difflib.get_close_matches(name, missing or names, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        said.append(f"array {name!r} is no input{hint}")
    raise ArtifactError(
        f"{path}: {'; '.join(said)}",
        expected=f"arrays called {', '.join(names)}",
        remedy="name each array like the input that it is for, and leave out all others",
    )


def _misnamed(found: str, name: str, path: Path) -> Finding:
    """Say that an array was taken for an input by its shape alone: values of another feature may have the same."""
    which = f"{found!r}, its only array" if found else "its only array, which has no name"
    return Finding(
        "CASE016",
        "warning",
        f"{name}: {path.name} holds no array of that name; by its shape alone, {which}, was taken",
        where=name,
        evidence={"array": found, "input": name},
        remedy=f"make sure that it holds {name}, and name it so: numpy.savez({path.name!r}, **{{{name!r}: ...}})",
    )


def _with_time(spec: TensorSpec, steps: int | str | None) -> TensorSpec:
    """A bare shape gets the time axis of the window, as `make_cases` gives it."""
    if spec.batched or spec.shape is None or not isinstance(steps, int) or steps < 2:
        return spec
    return replace(spec, shape=(steps, *spec.shape))


def _row_dims(spec: TensorSpec) -> tuple[Dim, ...] | None:
    """Return the dims of one observation, without the batch axis; None where nothing is known."""
    if spec.shape is None:
        return None
    axis = batch_axis(spec)
    if not spec.batched or axis is None:
        return spec.shape
    return spec.shape[:axis] + spec.shape[axis + 1 :]


def _observations(array: Array, spec: TensorSpec, named: dict[str, int], path: Path) -> Array:
    """Return ``(N, *row)``, symbolic dims bound to what was found, the same for every input."""
    dims = _row_dims(spec)
    if dims is None:
        return array
    axis = (batch_axis(spec) or 0) + 1
    shape = array.shape
    if len(shape) == len(dims) + 2 and shape[axis] == 1:
        array = np.squeeze(array, axis=axis)
    wanted = tuple(named.get(d, d) if isinstance(d, str) else d for d in dims)
    fits = array.ndim == len(wanted) + 1 and all(
        not isinstance(w, int) or w == n for w, n in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        told = ", ".join("?" if d is None else str(d) for d in ("N", *wanted))
        raise ArtifactError(
            f"{path}: array for input {spec.name!r}: found shape {shape}",
            expected=f"({told}), the first axis counting observations",
            remedy="give one row per observation, in the shape that the policy takes",
        )
    for dim, size in zip(dims, array.shape[1:], strict=True):
        if isinstance(dim, str):
            named[dim] = size
    return array


def _typed(array: Array, spec: TensorSpec, path: Path) -> tuple[Array, list[Finding]]:
    """Return the array in the input's dtype, where that loses nothing, and what is to be said of the cast."""
    wanted = spec.dtype or array.dtype.name
    found = array.dtype.name
    if array.dtype.kind == "V":
        if wanted != "bfloat16" or array.dtype.itemsize != 2:
            raise ArtifactError(
                f"{path}: array for input {spec.name!r} holds raw bytes ({array.dtype})", expected=wanted
            )
        return np.ascontiguousarray(array).view(numpy_dtype("bfloat16")), []
    if found == wanted:
        return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)), []
    out = _lossless(array, wanted)
    if out is None:
        raise ArtifactError(
            f"{path}: array for input {spec.name!r}: found dtype {found}, and values would be lost in {wanted}",
            expected=f"{wanted}, or a dtype whose values it holds exactly",
            remedy=f"convert it yourself, as the robot does: array.astype({wanted!r})",
        )
    findings = [Finding("CASE012", "info", f"{spec.name}: {found} was cast to {wanted}, no value changed", spec.name)]
    if role_of(spec) == "image" and found == "uint8" and wanted in FLOATS:
        title = f"{spec.name}: whole numbers 0 … 255 are given where the policy takes {wanted}, often scaled to 0 … 1"
        remedy = "divide by 255 if the policy's own preprocessing does"
        findings[0] = Finding("CASE015", "warning", title, where=spec.name, remedy=remedy)
    return out, findings


def _lossless(array: Array, wanted: str) -> Array | None:
    if wanted not in FLOATS and wanted not in INTEGERS and wanted != "bool":
        return None
    if array.dtype.kind == "f" and wanted not in FLOATS and not np.isfinite(array).all():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if wanted == "bfloat16":
            finite = np.where(np.isfinite(array), array, 0).astype(np.float64)
            out = np.where(np.isfinite(array), cast(finite, wanted).astype(np.float32), array)
            out = out.astype(numpy_dtype(wanted))
        else:
            out = array.astype(wanted)
        back = out.astype(array.dtype)
    same = np.array_equal(back, array, equal_nan=array.dtype.kind == "f")
    signs = array.dtype.kind == "f" or not np.any((array < 0) != (out < 0))  # int64 −1 in uint64 comes back as −1
    return out if same and signs else None


def _count(rows: Mapping[str, Array], path: Path) -> int:
    counts = {n: (a.shape[0] if a.ndim else None) for n, a in rows.items()}
    told = ", ".join(f"{n}: {c}" for n, c in counts.items())
    if None in counts.values():
        raise ArtifactError(f"{path}: an array is a single number", expected="a first axis that counts observations")
    if len(set(counts.values())) > 1:
        raise ArtifactError(f"{path}: arrays hold different numbers of observations ({told})", expected="one number")
    count = next(iter(counts.values())) or 0
    if count == 0 or any(a.size == 0 for a in rows.values()):
        raise ArtifactError(
            f"{path}: no observations ({told})", expected="at least two", remedy="record observations first"
        )
    return count


def _batch(specs: Sequence[TensorSpec], batch: int, path: Path) -> int:
    fixed = set()
    for spec in specs:
        axis = batch_axis(spec)
        if spec.batched and axis is not None and spec.shape is not None:
            dim = spec.shape[axis]
            fixed |= {dim} if isinstance(dim, int) else set()
    if len(fixed) > 1:
        raise ArtifactError(f"{path}: the inputs are fixed to different batch sizes: {sorted(fixed)}")
    return fixed.pop() if fixed else batch


def _observed(rows: Mapping[str, Array], count: int, path: Path) -> list[Finding]:
    findings = []
    for name, array in rows.items():
        if array.dtype.kind not in "biu":
            flat = array.reshape(count, -1)
            finite = np.isfinite(flat if array.dtype.kind == "f" else flat.astype(np.float32))
            bad = np.flatnonzero(~finite.all(axis=1))
            if len(bad):
                title = f"{name}: {int((~finite).sum())} values in {len(bad)} of {count} observations are NaN or Inf"
                evidence = {"observations": bad[:64].tolist()}
                remedy = "they are kept: find out whether the robot really sends them"
                findings.append(Finding("CASE011", "warning", title, name, evidence=evidence, remedy=remedy))
    tally = Counter(_fingerprints(rows, count))
    if len(tally) < 2:
        what = "there is only one observation" if count == 1 else f"all {count} observations are the same"
        title = f"{path.name}: {what}: a comparison on it says nothing"
        evidence = {"observations": count, "distinct": 1}
        return [*findings, Finding("CASE013", "warning", title, evidence=evidence, remedy="give two that differ")]
    if len(tally) < count:
        title = f"{path.name}: {count - len(tally)} of {count} observations repeat another"
        findings.append(Finding("CASE010", "info", title, evidence={"observations": count, "distinct": len(tally)}))
    return findings


def _fingerprints(rows: Mapping[str, Array], count: int) -> list[bytes]:
    made = []
    for i in range(count):
        digest = hashlib.sha256()
        for name in sorted(rows):
            digest.update(np.ascontiguousarray(rows[name][i]).tobytes())
        made.append(digest.digest())
    return made


def _case(rows: Mapping[str, Array], specs: Sequence[TensorSpec], index: int, size: int) -> Case:
    inputs = {}
    first = index * size
    for spec in specs:
        part = rows[spec.name][first : first + size]
        axis = batch_axis(spec) if spec.shape is not None else 0
        inputs[spec.name] = part[0] if axis is None else np.ascontiguousarray(np.moveaxis(part, 0, axis))
    told = f"observation {first}" if size == 1 else f"observations {first} to {first + size - 1}"
    return Case(f"dataset-{index:04d}", "dataset", 0, inputs, told)
