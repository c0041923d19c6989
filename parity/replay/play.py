"""One shard through all sides: from rows of a dataset to the actions of reference and candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.dataset.model import Dataset
from parity.replay.asking import asked_again, asked_anew, layouts_of, probes_of
from parity.replay.binding import Binding
from parity.replay.execution import both_executed
from parity.replay.model import Drawn, Frames, Played, State
from parity.replay.player import Player, PlayFailed
from parity.replay.scale import measured_floor
from parity.replay.scene import Outputs, Scene, Setting, acted, picked_frames, scene_of, taken
from parity.replay.shards import Shard, frames_of
from parity.replay.windows import following, windows
from parity.runner.base import Failure
from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Result:
    """What one shard gave: by candidate and output what was played, the floors of the reference, and who failed."""

    played: Mapping[tuple[str, str], Played]
    floors: State
    failures: Mapping[str, Failure]


def play(dataset: Dataset, shard: Shard, setting: Setting, players: Mapping[str, Player]) -> Result:
    """Return what all sides do on the shard's frames. The reference is the player of that name.

    Raises:
        PlayFailed: the reference failed.
        ArtifactError: the dataset cannot be read.
    """
    scene = scene_of(dataset, shard, setting)
    lengths = _runs(scene.asked, setting.every)
    reference = acted(players["reference"], scene.inputs, lengths, setting)
    picked = picked_frames(scene, setting, "floor")
    floors: State = {}
    if len(picked) and "reference" not in setting.sampled and asked_anew(players["reference"]):
        base = {n: a[picked] for n, a in reference.items()}
        floors = measured_floor(players["reference"], taken(scene.inputs, picked), base, setting.outputs)
    probes = probes_of(players["reference"], scene, setting)
    layouts = layouts_of(players["reference"], scene, setting)
    played: dict[tuple[str, str], Played] = {}
    failures: dict[str, Failure] = {}
    for name, player in players.items():
        if name == "reference":
            continue
        try:
            candidate = acted(player, scene.inputs, lengths, setting)
            extra = asked_again(players["reference"], player, scene, setting, probes, layouts)
            for output in setting.outputs:
                played[name, output] = _played(scene, setting, name, output, reference, candidate, extra)
        except PlayFailed as e:
            failures[name] = e.failure
    return Result(played, floors, failures)


def _runs(asked: Frames, every: int) -> list[int]:
    """Return how many asked frames follow one another in each episode: what a policy that keeps state goes through."""
    breaks = np.flatnonzero((np.diff(asked.episode) != 0) | (np.diff(asked.frame) != every)) + 1
    return [int(n) for n in np.diff([0, *breaks, len(asked)])]


def _played(
    scene: Scene,
    setting: Setting,
    candidate: str,
    output: str,
    reference: Outputs,
    given: Outputs,
    extra: Mapping[str, Mapping[str, Any]],
) -> Played:
    timings = (setting.timings["reference"], setting.timings[candidate])
    frames, asked = frames_of(scene.shard), scene.asked
    steps, width = setting.widths[output]
    actions = known = labels = None
    border, label = setting.classes.get(output, (None, None))
    if label is not None:
        labels = following(scene.rows, label, asked, 1)[:, 0, 0]
    if setting.action is not None and border is None:
        known = following(scene.rows, setting.action, asked, steps, timings[0].first)
        actions = following(scene.rows, setting.action, frames, 1)[:, 0]
        if known.shape[2] != width:
            known = actions = None
    sent = both_executed(frames, asked, timings, reference[output], given[output], actions)
    seen = {b.spec.name: _last(scene, b) for b in setting.bindings if not b.picture}
    whole = Played(
        asked, reference[output], given[output], known, seen, sent, **extra[output], border=border, labels=labels
    )
    return _without_lead(whole, scene.shard) if setting.lead else whole


def _last(scene: Scene, binding: Binding) -> Array:
    """Return the feature at the asked frames as the dataset holds it."""
    return windows(scene.rows, binding.feature.name, scene.asked, 1)[:, 0]


def _without_lead(played: Played, shard: Shard) -> Played:
    """Return what was asked within the shard: frames before it were asked for what they send later on."""
    starts = {p.row + p.start: p.row + p.stop for p in shard.parts}
    inside = np.zeros(len(played.at), bool)
    for low, high in starts.items():
        inside |= (played.at.row >= low) & (played.at.row < high)
    position = np.cumsum(inside) - 1
    at = Frames(*(a[inside] for a in (played.at.row, played.at.episode, played.at.frame, played.at.length)))
    probes = tuple(
        replace(p, asked=position[p.asked[k]], reference=p.reference[k], candidate=p.candidate[k])
        for p in played.probes
        for k in [inside[p.asked]]
    )
    layouts = tuple(
        replace(x, asked=position[x.asked[k]], reference=x.reference[k])
        for x in played.layouts
        for k in [inside[x.asked]]
    )
    drawn = played.drawn
    if drawn is not None:
        k = inside[drawn.asked]
        drawn = Drawn(position[drawn.asked[k]], drawn.reference[k], drawn.candidate[k])
    known = None if played.recorded is None else played.recorded[inside]
    labels = None if played.labels is None else played.labels[inside]
    seen = {n: a[inside] for n, a in played.observations.items()}
    return replace(
        played,
        at=at,
        reference=played.reference[inside],
        candidate=played.candidate[inside],
        recorded=known,
        observations=seen,
        probes=probes,
        layouts=layouts,
        drawn=drawn,
        labels=labels,
    )
