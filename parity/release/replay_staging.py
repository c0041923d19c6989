"""Gets a replay ready: the dataset opened, inputs bound to its features, sides asked once, their timing resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

from parity.contract.recurrent import keeps_state
from parity.errors import UsageError
from parity.finding import Finding
from parity.release.config import ReplayTable, TimingTable
from parity.release.gears import compiled_batches
from parity.release.replay_asked import Replaying
from parity.release.replay_classes import check_classes, classes_of
from parity.release.sides import Side
from parity.runner.base import Failure

if TYPE_CHECKING:
    from parity.dataset.model import Dataset, Episode
    from parity.release.prepare import Prepared
    from parity.replay.model import Timing
    from parity.replay.player import Playable
    from parity.replay.scene import Setting
    from parity.replay.shards import Shard
    from parity.replay.timing import Told

LOOKED_AT = 4  # shards in which something of that is made, about
SHARES = {"floor": 64, "probe": 64, "draw": 256, "picture": 12}  # on how many of the asked frames these are made, about


@dataclass(frozen=True, slots=True)
class Staged:
    """A replay that is ready to run."""

    dataset: Dataset
    episodes: Sequence[Episode]
    shards: Sequence[Shard]
    setting: Setting
    findings: tuple[Finding, ...]


def opened_dataset(asked: Replaying) -> tuple[Dataset, Sequence[Episode]]:
    from parity.dataset.registry import open_dataset
    from parity.replay.shards import chosen_episodes

    assert asked.dataset is not None
    dataset = open_dataset(asked.dataset, asked.table.columns or None)
    episodes = chosen_episodes(dataset, asked.table.episodes)
    if not sum(e.length for e in episodes):
        raise UsageError(f"{dataset.path}: no frame to replay", remedy="choose other episodes")
    return dataset, episodes


def playable(prepared: Prepared, side: Side) -> Playable:
    """Return what the replay needs to run a side."""
    from parity.release.prepare import HASHED_ALIKE
    from parity.replay.player import Playable

    kind = side.artifact.kind if side.artifact else side.spec.runner
    stateful = side.contract is not None and keeps_state(side.contract)
    return Playable(
        side.name,
        prepared.spec_of(side),
        side.contract,
        prepared.adapters.get(side.name),
        side.pipeline.composition if side.pipeline else None,
        side.sha256 if kind in HASHED_ALIKE else None,
        stateful or bool(side.spec.options.get("state")),
        1 if side.spec.runner == "recorded" else _fixed_batch(side),
    )


def _fixed_batch(side: Side) -> int | None:
    own = side.graph
    compiled = compiled_batches(own)
    if compiled:
        return max(compiled)  # of an OM's gears the largest; what is left over is filled up
    sizes = {t.shape[0] for t in (own.inputs if own else ()) if t.shape and t.batched}
    return next((s for s in sizes if isinstance(s, int)), None)


def staged_replay(
    prepared: Prepared, dataset: Dataset, episodes: Sequence[Episode], players: Mapping[str, Any]
) -> tuple[Staged, dict[str, Failure]]:
    """Return the replay, ready to run, and the sides that do not answer as they must."""
    from parity.replay.binding import bind
    from parity.replay.learn import learn
    from parity.replay.scene import Setting
    from parity.replay.shards import shards_of

    asked, contract = prepared.replaying, prepared.contract
    noise = tuple(
        t for t in contract.inputs if t.role == "noise" or any(t.name in s.noise for s in prepared.candidates)
    )
    steps = asked.table.n_obs_steps or _number(contract.window.n_obs_steps) or 1
    bindings, findings = bind(contract, dataset, asked.table.observations, steps, [t.name for t in noise])
    action = _action(dataset, asked.table)
    classes = classes_of(dataset, asked.table, [t.name for t in contract.outputs])
    outputs = tuple(t.name for t in contract.outputs if t.role == "action" or t.name in classes) or tuple(
        t.name for t in contract.outputs if (t.dtype or "float32").startswith(("float", "bfloat"))
    )
    draft = Setting(
        bindings,
        noise,
        outputs,
        action,
        {},
        1,
        {},
        padding=asked.table.padding,
        samples=asked.table.samples,
        seed=asked.seed,
        classes=classes,
    )
    learned = learn(dataset, episodes, draft, players)
    check_classes(classes, learned.widths)
    driven = {n: _driven(prepared, n, learned.widths) for n in players}
    timings = {n: t.timing for n, t in driven.items()}
    stateful = any(p.keeps_state for p in players.values())
    every = 1 if stateful else asked.table.every or _asked_every(timings)
    frames = sum(e.length for e in episodes)
    shards = shards_of(episodes, _aligned(timings, every), whole=stateful)
    looked = max(1, len(shards) // LOOKED_AT)
    setting = replace(
        draft,
        timings=timings,
        every=every,
        widths=learned.widths,
        sampled=learned.sampled,
        looked=looked,
        shares={n: min(1.0, wanted * every * looked / frames) for n, wanted in SHARES.items()},
    )
    findings += timing_findings(prepared, driven, dataset.fps)
    if action is None and set(outputs) - set(classes):
        findings += (_no_actions(dataset, asked.table),)
    return Staged(dataset, episodes, shards, setting, (*findings, *dataset.findings)), dict(learned.failures)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _action(dataset: Dataset, table: ReplayTable) -> str | None:
    """Return the feature that holds the recorded actions, None where there is none.

    Raises:
        UsageError: the one that the user names is not there.
    """
    if table.action is not None:
        dataset.check([table.action])
        return table.action
    return next((n for n in ("action", "actions") if n in dataset.arrays), None)


def _no_actions(dataset: Dataset, table: ReplayTable) -> Finding:
    return Finding(
        "REPLAY091",
        "info",
        "The dataset has no feature 'action': the policies are compared with each other, not with what was recorded.",
        where=str(dataset.path),
        remedy='say which feature it is: [replay] action = "<feature>"',
    )


def _driven(prepared: Prepared, name: str, widths: Mapping[str, tuple[int, int]]) -> Told:
    from parity.replay.timing import told_of

    table = prepared.replaying.table
    side = next(s for s in (prepared.reference, *prepared.candidates) if s.name == name)
    own = {k: v for k, v in (table.sides.get(name) or TimingTable()).model_dump().items() if v is not None}
    both = {k: v for k, v in table.model_dump(include=set(TimingTable.model_fields)).items() if v is not None}
    steps = next((h for h, _ in widths.values()), 1)
    return told_of(side.contract or prepared.contract, steps, both | own, prepared.contract)


def timing_findings(prepared: Prepared, driven: Mapping[str, Told], fps: float | None) -> tuple[Finding, ...]:
    """Return where the sides, or a side and the dataset, are driven differently, and what had to be assumed."""
    from parity.replay.timing import disagreements, doubts

    reference, own = driven["reference"], prepared.reference.contract
    found = list(doubts(reference, "reference"))
    said_once = {f.code for f in found}
    for side in prepared.candidates:
        told = driven.get(side.name)
        if told is None:
            continue
        contracts = (own, side.contract) if own is not None and side.contract is not None else None
        alike = told.timing == reference.timing  # then what is said of the reference is not repeated
        own_doubts = [f for f in doubts(told, side.name) if not alike or f.code not in said_once]
        said = (*own_doubts, *disagreements(reference.timing, told.timing, fps, contracts))
        found += [f.for_candidate(side.name) for f in said]
    return tuple(found)


def _asked_every(timings: Mapping[str, Timing]) -> int:
    return gcd(*(1 if t.ensemble is not None else t.n_action_steps for t in timings.values()))


def _aligned(timings: Mapping[str, Timing], every: int) -> int:
    return lcm(every, *(t.n_action_steps for t in timings.values()))
