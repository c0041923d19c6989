"""Which feature of a dataset each input of a policy is fed with, and how it gets its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from parity.contract.matching import match_tensors
from parity.contract.model import Contract
from parity.dataset.model import Dataset, Feature
from parity.errors import UsageError
from parity.finding import Finding
from parity.replay.model import Frames
from parity.replay.windows import Padding, Rows, windows
from parity.tensor import Array, TensorSpec

How = Literal[
    "single",  # the observation of the frame, (N, *shape)
    "window",  # the last n_obs_steps observations, (N, To, *shape)
    "flat",  # those, one behind the other in one vector, oldest first: (N, To * D)
]
BOOKKEEPING = re.compile(r"^(next\..*|.*_?index|index|timestamp.*|frame|episode|done|rewards?|task.*)$")


@dataclass(frozen=True, slots=True)
class Binding:
    """One input of a policy: the feature that it is made of, and how; ``picture`` where it is a camera's frames."""

    spec: TensorSpec
    feature: Feature
    how: How
    steps: int
    picture: bool = False

    def values(self, rows: Rows, asked: Frames, padding: Padding = "first") -> Array:
        """Return the input at the asked frames, ``(N, ...)``."""
        found = windows(rows, self.feature.name, asked, self.steps, padding)
        if self.picture:
            found = _channels_first(found, self.spec.dtype)
        found = _typed(found, self.spec.dtype)
        if self.how == "single":
            return found[:, -1]
        return found.reshape(len(asked), -1) if self.how == "flat" else found


def _channels_first(frames: Array, dtype: str | None) -> Array:
    """Return pictures ``(..., H, W, C)`` as ``(..., C, H, W)``; as floats between 0 and 1 where floats are taken."""
    moved = np.moveaxis(frames, -1, -3)
    if frames.dtype == np.uint8 and (dtype or "float32").startswith("float"):
        return moved.astype(np.float32) / np.float32(255)
    return moved


def _typed(array: Array, dtype: str | None) -> Array:
    wanted = dtype or ("float32" if array.dtype.kind == "f" else array.dtype.name)
    return array if wanted == "bfloat16" or array.dtype.name == wanted else array.astype(wanted)


def bind(
    contract: Contract, dataset: Dataset, given: Mapping[str, str], n_obs_steps: int, noise: Sequence[str] = ()
) -> tuple[tuple[Binding, ...], tuple[Finding, ...]]:
    """Return a binding for every input but the noise, and a finding for each that was not told by its name.

    Args:
        contract: of the policy as a whole.
        dataset: what was recorded.
        given: the user's ``[replay.observations]``: feature by input.
        n_obs_steps: how many observations the policy is shown.
        noise: inputs that are injected noise.

    Raises:
        UsageError: an input has no feature, a feature cannot be read or has another shape, or a name is not known.
    """
    inputs = [t for t in contract.inputs if t.role != "noise" and t.name not in noise]
    _known(given, [t.name for t in inputs])
    chosen, assumed = _features(inputs, dataset, given)
    dataset.check([f.name for f in chosen])
    bindings = tuple(_fitted(t, f, n_obs_steps, dataset) for t, f in zip(inputs, chosen, strict=True))
    return bindings, tuple(assumed)


def _known(given: Mapping[str, str], names: Sequence[str]) -> None:
    unknown = [n for n in given if n not in names]
    if unknown:
        raise UsageError(
            f"[replay.observations]: the policy has no input {unknown[0]!r}", expected=f"one of {', '.join(names)}"
        )


def _features(
    inputs: Sequence[TensorSpec], dataset: Dataset, given: Mapping[str, str]
) -> tuple[list[Feature], list[Finding]]:
    features = dict(dataset.features)
    usable = [f for n, f in features.items() if not BOOKKEEPING.match(n) and n not in ("action", "actions")]
    specs = [TensorSpec(f.name, ("N", *f.shape), f.dtype) for f in usable]
    taken = {given.get(t.name, t.name) for t in inputs}
    matching = match_tensors(
        [t for t in inputs if given.get(t.name, t.name) not in features],
        [s for s in specs if s.name not in taken and s.dtype not in ("video", "image")],
    )
    guessed = {m.a.name: m.b.name for m in matching.pairs if m.how in ("spelling", "single")}
    chosen, assumed = [], []
    for spec in inputs:
        name = given.get(spec.name, spec.name)
        name = (
            name
            if name in features
            else guessed.get(spec.name) or _only(spec, [f for f in usable if f.name not in taken])
        )
        if not name:
            raise UsageError(
                f"{dataset.path}: nothing in it is known to be the policy's input {spec.name!r}",
                expected=f"one of its features: {', '.join(f.name for f in usable) or 'none'}",
                remedy=f'say which: [replay.observations] {spec.name} = "<feature>"',
            )
        if name != given.get(spec.name, spec.name):
            assumed.append(_said(spec.name, name))
        chosen.append(features[name])
    return chosen, assumed


def _only(spec: TensorSpec, features: Sequence[Feature]) -> str:
    """Return the only feature of that shape, "" where there is none or several."""
    shape = None if spec.shape is None else spec.shape[1:] if spec.batched else spec.shape
    fitting = [f.name for f in features if shape is not None and _same(shape, f.shape)]
    return fitting[0] if len(fitting) == 1 else ""


def _said(name: str, feature: str) -> Finding:
    return Finding(
        "REPLAY090",
        "info",
        f"The policy's input {name!r} is fed with {feature!r}: nothing else in the dataset fits.",
        where=name,
        remedy=f'say so yourself: [replay.observations] {name} = "{feature}"',
    )


def _fitted(spec: TensorSpec, feature: Feature, n_obs_steps: int, dataset: Dataset) -> Binding:
    shape = None if spec.shape is None else spec.shape[1:] if spec.batched else spec.shape
    own = tuple(feature.shape)
    picture = len(own) == 3 and own[-1] in (1, 3, 4) and (spec.role == "image" or feature.storage != "array")
    own = (own[2], own[0], own[1]) if picture else own
    if shape is None or (not spec.batched and _same(shape, own)):
        return Binding(spec, feature, "window" if n_obs_steps > 1 else "single", n_obs_steps, picture)
    if _same(shape, own):
        return Binding(spec, feature, "single", 1, picture)
    if len(shape) == len(own) + 1 and _same(shape[1:], own):
        steps = shape[0] if isinstance(shape[0], int) else n_obs_steps
        return Binding(spec, feature, "window", steps, picture)
    width = shape[0] if len(shape) == 1 else None
    if len(own) == 1 and isinstance(width, int) and n_obs_steps > 1 and width == n_obs_steps * own[0]:
        return Binding(spec, feature, "flat", n_obs_steps)
    raise UsageError(
        f"{dataset.path}: {feature.name} is {own} in each frame, and the policy's input {spec.name!r} takes {shape}",
        expected="the same shape, or one with n_obs_steps in front",
        remedy=f'say which feature it is: [replay.observations] {spec.name} = "<feature>"',
    )


def _same(shape: Sequence[object], own: Sequence[int]) -> bool:
    return len(shape) == len(own) and all(not isinstance(a, int) or a == b for a, b in zip(shape, own, strict=True))
