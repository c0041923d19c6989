"""Exhibits of small real releases: what they show is what the traces hold, and what they claim comes true."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parity.errors import ArtifactError
from parity.release import exhibits as module
from parity.release.config import parse_config
from parity.release.exhibit_pairs import pair_of
from parity.release.exhibits_again import still_true
from parity.release.rejudge import rejudge
from parity.report.json_file import encode, plain
from parity.tensor import ArraySource
from tests.support.judged import judge_pair, verdict_of
from tests.support.models import mlp

SCHEMA = json.loads((Path(module.__file__).parents[1] / "report/schema/report.schema.json").read_text())


def judged(folder: Path, reference: Path, candidate: Path, declared: str | None = None, **more: Any) -> dict[str, Any]:
    report = judge_pair(reference, {"ort": (candidate, declared)}, folder, **more)
    jsonschema.validate(json.loads(encode(report)), SCHEMA)
    return report


def shifted(folder: Path, name: str, joint: int, by: float) -> Path:
    def edit(arrays: dict[str, Any]) -> None:
        arrays["b2"][joint] += np.float32(by)

    return mlp(folder / name, edit=edit, doc=name)


SIDES = (("above", "FAIL"), ("below", "PASS"))


def nudged(folder: Path, reference: Path, seen: Any, share: float, declared: str | None) -> dict[str, Any]:
    """Judge candidates with an offset on one joint each, a share above and a share below what is said to fail."""
    candidates = {}
    for joint, figures in enumerate(seen["dimensions"]):
        for side, by in (("above", 1 + share), ("below", 1 - share)):
            name = f"{joint}-{side}"
            candidates[name] = (shifted(folder, f"{name}.onnx", joint, by * figures["offset"]), declared)
    return judge_pair(reference, candidates, folder)


def graph(path: Path, nodes: list[Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any], **arrays: Any) -> Path:
    def infos(tensors: Mapping[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in tensors.items()]

    made = helper.make_graph(
        nodes,
        "g",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string=path.name)
    onnx.save(model, str(path))
    return path


def test_what_is_said_to_fail_fails_and_what_is_below_passes(tmp_path: Path) -> None:
    reference, good = mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes")
    (entry,) = judged(tmp_path, reference, good)["exhibits"]
    seen = entry["sensitivity"]
    assert (entry["steps"], entry["dimensions"], entry["output"], entry["units"]) == (1, 3, "action", None)
    assert [d["informative"] for d in seen["dimensions"]] == [True] * 3
    assert all(d["sign"]["caught"] and d["swap"]["caught"] and d["shift"] is None for d in seen["dimensions"])
    assert "any one sign flipped would have failed" in seen["sentences"]
    assert "every swap of two joints would have failed" in seen["sentences"]
    told = float(re.fullmatch(r"a bias above (\S+) on any one joint .*", seen["sentences"][0]).group(1))  # type: ignore[union-attr]
    assert told >= max(d["offset"] for d in seen["dimensions"])
    verdicts = {c["name"]: c["verdict"] for c in nudged(tmp_path, reference, seen, 0.3, None)["candidates"]}
    assert verdicts == {f"{joint}-{side}": v for joint in range(3) for side, v in SIDES}


def test_the_figures_are_those_of_the_comparisons(tmp_path: Path) -> None:
    report = judged(tmp_path, mlp(tmp_path / "r.onnx"), shifted(tmp_path, "c.onnx", 1, 0.5))
    (entry,) = report["exhibits"]
    rows = report["comparisons"]
    assert report["verdict"] == "FAIL"
    assert entry["sensitivity"] is None
    assert entry["cases"] == len(rows)
    (errors,) = entry["by_step"]["max_abs"]
    assert errors == pytest.approx(np.max([r["dims"]["max_abs_all"] for r in rows], axis=0), rel=1e-5)
    (ratios,) = entry["by_step"]["ratio"]
    assert max(ratios) == pytest.approx(max(r["limit_ratio"] for r in rows), rel=1e-5)
    spread = entry["distribution"]
    assert sum(spread["error"]) + spread["zero"] == sum(spread["limit"]) == sum(spread["floor"]) == 3 * len(rows)
    assert len(spread["edges"]) == len(spread["error"]) + 1
    ratio = {r["id"]: r["limit_ratio"] for r in rows}
    shown = [ratio[w["comparison"]] for w in entry["worst"]]
    assert shown == sorted(ratio.values(), reverse=True)[:3]
    for worst in entry["worst"]:
        gap = np.asarray(worst["candidate"]) - np.asarray(worst["reference"])
        assert np.abs(gap).max() == pytest.approx(0.5, abs=1e-5)
        (observation,) = worst["inputs"]
        assert observation["name"] == "obs"
        assert observation["shape"] == [1, 6]
        assert len(observation["values"]) == 6


def test_twice_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    reference, candidate = mlp(tmp_path / "r.onnx"), shifted(tmp_path, "c.onnx", 1, 0.5)
    first, second = (judged(tmp_path, reference, candidate)["exhibits"] for _ in range(2))
    assert encode({"exhibits": first}) == encode({"exhibits": second})


def test_a_batch_shows_the_observation_that_is_furthest_off(tmp_path: Path) -> None:
    reference = mlp(tmp_path / "r.onnx", batch="batch")
    nodes = [
        helper.make_node("Gemm", ["obs", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["right"]),
        helper.make_node("CumSum", ["right", "axis"], ["sum"]),  # row i of a batch has the rows before it in it
        helper.make_node("Identity", ["sum"], ["action"]),
    ]
    wrong = mlp(
        tmp_path / "c.onnx", batch="batch", nodes=nodes, edit=lambda a: a.update(axis=np.asarray(0, np.int64)), doc="x"
    )
    report = judged(tmp_path, reference, wrong)
    (entry,) = report["exhibits"]
    (worst,) = (w for w in entry["worst"] if w["case"] == "nominal-b0000")
    assert worst["verdict"] == "FAIL"
    assert worst["observation"] in (1, 2, 3)
    assert np.asarray(worst["reference"]).shape == (1, 3)
    assert worst["inputs"][0]["shape"] == [4, 6]
    single = judged(tmp_path, reference, mlp(tmp_path / "ok.onnx", batch="batch", doc="y"))["exhibits"][0]
    assert single["cases"] > 1
    assert single["sensitivity"]["dimensions"]


def test_int8_figures_come_true_too(tmp_path: Path) -> None:
    reference, good = mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes")
    report = judged(tmp_path, reference, good, "int8")
    (entry,) = report["exhibits"]
    assert entry["by_step"]["ratio"] is None
    assert entry["worst"][0]["limit"] is None
    report = nudged(tmp_path, reference, entry["sensitivity"], 0.02, "int8")
    verdicts = {m["candidate"]: m["verdict"] for m in report["measures"]}
    assert verdicts == {f"{joint}-{side}": v for joint in range(3) for side, v in SIDES}


def test_budgets_in_units_and_without_max_abs(tmp_path: Path) -> None:
    reference, good = mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes")
    physical = {"max_abs": [0.2, 0.4, 0.6], "units": "rad", "scale": [2.0, -4.0, 6.0], "rmse": 5.0}
    report = judged(tmp_path, reference, good, budgets={"ort": {"action": physical}})
    (entry,) = report["exhibits"]
    assert entry["units"] == "rad"
    assert [d["offset"] for d in entry["sensitivity"]["dimensions"]] == pytest.approx([0.2, 0.4, 0.6], abs=1e-4)
    assert entry["sensitivity"]["sentences"][0].startswith("a bias above 0.6 rad on any one joint would have failed")
    assert entry["sensitivity"]["not_computed"] == "what rmse would have noticed before max_abs does"
    plainly = judged(tmp_path, reference, good)["exhibits"][0]["worst"][0]
    assert plainly["case"] == entry["worst"][0]["case"]
    by_hand = np.asarray(plainly["reference"]) * [2.0, -4.0, 6.0]
    assert np.asarray(entry["worst"][0]["reference"]) == pytest.approx(by_hand, rel=1e-4)
    rmse = judged(tmp_path, reference, good, budgets={"ort": {"action": {"rmse": 0.1}}})["exhibits"][0]
    assert rmse["sensitivity"]["dimensions"] == []
    assert "rmse" in rmse["sensitivity"]["not_computed"]


def test_a_joint_that_never_moves_is_told(tmp_path: Path) -> None:
    def still(arrays: dict[str, Any]) -> None:
        arrays["w2"][:, 2] = 0.0
        arrays["b2"][2] = 0.0

    report = judged(
        tmp_path, mlp(tmp_path / "r.onnx", edit=still), mlp(tmp_path / "c.onnx", edit=still, doc="other bytes")
    )
    seen = report["exhibits"][0]["sensitivity"]
    gripper = seen["dimensions"][2]
    assert gripper["informative"] is False
    assert gripper["gain"] is None
    assert not gripper["sign"]["caught"]
    assert "any one sign flipped would have failed, except on joint 2" in seen["sentences"]
    assert "joint 2 moved by less than 4 limits: on it only an offset or a swap would have failed" in seen["sentences"]


def test_nan_is_shown_and_nothing_is_claimed(tmp_path: Path) -> None:
    def broken(arrays: dict[str, Any]) -> None:
        arrays["b2"][0] = np.nan

    reference, nan = mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", edit=broken)
    report = judged(tmp_path, reference, nan)
    (entry,) = report["exhibits"]
    assert entry["by_step"]["max_abs"][0][0] == "NaN"
    assert entry["worst"][0]["candidate"][0][0] == "NaN"
    assert entry["sensitivity"] is None
    both = judged(
        tmp_path,
        nan,
        mlp(tmp_path / "both.onnx", edit=broken, doc="other bytes"),
        budgets={"ort": {"action": {"allow_nan": True, "max_abs": 0.1}}},
    )["exhibits"][0]
    assert both["by_step"]["max_abs"][0][0] is None
    assert both["sensitivity"]["dimensions"] == []
    assert "NaN" in both["sensitivity"]["not_computed"]


def test_missing_and_integer_outputs_have_no_exhibit(tmp_path: Path) -> None:
    two = mlp(tmp_path / "r.onnx", outputs=("action", "value"))
    (only,) = judged(tmp_path, two, mlp(tmp_path / "c.onnx", doc="one output"))["exhibits"]
    assert only["output"] == "action"
    nodes = [
        helper.make_node("Cast", ["obs"], ["token"], to=TensorProto.INT64),
        helper.make_node("Neg", ["obs"], ["action"]),
    ]
    tensors = {"token": (TensorProto.INT64, [1, 4]), "action": (TensorProto.FLOAT, [1, 4])}
    sides = [graph(tmp_path / n, nodes, {"obs": (TensorProto.FLOAT, [1, 4])}, tensors) for n in ("a.onnx", "b.onnx")]
    report = judged(tmp_path, *sides)
    assert {r["output"] for r in report["comparisons"]} == {"token", "action"}
    assert [e["output"] for e in report["exhibits"]] == ["action"]


HOSTILE = "</script><img src=x onerror=alert(1)>\u202e" + "x" * 300


def test_chunks_from_images_with_hostile_names(tmp_path: Path) -> None:
    camera = f"image.{HOSTILE}"
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("AveragePool", [camera], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["h"]),
        helper.make_node("Reshape", ["h", "chunk"], [HOSTILE]),
    ]
    arrays = {
        "flat": np.array([1, -1]),
        "w": rng.normal(0, 1, (3 * 2 * 3, 32)).astype(np.float32),
        "chunk": np.array([1, 16, 2]),
    }
    inputs, outputs = {camera: (TensorProto.FLOAT, [1, 3, 8, 12])}, {HOSTILE: (TensorProto.FLOAT, [1, 16, 2])}
    sides = [graph(tmp_path / n, nodes, inputs, outputs, **arrays) for n in ("a.onnx", "b.onnx")]
    report = judged(tmp_path, *sides)
    (entry,) = report["exhibits"]
    assert report["verdict"] == "PASS"
    assert entry["output"] == HOSTILE
    assert (entry["steps"], entry["dimensions"]) == (16, 2)
    assert np.asarray(entry["by_step"]["max_abs"]).shape == (16, 2)
    assert "a chunk shifted by 1 step would have failed" in entry["sensitivity"]["sentences"]
    for worst in entry["worst"]:
        (image,) = worst["inputs"]
        assert image["role"] == "image"
        assert image["values"] is None
        (picture,) = image["pictures"]
        assert (picture["width"], picture["height"]) == (12, 8)
        assert picture["label"].startswith(camera)


def test_an_exhibit_that_cannot_be_made_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ArtifactError("the trace is gone")

    monkeypatch.setattr(module, "pair_of", refuse)
    report = judged(tmp_path, mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes"))
    assert report["exhibits"] == []
    assert verdict_of(report, "ort") == ("PASS", [])


def test_judged_again_with_other_budgets_nothing_is_claimed_that_the_old_limits_gave(tmp_path: Path) -> None:
    def config(**more: Any) -> Any:
        candidate = {"name": "ort", "path": "c.onnx"}
        return parse_config(
            {"release": {"name": "x"}, "reference": {"path": "r.onnx"}, "candidate": [candidate], **more}, "test"
        )

    report = plain(judged(tmp_path, mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes")))
    assert rejudge(report, config())["exhibits"] == report["exhibits"]
    fresh = rejudge(report, config(budgets={"ort": {"action": {"max_abs": 0.5}}}))
    jsonschema.validate(json.loads(encode(fresh)), SCHEMA)
    (old,), (new,) = report["exhibits"], fresh["exhibits"]
    assert old["sensitivity"]
    assert new["sensitivity"] is None
    assert new["by_step"]["ratio"] is None
    assert new["distribution"]["limit"] is None
    assert all(w["limit"] is None for w in new["worst"])
    assert new["by_step"]["max_abs"] == old["by_step"]["max_abs"]
    older = {k: v for k, v in report.items() if k != "exhibits"}
    assert "exhibits" not in rejudge(older, config())
    assert still_true([], report["comparisons"], []) == []


class Stored:
    """Evidence made up of arrays."""

    def __init__(self, reference: Any, candidate: Any, terms: Mapping[str, Any] | None = None) -> None:
        self._sides = {"reference": reference, "ort": candidate}
        self._terms = terms or {}

    def output(self, side: str, _case: str, _name: str) -> ArraySource:
        return ArraySource(self._sides[side])

    def terms(self, _case: str, _name: str) -> Mapping[str, Any]:
        return self._terms


def row(scale: list[float], **more: Any) -> dict[str, Any]:
    floor = {"total": [1e-6] * len(scale), "scale": scale, "unstable": 0}
    return {
        "case": "c", "output": "o", "candidate": "ort", "verdict": "PASS", "limit": [1.0] * len(scale),
        "budget": {"source": "derived"}, "floor": floor, **more,
    }  # fmt: skip


def test_elements_on_which_the_reference_is_not_stable_are_left_out() -> None:
    reference = np.ones((2, 3, 2), np.float32)
    terms = {"float64": np.zeros((2, 3, 2))}
    terms["float64"][1, 2, 0] = 0.5
    evidence: Any = Stored(reference, reference + np.float32(0.25), terms)
    unstable = {"total": [1e-6] * 2, "scale": [1.0, 1.0], "unstable": 1}
    pair = pair_of(evidence, row([1.0, 1.0], floor=unstable))
    assert pair is not None
    assert pair.kept is not None
    assert np.argwhere(~pair.kept).tolist() == [[1, 2, 0]]
    user = pair_of(evidence, row([1.0, 1.0], floor=unstable, budget={"source": "parity.toml"}))
    assert user is not None
    assert user.kept is None


@pytest.mark.parametrize(
    ("shape", "form"),
    [((), (1, 1, 1)), ((5,), (5, 1, 1)), ((4, 3), (4, 1, 3)), ((2, 7, 3), (2, 7, 3)), ((2, 3, 4, 5), (6, 4, 5))],
)
def test_every_shape_becomes_cases_steps_and_dimensions(shape: tuple[int, ...], form: tuple[int, int, int]) -> None:
    values = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    evidence: Any = Stored(values, values)
    pair = pair_of(evidence, row([1.0] * form[2]))
    assert pair is not None
    assert pair.reference.shape == form


def test_a_long_chunk_is_pooled_by_its_worst_neighbours() -> None:
    error = np.zeros((1, 600, 300), np.float32)
    error[0, 599, 299] = 3.0
    error[0, 4, 7] = 2.0
    evidence: Any = Stored(np.zeros_like(error), error)
    pair = pair_of(evidence, row([1.0] * 300))
    assert pair is not None
    pool = module._Pool(pair.steps, pair.dimensions)
    pool.add(pair)
    shown = pool.by_step()
    table = np.asarray(shown["max_abs"])
    assert (shown["step_stride"], shown["dimension_stride"], table.shape) == (3, 3, (200, 100))
    assert table[-1, -1] == 3.0
    assert table[1, 2] == 2.0
    assert (table > 0).sum() == 2


def test_what_is_too_large_is_left_out_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = mlp(tmp_path / "r.onnx"), mlp(tmp_path / "c.onnx", doc="other bytes")
    monkeypatch.setattr("parity.release.exhibit_sensitivity.LARGEST", 3 * 4)  # elements: four cases of three joints
    (entry,) = judged(tmp_path, *sides)["exhibits"]
    said = f"this is from the first 4 of {entry['cases']} cases; the others can only catch more"
    assert entry["sensitivity"]["sentences"][-1] == said
    monkeypatch.setattr("parity.release.exhibit_pairs.LARGEST", 2)
    report = judged(tmp_path, *sides)
    assert report["verdict"] == "PASS"
    assert report["exhibits"] == []
