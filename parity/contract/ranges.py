"""Normalization statistics embedded in a policy, as the ranges of its tensors.

Three places are read here: arrays written in a configuration, the tensors of a safetensors file
(``<feature>.<statistic>``), and the normalizer inside a diffusion_policy state dict. Which statistics belong to which
feature is decided by the format's own reader; a range is set only where they fit the feature's shape and are finite.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from parity.checkpoint.safetensors import SafetensorsFile
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Range, TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array

STATS_SHAPE = "CONTRACT006"
STATS_NOT_FINITE = "CONTRACT007"

STATISTICS = ("mean", "std", "min", "max", "q01", "q99", "q10", "q50", "q90", "count")
_QUANTILE = re.compile(r"q\d{1,3}")
MAX_ELEMENTS = 1 << 20

RangeKind = Literal["mean_std", "min_max", "quantiles"]
_PAIRS: dict[RangeKind, tuple[str, str]] = {
    "mean_std": ("mean", "std"),
    "min_max": ("min", "max"),
    "quantiles": ("q01", "q99"),
}
_NEEDED: dict[str, RangeKind] = {"mean_std": "mean_std", "min_max": "min_max", "quantiles": "quantiles"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one place says about one feature: ``values["mean"]`` and so on, float64, in the shape it is stored in.

    ``feature`` is the key as stored; ``source`` names the file and key, and travels into the report.
    """

    feature: str
    values: Mapping[str, Array]
    source: str

    def has(self, kind: RangeKind) -> bool:
        """Whether both arrays that ``kind`` needs are there."""
        return all(name in self.values for name in _PAIRS[kind])


def needed_kind(mode: str | None) -> RangeKind | None:
    """Return which statistics a normalization mode reads, None for the identity and modes that are not known."""
    return _NEEDED.get(mode.lower()) if mode else None


def needed_names(kind: RangeKind) -> tuple[str, str]:
    """Return the names of the two statistics that ``kind`` needs."""
    return _PAIRS[kind]


def from_safetensors(file: SafetensorsFile, source: str) -> dict[str, Statistics]:
    """Return the statistics of a file whose tensors are called ``<feature>.<statistic>``, by feature.

    Raises:
        ArtifactError: a tensor that is named as a statistic holds more than 2^20 elements.
    """
    return from_names(file.names, lambda name: _read(file, name), source)


def from_names(names: Iterable[str], read: Callable[[str], Array], source: str) -> dict[str, Statistics]:
    """Return statistics by feature from tensors called ``<feature>.<statistic>``; other names are left alone."""
    found: dict[str, dict[str, Array]] = {}
    for name in names:
        feature, dot, statistic = name.rpartition(".")
        if dot and feature and is_statistic(statistic):
            found.setdefault(feature, {})[statistic] = read(name)
    return {feature: Statistics(feature, values, f"{source}: {feature}") for feature, values in found.items()}


def _read(file: SafetensorsFile, name: str) -> Array:
    import numpy as np

    dtype, shape = file.spec(name)
    if math.prod(shape) > MAX_ELEMENTS:
        raise ArtifactError(
            f"{file.path}: the statistic {name!r} has the shape {list(shape)}", expected="a few numbers"
        )
    if dtype.startswith(("float8", "complex")):
        raise ArtifactError(f"{file.path}: the statistic {name!r} is stored as {dtype}", expected="float32")
    return file.read(name, as_float32=dtype == "bfloat16").astype(np.float64)


def from_config(value: Any, source: str) -> dict[str, Statistics]:
    """Return the statistics written in a configuration, ``{feature: {"mean": [...], ...}}``, by feature.

    Anything else in the mapping is left alone.

    Raises:
        ArtifactError: a statistic is no rectangular array of numbers.
    """
    found: dict[str, Statistics] = {}
    for feature, entries in value.items() if isinstance(value, dict) else ():
        if not isinstance(entries, dict):
            continue
        values = {k: as_array(v, f"{source}.{feature}.{k}") for k, v in entries.items() if is_statistic(k)}
        if values:
            found[str(feature)] = Statistics(str(feature), values, f"{source}.{feature}")
    return found


def is_statistic(name: str) -> bool:
    """Whether a name is that of a statistic: those of `STATISTICS`, or any quantile, ``q`` and its digits."""
    return name in STATISTICS or _QUANTILE.fullmatch(name) is not None


