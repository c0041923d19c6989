"""The log of a training run beside its checkpoints: the error of the right epoch, whatever else the file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import parity.contract.training_log as training_log
from parity.contract.training_log import read_training_log

NAME = "train_action_mse_error"


def run(folder: Path, *lines: Any) -> Path:
    """Write a log and return the path of a checkpoint of that run."""
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "logs.json.txt").write_text(text)
    return folder / "checkpoints" / "latest.ckpt"


def row(epoch: int, error: Any, step: int | None = None, **more: Any) -> dict[str, Any]:
    return {"train_loss": 0.5, "global_step": 10 * epoch if step is None else step, "epoch": epoch, NAME: error, **more}


def at(found: dict[str, Any] | None) -> tuple[Any, Any, Any]:
    assert found is not None
    return found[NAME], found["epoch"], found["global_step"]


def test_the_error_is_that_of_the_epoch_of_the_checkpoint(tmp_path: Path) -> None:
    path = run(tmp_path, *(row(e, e / 100) for e in range(0, 40, 5)), {"train_loss": 1.0, "epoch": 39})
    assert at(read_training_log(path, 20, 200)) == (0.2, 20, 200)
    assert at(read_training_log(path, 23, 230)) == (0.2, 20, 200)  # measured every five epochs
    found = read_training_log(path, 20, 200)
    assert found is not None
    assert [r["epoch"] for r in found["last"]] == [15, 20, 25, 30, 35]
    assert at(read_training_log(path, None, None)) == (None, None, None)
    assert at(read_training_log(run(tmp_path / "b", row(5, 0.1)), 4, 40)) == (None, None, None)


def test_a_run_that_went_on_from_a_checkpoint_logs_an_epoch_again(tmp_path: Path) -> None:
    again = [row(10, 0.3, 100), row(15, 0.2, 150), row(10, 0.4, 101)]
    assert at(read_training_log(run(tmp_path, *again), 10, 100)) == (0.3, 10, 100)
    assert at(read_training_log(run(tmp_path, *again), 10, 101)) == (0.4, 10, 101)
    assert at(read_training_log(run(tmp_path, *again), 10, None)) == (0.4, 10, 101)


def test_the_log_beside_a_checkpoint_that_was_moved(tmp_path: Path) -> None:
    run(tmp_path, row(1, 0.1))
    assert at(read_training_log(tmp_path / "moved.ckpt", 1, 10)) == (0.1, 1, 10)


@pytest.mark.parametrize(
    "line",
    [
        '{"epoch": 1, "train_action_mse_error": 0.',
        '{"epoch": 1, "train_action_mse_error": true}\n',
        '{"epoch": "1", "train_action_mse_error": 0.5}\n',
        '{"epoch": -1, "train_action_mse_error": 0.5}\n',
        '["train_action_mse_error"]\n',
        '{"train_action_mse_error": ' + "[" * 5000 + "\n",
        '{"train_action_mse_error": 1' + "0" * 9000 + ', "epoch": 1}\n',
        '{"x": "' + "y" * (1 << 17) + '", "epoch": 1, "train_action_mse_error": 0.5}\n',
        "\x00\ud7ff train_action_mse_error\n",
    ],
    ids=["cut", "bool", "text", "negative", "list", "deep", "long number", "long line", "noise"],
)
def test_a_line_that_is_none_is_passed_over(tmp_path: Path, line: str) -> None:
    assert read_training_log(run(tmp_path / "a", line), 1, 10) is None
    if line.endswith("\n"):
        assert at(read_training_log(run(tmp_path / "b", line, row(1, 0.25)), 1, 10)) == (0.25, 1, 10)


def test_a_run_that_diverged_is_told_and_not_hidden_by_an_earlier_epoch(tmp_path: Path) -> None:
    path = run(tmp_path, row(5, 0.1), row(10, float("nan")), row(15, float("inf")))
    assert at(read_training_log(path, 10, 100)) == ("NaN", 10, 100)
    assert at(read_training_log(path, 15, 150)) == ("Infinity", 15, 150)
    json.dumps(read_training_log(path, 15, 150), allow_nan=False)


def test_of_a_log_that_is_too_long_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run(tmp_path, *(row(e, 0.5) for e in range(200)))
    monkeypatch.setattr(training_log, "MAX_BYTES", 1000)
    assert at(read_training_log(path, 199, 1990)) == (0.5, 199, 1990)
    assert at(read_training_log(path, 3, 30)) == (None, None, None)


def test_nothing_beside_it_and_nothing_outside_of_the_run(tmp_path: Path) -> None:
    path = run(tmp_path / "run", row(1, 0.1))
    (tmp_path / "run" / "logs.json.txt").rename(tmp_path / "elsewhere")
    assert read_training_log(path, 1, 10) is None
    (tmp_path / "run" / "logs.json.txt").symlink_to(tmp_path / "elsewhere")
    assert read_training_log(path, 1, 10) is None
    (tmp_path / "run" / "logs.json.txt").unlink()
    (tmp_path / "run" / "logs.json.txt").mkdir()
    assert read_training_log(path, 1, 10) is None
