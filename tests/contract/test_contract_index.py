"""Every LeRobot configuration, processor and shape_meta of the corpus is read as its index says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from corpus_index import corpus_index
from parity.contract import Contract, read_contract
from parity.tensor import TensorSpec

KINDS = {
    "LRCFG": "lerobot",
    "LRTRAIN": "lerobot",
    "LRHYDRA": "lerobot_hydra",
    "LRPROC": "lerobot_processor",
    "SHAPE_META": "shape_meta",
}
ENTRIES = [e for e in corpus_index() if e["kind"].split(":")[0] in KINDS]


def shapes(specs: Iterable[TensorSpec]) -> dict[str, Any]:
    return {t.name: None if t.shape is None else list(t.shape) for t in specs}


def steps(contract: Contract, name: str) -> Any:
    """The window's field as the file spells it: resolved references go back to their text."""
    said = contract.metadata.get("references", {}).get(f"policy.{name}")
    return getattr(contract.window, name) if said is None else said


def json_era(contract: Contract) -> dict[str, Any]:
    long = contract.window.horizon if contract.window.horizon is not None else contract.window.chunk_size
    return {
        "policy_type": contract.policy,
        "input_features": shapes(contract.inputs),
        "output_features": shapes(contract.outputs),
        "normalization_mapping": dict(contract.normalization.modes) or None,
        "n_obs_steps": contract.window.n_obs_steps,
        "horizon_or_chunk": long,
        "n_action_steps": contract.window.n_action_steps,
    }


def hydra_era(contract: Contract) -> dict[str, Any]:
    named = contract.metadata["shapes_from"] == "input_shapes"
    outputs = {t.name for t in contract.outputs}
    modes = dict(contract.normalization.modes)
    long = steps(contract, "horizon")
    return {
        "name": contract.policy,
        "input_shapes": shapes(contract.inputs) if named else None,
        "output_shapes": shapes(contract.outputs) if named else None,
        "input_normalization_modes": {k: v for k, v in modes.items() if k not in outputs} or None,
        "output_normalization_modes": {k: v for k, v in modes.items() if k in outputs} or None,
        "n_obs_steps": steps(contract, "n_obs_steps"),
        "chunk_or_horizon": long if long is not None else steps(contract, "chunk_size"),
        "n_action_steps": steps(contract, "n_action_steps"),
    }


def processor(contract: Contract) -> dict[str, Any]:
    return {"steps": contract.metadata["steps"], "state_files": contract.metadata["state_files"]}


def shape_meta(contract: Contract) -> dict[str, Any]:
    raw, said = contract.metadata["shape_meta"], contract.metadata["references"]
    if not isinstance(raw, dict):
        assert (contract.inputs, contract.outputs, contract.complete) == ((), (), False)
        return {"shape_meta_is_mapping": False, "shape_meta_raw": raw}
    found = shapes(contract.inputs)
    return {
        "shape_meta_is_mapping": True,
        "shape_meta_raw": None,
        "obs": {name: said.get(f"shape_meta.obs.{name}.shape", shape) for name, shape in found.items()},
        "action": shapes(contract.outputs)["action"],
    }


PARSED = {
    "LRCFG": json_era,
    "LRTRAIN": json_era,
    "LRHYDRA": hydra_era,
    "LRPROC": processor,
    "SHAPE_META": shape_meta,
}


@pytest.mark.corpus
def test_the_index_lists_them(corpus: Path) -> None:
    assert len(ENTRIES) >= 144


@pytest.mark.corpus
@pytest.mark.parametrize("entry", ENTRIES, ids=[e["id"] for e in ENTRIES])
def test_agrees_with_the_index(corpus: Path, entry: dict[str, Any]) -> None:
    kind = entry["kind"].split(":")[0]
    contract = read_contract(corpus / entry["files"][0]["file"])
    assert contract.kind == KINDS[kind]
    assert PARSED[kind](contract) == entry["expected"].get("parsed", entry["expected"])
    assert all(not t.batched for t in (*contract.inputs, *contract.outputs))
    json.dumps(contract.as_json())
