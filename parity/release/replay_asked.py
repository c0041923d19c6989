"""What a release asks of recorded data, before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parity.errors import UsageError
from parity.release.config import Config, ReplayTable
from parity.release.sides import Side


@dataclass(frozen=True, slots=True)
class Replaying:
    """What `[replay]` asks for; ``dataset`` is None where it asks for nothing."""

    table: ReplayTable = field(default_factory=ReplayTable)
    dataset: Path | None = None
    seed: int = 42


def by_draws(reference: Side, candidates: Sequence[Side]) -> frozenset[str]:
    """Return the candidates whose single outputs say nothing: they, or the reference, draw noise inside their graph.

    What they give over many draws is judged on recorded data; no case is planned for them.
    """
    drawing = {s.name for s in (reference, *candidates) if s.contract and s.contract.metadata.get("random_ops")}
    return frozenset(c.name for c in candidates if {reference.name, c.name} & drawing)


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
