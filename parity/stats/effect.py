"""What a pipeline's steps do to each array, in a form that can be compared: equal for two that do the same.

Not what was written counts but what is applied: names of files and arrays, a default that is spelled out, statistics
that the mode does not read, and digits that the formula's element type drops make no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.stats.formula import formula_of
from parity.stats.formulas import lerobot, rsl_rl
from parity.stats.steps import Cast, Cut, Executed, Feature, Normalize, Pad, Rename, Step, Window
from parity.stats.subject import READ

if TYPE_CHECKING:
    from parity.tensor import Array

Chain = tuple[Any, ...]  # what is done to one array, in order
FLOAT64 = ("openpi", "rlinf", "gr00t-1.6")  # eras whose formulas take statistics as float64; all others as float32
EPS: Mapping[str, float] = {"lerobot-0.4": lerobot.EPS, "lerobot-0.6": lerobot.EPS, "rsl_rl": rsl_rl.EPS}
CLIPS = ("gr00t-1.6",)
_READ: Mapping[str, tuple[str, ...]] = {**READ, "SCALE": ("size",), "BINARY": ()}


class Trail:
    """Follows arrays through steps, by name: what was done to each, told to start with `start`."""

    def __init__(self, start: Mapping[str, Chain] | None = None) -> None:
        self._done: dict[str, Chain] = dict(start or {})
        self._all: Chain = ()  # what was done to arrays that have not been named yet

    def __getitem__(self, name: str) -> Chain:
        return self._done.get(name, self._all)

    def names(self) -> list[str]:
        """Return the names of the arrays that something was done to, or that it started with."""
        return list(self._done)

    def add(self, name: str, effect: Any) -> None:
        """Note that something was done to one array."""
        self._done[name] = (*self[name], effect)

    def follow(self, steps: Sequence[Step]) -> None:
        """Note what steps do, in order."""
        for step in steps:
            self._follow(step)

    def _follow(self, step: Step) -> None:
        match step:
            case Rename():
                moved = {after: self._done.pop(name) for name, after in step.names.items() if name in self._done}
                self._done |= moved
            case Normalize():
                for feature in step.features:
                    if feature.stats is not None and feature.mode != "IDENTITY":
                        self.add(feature.name, (step.way, *feature_effect(feature, step.era)))
            case Window():
                for name, axes in step.features.items():
                    self.add(name, ("window", step.steps, axes, step.leading))
            case Pad() | Cut():
                for name, size in step.sizes.items():
                    self.add(name, (type(step).__name__, size))
            case Executed():
                self.add(step.name, ("executed", step.horizon, step.first, step.count))
            case Cast():
                self._everywhere(("cast", step.dtype))
            case _:  # of a kind that is not known here: whatever it does, it says so
                self._everywhere(repr(sorted(step.as_json().items())))

    def _everywhere(self, effect: Any) -> None:
        self._done = {name: (*chain, effect) for name, chain in self._done.items()}
        self._all = (*self._all, effect)


def feature_effect(feature: Feature, era: str) -> Chain:
    """Return what normalizing a feature does, whichever way: formula, mode, and all that it reads, as it reads it."""
    assert feature.stats is not None
    stats, formula = feature.stats, formula_of(era)
    dtype = np.float64 if era in FLOAT64 else np.float32
    values = dict(stats.values)
    if feature.mode == "SCALE" and "min" in values and "max" in values:
        values = {"size": np.maximum(np.abs(values["min"]), np.abs(values["max"]))}
    names = _READ.get(feature.mode, tuple(sorted(values)))
    read = tuple((name, _bits(values[name], dtype)) for name in names if name in values)
    eps = EPS.get(era)
    if eps is not None and stats.eps is not None:
        eps = stats.eps
    clip = stats.clip if era in CLIPS and feature.mode in ("MIN_MAX", "QUANTILES") else None
    return (formula.upstream, feature.mode, read, eps, clip)


def _bits(value: Array, dtype: Any) -> tuple[tuple[int, ...], bytes]:
    """Return shape, without leading axes of length one, and bytes, the two zeros the same."""
    with np.errstate(over="ignore"):
        array = np.asarray(value).astype(dtype) + dtype(0)
    shape = array.shape
    while shape[:1] == (1,):
        shape = shape[1:]
    return shape, array.tobytes()