def as_array(value: Any, source: str) -> Array:
    """Return parsed JSON or YAML as an array of float64; truth values are 0 and 1, a null inside of a list is NaN.

    Raises:
        ArtifactError: no number, no rectangular list of numbers, or more than 2^20 of them.
    """
    import numpy as np

    try:
        array = np.asarray(value) if isinstance(value, list | int | float) else None
        if array is not None and array.dtype.kind == "O" and all(_is_number(v) for v in array.reshape(-1)):
            array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        array = None
    if array is None or array.dtype.kind not in "biuf" or array.size > MAX_ELEMENTS:
        raise ArtifactError(f"{source}: not an array of numbers", expected="numbers in lists of equal length")
    return array.astype(np.float64)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def with_range(spec: TensorSpec, statistics: Statistics, mode: str | None) -> tuple[TensorSpec, Finding | None]:
    """Return the tensor with the range that its statistics tell, or unchanged with the finding why not.

    The statistics that ``mode`` reads come first, then quantiles, mean and standard deviation, minimum and maximum.
    Statistics of shape ``(C,)`` for an image ``(C, H, W)`` are read per channel.
    """
    import numpy as np

    first = needed_kind(mode)
    order: list[RangeKind] = [*([first] if first else []), "quantiles", "mean_std", "min_max"]
    kind = next((k for k in order if statistics.has(k)), None)
    if kind is None:
        return spec, None
    low, high = (statistics.values[name] for name in _PAIRS[kind])
    shape = _fitting(spec, low.shape) if low.shape == high.shape else None
    if shape is None:
        return spec, _does_not_fit(spec, statistics, low.shape, high.shape)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return spec, _not_finite(spec, statistics, int(np.sum(~np.isfinite(low)) + np.sum(~np.isfinite(high))))
    found = Range(kind, tuple(low.reshape(-1).tolist()), tuple(high.reshape(-1).tolist()), shape, statistics.source)
    return replace(spec, range=found), None


def _fitting(spec: TensorSpec, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the statistics' shape as it broadcasts against the tensor's trailing axes, None where it does not."""
    size = spec.shape
    if size is None or shape in ((), (1,)):
        return shape
    if spec.role == "image" and len(size) == 3 and len(shape) == 1:
        if shape[0] == size[0]:
            shape = (shape[0], 1, 1)
        elif shape[0] != size[2] or shape[0] > 4:  # channels last, or no number per channel at all
            return None
    if len(shape) > len(size):
        return None
    fits = all(s in (1, d) or not isinstance(d, int) for s, d in zip(reversed(shape), reversed(size), strict=False))
    return shape if fits else None


def _does_not_fit(spec: TensorSpec, stats: Statistics, first: tuple[int, ...], second: tuple[int, ...]) -> Finding:
    stored = list(first) if first == second else [list(first), list(second)]
    return Finding(
        code=STATS_SHAPE,
        severity="error",
        title=f"the normalization statistics of {spec.name} have the shape {stored}; it is {list(spec.shape or ())}",
        where=spec.name,
        evidence={"statistics": stored, "feature": list(spec.shape or ()), "source": stats.source},
        remedy="take the statistics of the dataset that this policy was trained on",
    )


def _not_finite(spec: TensorSpec, stats: Statistics, bad: int) -> Finding:
    return Finding(
        code=STATS_NOT_FINITE,
        severity="error",
        title=f"the normalization statistics of {spec.name} hold {bad} values that are NaN or infinite",
        where=spec.name,
        evidence={"not_finite": bad, "source": stats.source},
        remedy="they were never set or are corrupt: save the policy again with its dataset's statistics",
    )


def diffusion_policy_statistics(
    names: Iterable[str], read: Callable[[str], Array], source: str, prefix: str = "normalizer."
) -> dict[str, Statistics]:
    """Return the statistics of a diffusion_policy normalizer inside a state dict, by key (``action``, ...).

    Args:
        names: names in the state dict, such as ``normalizer.params_dict.action.input_stats.min``.
        read: returns a tensor by name, as an array.
        source: names the file and state dict.
        prefix: what stands before ``params_dict``.

    The normalizer computes ``y = x * scale + offset`` (diffusion_policy/model/common/normalizer.py); ``input_stats``
    keep the minimum, maximum, mean and standard deviation of the data it was fitted to.
    """
    import numpy as np

    start, middle = f"{prefix}params_dict.", ".input_stats."
    found: dict[str, dict[str, Array]] = {}
    for name in names:
        key, mark, statistic = name.removeprefix(start).partition(middle)
        if name.startswith(start) and mark and statistic in STATISTICS:
            found.setdefault(key, {})[statistic] = np.asarray(read(name)).astype(np.float64)
    return {key: Statistics(key, values, f"{source}: {start}{key}") for key, values in found.items()}
