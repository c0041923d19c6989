"""What is known of the sides only once they have answered: how many steps they give, and whether they sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from parity.compare.budget import FLOORS_ALLOWED
from parity.compare.floors import ROUNDING
from parity.dataset.model import Dataset, Episode
from parity.replay.player import Player, PlayFailed
from parity.replay.scene import Setting, scene_of, shaped
from parity.replay.shards import Part, Shard
from parity.runner.base import Failure
from parity.tensor import Array

FRAMES = 2  # that are asked beforehand


@dataclass(frozen=True, slots=True)
class Learned:
    """What a few frames have told.

    Attributes:
        widths: steps ``H`` and dimensions ``D`` that the reference gives, by output.
        sampled: sides that give something else when they are asked the same again.
        failures: sides that do not answer, or not as the reference does.
    """

    widths: Mapping[str, tuple[int, int]]
    sampled: frozenset[str]
    failures: Mapping[str, Failure]


def learn(dataset: Dataset, episodes: Sequence[Episode], setting: Setting, players: Mapping[str, Player]) -> Learned:
    """Ask all sides twice at the first frames, and return what they tell of themselves."""
    first = episodes[0]
    shard = Shard(0, (Part(first.index, first.length, first.start, 0, min(FRAMES, first.length)),))
    scene = scene_of(dataset, shard, replace(setting, every=1, widths={}))
    widths: dict[str, tuple[int, int]] = {}
    sampled: set[str] = set()
    failures: dict[str, Failure] = {}
    for name in ("reference", *(n for n in players if n != "reference")):
        if name not in players or "reference" in failures:
            continue
        try:
            given = players[name].answer(scene.inputs)
            for output in setting.outputs:
                action = shaped(given, output, widths.get(output), name)
                widths.setdefault(output, (action.shape[1], action.shape[2]))
            if _samples(players[name], scene.inputs, given):
                sampled.add(name)
        except PlayFailed as e:
            failures[name] = e.failure
    return Learned(widths, frozenset(sampled), failures)


def _samples(player: Player, inputs: Mapping[str, Array], given: Mapping[str, Array]) -> bool:
    """Whether the same observations give something else, by more than rounding from run to run."""
    for output, gap in player.repeats(inputs).items():
        values = np.abs(given[output][np.isfinite(given[output])]) if output in given else np.zeros(0)
        if not gap <= FLOORS_ALLOWED * ROUNDING * float(values.max(initial=0.0)):
            return True
    return False
