"""Policies that draw noise inside their graph: judged by what they give over many draws, and said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import replay_release as made


def _sampler(path: Path, scale: float, producer: str) -> None:
    """Give a policy noise of its own: `scale` times a standard normal number for each action."""
    made.write_policy(path, made.weights(), producer=producer)
    model = onnx.load(path)
    nodes = model.graph.node
    nodes[-1].output[0] = "mean"
    model.graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), "scale"))
    nodes.extend(
        [
            helper.make_node("RandomNormalLike", ["mean"], ["drawn"], dtype=1),
            helper.make_node("Mul", ["drawn", "scale"], ["noise"]),
            helper.make_node("Add", ["mean", "noise"], ["action"]),
        ]
    )
    onnx.save(model, path)


def _report(folder: Path, reference: float, candidate: float, replay: str = "samples = 24\n") -> dict[str, Any]:
    toml = made.write_release(folder, {"ort": None}, replay=replay, lengths=[16] * 14)
    _sampler(folder / "reference.onnx", reference, "trained")
    _sampler(folder / "ort.onnx", candidate, "exported")
    return made.replay(toml)[1]


def test_a_right_sampler_passes_by_its_distribution(tmp_path: Path) -> None:
    report = _report(tmp_path, 0.1, 0.1)
    assert report["replay"]["sampled"] == ["ort", "reference"]
    assert report["verdict"] == "PASS", report["reasons"]
    assert {m["id"].split("/")[-2] for m in report["measures"]} >= {"samples", "distribution"}


@pytest.mark.parametrize("scale", [0.2, 0.05, 0.0])
def test_another_spread_fails(tmp_path: Path, scale: float) -> None:
    report = _report(tmp_path, 0.1, scale)
    assert report["verdict"] == "FAIL", report["reasons"]


def test_too_few_draws_are_not_judged(tmp_path: Path) -> None:
    report = _report(tmp_path, 0.1, 0.1, 'samples = 2\nepisodes = "0:2"\n')
    assert report["verdict"] == "NOT_JUDGED"


@pytest.mark.parametrize(("scale", "code"), [(0.1, 0), (0.2, 1)])
def test_parity_run_judges_a_sampler_by_its_draws(tmp_path: Path, scale: float, code: int) -> None:
    from judged import run_release, with_code

    made.write_release(tmp_path, {"ort": None}, replay="samples = 24\n", lengths=[16] * 14)
    _sampler(tmp_path / "reference.onnx", 0.1, "trained")
    _sampler(tmp_path / "ort.onnx", scale, "exported")
    found, report = run_release(tmp_path)
    assert found == code, report["reasons"]
    assert report["comparisons"] == []
    assert with_code(report, "GATE017")
    assert not with_code(report, "GATE005")


def test_what_is_drawn_is_the_same_again(tmp_path: Path) -> None:
    first, second = (_report(tmp_path / name, 0.1, 0.1) for name in ("first", "second"))
    assert first["measures"]
    assert first["measures"] == second["measures"]


def test_sides_draw_different_noise(tmp_path: Path) -> None:
    report = _report(tmp_path, 0.1, 0.1)
    worst = [m["value"] for m in report["measures"] if "/distribution/" in m["id"] or "/samples/" in m["id"]]
    assert any(worst), "two equal files would have drawn the same"
