"""Metrics in the units of a scaled budget: exact, or not there; and the way back to the graph's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import mlp, toml
from parity.cli import main
from parity.compare.budget import Budget
from parity.compare.metrics import diff
from parity.release.decide import Terms, decide
from parity.release.physical import TURNED, in_graph_numbers
from rows import measured

RNG = np.random.default_rng(4)
A = RNG.normal(size=(1, 8, 3)).astype(np.float32)
B = (A + RNG.normal(scale=0.01, size=A.shape)).astype(np.float32)


def judged(budget: Budget) -> dict[str, Any]:
    rows, _ = decide([measured(A, B)], {"ort": Terms("float32", {"action": budget})})
    return rows[0]


def of_scaled(scale: Any) -> dict[str, Any]:
    """Return the metrics of the outputs themselves, turned into units before they are compared."""
    factor = np.asarray(scale, dtype=np.float64)
    return diff(B.astype(np.float64) * factor, A.astype(np.float64) * factor).as_json()


@pytest.mark.parametrize("scale", [(256.0,), (-2.0,), (3.0, 3.0, -3.0)])
def test_one_gain_is_exact(scale: tuple[float, ...]) -> None:
    row, expected = judged(Budget(max_abs=100.0, units="px", scale=scale)), of_scaled(scale)
    assert row["units"] == "px"
    assert row["worst_index"] == expected["worst_index"]
    for name in TURNED:
        assert row[name] == pytest.approx(expected[name], rel=1e-5), name


def test_gains_that_differ_are_exact_or_left_out() -> None:
    scale = (1.0, -50.0, 200.0)
    row, expected = judged(Budget(max_abs=100.0, units="mm", scale=scale)), of_scaled(scale)
    for name in ("max_abs", "rmse"):
        assert row[name] == pytest.approx(expected[name], rel=1e-5), name
    assert (row["mean_abs"], row["p50_abs"], row["p99_abs"]) == (None, None, None)
    at = tuple(row["worst_index"])
    assert row["worst_values"] == pytest.approx([A[at] * scale[at[-1]], B[at] * scale[at[-1]]], rel=1e-5)


@pytest.mark.parametrize("scale", [(256.0,), (1.0, -50.0, 200.0)])
def test_the_graphs_own_metrics_are_kept(scale: tuple[float, ...]) -> None:
    plain = measured(A, B)
    row = judged(Budget(max_abs=100.0, units="px", scale=scale))
    assert row["graph"] == {name: plain[name] for name in TURNED}
    back = in_graph_numbers(row)
    assert "graph" not in back
    assert {name: back[name] for name in TURNED} == row["graph"]


def test_equal_outputs_differ_by_nothing_in_any_units() -> None:
    rows, _ = decide(
        [measured(A, A)], {"ort": Terms("float32", {"action": Budget(max_abs=1.0, scale=(1.0, 2.0, 3.0))})}
    )
    assert (rows[0]["max_abs"], rows[0]["rmse"]) == (0.0, 0.0)
    assert rows[0]["verdict"] == "PASS"


def run(folder: Path, *args: str) -> dict[str, Any]:
    main(["run", str(folder / "parity.toml"), "--out", str(folder / "out"), *args])
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


FEW = "[cases]\nnominal = 3\nedge = false\n"
OWN = '[contract.outputs.action]\nunits = "rad"\n'


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", gain=1.001)
    return tmp_path


def test_units_of_the_graph_reach_what_people_read(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml(release, {"ort": "right.onnx"}, more=OWN + FEW)
    report = run(release)
    assert {r["units"] for r in report["comparisons"]} == {"rad"}
    assert {e["units"] for e in report["exhibits"]} == {"rad"}
    worst = max(report["comparisons"], key=lambda r: r["limit_ratio"])
    told = f"max|Δ| {worst['max_abs']:.3g} rad"
    assert told in capsys.readouterr().out
    for name in ("summary.md", "report.html"):
        assert " rad" in (release / "out" / name).read_text(), name


def test_judged_again_without_its_scale_a_comparison_is_in_the_graphs_numbers(release: Path) -> None:
    toml(release, {"ort": "right.onnx"}, more=OWN + FEW)
    plain = run(release)
    settings = f'{OWN}{FEW}[budgets.ort.action]\nmax_abs = 5.0\nunits = "px"\nscale = [10.0, 20.0, 30.0]\n'
    toml(release, {"ort": "right.onnx"}, more=settings)
    scaled = run(release)
    assert {r["units"] for r in scaled["comparisons"]} == {"px"}
    assert scaled["comparisons"][0]["max_abs"] > 5 * plain["comparisons"][0]["max_abs"]
    saved = release / "saved.json"
    saved.write_text(json.dumps(scaled))
    again = run(release, "--from", str(saved))
    assert again["comparisons"] == scaled["comparisons"]
    toml(release, {"ort": "right.onnx"}, more=OWN + FEW)
    assert run(release, "--from", str(saved))["comparisons"] == plain["comparisons"]


def test_a_report_whose_graph_numbers_were_changed_is_refused(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = f'{FEW}[budgets.ort.action]\nmax_abs = 5.0\nunits = "px"\nscale = 10.0\n'
    toml(release, {"ort": "right.onnx"}, more=settings)
    scaled = run(release)
    scaled["comparisons"][0]["graph"]["max_abs"] = 0.0
    saved = release / "saved.json"
    saved.write_text(json.dumps(scaled))
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out"), "--from", str(saved)]) == 2
    assert "contradict" in capsys.readouterr().err
