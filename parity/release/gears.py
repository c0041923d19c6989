"""Gears of an OM: the batches that it was compiled for, and the one that the user chose. No other size runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parity.contract import Contract
from parity.tensor import TensorSpec

BATCH = "batch"  # the kind of gears, and the name of the axis in the contract


def compiled_batches(contract: Contract | None) -> frozenset[int] | None:
    """Return the batches that an artifact was compiled for; None where any runs, or no batch is free."""
    gears = contract.metadata.get("gears") if contract is not None and contract.kind == "om" else None
    if not isinstance(gears, Mapping) or gears.get("kind") != BATCH:
        return None
    return frozenset(int(values[0]) for values in gears["values"])


def in_gear(contract: Contract, options: Mapping[str, Any]) -> Contract:
    """Return the contract with the batch that the option ``gear`` of the runner ``om`` chooses."""
    gear = options.get("gear")
    chosen = gear[0] if isinstance(gear, list) and len(gear) == 1 else gear
    known = compiled_batches(contract)
    if known is None or chosen not in known:  # the runner says what is wrong with another
        return contract

    def fixed(spec: TensorSpec) -> TensorSpec:
        shape = spec.shape
        return spec if shape is None else replace(spec, shape=tuple(chosen if d == BATCH else d for d in shape))

    return replace(contract, inputs=tuple(map(fixed, contract.inputs)), outputs=tuple(map(fixed, contract.outputs)))
