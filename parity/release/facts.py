"""What was learnt of one side while it ran. Facts are plain data; they are judged later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from parity.runner.base import Failure, RunResult, SessionInfo


@dataclass(slots=True)
class Facts:
    """Facts about the reference or one candidate.

    Attributes:
        side: name of the candidate, or ``reference``.
        failure: why it could not be loaded or stopped running, if so.
        environment: versions, device, provider, threads: told by the worker.
        loaded_sha256: hash of the bytes that the worker loaded, where it can tell.
        precision: lowest class that the runtime says it computed in.
        stateful: how its state was found and reset, if it has any.
        variants: legitimate variants that worked (reference only).
        notes: remarks of the worker.
        repeat_differs: outputs that changed when one case ran twice, with the largest difference.
        completed: number of cases that ran.
        outputs: names of what it gave, in the contract's words.
        weights: whose weights it holds, as `parity provenance --json` has it, where ``[weights]`` asks for it.
        compiled: what can be told of its OM without running it, see `parity.release.compiled`; None where it has none.
        stats: of the reference alone: what `parity stats --json` says of the release's ``[stats]``, where it has any.
        replay: of the reference alone: what was replayed, where the release has ``[replay]``.
        seconds: where time went; never part of the report.
    """

    side: str
    failure: Failure | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    loaded_sha256: str | None = None
    precision: str | None = None
    stateful: str | None = None
    variants: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repeat_differs: dict[str, float] = field(default_factory=dict)
    completed: int = 0
    outputs: list[str] = field(default_factory=list)
    weights: Mapping[str, Any] | None = None
    compiled: Mapping[str, Any] | None = None
    stats: Mapping[str, Any] | None = None
    replay: Mapping[str, Any] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    calls: int = 0

    def learn(self, info: SessionInfo) -> None:
        """Take over what a session tells about itself."""
        self.environment = dict(info.environment)
        self.loaded_sha256 = info.loaded_sha256
        self.precision = info.precision
        self.stateful = info.stateful
        self.notes = list(info.notes)

    def note_run(self, result: RunResult) -> None:
        """Add what one block of cases told."""
        self.completed += result.completed
        self.outputs += [name for name in result.outputs if name not in self.outputs]
        self.calls += len(result.seconds)
        self.seconds["calls"] = self.seconds.get("calls", 0.0) + sum(result.seconds)
        for name, difference in result.repeat_differs.items():
            self.repeat_differs[name] = max(difference, self.repeat_differs.get(name, 0.0))

    def as_json(self) -> dict[str, Any]:
        """Return the facts without times, JSON-able."""
        return {
            "side": self.side,
            "failure": None if self.failure is None else asdict(self.failure),
            "environment": dict(self.environment),
            "loaded_sha256": self.loaded_sha256,
            "precision": self.precision,
            "stateful": self.stateful,
            "variants": list(self.variants),
            "notes": list(self.notes),
            "repeat_differs": dict(self.repeat_differs),
            "completed": self.completed,
            "outputs": list(self.outputs),
            **({} if self.weights is None else {"weights": dict(self.weights)}),
            **({} if self.compiled is None else {"compiled": dict(self.compiled)}),
            **({} if self.stats is None else {"stats": dict(self.stats)}),
            **({} if self.replay is None else {"replay": dict(self.replay)}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Return the facts that `as_json` wrote."""
        failure = data.get("failure")
        return cls(**{**data, "failure": None if failure is None else Failure(**failure)})
