"""`parity provenance --only`: what a fine-tuning may change, and what gives it away that changed something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.cli import main
from parity.report.schema import validate

torch = pytest.importorskip("torch")
State = dict[str, Any]


@pytest.fixture
def base() -> State:
    torch.manual_seed(0)
    policy = torch.nn.ModuleDict(
        {
            "trunk": torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8)),
            "actor": torch.nn.Linear(8, 4),
            "aux_decoder": torch.nn.Linear(8, 1),
        }
    )
    policy["trunk"](torch.randn(4, 1, 9, 9))
    return dict(policy.state_dict())


def tuned(base: State) -> State:
    return {n: t + 0.1 if n.startswith("aux_decoder") else t.clone() for n, t in base.items()}


def asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mine: Any, theirs: Any, *patterns: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    for name, content in (("tuned.pt", mine), ("base.pt", theirs)):
        torch.save(content, tmp_path / name)
    only = [f"--only={p}" for p in patterns or ("aux_decoder.*",)]
    code = main(["provenance", str(tmp_path / "tuned.pt"), str(tmp_path / "base.pt"), *only, "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    validate(document, "provenance")
    return code, document, {f["code"]: f["title"] for f in document["findings"]}


def test_only_what_is_claimed(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    code, document, said = asked(tmp_path, capsys, tuned(base), {"model_state_dict": base, "iter": 7})
    assert (code, document["verdict"], document["best"]["relation"]) == (0, "PASS", "MATCH")
    assert "all 9 others are equal bit by bit" in said["PROV024"]
    assert sorted(m["name"] for m in document["only"]["sets"][0]["inside"]) == [
        "aux_decoder.bias",
        "aux_decoder.weight",
    ]
    assert np.isclose(document["only"]["sets"][0]["inside"][0]["max_abs"], 0.1)


def test_wrappers_and_another_container(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    wrapped = {f"module._orig_mod.{n}": t for n, t in tuned(base).items()}
    assert asked(tmp_path, capsys, {"state_dict": wrapped}, {"model_state_dict": base})[0] == 0


@pytest.mark.parametrize("name", ["actor.weight", "actor.bias", "trunk.0.weight"])
def test_what_else_moved_is_named_with_by_how_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State, name: str
) -> None:
    state = tuned(base)
    state[name].view(-1)[0] += 0.25
    code, document, said = asked(tmp_path, capsys, state, base)
    assert (code, document["verdict"]) == (1, "FAIL")
    assert name in said["PROV020"]
    assert "max |Δ| 0.25" in said["PROV020"]
    assert document["best"]["relation"] == "PARTIAL"
    assert document["only"]["sets"][0]["outside"][0]["elements"] == 1


def test_the_last_bit_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    state = tuned(base)
    state["actor.weight"][0, 0] = torch.nextafter(state["actor.weight"][0, 0], torch.tensor(9.0))
    assert asked(tmp_path, capsys, state, base)[0] == 1
    state = tuned(base)
    state["actor.bias"] *= 0.0
    zero = {**base, "actor.bias": torch.zeros(4)}
    state["actor.bias"][0] = -0.0
    assert asked(tmp_path, capsys, state, zero)[0] == 1


@pytest.mark.parametrize("name", ["running_mean", "running_var", "num_batches_tracked"])
def test_running_statistics_of_a_frozen_trunk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State, name: str
) -> None:
    state = tuned(base)
    state[f"trunk.1.{name}"] += 1
    code, _, said = asked(tmp_path, capsys, state, base)
    assert code == 1
    assert f"trunk.1.{name}" in said["PROV021"]
    assert "PROV020" not in said


def test_tensors_lost_and_new(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    state = tuned(base)
    state["extra.weight"] = state.pop("actor.weight")
    code, document, said = asked(tmp_path, capsys, state, base)
    assert code == 1
    assert "1 lost (actor.weight) and 1 new (extra.weight)" in said["PROV022"]
    evidence = next(f["evidence"] for f in document["findings"] if f["code"] == "PROV022")
    assert evidence["renames"] == [["extra.", "actor.", 1]]


def test_what_did_not_move(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    code, document, said = asked(tmp_path, capsys, base, base)
    assert code == 0
    assert "2 of 2" in said["PROV023"]
    assert next(f["severity"] for f in document["findings"] if f["code"] == "PROV023") == "warning"
    state = {**base, "aux_decoder.bias": base["aux_decoder.bias"] + 1}
    _, document, said = asked(tmp_path, capsys, state, base)
    assert "1 of 2" in said["PROV023"]
    assert next(f["severity"] for f in document["findings"] if f["code"] == "PROV023") == "info"


def test_a_claim_of_everything_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    code, document, said = asked(tmp_path, capsys, tuned(base), base, "*")
    assert (code, document["verdict"]) == (3, "NOT_JUDGED")
    assert "PROV025" in said


def test_a_pattern_that_nothing_has(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    for name in ("tuned.pt", "base.pt"):
        torch.save(base, tmp_path / name)
    assert main(["provenance", str(tmp_path / "tuned.pt"), str(tmp_path / "base.pt"), "--only", "decoder.*"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "names begin with actor, aux_decoder, trunk" in captured.err


def test_every_weight_set_must_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    def workspace(model: State, averaged: State) -> Any:
        return {"cfg": {}, "state_dicts": {"model": model, "ema_model": averaged}}

    state = tuned(base)
    assert asked(tmp_path, capsys, workspace(state, state), workspace(base, base))[0] == 0
    moved = {**state, "actor.bias": state["actor.bias"] + 1}
    code, document, said = asked(tmp_path, capsys, workspace(state, moved), workspace(base, base))
    assert (code, document["best"]["tree"]) == (1, "ema_model")
    assert "actor.bias" in said["PROV020"]


def test_the_right_base_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    for name, state in (
        ("tuned.pt", tuned(base)),
        ("right.pt", base),
        ("wrong.pt", {n: t + 1 for n, t in base.items()}),
    ):
        torch.save(state, tmp_path / name)
    paths = [str(tmp_path / n) for n in ("tuned.pt", "wrong.pt", "right.pt")]
    assert main(["provenance", *paths, "--only", "aux_decoder"]) == 0
    assert "right.pt" in capsys.readouterr().out.splitlines()[0]


def test_a_graph_that_lost_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str], base: State) -> None:
    """An exporter transposes, folds and renames; what is computed from the base's trunk still is the base's."""
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper

    def graph(state: State) -> None:
        scale = state["trunk.1.weight"] / torch.sqrt(state["trunk.1.running_var"] + 1e-5)
        arrays = {
            "Conv_25": state["trunk.0.weight"] * scale[:, None, None, None],
            "Conv_26": (state["trunk.0.bias"] - state["trunk.1.running_mean"]) * scale + state["trunk.1.bias"],
            "MatMul_30": state["actor.weight"].T,
            "actor.bias": state["actor.bias"],
            "MatMul_31": state["aux_decoder.weight"].T,
        }
        tensors = [numpy_helper.from_array(np.ascontiguousarray(t.numpy()), n) for n, t in arrays.items()]
        x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4]) for n in "xy")
        add = onnx.helper.make_node("Add", ["x", "actor.bias"], ["y"])
        made = onnx.helper.make_graph([add], "g", [x], [y], initializer=tensors)
        onnx.save(onnx.helper.make_model(made), str(tmp_path / "tuned.onnx"))

    torch.save(base, tmp_path / "base.pt")
    command = ["provenance", str(tmp_path / "tuned.onnx"), str(tmp_path / "base.pt"), "--only", "aux_decoder.*"]
    graph(tuned(base))
    assert main(command) == 0
    assert "Only `aux_decoder.*` changed" in capsys.readouterr().out
    graph({**tuned(base), "actor.weight": base["actor.weight"] + 0.1})
    assert main(command) == 1
    assert "MatMul_30" in capsys.readouterr().out
