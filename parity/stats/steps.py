"""The steps of pre- and post-processing as plain data: each takes named arrays and gives named arrays.

Arrays have leading axes ``(N, B, ...)`` or ``(B, ...)``; steps look at trailing axes and names alone. What a step
needs and does not find is an error: nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from parity.errors import ArtifactError
from parity.stats.formula import formula_of
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

Arrays = dict[str, "Array"]


class Step(Protocol):
    """One step of a pipeline."""

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays after this step.

        Raises:
            ArtifactError: an array or a statistic that it needs is missing or does not fit.
        """
        ...

    def as_json(self) -> dict[str, Any]:
        """Return what the step does, JSON-able."""
        ...


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives arrays other names: ``names`` maps the name before to the name after."""

    names: Mapping[str, str]

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays under their new names; a name that is not there stays unused, as upstream has it."""
        renamed: Arrays = {}
        for name, array in arrays.items():
            after = self.names.get(name, name)
            if after in renamed:
                raise ArtifactError(f"the pipeline renames two arrays to {after!r}")
            renamed[after] = array
        return renamed

    def as_json(self) -> dict[str, Any]:
        return {"step": "rename", "names": dict(self.names)}


@dataclass(frozen=True, slots=True)
class Cast:
    """Turns every floating-point array into ``dtype``."""

    dtype: Literal["float16", "float32", "float64"]

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays, floating-point ones as ``dtype``."""
        return {name: a.astype(self.dtype) if a.dtype.kind == "f" else a for name, a in arrays.items()}

    def as_json(self) -> dict[str, Any]:
        return {"step": "cast", "dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that a normalizing step applies statistics to. ``stats`` is None where its mode needs none."""

    name: str
    mode: str
    stats: FeatureStats | None = None


@dataclass(frozen=True, slots=True)
class Normalize:
    """Normalizes features (``forward``), or unnormalizes them (``backward``), by the formulas of ``era``."""

    era: str
    way: Literal["forward", "backward"]
    features: tuple[Feature, ...]

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays with every feature of this step normalized or unnormalized."""
        missing = [f.name for f in self.features if f.name not in arrays]
        if missing:
            raise ArtifactError(
                f"the pipeline {'' if self.way == 'forward' else 'un'}normalizes {', '.join(missing)}, "
                f"and there is no such array (there is: {', '.join(arrays) or 'none'})",
                remedy="name it as the pipeline does, in [adapter.<candidate>] rename",
            )
        formula, result = formula_of(self.era), dict(arrays)
        apply = formula.forward if self.way == "forward" else formula.backward
        for feature in self.features:
            if feature.stats is not None:
                result[feature.name] = apply(arrays[feature.name], feature.stats, feature.mode)
        return result

    def as_json(self) -> dict[str, Any]:
        features = {f.name: f.mode for f in self.features}
        return {"step": "normalize" if self.way == "forward" else "unnormalize", "era": self.era, "features": features}


@dataclass(frozen=True, slots=True)
class Window:
    """Gives features their time axis: the one observation ``steps`` times, as a policy's queue holds it at first.

    ``features`` gives the number of their own axes; ``leading`` that of the axes before the time axis. An observation
    that has its window already keeps it.
    """

    steps: int
    features: Mapping[str, int]
    leading: int = 1

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays, each feature as ``(..., steps, *shape)``."""
        import numpy as np

        result = dict(arrays)
        for name, axes in self.features.items():
            if name not in arrays:
                raise ArtifactError(f"the pipeline makes a window of {name}, and there is no such array")
            array, at = arrays[name], self.leading
            if array.ndim == at + axes:
                result[name] = np.repeat(np.expand_dims(array, at), self.steps, axis=at)
            elif array.ndim != at + axes + 1 or array.shape[at] != self.steps:
                raise ArtifactError(
                    f"{name} has shape {tuple(array.shape[1:])}",
                    expected=f"one observation, or a window of {self.steps}",
                )
        return result

    def as_json(self) -> dict[str, Any]:
        return {"step": "window", "steps": self.steps, "features": list(self.features)}


@dataclass(frozen=True, slots=True)
class Pad:
    """Fills the last axis up with zeros: ``sizes`` gives its length by name (openpi, `PadStatesAndActions`)."""

    sizes: Mapping[str, int]

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays, padded."""
        import numpy as np

        result = dict(arrays)
        for name, size in self.sizes.items():
            if name not in arrays:
                raise ArtifactError(f"the pipeline pads {name}, and there is no such array")
            array = arrays[name]
            missing = max(size - array.shape[-1], 0)
            result[name] = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])
        return result

    def as_json(self) -> dict[str, Any]:
        return {"step": "pad", "sizes": dict(self.sizes)}


@dataclass(frozen=True, slots=True)
class Cut:
    """Keeps the first elements of the last axis: ``sizes`` gives their number by name (openpi's robot transforms)."""

    sizes: Mapping[str, int]

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays, cut.

        Raises:
            ArtifactError: an array is not there, or shorter than what is to be kept of it.
        """
        result = dict(arrays)
        for name, size in self.sizes.items():
            if name not in arrays:
                raise ArtifactError(f"the pipeline cuts {name}, and there is no such array")
            width = arrays[name].shape[-1] if arrays[name].ndim else 0
            if width < size:
                raise ArtifactError(f"the pipeline cuts {name} to {size} elements, and it has {width}")
            result[name] = arrays[name][..., :size]
        return result

    def as_json(self) -> dict[str, Any]:
        return {"step": "cut", "sizes": dict(self.sizes)}


@dataclass(frozen=True, slots=True)
class Executed:
    """Takes the actions that are executed out of a trajectory of ``horizon`` steps: ``[first : first + count]``.

    Source: lerobot/policies/diffusion/modeling_diffusion.py, `generate_actions`.
    """

    name: str
    horizon: int
    first: int
    count: int

    def apply(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return the arrays, ``name`` cut to the executed steps along its last axis but one."""
        if self.name not in arrays:
            raise ArtifactError(f"the pipeline takes the executed steps of {self.name}, and there is no such array")
        array = arrays[self.name]
        length = array.shape[-2] if array.ndim > 1 else 0
        if length == self.count:
            return dict(arrays)
        if length != self.horizon:
            raise ArtifactError(
                f"{self.name} has {length} steps",
                expected=f"the horizon of {self.horizon}, or the {self.count} executed",
            )
        return {**arrays, self.name: array[..., self.first : self.first + self.count, :]}

    def as_json(self) -> dict[str, Any]:
        steps = [self.first, self.first + self.count]
        return {"step": "executed", "name": self.name, "horizon": self.horizon, "steps": steps}
