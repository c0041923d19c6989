"""Executes the replay of a release: the dataset that `[replay]` names through reference and candidates.

What comes of it is kept in the evidence: ``replay.npz`` holds the merged states of all measures, and what was done
stands with the facts of the reference. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import ArtifactError, ParityError
from parity.release.replay_staging import Staged, opened_dataset, playable, staged_replay
from parity.runner.base import Failure
from parity.runner.origin import stand_in_of

if TYPE_CHECKING:
    from parity.release.prepare import Prepared
    from parity.replay.engine import Replayed

STATES = "replay.npz"
Report = Callable[[str, int, int], None]


def replay_release(
    prepared: Prepared, folder: Path, *, keep: Path | None = None, lanes: int = 1, report: Report | None = None
) -> dict[str, Any]:
    """Replay the release's dataset, write ``<folder>/replay.npz``, and return what was done, JSON-able.

    ``keep`` is where shards that are done are kept, so that a run that is killed can go on; None keeps none.
    """
    from parity.replay.engine import open_sides, replay
    from parity.replay.store import Store, fingerprint, kept, remove_others, save_states

    try:
        dataset, episodes = opened_dataset(prepared.replaying)
    except ParityError as e:
        return {"problem": e.message, "remedy": e.remedy}
    sides = [playable(prepared, s) for s in (prepared.reference, *prepared.candidates) if s.problem is None]
    failures = {s.name: s.problem for s in (prepared.reference, *prepared.candidates) if s.problem is not None}
    # What goes on after a stop draws other noise than before it, and each lane its own: else draws would be repeated.
    seeds = [f"{prepared.replaying.seed}/{i}/{0 if keep is None else kept(keep)}" for i in range(max(lanes, 1))]
    with ExitStack() as exits:
        players, lost = open_sides(exits, sides, folder / "lane-0", seeds[0])
        failures |= lost
        if "reference" in failures or len(players) < 2:
            return _told(prepared, None, None, failures)
        try:
            staged, learned = staged_replay(prepared, dataset, episodes, players)
        except ParityError as e:
            return {"problem": e.message, "remedy": e.remedy}
        failures |= learned
        devices = {n: stand_in_of(p.session.info.environment) for n, p in players.items()}
        stand_ins = {n: {"stand_in": True, "device": d} for n, d in devices.items() if d is not None}
        if "reference" in failures or not set(players) - set(failures) - {"reference"}:
            return _told(prepared, staged, None, failures)
        able = [s for s in sides if s.name not in failures]
        lane = {n: p for n, p in players.items() if n not in failures}
        more = range(1, min(lanes, len(staged.shards)))
        others = [open_sides(exits, able, folder / f"lane-{i}", seeds[i]) for i in more]
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
    return _told(prepared, staged, done, failures | done.failures) | ({"stand_ins": stand_ins} if stand_ins else {})


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
            "padding": setting.padding,
            "samples": setting.samples,
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
