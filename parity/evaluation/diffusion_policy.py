"""diffusion_policy's ``eval_log.json``: one reward for each seed, the largest of the episode.

Source: ``eval.py`` and ``diffusion_policy/env_runner/*_runner.py`` of real-stanford/diffusion_policy. A flat object:
``test/sim_max_reward_<seed>`` for each initial state, ``test/mean_score`` their mean, and the same under ``train/`` for
states that demonstrations began in; ``sim_video_<seed>`` are paths. Some forks write ``sim_success_<seed>`` and
``success_rate`` too. Where they do not, the log has no successes: the score is what can be judged.
"""

from __future__ import annotations

import re
from typing import Any

from parity.artifact import Artifact
from parity.evaluation.model import Claim, Episode, EvaluationLog
from parity.evaluation.values import load, number, yes_or_no

_REWARD = re.compile(r"(?P<task>(?:.*/)?)sim_max_reward_(?P<seed>\w+)")
_MEANS = {"mean_score": "max_reward", "success_rate": "success"}


class Reader:
    """Reads eval_log.json."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether it is a flat JSON object with ``…sim_max_reward_<seed>``."""
        data = load(artifact) if artifact.kind == "json" else None
        return isinstance(data, dict) and any(_REWARD.fullmatch(str(k)) for k in data)

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log; ``test`` and ``train`` are two tasks."""
        data, where = load(artifact), str(artifact.path)
        found = [(m, k) for k in data if (m := _REWARD.fullmatch(k))]
        return EvaluationLog(
            path=where,
            kind="diffusion_policy eval_log.json",
            episodes=tuple(_episode(data, m["task"], m["seed"], key, where) for m, key in found),
            claims=tuple(_claims(data, sorted({m["task"] for m, _ in found}), where)),
        )


def _name(prefix: str) -> str:
    return prefix.rstrip("/") or "task"


def _episode(data: dict[str, Any], prefix: str, seed: str, key: str, where: str) -> Episode:
    success = data.get(f"{prefix}sim_success_{seed}")
    return Episode(
        task=_name(prefix),
        start=f"seed {seed}",
        seed=int(seed) if seed.isdecimal() else None,
        success=yes_or_no(success, f"{where}: {prefix}sim_success_{seed}"),
        max_reward=number(data[key], f"{where}: {key}"),
    )


def _claims(data: dict[str, Any], prefixes: list[str], where: str) -> list[Claim]:
    out = []
    for prefix in prefixes:
        for key, figure in _MEANS.items():
            value = number(data.get(prefix + key), f"{where}: {prefix}{key}")
            if value is not None:
                out.append(Claim(prefix + key, value, figure, (_name(prefix),)))
    return out


READER = Reader()
