"""One shard through all sides: from rows of a dataset to the actions of reference and candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parity.dataset.model import Dataset
from parity.replay.binding import Binding
from parity.replay.execution import both_executed
from parity.replay.model import Drawn, Frames, Played, Probe, State, Timing
from parity.replay.noise import chosen, noise_for
from parity.replay.player import Player, PlayFailed
from parity.replay.probing import probe_inputs
from parity.replay.scale import measured_floor
from parity.replay.shards import Shard, frames_of
from parity.replay.windows import Padding, Rows, following, read_rows, windows
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
        shares: of the asked frames on which floors, probes and draws are made, by what is done.
        padding: of observations before the start of an episode.
        seed: of noise and of which frames are chosen.
    """

    bindings: tuple[Binding, ...]
    noise: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    action: str | None
    timings: Mapping[str, Timing]
    every: int
    widths: Mapping[str, tuple[int, int]]
    sampled: frozenset[str] = frozenset()
    samples: int = 32
    shares: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(("floor", "probe", "draw"), 1.0))
    padding: Padding = "first"
    seed: int = 42

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
    picked = chosen(scene.asked.row, setting.shares["floor"], setting.seed, "floor")
    floors: State = {}
    if len(picked) and "reference" not in setting.sampled and not players["reference"].keeps_state:
        base = {n: a[picked] for n, a in reference.items()}
        floors = measured_floor(players["reference"], _take(scene.inputs, picked), base, setting.outputs)
    probes = _probes(players["reference"], scene, setting, lengths)
    played: dict[tuple[str, str], Played] = {}
    failures: dict[str, Failure] = {}
    for name, player in players.items():
        if name == "reference":
            continue
        try:
            candidate = acted(player, scene.inputs, lengths, setting)
            extra = _extra(players["reference"], player, scene, setting, probes, lengths)
            for output in setting.outputs:
                played[name, output] = _played(scene, setting, name, output, reference, candidate, extra)
        except PlayFailed as e:
            failures[name] = e.failure
    return Result(played, floors, failures)


def scene_of(dataset: Dataset, shard: Shard, setting: Setting) -> Scene:
    steps = max((b.steps for b in setting.bindings), default=1)
    longest = max((h for h, _ in setting.widths.values()), default=1)
    names = list(
        dict.fromkeys([*(b.feature.name for b in setting.bindings), *([setting.action] if setting.action else [])])
    )
    rows = read_rows(dataset, shard, names, max(steps - 1 + setting.lead, longest), longest)
    asked = frames_of(shard, setting.every, setting.lead)
    inputs = {b.spec.name: b.values(rows, asked, setting.padding) for b in setting.bindings}
    return Scene(shard, rows, asked, inputs | _noise(setting, asked.row))


def _noise(setting: Setting, rows: Array, draw: int = 0) -> Outputs:
    return {t.name: noise_for(t, rows, setting.seed, draw) for t in setting.noise}


def _runs(asked: Frames, every: int) -> list[int]:
    """Return how many asked frames follow one another in each episode: what a policy that keeps state goes through."""
    breaks = np.flatnonzero((np.diff(asked.episode) != 0) | (np.diff(asked.frame) != every)) + 1
    return [int(n) for n in np.diff([0, *breaks, len(asked)])]


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


def _take(inputs: Mapping[str, Array], picked: Array) -> Outputs:
    return {n: a[picked] for n, a in inputs.items()}


def _probes(reference: Player, scene: Scene, setting: Setting, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Return the changed observations, and what the reference does on them."""
    picked = chosen(scene.asked.row, setting.shares["probe"], setting.seed, "probe")
    if len(picked) < 2 or reference.keeps_state or "reference" in setting.sampled:
        return []
    inputs = _take(scene.inputs, picked)
    skip = [t.name for t in setting.noise]
    made = []
    for feature, kind, changed in probe_inputs(inputs, scene.asked.episode[picked], setting.seed, skip):
        made.append(
            {
                "feature": feature,
                "kind": kind,
                "asked": picked,
                "inputs": changed,
                "answers": acted(reference, changed, [], setting),
            }
        )
    return made


def _extra(
    reference: Player,
    player: Player,
    scene: Scene,
    setting: Setting,
    probes: list[dict[str, Any]],
    lengths: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Return draws and probes of one candidate, by output."""
    found: dict[str, dict[str, Any]] = {name: {"probes": (), "drawn": None} for name in setting.outputs}
    if setting.sampled & {"reference", player.what.name}:
        for name, drawn in _drawn(reference, player, scene, setting).items():
            found[name]["drawn"] = drawn
    elif not player.keeps_state:
        answers = [(p, acted(player, p["inputs"], [], setting)) for p in probes]
        for name in setting.outputs:
            found[name]["probes"] = tuple(
                Probe(p["feature"], p["kind"], p["asked"], p["answers"][name], a[name]) for p, a in answers
            )
    return found


def _drawn(reference: Player, player: Player, scene: Scene, setting: Setting) -> dict[str, Drawn]:
    """Return several samples of both sides for the chosen observations; noise that is injected differs in each.

    The two sides' draws are independent of each other: what is compared are distributions.
    """
    picked = chosen(scene.asked.row, setting.shares["draw"], setting.seed, "draw")
    if not len(picked):
        return {}
    inputs, rows = _take(scene.inputs, picked), scene.asked.row[picked]
    sides = []
    for side, offset in ((reference, 1), (player, 1 + setting.samples)):
        draws = [
            acted(side, {**inputs, **_noise(setting, rows, offset + s)}, [], setting) for s in range(setting.samples)
        ]
        sides.append({n: np.stack([d[n] for d in draws], axis=1) for n in setting.outputs})
    return {n: Drawn(picked, sides[0][n], sides[1][n]) for n in setting.outputs}


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
    actions = known = None
    if setting.action is not None:
        known = following(scene.rows, setting.action, asked, steps, timings[0].first)
        actions = following(scene.rows, setting.action, frames, 1)[:, 0]
        if known.shape[2] != width:
            known = actions = None
    sent = both_executed(frames, asked, timings, reference[output], given[output], actions)
    seen = {b.spec.name: _last(scene, b) for b in setting.bindings if not b.picture}
    whole = Played(asked, reference[output], given[output], known, seen, sent, **extra[output])
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
    drawn = played.drawn
    if drawn is not None:
        k = inside[drawn.asked]
        drawn = Drawn(position[drawn.asked[k]], drawn.reference[k], drawn.candidate[k])
    known = None if played.recorded is None else played.recorded[inside]
    seen = {n: a[inside] for n, a in played.observations.items()}
    return replace(
        played,
        at=at,
        reference=played.reference[inside],
        candidate=played.candidate[inside],
        recorded=known,
        observations=seen,
        probes=probes,
        drawn=drawn,
    )
