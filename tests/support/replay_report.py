"""Reports on a replay, judged from actions that are made up: any number of candidates and dimensions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parity.compare.budget import Budget
from parity.release.config import ReplayTable
from parity.release.judge import conclude
from parity.release.replayed import Asked, Evidence, judge_replay
from parity.replay.engine import SCALE
from parity.replay.measure import measures
from parity.replay.model import Timing
from parity.replay.scale import scale_of
from replayed import played

Array = np.ndarray[Any, Any]
Fault = Callable[[Array], Array]  # of a chunk at every frame, (T, H, D)
OUTPUT = "action"


def offset(dimension: int, by: float = 0.05) -> Fault:
    """Return a fault that adds a constant to one dimension."""

    def fault(chunks: Array) -> Array:
        out = chunks.copy()
        out[..., dimension] += by
        return out

    return fault


def actions(width: int, steps: int, episodes: int, frames: int, seed: int = 0) -> list[Array]:
    """Return smooth chunks at every frame of every episode, ``(T, H, D)``: each dimension with its own range."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 8 + np.arange(steps)[:, None] / 8
    gain, speed = rng.uniform(0.2, 2, width), rng.uniform(0.5, 2, width)
    return [gain * np.sin(time * speed + rng.uniform(0, 6, width)) for _ in range(episodes)]


def replay_report(
    candidates: Mapping[str, Fault | None],
    *,
    width: int = 3,
    steps: int = 4,
    episodes: int = 3,
    frames: int = 60,
    units: str | None = "rad",
    names: Sequence[str] | None = None,
    recorded: bool = True,
    told: Mapping[str, Any] | None = None,
    budgets: Mapping[str, Mapping[str, Budget]] | None = None,
) -> dict[str, Any]:
    """Return the report on a replay in which each candidate differs from the reference by its fault."""
    reference = actions(width, steps, episodes, frames)
    timing = Timing(n_action_steps=steps)
    rng = np.random.default_rng(1)
    log = [r[:, 0] + rng.normal(size=(frames, width)) * 0.05 for r in reference] if recorded else None
    states: dict[tuple[str, ...], Any] = {}
    for name, fault in candidates.items():
        faulty = [fault(r) if fault else r + 1e-8 for r in reference]
        shard = played(
            reference, faulty, log, timing=timing, every=steps, observations={"obs": reference_obs(reference)}
        )
        states[name, OUTPUT, SCALE] = scale_of(shard.reference)
        for measure in measures():
            states[name, OUTPUT, measure.name] = measure.observe(shard)
    asked = Asked(
        classes=dict.fromkeys(candidates, "float32"),
        budgets=budgets or {},
        elements={OUTPUT: names},
        units={OUTPUT: units},
        table=ReplayTable(),
        seed=42,
    )
    found = judge_replay(Evidence(_told(candidates, width, steps, episodes, frames, timing, told or {}), states), asked)
    document = {
        "schema": 1,
        "verdict": "NOT_JUDGED",
        "reasons": [],
        "cause": None,
        "release": {
            "name": "replayed",
            "created": "2026-11-30T10:00:00+00:00",
            "seed": 42,
            "environment": {},
            "scope": {"planned": len(found.measures), "selected": len(found.measures)},
        },
        "artifacts": [],
        "candidates": [{"name": n, "runner": "onnxruntime", "precision": "float32"} for n in candidates],
        "comparisons": [],
        "measures": found.measures,
        "replay": found.shown,
    }
    return conclude(document, found.findings, [], dt.date(2026, 11, 30))


def reference_obs(reference: Sequence[Array]) -> list[Array]:
    """Return an observation at every frame, ``(T, D)``."""
    return [r[:, 0] * 2 for r in reference]


def _told(
    candidates: Mapping[str, Any],
    width: int,
    steps: int,
    episodes: int,
    frames: int,
    timing: Timing,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    driven = {f: getattr(timing, f) for f in ("n_obs_steps", "first", "n_action_steps", "ensemble", "control_hz")}
    return {
        "failures": {},
        "ranges": {},
        "dataset": {"path": "data/pusht", "kind": "lerobot_v2.1", "fps": 30.0},
        "episodes": list(range(episodes)),
        "every": steps,
        "outputs": {OUTPUT: [steps, width]},
        "timings": dict.fromkeys(("reference", *candidates), driven),
        "observations": {"obs": {"feature": "observation.state", "how": "single", "steps": 1}},
        "noise": [],
        "padding": "first",
        "samples": 32,
        "action": "action",
        "sampled": [],
        "findings": [],
        "frames": episodes * frames,
        "planned": episodes * frames,
        **changes,
    }


def exhibits(width: int = 3) -> dict[str, Any]:
    """What measures show that are told in tables: of two features and some dimensions."""
    each = {"value": [(1 + i) / 10 for i in range(width)], "p": [0.5, 0.001, *[1.0] * (width - 2)]}
    quantiles = {s: [[i / 20 for i in range(21)]] * width for s in ("reference", "candidate", "recorded")}
    says = ("moves both", "moves the reference only")
    rows = [
        {"feature": f, "dimension": d, "reference": 0.5, "candidate": 0.0, "gain": 0.0, "says": says[f == "obs.depth"]}
        for f in ("obs.state", "obs.depth")
        for d in range(width)
    ]
    of = [{"words": "range that the dataset visits,", "low": 0.0, "high": 10.0, "share": 0.12}]
    spot = {"feature": "obs.state", "low": 0.0, "high": 1.2, "quantiles": [], "constant": False}
    return {
        "distribution": {"distribution": {"frames": 180, "episodes": 3, "quantiles": quantiles, "mean_shift": each}},
        "samples": {
            "samples": {
                "observations": 8,
                "samples": 32,
                "variance_ratio": each,
                "spread": {"reference": [1.0] * width},
            }
        },
        "dependence": {"dependence": {"rows": rows, "not_changed": ["obs.image"]}},
        "coverage": {
            "coverage": {"frames": 45, "rows": [{**spot, "element": f"obs.state[{i}]", "of": of} for i in (0, 1)]}
        },
    }
