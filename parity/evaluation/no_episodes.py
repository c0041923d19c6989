"""Files about evaluations that hold no episode: plans, profiles, summaries. Known, so that they can be told of.

An evaluation that was planned is not one that was run, and a success rate without its episodes cannot be paired,
checked or judged. Real repositories are full of both.
"""

from __future__ import annotations

import re
from typing import Any

from parity.artifact import Artifact
from parity.evaluation.model import EvaluationLog
from parity.evaluation.registry import read_head
from parity.evaluation.values import load

PLANS = ("evaluation_id", "evaluation_profile", "profile_id", "plan_id")
RATES = ("success_rate", "pc_success", "mean_success", "overall_success_rate")
_COUNTED = re.compile(r"\b\d+/\d+ = [01]\.\d+")


class Reader:
    """Recognizes what is no result; always gives a log without episodes."""

    rank = 90

    def matches(self, artifact: Artifact) -> bool:
        """Whether it plans or sums up evaluations."""
        return _what(artifact) is not None

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return a log without episodes."""
        return EvaluationLog(str(artifact.path), _what(artifact) or "no evaluation")


def _what(artifact: Artifact) -> str | None:
    if artifact.kind == "json":
        data = load(artifact)
        return _of_json(data) if isinstance(data, dict) else None
    if artifact.kind == "other":
        text = read_head(artifact.path).decode("utf-8", "replace")
        return "summary of an evaluation, in words" if len(_COUNTED.findall(text)) > 1 else None
    return None


def _of_json(data: dict[str, Any]) -> str | None:
    if "verdict" in data:  # a report of parity
        return None
    if any(isinstance(data.get(k), str | dict) for k in PLANS):
        return "profile of an evaluation" if "profile_id" in data else "plan of an evaluation"
    if isinstance(data.get("per_ep"), list) and "pretrained" in data:
        return "measurements of a reward model on recorded episodes"
    entries = [data, *(v for v in data.values() if isinstance(v, dict))]
    entries += [v[0] for v in data.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return "summary of an evaluation" if any(k in e for e in entries for k in RATES) else None


READER = Reader()
