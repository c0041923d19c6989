"""Replays a dataset: from each shard to a summary, from all summaries to what is judged.

`summarize` is the seam: a function from one shard to what is kept of it, which depends on nothing else. Whoever calls
it, in this process, in threads as here, or on a cluster, merges the summaries in the order of the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

from parity.compare.one_thread import one_thread
from parity.dataset.model import Dataset
from parity.replay.measure import measures
from parity.replay.model import State
from parity.replay.play import play
from parity.replay.player import Playable, Player, PlayFailed, opened
from parity.replay.scale import merge_scales, scale_of
from parity.replay.scene import Setting
from parity.replay.shards import Shard
from parity.replay.store import Done, States, Store
from parity.runner.base import Failure

AT_ONCE = 8  # sides that are loaded together
SCALE = "scale"  # the state that limits are derived from, beside those of the measures
Report = Callable[[str, int, int], None]  # what, frames done, frames in all


@dataclass(slots=True)
class Replayed:
    """What came of a replay: merged states, what was done of what was planned, and who failed.

    ``failures`` are by side; a candidate that failed anywhere cannot be judged, whatever its other shards gave.
    """

    states: States
    frames: int
    planned: int
    failures: dict[str, Failure] = field(default_factory=dict)
    taken_over: int = 0  # frames that an earlier run had done


def summarize(dataset: Dataset, shard: Shard, setting: Setting, players: Mapping[str, Player]) -> Done:
    """Return what is kept of one shard.

    Raises:
        PlayFailed: the reference failed.
        ArtifactError: the dataset cannot be read.
    """
    result = play(dataset, shard, setting, players)
    states: States = {}
    for (candidate, output), played in result.played.items():
        states[candidate, output, SCALE] = scale_of(played.reference, result.floors.get(output))
        for measure in measures():
            states[candidate, output, measure.name] = measure.observe(played)
    return Done(states, result.failures)


def merge(done: Sequence[Done]) -> Done:
    """Return the summaries of shards, given in their order, as one."""
    by_name = {m.name: m for m in measures()}
    failures: dict[str, Failure] = {}
    collected: dict[tuple[str, ...], list[State]] = {}
    for one in done:
        failures = {**one.failures, **failures}
        for owner, state in one.states.items():
            collected.setdefault(owner, []).append(state)
    states: States = {}
    for owner, found in collected.items():
        if owner[2] == SCALE:
            states[owner] = merge_scales(found)
            continue
        merged = found[0]
        for state in found[1:]:
            merged = by_name[owner[2]].merge(merged, state)
        states[owner] = merged
    return Done(states, failures)


def replay(
    dataset: Dataset,
    shards: Sequence[Shard],
    setting: Setting,
    lanes: Sequence[Mapping[str, Player]],
    *,
    store: Store | None = None,
    report: Report | None = None,
) -> Replayed:
    """Replay all shards, one for each of ``lanes`` at a time, and return what came of it.

    What ``store`` has is taken over; what is done is kept there. A lane has its own open sides; on Ctrl-C they are
    closed, and what was done stays.

    Raises:
        ArtifactError: the dataset cannot be read.
        OutputError: a shard cannot be kept.
    """
    run = _Run(dataset, setting, store, sum(len(p) for s in shards for p in s.parts), report)
    with one_thread():
        waiting = [s for s in shards if not run.take_over(s)]
        if waiting:
            run.play(waiting, lanes)
        return run.result()


def open_sides(
    exits: ExitStack, sides: Sequence[Playable], work: Path, seed: str = "0"
) -> tuple[dict[str, Player], dict[str, Failure]]:
    """Return the players of one lane, each in its own process until ``exits`` closes, and who could not be opened.

    What a side draws itself follows from ``seed`` and its name, so that a replay says the same when it is done again.
    """
    sides = [replace(s, spec=replace(s.spec, seed=crc32(f"{seed}/{s.name}".encode()) >> 1)) for s in sides]
    players: dict[str, Player] = {}
    failures: dict[str, Failure] = {}
    lives = [(side, opened(side, work / side.name)) for side in sides]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, max(len(sides), 1))) as pool:
        opening = [(side, live, pool.submit(live.__enter__)) for side, live in lives]
        for side, live, job in opening:
            try:
                players[side.name] = job.result()
                exits.push(live)
            except PlayFailed as e:
                failures[side.name] = e.failure
    return players, failures


class _Run:
    """One replay while it goes on. Merges shards in their order as soon as it can, so that few wait in memory."""

    def __init__(
        self,
        dataset: Dataset,
        setting: Setting,
        store: Store | None,
        planned: int,
        report: Report | None,
    ) -> None:
        self.dataset, self.setting, self.store, self.report = dataset, setting, store, report
        self.planned, self.frames, self.taken_over = planned, 0, 0
        self.failures: dict[str, Failure] = {}
        self._merged: Done | None = None
        self._next = 0
        self._early: dict[int, Done] = {}

    def take_over(self, shard: Shard) -> bool:
        done = None if self.store is None else self.store.load(shard.index)
        if done is None:
            return False
        self.taken_over += sum(map(len, shard.parts))
        self._add(shard, done)
        return True

    def play(self, shards: Sequence[Shard], lanes: Sequence[Mapping[str, Player]]) -> None:
        queue, free = list(reversed(shards)), list(range(len(lanes)))
        running: dict[Future[Done], tuple[Shard, int]] = {}
        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            try:
                while queue or running:
                    while queue and free:
                        lane, shard = free.pop(), queue.pop()
                        job = pool.submit(summarize, self.dataset, shard, self.setting, lanes[lane])
                        running[job] = (shard, lane)
                    for job in wait(running, return_when=FIRST_COMPLETED).done:
                        shard, lane = running.pop(job)
                        free.append(lane)
                        self._finish(shard, job.result())
            except PlayFailed as e:
                self.failures.setdefault("reference", e.failure)
            except KeyboardInterrupt:
                self.failures.setdefault("reference", Failure("interrupted", "interrupted by Ctrl-C"))
            finally:
                if queue or running:  # so that lanes which wait for an answer end too
                    for player in (p for lane in lanes for p in lane.values()):
                        player.session.close()

    def _finish(self, shard: Shard, done: Done) -> None:
        lost = {n: f for n, f in done.failures.items() if n not in self.failures}
        self.failures |= lost
        if self.store is not None and not done.failures:
            self.store.save(shard.index, done)
        self._add(shard, done)

    def _add(self, shard: Shard, done: Done) -> None:
        self._early[shard.index] = done
        self.frames += sum(map(len, shard.parts))
        while self._next in self._early:
            found = self._early.pop(self._next)
            self._merged = found if self._merged is None else merge([self._merged, found])
            self._next += 1
        if self.report:
            self.report("replay", self.frames, self.planned)

    def result(self) -> Replayed:
        rest = [self._early[i] for i in sorted(self._early)]
        whole = merge([d for d in (self._merged, *rest) if d is not None])
        return Replayed(dict(whole.states), self.frames, self.planned, self.failures, self.taken_over)
