"""Disagreements and joins on artifacts that real robots ran, and that the real LeRobot wrote."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from corpus_index import corpus_index
from parity.cli import main
from parity.contract import Contract, read_contract
from parity.contract.adapter import infer_adapter
from parity.contract.disagree import disagreements, disagreements_of
from parity.contract.join import join, with_siblings
from parity.contract.siblings import siblings
from parity.tensor import TensorSpec

pytestmark = pytest.mark.corpus

PAIRS = [e["id"] for e in corpus_index() if e["kind"] == "pair"] or ["absent"]
MADE = ["act_aloha_image_narrowresnet", "act_envstate", "dp_pusht_2cam_bn_h64", "dp_pusht_keypoints_ddim10"]
ERAS = ["lerobot-0.3.3-legacy", "lerobot-0.4.4", "lerobot-0.6.1"]


def real(found: list) -> list:  # type: ignore[type-arg]
    return [d for d in found if d.severity != "info"]


def sides(corpus: Path, pair: str) -> tuple[Contract, Contract]:
    folder = corpus / "pairs" / pair
    return read_contract(folder / "policy.pt"), read_contract(folder / "policy.onnx")


@pytest.mark.parametrize("pair", PAIRS)
def test_the_contracts_of_a_pair_agree_but_for_stale_statistics(corpus: Path, pair: str) -> None:
    kinds = {d.kind for d in real(disagreements(*sides(corpus, pair)))}
    assert kinds == ({"range"} if pair == "ogre_e0ee1102_ros2_stale" else set())


@pytest.mark.parametrize("pair", PAIRS)
def test_torchscript_learns_its_shapes_from_the_onnx_file(corpus: Path, pair: str) -> None:
    script, graph = sides(corpus, pair)
    joined = join([script, graph])
    assert joined.complete
    assert [t.shape for t in joined.inputs] == [t.shape for t in graph.inputs]
    assert [t.shape for t in joined.outputs] == [t.shape for t in graph.outputs]
    adapter, findings = infer_adapter(joined, graph)
    assert list(adapter.rules.rename) in ([], [t.name for t in (*graph.inputs, *graph.outputs)])
    assert all(f.severity == "info" for f in findings)


@pytest.mark.parametrize(
    ("pair", "size", "actions"),
    [("rl_sar_g1_dance_102", 154, 29), ("rl_sar_go2w_pass", 57, 16), ("booster_t1_ckpt10000_pass", 47, 12)],
)
def test_torchscript_learns_its_shapes_from_a_config_beside_it(
    corpus: Path, pair: str, size: int, actions: int
) -> None:
    (path,) = (corpus / "pairs" / pair).glob("*.pt")
    joined = with_siblings(read_contract(path))
    assert joined.inputs[0].shape == ("batch", size)
    assert joined.outputs[0].shape == ("batch", actions)
    assert joined.metadata["told_by"][f"inputs.{joined.inputs[0].name}.shape"].endswith(".yaml")


def test_a_config_of_the_robot_agrees_with_the_graph(corpus: Path) -> None:
    folder = corpus / "pairs" / "rl_sar_g1_dance_102"
    graph, config = read_contract(folder / "policy.onnx"), read_contract(folder / "config.yaml")
    assert not real(disagreements(graph, config))
    assert [p.name for p in siblings(folder / "policy.pt")] == ["config.yaml", "base.yaml"]
    other = read_contract(corpus / "pairs" / "rl_sar_go2w_pass" / "config.yaml")
    assert {d.kind for d in real(disagreements(graph, other))} >= {"shape"}


@pytest.mark.parametrize("name", MADE)
def test_one_policy_written_by_three_eras_of_lerobot_agrees(corpus: Path, name: str) -> None:
    contracts = [read_contract(corpus / "made" / era / name) for era in ERAS]
    for a, b in combinations(contracts, 2):
        assert not disagreements(a, b)


def export_of(policy: Contract, steps: int) -> Contract:
    """Return what a graph of the LeRobot policy that gives ``steps`` actions would say."""
    n = policy.window.n_obs_steps
    inputs = tuple(
        TensorSpec(t.name.replace(".", "_"), ("batch", n, *(t.shape or ())), "float32", t.role) for t in policy.inputs
    )
    outputs = tuple(
        TensorSpec("actions", ("batch", steps, *(t.shape or ())), "float32", t.role) for t in policy.outputs
    )
    return Contract(Path("export.onnx"), "onnx", inputs=inputs, outputs=outputs)


@pytest.mark.parametrize("name", ["dp_pusht_2cam_bn_h64", "dp_pusht_keypoints_ddim10"])
def test_an_export_of_the_horizon_is_found(corpus: Path, name: str) -> None:
    policy = read_contract(corpus / "made" / "lerobot-0.4.4" / name)
    horizon, executed = policy.window.horizon, policy.window.n_action_steps
    assert isinstance(horizon, int)
    assert isinstance(executed, int)
    right = export_of(policy, executed)
    assert {d.kind for d in real(disagreements(policy, right))} == {"name"}
    wrong = [d for d in real(disagreements(policy, export_of(policy, horizon))) if d.kind != "name"]
    assert [(d.kind, d.a_value, d.b_value) for d in wrong] == [("chunk", executed, horizon)]
    assert "whole horizon" in wrong[0].sentence
    joined = join([policy, right])
    assert [t.name for t in joined.inputs] == [t.name for t in policy.inputs]
    assert all(t.range is not None for t in joined.inputs)
    assert all(t.shape and t.shape[:2] == ("batch", policy.window.n_obs_steps) for t in joined.inputs)


def test_a_changed_sampler_and_window_are_found(corpus: Path) -> None:
    policy = read_contract(corpus / "made" / "lerobot-0.4.4" / "dp_pusht_keypoints_ddim10")
    assert policy.sampler is not None
    other = replace(
        policy,
        path=Path("other"),
        sampler=replace(policy.sampler, prediction_type="sample"),
        window=replace(policy.window, n_action_steps=7),
    )
    assert [d.where for d in disagreements_of([policy, other])] == ["n_action_steps", "sampler.prediction_type"]


def test_the_command_on_a_stale_pair(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = corpus / "pairs" / "ogre_e0ee1102_ros2_stale"
    args = ["inspect", str(folder / "policy.pt"), str(folder / "policy.onnx")]
    assert main(args) == 0
    assert "INSP010 error" in capsys.readouterr().out
    assert main([*args, "--strict"]) == 1


def test_the_command_on_a_broken_artifact(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(corpus / "pairs" / "taie64_missing_external_data" / "policy.onnx")]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "Traceback" not in shown
