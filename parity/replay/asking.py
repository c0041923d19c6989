"""Frames that are asked again: with one feature changed, after another observation, or many times over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.replay.layouts import orders
from parity.replay.model import Drawn, Layout, Probe, ProbeKind
from parity.replay.pictures import ways
from parity.replay.player import Player
from parity.replay.probing import probe_inputs
from parity.replay.scene import Outputs, Scene, Setting, acted, noise_of, picked_frames, shaped, taken
from parity.tensor import Array

HISTORIES = 4  # observations of a shard that are asked again after another one, at most


def asked_anew(player: Player) -> bool:
    """Whether a side can be asked out of turn: it keeps no state, and is no recording."""
    return not player.keeps_state and not player.recorded


@dataclass(frozen=True, slots=True)
class Question:
    """Observations that are asked again; ``after`` holds what each side is shown before, where that is asked."""

    feature: str
    kind: ProbeKind
    asked: Array
    inputs: Mapping[str, Array]
    after: Mapping[str, Array] | None = None

    def answers(self, player: Player, setting: Setting) -> Outputs:
        """Return the actions of a side, ``(M, H, D)`` by output."""
        if self.after is None:
            return acted(player, self.inputs, [], setting)
        pairs = {n: np.stack([self.after[n], a], axis=1).reshape(-1, *a.shape[1:]) for n, a in self.inputs.items()}
        given = player.answer_runs(pairs, [2] * len(self.asked))
        both = {n: shaped(given, n, setting.widths.get(n), player.what.name) for n in setting.outputs}
        return {n: a[1::2] for n, a in both.items()}


def probes_of(reference: Player, scene: Scene, setting: Setting) -> list[tuple[Question, Outputs]]:
    """Return the changed observations, and what the reference does on them."""
    picked = picked_frames(scene, setting, "probe")
    if len(picked) < 2 or "reference" in setting.sampled or not asked_anew(reference):
        return []
    inputs = taken(scene.inputs, picked)
    changed = probe_inputs(inputs, scene.asked.episode[picked], setting.seed, [t.name for t in setting.noise])
    questions = [Question(feature, kind, picked, given) for feature, kind, given in changed]
    few = picked[:HISTORIES]
    before = taken(scene.inputs, np.roll(picked, 1)[:HISTORIES])
    questions += [
        Question("", "repeat", picked, inputs),
        Question("", "history", few, taken(scene.inputs, few), before),
    ]
    return [(q, q.answers(reference, setting)) for q in questions]


def layouts_of(reference: Player, scene: Scene, setting: Setting) -> dict[str, tuple[Layout, ...]]:
    """Return what the reference does with histories in other orders, and pictures shown otherwise, by output."""
    picked = picked_frames(scene, setting, "probe")
    found: dict[str, tuple[Layout, ...]] = dict.fromkeys(setting.outputs, ())
    if not len(picked) or "reference" in setting.sampled or not asked_anew(reference):
        return found
    inputs = taken(scene.inputs, picked)
    for binding in setting.bindings:
        name = binding.spec.name
        steps = binding.steps if binding.how != "single" else setting.timings["reference"].n_obs_steps
        for order, values in () if binding.picture else orders(inputs[name], steps):
            answers = acted(reference, {**inputs, name: values}, [], setting)
            for output in setting.outputs:
                found[output] = (*found[output], Layout(name, order, picked, answers[output]))
    for output, layouts in _pictures(reference, scene, setting).items():
        found[output] = (*found[output], *layouts)
    return found


def _pictures(reference: Player, scene: Scene, setting: Setting) -> dict[str, tuple[Layout, ...]]:
    """Return what the reference does with cameras' pictures as a candidate may have been shown them, by output."""
    picked = picked_frames(scene, setting, "picture")
    found: dict[str, tuple[Layout, ...]] = dict.fromkeys(setting.outputs, ())
    cameras = [b.spec.name for b in setting.bindings if b.picture]
    if not cameras or not len(picked):
        return found
    inputs = taken(scene.inputs, picked)
    for name, way, changed in ways({c: inputs[c] for c in cameras}):
        answers = acted(reference, {**inputs, **changed}, [], setting)
        for output in setting.outputs:
            found[output] = (*found[output], Layout(name, way, picked, answers[output]))
    return found


def asked_again(
    reference: Player,
    player: Player,
    scene: Scene,
    setting: Setting,
    probes: Sequence[tuple[Question, Outputs]],
    layouts: Mapping[str, tuple[Layout, ...]],
) -> dict[str, dict[str, Any]]:
    """Return draws, probes and layouts of one candidate, by output."""
    found: dict[str, dict[str, Any]] = {n: {"drawn": None, "probes": (), "layouts": layouts[n]} for n in layouts}
    if setting.sampled & {"reference", player.what.name}:
        for name, drawn in _drawn(reference, player, scene, setting).items():
            found[name]["drawn"] = drawn
    elif asked_anew(player):
        answers = [(q, trusted, q.answers(player, setting)) for q, trusted in probes]
        for name in setting.outputs:
            found[name]["probes"] = tuple(
                Probe(q.feature, q.kind, q.asked, trusted[name], own[name]) for q, trusted, own in answers
            )
    return found


def _drawn(reference: Player, player: Player, scene: Scene, setting: Setting) -> dict[str, Drawn]:
    """Return several samples of both sides for the chosen observations; noise that is injected differs in each.

    The two sides' draws are independent of each other: what is compared are distributions.
    """
    picked = picked_frames(scene, setting, "draw")
    if not len(picked):
        return {}
    inputs, rows = taken(scene.inputs, picked), scene.asked.row[picked]
    sides = []
    for side, offset in ((reference, 1), (player, 1 + setting.samples)):
        draws = [
            acted(side, {**inputs, **noise_of(setting, rows, offset + s)}, [], setting) for s in range(setting.samples)
        ]
        sides.append({n: np.stack([d[n] for d in draws], axis=1) for n in setting.outputs})
    return {n: Drawn(picked, sides[0][n], sides[1][n]) for n in setting.outputs}
