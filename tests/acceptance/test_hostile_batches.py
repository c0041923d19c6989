"""A candidate that mixes up the rows of a batch does not pass, whatever the other side and the other candidates are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hostile import judged, verdicts
from models import mlp, toml
from parity.cli import main


def mixing(path: Path) -> Path:
    """Write the policy with a free batch axis whose every row is the mean over the batch: right at batch 1."""
    mlp(path, batch="batch")
    model = onnx.load(str(path))
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["raw"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Mul", ["raw", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "mean"], ["action"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"))
    onnx.save(model, str(path))
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "fixed.onnx")
    mlp(tmp_path / "free.onnx", batch="batch")
    mlp(tmp_path / "right.onnx", batch="batch", doc="again")
    mlp(tmp_path / "static.onnx", doc="again")
    mixing(tmp_path / "mixing.onnx")
    return tmp_path


NAMES = ("right", "static", "mixing")
RIGHT = {"right": "PASS", "static": "PASS", "mixing": "FAIL"}


def tables(*names: str) -> list[dict[str, Any]]:
    return [{"name": n, "path": f"{n}.onnx"} for n in names]


@pytest.mark.parametrize("reference", ["fixed", "free"])
@pytest.mark.parametrize("cases", [{}, {"nominal": 2}, {"nominal": 3, "edge": False}])
def test_rows_that_are_mixed_up_fail(release: Path, reference: str, cases: dict[str, Any]) -> None:
    report = judged(release, {"path": f"{reference}.onnx"}, tables(*NAMES), cases=cases)
    assert verdicts(report) == RIGHT
    assert not [r for r in report["comparisons"] if r["candidate"] == "static" and "-b" in r["case"]]


def test_a_reference_of_batch_one_and_a_free_candidate(release: Path) -> None:
    assert verdicts(judged(release, {"path": "fixed.onnx"}, tables("mixing"))) == {"mixing": "FAIL"}


def test_observations_of_the_users_own_are_joined_too(release: Path) -> None:
    observations = np.random.default_rng(0).standard_normal((5, 1, 6)).astype(np.float32)
    np.savez(release / "obs.npz", obs=observations)
    report = judged(release, {"path": "fixed.onnx"}, tables(*NAMES), cases={"inputs": "obs.npz"})
    assert verdicts(report) == RIGHT


@pytest.mark.parametrize("recorded_with", ["static", "right"])
def test_a_recording_is_for_both_kinds(release: Path, recorded_with: str) -> None:
    more = "[cases]\nnominal = 6\n"
    toml(release, {"ort": f"{recorded_with}.onnx"}, reference="free.onnx", more=more)
    options = ["run", str(release / "parity.toml"), "--out", str(release / "out")]
    assert main([*options, "--record", str(release / "golden.h5")]) == 0
    report = judged(release, {"path": "golden.h5"}, tables(*NAMES), cases={"nominal": 6})
    assert verdicts(report) == RIGHT


@pytest.mark.parametrize("worst", [1, 2, 3])
def test_a_search_of_few_evaluations_is_judged_on_what_it_finds(release: Path, worst: int) -> None:
    report = judged(release, {"path": "fixed.onnx"}, tables("right", "static"), cases={"worst": worst})
    assert report["verdict"] == "PASS", report["reasons"]
