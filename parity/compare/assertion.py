"""`assert_close`: the comparison as one line of a user's own test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.budget import CLASSES, Budget, derived_limit, over
from parity.compare.describe import where
from parity.compare.floors import ROUNDING, TINY
from parity.compare.kernel import Scratch, gap_of
from parity.compare.leaves import Path, as_array, is_plain, leaves, spelled
from parity.compare.metrics import Diff, diff
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

Limits = float | Sequence[float] | Mapping[str, Any] | Budget

ENOUGH_ROWS = 16  # for a dimension to have a scale of its own


def assert_close(
    actual: Any,
    expected: Any,
    *,
    budget: Limits | None = None,
    names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Raise AssertionError unless every tensor of ``actual`` keeps its budget against ``expected``.

    Args:
        actual: the candidate's array or torch tensor, ``(..., D)``, or a list or mapping of them.
        expected: the reference's, nested alike.
        budget: limits on |actual - expected|: one number, or one per element of the last axis; or a mapping of metrics
            to limits (``{"max_abs": 0.1, "cosine_min": 0.99}``) or a `Budget`; or a mapping of these by tensor name.
            None: what rounding may do. With s the largest |expected| in a dimension of the last axis (in the whole
            tensor, where that has fewer than 16 rows), float32 and float64 may differ by 32 · 8 · 2⁻²⁴ · s = 1.5e-5 s,
            float16 by 1.6e-2 s, bfloat16 by 6.2e-2 s. Integers and booleans must be equal.
        names: of the elements of the last axis, such as joints, for the message; or a mapping of such by tensor name.

    Shapes and dtypes must be equal, except that Python numbers take the other side's dtype. NaN is a mismatch, against
    NaN too, unless the budget allows it; so is any infinity but the same on both sides. Empty tensors say nothing and
    fail.

    Raises:
        AssertionError: names the worst element and how far it is over its limit.
        UsageError: the budget or names do not fit the tensors, or something is no tensor.
    """
    found, wanted = dict(leaves(actual)), dict(leaves(expected))
    if not wanted and not found:
        raise AssertionError("there is nothing to compare: no tensor on either side")
    problems = [f"{spelled(p)}: expected, but missing in actual" for p in wanted if p not in found]
    problems += [f"{spelled(p)}: in actual, but not expected" for p in found if p not in wanted]
    _check_names("budget", budget if isinstance(budget, Mapping) and _by_tensor(budget) else None, wanted)
    _check_names("names", names if isinstance(names, Mapping) else None, wanted)
    for path in wanted:
        if path in found:
            limits = _of(budget, path) if _by_tensor(budget) else budget
            elements = _of(names, path) if isinstance(names, Mapping) else names
            problem = _problem(found[path], wanted[path], limits, elements, spelled(path))
            problems += [problem] if problem else []
    if problems:
        raise AssertionError("\n".join(problems))


def _by_tensor(budget: Any) -> bool:
    metrics = {f.name for f in fields(Budget)}
    return isinstance(budget, Mapping) and not set(budget) <= metrics


def _of(table: Any, path: Path) -> Any:
    return table.get(spelled(path), table.get(path[-1] if path else None))


def _check_names(what: str, table: Mapping[str, Any] | None, wanted: Mapping[Path, Any]) -> None:
    known = {spelled(p) for p in wanted} | {p[-1] for p in wanted if p}
    for key in table or ():
        if key not in known:
            there = ", ".join(spelled(p) for p in wanted)
            raise UsageError(f"{what} has {key!r}, which is neither a metric nor a tensor", expected=there)


def _problem(actual: Any, expected: Any, limits: Any, elements: Sequence[str] | None, name: str) -> str | None:
    """Return why one tensor is not close enough, or None where it is."""
    a, b = as_array(actual, name), as_array(expected, name)
    if is_plain(expected) and is_plain(actual):
        common = np.result_type(a, b)
        a, b = a.astype(common), b.astype(common)
    elif is_plain(expected):
        b = _adopted(b, a.dtype)
    elif is_plain(actual):
        a = _adopted(a, b.dtype)
    if elements is not None and (b.ndim == 0 or len(elements) != b.shape[-1]):
        raise UsageError(f"{len(elements)} names are given for {name}, whose shape is {b.shape}")
    if a.shape != b.shape:
        return f"{name}: shape {a.shape}, expected {b.shape}; shapes are never broadcast"
    if a.dtype != b.dtype:
        return f"{name}: dtype {a.dtype}, expected {b.dtype}; cast one of them if that is meant"
    if b.size == 0:
        return f"{name}: shape {b.shape} holds no elements: a comparison of nothing"
    budget = _budget(limits)
    found = diff(a, b, percentiles=budget is not None and budget.p99_abs is not None)
    return _verdict(_Pair(a, b, name, elements), found, budget)


