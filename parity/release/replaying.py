"""Executes the replay of a release: the dataset that `[replay]` names through reference and candidates.

What comes of it is kept in the evidence: ``replay.npz`` holds the merged states of all measures, and what was done
stands with the facts of the reference. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.contract.recurrent import keeps_state
from parity.errors import ArtifactError, ParityError, UsageError
from parity.finding import Finding
from parity.release.config import Config, ReplayTable, TimingTable
from parity.release.sides import Side
from parity.runner.base import Failure

if TYPE_CHECKING:
    from parity.dataset.model import Dataset, Episode
    from parity.release.prepare import Prepared
    from parity.replay.engine import Replayed
    from parity.replay.model import Timing
    from parity.replay.player import Playable
    from parity.replay.scene import Setting
    from parity.replay.shards import Shard
    from parity.replay.timing import Told

STATES = "replay.npz"
SHARES = {"floor": 64, "probe": 64, "draw": 96}  # on how many of the asked frames these are made, about
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Replaying:
    """What `[replay]` asks for; ``dataset`` is None where it asks for nothing."""

    table: ReplayTable = field(default_factory=ReplayTable)
    dataset: Path | None = None
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Staged:
    """A replay that is ready to run."""

    dataset: Dataset
    episodes: Sequence[Episode]
    shards: Sequence[Shard]
    setting: Setting
    findings: tuple[Finding, ...]


def replaying(config: Config, root: Path) -> Replaying:
    """Return what ``[replay]`` asks for, its path resolved against the folder of `parity.toml`.

    Raises:
        UsageError: there is nothing at the path.
    """
    if config.replay.dataset is None:
        return Replaying(seed=config.release.seed)
    path = root / Path(config.replay.dataset).expanduser()
    if not path.exists():
        raise UsageError(f"[replay] dataset: there is no {config.replay.dataset!r}", remedy="check the path")
    return Replaying(config.replay, path, config.release.seed)


def replay_release(
    prepared: Prepared, folder: Path, *, keep: Path | None = None, lanes: int = 1, report: Report | None = None
) -> dict[str, Any]:
    """Replay the release's dataset, write ``<folder>/replay.npz``, and return what was done, JSON-able.

    ``keep`` is where shards that are done are kept, so that a run that is killed can go on; None keeps none.
    """
    from parity.replay.engine import open_sides, replay
    from parity.replay.store import Store, fingerprint, remove_others, save_states

    try:
        dataset, episodes = _opened(prepared.replaying)
    except ParityError as e:
        return {"problem": e.message, "remedy": e.remedy}
    sides = [playable(prepared, s) for s in (prepared.reference, *prepared.candidates) if s.problem is None]
    failures = {s.name: s.problem for s in (prepared.reference, *prepared.candidates) if s.problem is not None}
    with ExitStack() as exits:
        players, lost = open_sides(exits, sides, folder / "lane-0")
        failures |= lost
        if "reference" in failures or len(players) < 2:
            return _told(prepared, None, None, failures)
        try:
            staged, learned = _staged(prepared, dataset, episodes, players)
        except ParityError as e:
            return {"problem": e.message, "remedy": e.remedy}
        failures |= learned
        if "reference" in failures or not set(players) - set(failures) - {"reference"}:
            return _told(prepared, staged, None, failures)
        able = [s for s in sides if s.name not in failures]
        lane = {n: p for n, p in players.items() if n not in failures}
        others = [open_sides(exits, able, folder / f"lane-{i}") for i in range(1, min(lanes, len(staged.shards)))]
        digest = fingerprint(_depends_on(prepared, staged, [s.name for s in able]))
        store = None if keep is None else Store(keep, digest)
        if keep is not None:
            remove_others(keep, digest)
        all_lanes = [lane, *(p for p, bad in others if not bad)]
        try:
            done = replay(dataset, staged.shards, staged.setting, all_lanes, store=store, report=report)
        except ArtifactError as e:  # a file ends early, or changed: what was done before is kept
            return {"problem": e.message, "remedy": e.remedy}
    save_states(folder / STATES, done.states)
    if store is not None and done.frames == done.planned:
        store.remove()
    return _told(prepared, staged, done, failures | done.failures)


def _opened(asked: Replaying) -> tuple[Dataset, Sequence[Episode]]:
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
    sizes = {t.shape[0] for t in (own.inputs if own else ()) if t.shape and t.batched}
    return next((s for s in sizes if isinstance(s, int)), None)


def _staged(
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
    classes = _classes(dataset, asked.table, [t.name for t in contract.outputs])
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
    _one_class({n: w for n, w in learned.widths.items() if n in classes})
    driven = {n: _driven(prepared, n, learned.widths) for n in players}
    timings = {n: t.timing for n, t in driven.items()}
    stateful = any(p.keeps_state for p in players.values())
    every = 1 if stateful else asked.table.every or _asked_every(timings)
    frames = sum(e.length for e in episodes)
    setting = replace(
        draft,
        timings=timings,
        every=every,
        widths=learned.widths,
        sampled=learned.sampled,
        shares={n: min(1.0, wanted * every / frames) for n, wanted in SHARES.items()},
    )
    shards = shards_of(episodes, _aligned(timings, every), whole=stateful)
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


def _classes(dataset: Dataset, table: ReplayTable, outputs: Sequence[str]) -> dict[str, tuple[float, str | None]]:
    """Return which outputs are a class: from which number on it is class 1, and the feature that holds its labels.

    Raises:
        UsageError: there is no such output, or the labels are not there, or are more than one number a frame.
    """
    for name, told in table.classes.items():
        if outputs and name not in outputs:
            raise UsageError(
                f"[replay.classes]: the policy has no output {name!r}", expected=f"one of {', '.join(outputs)}"
            )
        if told.label is not None:
            dataset.check([told.label])
            shape = dataset.features[told.label].shape
            if any(n != 1 for n in shape):
                raise UsageError(
                    f"{dataset.path}: {told.label} is {shape} in each frame", expected="one number: the class, from 0"
                )
    return {name: (told.threshold, told.label) for name, told in table.classes.items()}


def _one_class(widths: Mapping[str, tuple[int, int]]) -> None:
    from parity.replay.classes import MOST

    for name, (steps, width) in widths.items():
        if steps != 1 or width > MOST:
            raise UsageError(
                f"[replay.classes] {name}: the reference gives {steps} steps of {width} numbers",
                expected=f"one step of 1 to {MOST} numbers: a logit, or one for each class",
            )


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
    from math import lcm

    return lcm(every, *(t.n_action_steps for t in timings.values()))


def _depends_on(prepared: Prepared, staged: Staged, names: Sequence[str]) -> dict[str, Any]:
    """Return all that the numbers of a replay depend on."""
    from parity.replay.measure import measures

    sides = [s for s in (prepared.reference, *prepared.candidates) if s.name in names]
    setting, path = staged.setting, staged.dataset.path
    files = sorted(p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())
    return {
        "parity": version("policy-parity"),
        "measures": [m.name for m in measures()],
        "sides": [[s.name, s.sha256, repr(s.identity), repr(s.adapter)] for s in sides],
        "files": [[str(p.relative_to(path.parent)), p.stat().st_size, p.stat().st_mtime_ns] for p in files],
        "episodes": [[e.index, e.start, e.length] for e in staged.episodes],
        "shards": len(staged.shards),
        "setting": repr(replace(setting, sampled=frozenset())) + repr(sorted(setting.sampled)),
    }


def _told(
    prepared: Prepared, staged: Staged | None, done: Replayed | None, failures: Mapping[str, Failure]
) -> dict[str, Any]:
    told: dict[str, Any] = {"failures": {n: asdict(f) for n, f in failures.items()}}
    told["ranges"] = {n: asdict(r) for n, r in prepared.ranges.items()}
    if staged is not None:
        setting, dataset = staged.setting, staged.dataset
        told |= {
            "dataset": {"path": str(dataset.path), "kind": dataset.kind, "fps": dataset.fps},
            "episodes": [e.index for e in staged.episodes],
            "every": setting.every,
            "outputs": {n: list(w) for n, w in setting.widths.items()},
            "timings": {n: asdict(t) for n, t in setting.timings.items()},
            "observations": {
                b.spec.name: {"feature": b.feature.name, "how": b.how, "steps": b.steps} for b in setting.bindings
            },
            "noise": [t.name for t in setting.noise],
            "action": setting.action,
            "elements": _elements(staged),
            "sampled": sorted(setting.sampled),
            "findings": [f.as_json() for f in staged.findings],
        }
    if done is not None:
        told |= {"frames": done.frames, "planned": done.planned, "taken_over": done.taken_over}
    return told


def _elements(staged: Staged) -> list[str] | None:
    """Return what the dataset calls the recorded actions' dimensions, None where it does not."""
    action = staged.setting.action
    names = staged.dataset.features[action].names if action is not None else ()
    return list(names) or None
