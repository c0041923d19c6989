"""What a LeRobot policy's own configuration declares: its features, how each is to be normalized, its chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parity.contract.lerobot_policy import Feature, features_of, is_policy_config, modes_of, policy_contract
from parity.contract.ranges import Statistics, from_config
from parity.stats.json_file import read_json
from parity.stats.model import Declared


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy's features by their own names, the length of its action chunk, and its type as a fact.

    ``written`` are statistics that stand in the configuration itself, as SAC's ``dataset_stats`` do.
    """

    declared: tuple[Declared, ...] = ()
    chunk: int | None = None
    written: Mapping[str, Statistics] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def looked_up(self, key: Callable[[str], str]) -> tuple[Declared, ...]:
        """Return the features with the keys under which a framework looks their statistics up."""
        return tuple(replace(d, key=key(d.name)) for d in self.declared)


def read_policy(config: Path) -> Policy:
    """Return what ``config.json`` (or the policy inside ``train_config.json``) declares; nothing where it is not there.

    Raises:
        ArtifactError: it is there but corrupt, or a feature is not described as this format does.
    """
    if not config.is_file():
        return Policy()
    data = read_json(config)
    if isinstance(data, dict) and not is_policy_config(data) and is_policy_config(data.get("policy")):
        data = data["policy"]
    if not is_policy_config(data):
        return Policy()
    contract = policy_contract(config, "lerobot", data)
    modes = modes_of(data, str(config))
    declared = tuple(declare(f, f.mode(modes)) for f in features_of(data, str(config)))
    lengths = (contract.window.chunk_size, contract.window.horizon)
    chunk = next((n for n in lengths if isinstance(n, int)), None)
    written = from_config(data.get("dataset_stats"), f"{config.name}: dataset_stats")
    return Policy(declared, chunk, written, {"policy": contract.policy} if contract.policy else {})


def declare(feature: Feature, mode: str | None) -> Declared:
    """Return a feature as its configuration declares it, under its own name."""
    shape = feature.shape
    sizes = tuple(d for d in shape if isinstance(d, int)) if shape is not None else None
    if sizes is not None and shape is not None and len(sizes) != len(shape):
        sizes = None  # a reference that was never resolved
    mode = mode.upper() if mode else None
    return Declared(feature.name, feature.name, sizes, feature.type, mode, feature.side == "output")