def _adopted(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return Python numbers in ``dtype``, or as they are where that would change them by more than rounding."""
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
    if not np.can_cast(values.dtype, dtype, "same_kind") or (dtype.kind in "iu" and (cast != values).any()):
        return values
    return cast


def _budget(limits: Any) -> Budget | None:
    if limits is None:
        return None
    if isinstance(limits, Budget):
        budget = limits
    elif isinstance(limits, Mapping):
        plain = {k: v for k, v in limits.items() if k in ("allow_nan", "units")}
        budget = Budget(**plain, **{k: _numbers(v) for k, v in limits.items() if k not in plain})
    else:
        budget = Budget(max_abs=_numbers(limits))
    if not budget.judged and not budget.allow_nan:
        raise UsageError("the budget limits nothing", remedy="set max_abs, or leave the budget out")
    return budget


def _numbers(limit: Any) -> Any:
    """Return a limit as a float, or a tuple of floats where it is a sequence."""
    try:
        values = np.asarray(limit, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"budget {limit!r} is no limit", expected="a number, numbers, or a mapping") from error
    if values.ndim > 1 or values.size == 0 or np.isnan(values).any():
        raise UsageError(f"budget {limit!r} is no limit", expected="one number, or one per action dimension")
    return values.item() if values.ndim == 0 else tuple(values.tolist())


@dataclass(frozen=True, slots=True)
class _Pair:
    actual: Array
    expected: Array
    name: str
    elements: Sequence[str] | None

    def at(self, index: tuple[int, ...]) -> str:
        place = where(index, self.expected.shape, elements=self.elements, batched=None)
        return f"{place}: actual {self.actual[index]}, expected {self.expected[index]}"


def _verdict(pair: _Pair, found: Diff, budget: Budget | None) -> str | None:
    allowed = found.nan_both if budget is not None and budget.allow_nan else 0
    wrong = found.nan_mismatches - allowed + found.inf_mismatches
    if wrong:
        index = _first_hole(pair) if allowed else found.first_nonfinite
        at = f"; the first at {pair.at(index)}" if index is not None else ""
        return f"{pair.name}: {wrong} of {found.size} elements are NaN, or infinite on one side{at}"
    if found.compared == 0:
        return None if allowed or found.inf_both == found.size else f"{pair.name}: nothing could be compared"
    limit = _limit(pair, found, budget)
    if limit is not None:
        message = _over_limit(pair, found, limit)
        if message:
            return message
    broken = over(budget, found.as_json()) if budget is not None else []
    return f"{pair.name}: {'; '.join(broken)}" if broken else None


def _first_hole(pair: _Pair) -> tuple[int, ...]:
    a, b = pair.actual.astype(np.float64), pair.expected.astype(np.float64)
    wrong = (np.isnan(a) != np.isnan(b)) | ((np.isinf(a) | np.isinf(b)) & (a != b))
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))


def _limit(pair: _Pair, found: Diff, budget: Budget | None) -> Array | None:
    """Return the limit on |Δ| per element of the last axis, ``(D,)``, or None where the budget sets none."""
    width = pair.expected.shape[-1] if pair.expected.ndim else 1
    if budget is not None and budget.judged:
        limit = budget.limit(width)
        return None if limit is None else limit / budget.gain(width)
    if pair.expected.dtype.kind in "iub":
        return np.zeros(width)
    scale = _scale(found, width)
    name = pair.expected.dtype.name
    precision = name if name in CLASSES else "float32"
    return derived_limit(precision, np.maximum(ROUNDING * scale, TINY), scale)


def _scale(found: Diff, width: int) -> Array:
    """Return the largest |reference| per dimension, or of the whole tensor where rows are too few to tell."""
    if found.dim_ref_min is None or found.dim_ref_max is None:
        largest = np.asarray([found.max_reference])
    else:
        largest = np.nan_to_num(np.maximum(np.abs(found.dim_ref_min), np.abs(found.dim_ref_max)), nan=0.0)
    if found.size // width < ENOUGH_ROWS:
        largest = largest.max(keepdims=True)
    scale: Array = np.broadcast_to(largest, (width,))
    return scale


def _over_limit(pair: _Pair, found: Diff, limit: Array) -> str | None:
    largest = found.dim_max_abs if found.dim_max_abs is not None else np.asarray([found.max_abs])
    if (largest <= limit if found.dim_max_abs is not None else largest.max() <= limit.min()).all():
        return None
    gap = _gap(pair)
    wrong = ~(gap <= limit)  # so that a limit that is no number is kept by nothing
    if not wrong.any():
        return None
    with np.errstate(all="ignore"):
        excess = np.where(wrong, np.where(limit > 0, gap / limit, np.inf), -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
    allowed = float(np.broadcast_to(limit, gap.shape or (1,))[index or (0,)])
    cosine = "" if found.cosine_min is None else f", smallest cosine {found.cosine_min:.6f}"
    count = f"{int(wrong.sum())} of {found.size}"
    return (
        f"{pair.name}: {count} elements are over their limit; the worst at {pair.at(index)}; "
        f"|Δ| {float(gap[index]):.6g}, limit {allowed:.6g} "
        f"(largest |Δ| {found.max_abs:.6g}, {found.rel:.3g} of the largest |expected|{cosine})"
    )


def _gap(pair: _Pair) -> Array:
    """Return |Δ|, exact for integers, -1 where an element is not finite; all of it at once, for the message alone."""
    a, b = (np.ascontiguousarray(v).reshape(-1) for v in (pair.actual, pair.expected))
    with np.errstate(all="ignore"):
        found = gap_of(a, b, Scratch(a.size))
    gap = found.gap if found.left_out is None else np.where(found.left_out, -1, found.gap)
    return gap.reshape(pair.expected.shape)
