"""What a `parity.toml` says cannot make the gate pass what says nothing: aliases, inherited classes, broad waivers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hostile import codes, judged, verdicts
from models import mlp
from parity.errors import UsageError


def slightly_off(arrays: dict[str, Any]) -> None:
    arrays["b2"][0] += 0.005


def test_the_same_file_under_another_guise_is_the_same_file(tmp_path: Path) -> None:
    mlp(tmp_path / "r.onnx")
    shutil.copy(tmp_path / "r.onnx", tmp_path / "copy.onnx")
    (tmp_path / "link.onnx").symlink_to("r.onnx")
    guises: dict[str, dict[str, Any]] = {
        "copy": {"path": "copy.onnx"},
        "link": {"path": "link.onnx"},
        "cpu": {"provider": "cpu"},
        "provider": {"provider": "CPUExecutionProvider"},
        "python": {"python": sys.executable},
        "threads": {"options": {"threads": 2}},
        "empty": {"options": {"session_config": {}}},
        "fallback": {"options": {"allow_fallback": True}},
        "device": {"device": "cpu"},
        "kwargs": {"kwargs": {"a": 1}},
        "timeout": {"timeout_s": 99},
    }
    tables = [{"path": "r.onnx", **table, "name": name} for name, table in guises.items()]
    report = judged(tmp_path, {"path": "r.onnx"}, tables)
    assert verdicts(report) == dict.fromkeys(guises, "NOT_JUDGED")
    assert all("GATE006" in codes(report, name) for name in guises)


def test_what_really_runs_in_another_way_is_compared(tmp_path: Path) -> None:
    mlp(tmp_path / "r.onnx")
    table = {"name": "one", "path": "r.onnx", "options": {"threads": 1}}
    assert verdicts(judged(tmp_path, {"path": "r.onnx"}, [table])) == {"one": "PASS"}


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_a_class_declared_for_the_reference_loosens_nothing(tmp_path: Path, precision: str) -> None:
    mlp(tmp_path / "r.onnx")
    mlp(tmp_path / "off.onnx", edit=slightly_off)
    report = judged(tmp_path, {"path": "r.onnx", "precision": precision}, [{"name": "off", "path": "off.onnx"}])
    assert verdicts(report) == {"off": "FAIL"}
    assert "PREC002" in codes(report, "off")


@pytest.mark.parametrize(
    "budget",
    [
        {"mean_abs": float("inf")},
        {"rel": float("nan")},
        {"max_abs": float("inf")},
        {"max_abs": []},
        {"max_abs": 0.5, "scale": 0.0},
        {"max_abs": 0.5, "scale": float("inf")},
        {"max_abs": 0.5, "scale": float("nan")},
        {"max_abs": 0.5, "scale": []},
    ],
)
def test_budgets_that_limit_nothing_are_refused(tmp_path: Path, budget: dict[str, Any]) -> None:
    mlp(tmp_path / "r.onnx")
    with pytest.raises(UsageError):
        judged(tmp_path, {"path": "r.onnx"}, [{"name": "a", "path": "r.onnx"}], budgets={"default": {"action": budget}})


def test_a_waiver_waives_one_finding_and_not_all_that_look_like_it(tmp_path: Path) -> None:
    mlp(tmp_path / "r.onnx", outputs=("action", "value"))
    mlp(tmp_path / "a.onnx", outputs=("action", "value"), seed=1)
    mlp(tmp_path / "b.onnx", outputs=("action", "value"), seed=2)
    tables = [{"name": n, "path": f"{n}.onnx"} for n in ("a", "b")]
    waiver = {"finding": "DIFF001", "reason": "known", "owner": "lee", "until": "2999-01-01"}
    for broad in ({}, {"candidate": "a"}, {"where": "action"}):
        report = judged(tmp_path, {"path": "r.onnx"}, tables, waiver=[{**waiver, **broad}])
        assert verdicts(report) == {"a": "FAIL", "b": "FAIL"}
        assert "WAIVE001" in {f["code"] for f in report["findings"]}
