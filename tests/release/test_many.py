"""One candidate table for many checkpoints: each file becomes a candidate, and nothing else differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models import mlp
from parity.cli import main
from parity.errors import UsageError
from parity.release import execute
from parity.release.config import Config, load_config
from parity.release.many import expanded


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs with three checkpoints, the last step of which has most digits."""
    for run, step in (("a", 900), ("a", 10000), ("b", 900)):
        (tmp_path / "runs" / run).mkdir(parents=True, exist_ok=True)
        mlp(tmp_path / "runs" / run / f"model_{step}.onnx", seed=step if run == "a" else 7)
    mlp(tmp_path / "deployed.onnx", seed=900, doc="exported")
    return tmp_path


def write(folder: Path, table: str, more: str = "") -> Path:
    path = folder / "parity.toml"
    path.write_text(
        '[release]\nname = "which"\n[reference]\npath = "deployed.onnx"\n'
        f'[[candidate]]\nname = "run"\n{table}\n[cases]\nnominal = 4\n{more}\n'
    )
    return path


def names(config: Config) -> list[str]:
    return [c.name for c in config.candidate]


def test_each_file_is_a_candidate_in_the_order_of_the_numbers(runs: Path) -> None:
    config = load_config(write(runs, 'checkpoints = "runs/a/*.onnx"\nprecision = "float32"'))
    assert names(config) == ["run-model_900", "run-model_10000"]
    assert [c.path for c in config.candidate] == ["runs/a/model_900.onnx", "runs/a/model_10000.onnx"]
    assert {c.precision for c in config.candidate} == {"float32"}


def test_equal_file_names_are_told_apart_by_their_folders(runs: Path) -> None:
    config = load_config(write(runs, 'checkpoints = ["runs/*/model_900.onnx", "runs/a/*.onnx"]'))
    assert names(config) == ["run-a-model_900", "run-b-model_900", "run-a-model_10000"]


def test_what_is_said_of_the_table_holds_for_each(runs: Path) -> None:
    more = '[budgets.run.action]\nmax_abs = 0.5\n[adapter.run]\nrename = {x = "obs"}\n'
    more += '[weights]\ncheckpoints = "runs/*/*"\n'
    config = load_config(write(runs, 'checkpoints = "runs/a/*"', more + 'candidates = ["run"]'))
    assert set(config.budgets) == set(config.adapter) == set(names(config))
    assert config.weights is not None
    assert config.weights.candidates == names(config)


def test_a_factory_is_told_its_checkpoint(runs: Path) -> None:
    table = 'path = "policy:build"\nkwargs = {hidden = 8}\ncheckpoints = "runs/b/*"'
    (candidate,) = load_config(write(runs, table)).candidate
    assert candidate.path == "policy:build"
    assert candidate.kwargs == {"hidden": 8, "checkpoint": "runs/b/model_900.onnx"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('checkpoints = "runs/c/*"', "no file is called 'runs/c/*'"),
        ("checkpoints = []", "must be a path with wildcards"),
        ("checkpoints = 3", "must be a path with wildcards"),
        ('path = "deployed.onnx"\ncheckpoints = "runs/a/*"', "both `path` and `checkpoints`"),
    ],
)
def test_what_names_no_checkpoints_is_refused(runs: Path, table: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("*", r"\*")):
        load_config(write(runs, table))


def test_a_table_without_checkpoints_stays_as_it_is(runs: Path) -> None:
    data: dict[str, Any] = {"candidate": [{"name": "ort", "path": "x.onnx"}], "budgets": {"ort": {}}}
    assert expanded(data, runs) == data


def test_one_run_judges_all_more_than_are_loaded_at_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "AT_ONCE", 2)
    code = main(["run", str(write(runs, 'checkpoints = "runs/*/*"')), "--out", str(runs / "out")])
    report = json.loads((runs / "out" / "report.json").read_text())
    assert code == 1
    assert {c["name"]: c["verdict"] for c in report["candidates"]} == {
        "run-a-model_900": "PASS",
        "run-a-model_10000": "FAIL",
        "run-b-model_900": "FAIL",
    }
    assert report["release"]["scope"]["planned"] == report["release"]["scope"]["selected"]
    assert not [c for c in report["comparisons"] if c["verdict"] == "NOT_JUDGED"]


def test_the_search_for_worst_cases_has_all_of_them(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "AT_ONCE", 1)
    path = write(runs, 'checkpoints = "runs/*/*"')
    path.write_text(path.read_text().replace("nominal = 4", "nominal = 4\nworst = 20"))
    main(["run", str(path), "--out", str(runs / "out")])
    report = json.loads((runs / "out" / "report.json").read_text())
    judged = {c["candidate"] for c in report["comparisons"] if c["profile"] == "worst"}
    assert judged == {c["name"] for c in report["candidates"]}
    assert not [c for c in report["comparisons"] if c["verdict"] == "NOT_JUDGED"]
