"""The recorded runner answers for the cases and inputs that were recorded, and for no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.errors import ArtifactError
from parity.runner.base import SessionInfo
from parity.tensor import Block
from parity.trace import TraceWriter
from runs import block, opened


def record(path: Path, data: Block) -> Path:
    n = len(data)
    with TraceWriter(path, {"side": "reference"}) as trace:
        trace.add(data, "nominal", [0] * n, [""] * n, {"action": data.inputs["x"] * 3})
    return path


def test_answers_with_what_was_recorded(tmp_path: Path) -> None:
    data = block(5)
    with opened("recorded", record(tmp_path / "t.h5", data), tmp_path) as session:
        result = session.run(data, repeat=True)
        assert result.failure is None
        assert result.completed == 5
        np.testing.assert_array_equal(result.outputs["action"], data.inputs["x"] * 3)
        assert isinstance(session.info, SessionInfo)
        assert session.info.variants == ("base",)
        assert session.info.loaded_sha256 is not None


def test_any_order_and_any_subset(tmp_path: Path) -> None:
    data = block(5)
    picked = Block((data.ids[3], data.ids[1]), {"x": data.inputs["x"][[3, 1]]})
    with opened("recorded", record(tmp_path / "t.h5", data), tmp_path) as session:
        np.testing.assert_array_equal(session.run(picked).outputs["action"], picked.inputs["x"] * 3)


def test_same_inputs_under_another_id_are_found(tmp_path: Path) -> None:
    data = block(3)
    renamed = Block(("dataset-0000",), {"x": data.inputs["x"][2:]})
    with opened("recorded", record(tmp_path / "t.h5", data), tmp_path) as session:
        np.testing.assert_array_equal(session.run(renamed).outputs["action"], renamed.inputs["x"] * 3)


def test_case_that_was_not_recorded_stops_the_run(tmp_path: Path) -> None:
    data = block(4)
    short = Block(data.ids[:2], {"x": data.inputs["x"][:2]})
    with opened("recorded", record(tmp_path / "t.h5", short), tmp_path) as session:
        result = session.run(data)
        assert result.completed == 2
        assert result.failure is not None
        assert result.failure.kind == "input"
        assert "nominal-0002" in result.failure.message


@pytest.mark.parametrize("change", ["value", "dtype", "shape", "name"])
def test_same_id_with_other_inputs_is_no_answer(tmp_path: Path, change: str) -> None:
    data = block(1)
    x = data.inputs["x"].copy()
    if change == "value":
        x[0, 0, 0] = np.nextafter(x[0, 0, 0], np.float32(9))
    inputs = {"value": {"x": x}, "dtype": {"x": x.astype(float)}, "shape": {"x": x[:, :, :3]}, "name": {"y": x}}
    with opened("recorded", record(tmp_path / "t.h5", data), tmp_path) as session:
        result = session.run(Block(data.ids, inputs[change]))
        assert result.completed == 0
        assert result.failure is not None
        assert "recorded" in result.failure.message


def test_npz_of_inputs_and_outputs(tmp_path: Path) -> None:
    data = block(3)
    path = tmp_path / "golden.npz"
    np.savez(path, **{"inputs/x": data.inputs["x"], "outputs/action": data.inputs["x"] + 1})
    with opened("recorded", path, tmp_path) as session:
        np.testing.assert_array_equal(session.run(data).outputs["action"], data.inputs["x"] + 1)


def test_variant_is_a_failure_and_not_an_answer(tmp_path: Path) -> None:
    data = block(1)
    with opened("recorded", record(tmp_path / "t.h5", data), tmp_path) as session:
        result = session.run(data, "float64")
        assert result.failure is not None
        assert result.outputs == {}


def test_file_that_is_no_trace(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ArtifactError, match="not a trace"), opened("recorded", tmp_path / "a.npy", tmp_path):
        pass
