"""Actions relative to the state, normalized with the statistics of absolute ones; and steps of a chunk thrown together.

LeRobot's dataset statistics are of absolute actions and have one row for all steps of a chunk. A policy that is trained
on offsets from the current state needs those of offsets (lerobot, pull request 2970, review); one whose statistics have
a row for each step is another transform when the rows are thrown together (lerobot, pull request 3967).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.stats.model import FeatureStats, NormStats
from parity.stats.names import by_name, canonical
from parity.stats.subject import Entry, Subject

ABSOLUTE = "STATS032"
STEPS_LOST = "STATS033"

CLEAR = 1.0  # a state's mean lies at least this many of its standard deviations from 0, or it tells nothing
NEAR = 0.5  # of the state's mean: an absolute action's mean is nearer to it, an offset's is nearer to 0


def is_relative(metadata: Mapping[str, Any]) -> bool:
    """Whether a contract's metadata says that actions are made relative to the state (LeRobot from 0.5 on)."""
    config = metadata.get("config")
    if isinstance(config, Mapping) and config.get("use_relative_actions") is True:
        return True
    processors = metadata.get("processors")
    for told in processors.values() if isinstance(processors, Mapping) else ():
        steps = zip(told.get("steps", ()), told.get("configs", ()), strict=False)
        if any("relative_actions" in str(name) and config.get("enabled") is True for name, config in steps):
            return True
    return False


def relative_findings(subject: Subject) -> Iterator[Finding]:
    """Yield actions whose statistics lie where the state's do, of a policy that is given offsets from the state."""
    state = next((e for e in subject.entries() if _is_state(e)), None)
    action = next((e for e in subject.entries() if e.output and not e.is_metadata), None)
    if state is None or action is None:
        return
    of_state, of_action = state.values("mean", "std"), action.values("mean", "std")
    if of_state is None or of_action is None:
        of_state, of_action = _middles(state), _middles(action)
    if of_state is None or of_action is None or of_state[0].ndim != 1 or of_action[0].ndim != 1:
        return
    n = min(of_state[0].size, of_action[0].size)
    mean, std = of_state[0][:n], of_state[1][:n]
    clear = (std > 0) & (np.abs(mean) > CLEAR * std)
    near = np.abs(of_action[0][:n] - mean) < NEAR * np.abs(mean)
    if clear.sum() < 2 or not near[clear].all():
        return
    yield Finding(
        ABSOLUTE,
        "error",
        f"{action.name} is made relative to the state, but its statistics are those of absolute actions",
        where=action.name,
        detail=f"In all {int(clear.sum())} dimensions in which the state is clearly not around 0, the action's mean is "
        "the state's; offsets from the state lie around 0.",
        evidence={
            "dimensions": [int(i) for i in np.flatnonzero(clear)[:16]],
            "action": [float(x) for x in of_action[0][:n][clear][:16]],
            "state": [float(x) for x in mean[clear][:16]],
        },
        remedy="compute the statistics of the action again after it is made relative (lerobot-edit-dataset "
        "--operation.type recompute_stats --operation.relative_action true), and train again",
    )


def _is_state(entry: Entry) -> bool:
    if entry.declared is not None and entry.declared.type is not None:
        return entry.declared.type == "STATE"
    return entry.name.rpartition(".")[2].rpartition("/")[2].lower() == "state"


def _middles(entry: Entry) -> tuple[Any, Any] | None:
    """Return centre and a spread from what else there is: extremes or quantiles."""
    for low, high in (("q01", "q99"), ("min", "max")):
        found = entry.values(low, high)
        if found is not None:
            return (found[0] + found[1]) / 2, (found[1] - found[0]) / 4
    return None


def chunk_findings(subject: Subject, data: NormStats) -> Iterator[Finding]:
    """Yield actions whose statistics have one row for all steps where ``data`` has one for each of the chunk."""
    per_step = {k: v for k, v in by_name(data).items() if _rows(v) > 1}
    for entry in subject.distinct():
        other = per_step.get(canonical(entry.name))
        if other is None or _rows(entry.stats) > 1 or entry.mode == "IDENTITY":
            continue
        yield Finding(
            STEPS_LOST,
            "error",
            f"{entry.name} has statistics for each of {_rows(other)} steps in {data.label}, and one row for all of "
            "them here",
            where=entry.name,
            detail="Later steps of a chunk spread wider than earlier ones: with one row it is another transform.",
            evidence={"rows": _rows(other), "here": list(np.shape(next(iter(entry.stats.values.values()))))},
            remedy="keep the rows: store the statistics as [chunk, dimension]",
        )


def _rows(stats: FeatureStats) -> int:
    shapes = [np.shape(v) for k, v in stats.values.items() if k in ("mean", "std", "min", "max", "q01", "q99")]
    return int(shapes[0][0]) if shapes and len(shapes[0]) == 2 else 1
