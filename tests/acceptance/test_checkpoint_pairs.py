"""Checkpoints of the corpus beside what was exported from them, or from others: right pass, wrong fail."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from corpus_index import corpus_index
from judged import judge_pair, verdict_of
from parity.cli import main
from parity.cli.judging import judge_now
from parity.release.config import parse_config

pytestmark = pytest.mark.corpus

PAIRS = {e["id"]: e for e in corpus_index() if e["kind"].startswith("checkpoint_vs_")}
SUFFIX = {"checkpoint_vs_jit": ".pt", "checkpoint_vs_onnx": ".onnx"}
RSL_RL = Path("made") / "rsl-rl"


def of(report: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [f for f in report["findings"] if f["code"] == code]


def test_the_index_holds_right_and_wrong_ones(corpus: Path) -> None:
    assert {e["expected"]["verdict"] for e in PAIRS.values()} == {"PASS", "MISMATCH"}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_checkpoint_against_what_lies_beside_it(corpus: Path, tmp_path: Path, pair: str) -> None:
    entry = PAIRS[pair]
    files = [corpus / f["file"] for f in entry["files"]]
    checkpoint = next(f for f in files if f.suffix == ".pth")
    exported = next(f for f in files if f.suffix == SUFFIX[entry["kind"]])
    report = judge_pair(checkpoint, {"exported": (exported, None)}, tmp_path)
    verdict, codes = verdict_of(report, "exported")
    if entry["expected"]["verdict"] == "PASS":
        assert (verdict, codes) == ("PASS", [])
        settled = of(report, "REBUILD001")[0]["evidence"]
        assert settled["settled"]["activation"] == "elu"
        assert settled["against"] == "exported"
        assert settled["rel"] < 1e-5 < 1e-2 < settled["next_rel"]
    else:
        assert verdict == "FAIL"
        assert "DIFF001" in codes
        assert of(report, "REBUILD002")
        assert "another checkpoint" in report["cause"]


@pytest.mark.parametrize("exported", ["policy_rsl551.onnx", "policy_rsl551_jit.pt"])
def test_what_rsl_rl_exports_itself(corpus: Path, tmp_path: Path, exported: str) -> None:
    folder = corpus / RSL_RL
    report = judge_pair(folder / "model_rsl551.pt", {"exported": (folder / exported, None)}, tmp_path)
    assert verdict_of(report, "exported") == ("PASS", [])
    assert of(report, "REBUILD001")[0]["evidence"]["settled"]["activation"] == "elu"


@pytest.mark.parametrize("other", ["model_rsl233.pt", "model_rsl330.pt"])
def test_a_checkpoint_of_another_run_fails(corpus: Path, tmp_path: Path, other: str) -> None:
    folder = corpus / RSL_RL
    report = judge_pair(folder / other, {"exported": (folder / "policy_rsl551.onnx", None)}, tmp_path)
    assert verdict_of(report, "exported")[0] == "FAIL"
    assert of(report, "REBUILD002")


def test_the_checkpoint_may_be_the_candidate(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / RSL_RL
    report = judge_pair(folder / "policy_rsl551.onnx", {"weights": (folder / "model_rsl551.pt", None)}, tmp_path)
    assert verdict_of(report, "weights") == ("PASS", [])


def test_two_checkpoints_that_nothing_settles_are_not_judged(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / RSL_RL
    first, second = folder / "model_rsl551.pt", folder / "model_rsl330.pt"
    report = judge_pair(first, {"other": (second, None)}, tmp_path)
    assert report["verdict"] == "NOT_JUDGED"
    assert any("kwargs = {activation" in f["remedy"] for f in of(report, "GATE003"))


@pytest.mark.parametrize("name", ["mlp.2.weight", "mlp.4.bias", "obs_normalizer._mean"])
def test_the_layer_that_an_export_got_wrong_is_named(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    folder = corpus / RSL_RL
    model = onnx.load(str(folder / "policy_rsl551.onnx"))
    (tensor,) = [t for t in model.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    checkpoint = str(folder / "model_rsl551.pt")  # what it leaves open is settled by the other side
    assert main(["compare", checkpoint, str(tmp_path / "wrong.onnx"), "--layers", "--cases", "4"]) == 1
    (line,) = [x for x in capfd.readouterr().out.splitlines() if "DIAG020" in x]
    assert f"{name.rpartition('.')[0]}: first differs" in line
    assert f"its weight actor_state_dict.{name} differs" in line


def judge(reference: dict[str, Any], candidate: Path, folder: Path) -> dict[str, Any]:
    """Return the report on the candidate ``other`` with a table of the user's own for the reference."""
    tables = {
        "release": {"name": "pair"},
        "reference": reference,
        "candidate": [{"name": "other", "path": str(candidate)}],
    }
    with tempfile.TemporaryDirectory(dir=folder) as work:
        return judge_now(parse_config(tables, "test"), folder, Path(work), strict=True).report


def test_the_user_settles_it(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / RSL_RL
    first, second = folder / "model_rsl551.pt", folder / "model_rsl330.pt"
    table = {"path": str(first), "kwargs": {"activation": "elu"}}
    report = judge(table, second, tmp_path)
    assert verdict_of(report, "other")[0] == "FAIL"
    report = judge(table, folder / "policy_rsl551.onnx", tmp_path)
    assert verdict_of(report, "other") == ("PASS", [])
    assert of(report, "REBUILD001")[0]["evidence"]["told"]["activation"] == "`kwargs` in parity.toml"
    table = {"path": str(first), "kwargs": {"activation": "relu"}}
    report = judge(table, folder / "policy_rsl551.onnx", tmp_path)
    assert verdict_of(report, "other")[0] == "FAIL"
