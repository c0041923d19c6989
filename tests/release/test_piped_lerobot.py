"""The main use: the trained LeRobot folder, run by the real lerobot, against its network in ONNX with a pipeline."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from judged import verdict_of
from lerobot_python import lerobot_interpreter
from networks import VANILLA, export_networks
from parity.cli.judging import judge_now
from parity.release.config import parse_config

pytestmark = pytest.mark.corpus
ERAS = {"legacy": "lerobot-0.3.3-legacy", "ort": "lerobot-0.4.4", "newest": "lerobot-0.6.1"}


@pytest.fixture(scope="module")
def lerobot() -> str:
    return lerobot_interpreter()


@pytest.fixture(scope="module")
def networks(corpus: Path, lerobot: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return export_networks(corpus, lerobot, tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("name", VANILLA)
def test_the_network_with_the_pipeline_of_any_era_is_the_trained_policy(
    corpus: Path, tmp_path: Path, lerobot: str, networks: dict[str, Path], name: str
) -> None:
    made = corpus / "made"
    noise = {"noise": ["noise"]} if name.startswith("dp_") else {}
    tables: list[dict[str, Any]] = [
        {"name": n, "path": str(networks[name]), "pipeline": str(made / era / name), **noise} for n, era in ERAS.items()
    ]
    budget = {"max_abs": 0.5, "units": "px"} if noise else {"max_abs": 1e-3, "units": "rad"}
    config: dict[str, Any] = {
        "release": {"name": "lerobot"},
        "reference": {"path": str(made / "lerobot-0.4.4" / name), "python": lerobot, "options": {"threads": 1}},
        "candidate": tables,
        "cases": {"nominal": 3, "edge": False},
        "budgets": {"ort": {"action": budget}},
    }
    with tempfile.TemporaryDirectory(dir=tmp_path) as work:
        report = judge_now(parse_config(config, "test"), tmp_path, Path(work), strict=True).report
    for candidate in ERAS:
        assert verdict_of(report, candidate) == ("PASS", [])
        rows = [r for r in report["comparisons"] if r["candidate"] == candidate]
        assert {r["level"] for r in rows} == {"policy", "graph"}
    assert {r["units"] for r in report["comparisons"] if r["id"].startswith("ort/policy/")} == {budget["units"]}
