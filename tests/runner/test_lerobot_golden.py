"""LeRobot folders through the real lerobot, in another interpreter: its golden outputs, and its own ONNX export.

`make lerobot-venv` makes that interpreter; PARITY_LEROBOT_PYTHON names another one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from judged import verdict_of
from lerobot_python import lerobot_interpreter
from parity.cli.judging import judge_now
from parity.release.config import parse_config
from parity.tensor import Block
from runs import opened

pytestmark = pytest.mark.corpus

ROOT = Path(__file__).resolve().parents[2]
VERSION = "lerobot-0.4.4"
VANILLA = ("act_envstate", "dp_pusht_keypoints_ddim10")  # the others need LeRobot's networks patched to load


@pytest.fixture(scope="module")
def lerobot() -> str:
    """The interpreter with lerobot 0.4; without it skipped, or failed where it is named or required."""
    return lerobot_interpreter()


def observations(golden: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the golden inputs as a block of one case."""
    found = {k.removeprefix("obs/"): v[None] for k, v in golden.items() if k.startswith("obs/")}
    return found | ({"noise": golden["noise"][None]} if "noise" in golden else {})


def unnormalized(folder: Path, trajectory: np.ndarray) -> np.ndarray:
    """Return a MIN_MAX-normalized trajectory in action units, by the folder's own statistics."""
    stats = load_file(folder / "policy_postprocessor_step_0_unnormalizer_processor.safetensors")
    low, high = stats["action.min"], stats["action.max"]
    return (trajectory + 1) / 2 * (high - low) + low


@pytest.mark.parametrize("name", VANILLA)
def test_golden_outputs(corpus: Path, tmp_path: Path, lerobot: str, name: str) -> None:
    folder = corpus / "made" / VERSION / name
    golden = load_file(folder / "golden_io.safetensors")
    with opened("torch", folder, tmp_path, python=lerobot) as session:
        assert session.info.environment["lerobot"] == "0.4.4"
        assert session.info.environment["interpreter"] == lerobot
        result = session.run(Block(("golden",), observations(golden)), repeat=True)
    assert result.failure is None
    assert result.repeat_differs == {}
    action = np.asarray(result.outputs["action"])[0, 0]
    executed = golden["select_action"]
    scale = float(np.abs(executed).max())
    np.testing.assert_allclose(action[: len(executed)], executed, rtol=0, atol=2e-6 * scale)
    if "trajectory_normalized" in golden:
        config = json.loads((folder / "config.json").read_text())
        first = config["n_obs_steps"] - 1
        whole = unnormalized(folder, golden["trajectory_normalized"][0])
        np.testing.assert_allclose(action, whole[first : first + len(action)], rtol=0, atol=2e-6 * scale)
        assert len(action) == config["n_action_steps"]


@pytest.fixture(scope="module")
def exports(corpus: Path, lerobot: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders' ONNX exports, made by the interpreter that has lerobot."""
    out = tmp_path_factory.mktemp("exports")
    script = ROOT / "tests" / "lerobot_env" / "export_onnx.py"
    pairs = [str(p) for name in VANILLA for p in (corpus / "made" / VERSION / name, out / f"{name}.onnx")]
    done = subprocess.run([lerobot, str(script), *pairs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: out / f"{name}.onnx" for name in VANILLA}


@pytest.mark.parametrize("name", VANILLA)
def test_against_its_own_onnx_export(
    corpus: Path, tmp_path: Path, lerobot: str, exports: dict[str, Path], name: str
) -> None:
    report = judged(corpus / "made" / VERSION / name, exports[name], lerobot, tmp_path)
    assert verdict_of(report, "ort") == ("PASS", [])


def test_an_export_that_is_off_by_a_hundredth_of_a_radian_fails(
    corpus: Path, tmp_path: Path, lerobot: str, exports: dict[str, Path]
) -> None:
    shifted(exports["act_envstate"], tmp_path / "shifted.onnx")
    report = judged(corpus / "made" / VERSION / "act_envstate", tmp_path / "shifted.onnx", lerobot, tmp_path)
    assert verdict_of(report, "ort")[0] == "FAIL"


def shifted(path: Path, out: Path) -> None:
    """Write the exported graph to ``out`` with one action off by a hundredth of a radian."""
    import onnx

    model = onnx.load(path)
    last = next(n for n in reversed(model.graph.node) if "action" in n.output)
    offset = np.zeros(14, np.float32)
    offset[3] = 0.01
    model.graph.initializer.append(onnx.numpy_helper.from_array(offset, "offset"))
    for i, name in enumerate(last.output):
        last.output[i] = "before" if name == "action" else name
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "offset"], ["action"]))
    onnx.save(model, out)


def judged(folder: Path, exported: Path, python: str, work: Path) -> dict[str, Any]:
    """Return the report on an export of a LeRobot folder that runs in the other interpreter."""
    noise = {"noise": ["noise"]} if folder.name.startswith("dp_") else {}
    tables: dict[str, Any] = {
        "release": {"name": "lerobot"},
        "reference": {"path": str(folder), "python": python, "options": {"threads": 1}},
        "candidate": [{"name": "ort", "path": str(exported), **noise}],
        "cases": {"nominal": 3, "edge": False},
    }
    with tempfile.TemporaryDirectory(dir=work) as evidence:
        return judge_now(parse_config(tables, "test"), work, Path(evidence), strict=True).report
