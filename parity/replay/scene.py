"""What a shard shows the policies, and what they answer to it, as it is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from parity.dataset.model import Dataset
from parity.replay.binding import Binding
from parity.replay.model import Frames, Timing
from parity.replay.noise import chosen, noise_for
from parity.replay.player import Player, PlayFailed
from parity.replay.shards import Shard, frames_of
from parity.replay.windows import Padding, Rows, read_rows
from parity.runner.base import Failure
from parity.tensor import Array, TensorSpec

Outputs = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a dataset is replayed; the same for all shards.

    Attributes:
        bindings: of the policy's inputs to features.
        noise: inputs that are injected noise.
        outputs: the action outputs.
        action: the feature that holds what was recorded; None where there is none.
        timings: by side.
        every: the policies are asked at every such frame of an episode.
        widths: steps ``H`` and dimensions ``D`` of each output as it is compared, by name.
        sampled: sides whose noise cannot be injected, or whose answers differ from time to time.
        samples: draws for each of the chosen observations, where a side is sampled.
        looked: in every so many shards, floors, probes and draws are made: on many frames at once, as a few at a time
            cost as much.
        shares: of the asked frames of these shards on which they are made, by what is done.
        padding: of observations before the start of an episode.
        seed: of noise and of which frames are chosen.
        classes: outputs that are a class, by name: from which number on it is class 1, and the feature that holds
            the recorded ones, None where there is none.
    """

    bindings: tuple[Binding, ...]
    noise: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    action: str | None
    timings: Mapping[str, Timing]
    every: int
    widths: Mapping[str, tuple[int, int]]
    sampled: frozenset[str] = frozenset()
    samples: int = 64
    looked: int = 1
    shares: Mapping[str, float] = field(
        default_factory=lambda: dict.fromkeys(("floor", "probe", "draw", "picture"), 1.0)
    )
    padding: Padding = "first"
    seed: int = 42
    classes: Mapping[str, tuple[float, str | None]] = field(default_factory=dict)

    @property
    def lead(self) -> int:
        """How many frames before a part must be asked, so that its ensembled actions are known."""
        ensembled = any(t.ensemble is not None for t in self.timings.values())
        return max((h for h, _ in self.widths.values()), default=1) if ensembled else 0


@dataclass(frozen=True, slots=True)
class Scene:
    """A shard's frames and what the policies are shown at them."""

    shard: Shard
    rows: Rows
    asked: Frames
    inputs: Mapping[str, Array]


def scene_of(dataset: Dataset, shard: Shard, setting: Setting) -> Scene:
    steps = max((b.steps for b in setting.bindings), default=1)
    longest = max((h for h, _ in setting.widths.values()), default=1)
    recorded = (setting.action, *(label for _, label in setting.classes.values()))
    names = list(dict.fromkeys([*(b.feature.name for b in setting.bindings), *(n for n in recorded if n)]))
    rows = read_rows(dataset, shard, names, max(steps - 1 + setting.lead, longest), longest)
    asked = frames_of(shard, setting.every, setting.lead)
    inputs = {b.spec.name: b.values(rows, asked, setting.padding) for b in setting.bindings}
    return Scene(shard, rows, asked, inputs | noise_of(setting, asked.row))


def noise_of(setting: Setting, rows: Array, draw: int = 0) -> Outputs:
    return {t.name: noise_for(t, rows, setting.seed, draw) for t in setting.noise}


def acted(player: Player, inputs: Mapping[str, Array], lengths: Sequence[int], setting: Setting) -> Outputs:
    """Return the action outputs, each ``(N, H, D)`` in float64, cut to what is compared.

    Raises:
        PlayFailed: it does not answer, or an output is missing or has another shape.
    """
    given = player.answer_runs(inputs, lengths) if player.keeps_state else player.answer(inputs)
    return {name: shaped(given, name, setting.widths.get(name), player.what.name) for name in setting.outputs}


def shaped(given: Mapping[str, Array], name: str, wanted: tuple[int, int] | None, side: str) -> Array:
    """Return an action output as ``(N, H, D)`` in float64.

    Raises:
        PlayFailed: it is not there, or is not of the shape that is wanted.
    """
    if name not in given:
        there = ", ".join(given) or "nothing"
        raise PlayFailed(Failure("missing", f"{side} gives no {name!r}: it gives {there}"))
    array = given[name]
    if array.dtype.kind not in "fiub":
        raise PlayFailed(Failure("shape", f"{side}: {name} is of type {array.dtype}: no actions"))
    array = array.astype(np.float64)
    array = array[:, None, None] if array.ndim == 1 else array[:, None, :] if array.ndim == 2 else array
    array = array.reshape(*array.shape[:2], -1)
    if wanted is not None and array.shape[1:] != wanted:
        raise PlayFailed(
            Failure(
                "shape",
                f"{side}: {name} gives {array.shape[1]} steps of {array.shape[2]} numbers, and the reference "
                f"{wanted[0]} of {wanted[1]}",
            )
        )
    return array


def picked_frames(scene: Scene, setting: Setting, what: str) -> Array:
    """Return the positions of the asked frames on which something is made; none in most shards of many."""
    if scene.shard.index % setting.looked != setting.looked // 2:
        return np.zeros(0, np.int64)
    return chosen(scene.asked.row, setting.shares[what], setting.seed, what)


def taken(inputs: Mapping[str, Array], picked: Array) -> Outputs:
    return {n: a[picked] for n, a in inputs.items()}
