"""An input that cannot change is written once for all steps of a loop; one that can is written every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import mlp
from parity.runner import session as sessions
from parity.tensor import Block
from runs import opened


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    real = sessions._write

    def noted(folder: Path, file: str, array: Any) -> Any:
        names.append(file)
        return real(folder, file, array)

    monkeypatch.setattr(sessions, "_write", noted)
    return names


def frozen(seed: int) -> Any:
    array = np.random.default_rng(seed).standard_normal((2, 1, 6)).astype(np.float32)
    array.flags.writeable = False
    return array


def test_the_same_array_is_written_once_and_another_is_not_taken_for_it(tmp_path: Path, written: list[str]) -> None:
    one, two = frozen(0), frozen(1)
    ids = ("nominal-0000", "nominal-0001")
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        given = [np.array(session.run(Block(ids, {"obs": a})).outputs["action"]) for a in (one, one, two, one, one)]
        left = list((tmp_path / "work").rglob("*.npy"))
    assert len(written) == 3
    assert len(left) == 1
    for again in (1, 3, 4):
        np.testing.assert_array_equal(given[0], given[again])
    assert not np.array_equal(given[0], given[2])


def test_an_array_that_is_written_to_is_written_again(tmp_path: Path, written: list[str]) -> None:
    array = np.array(frozen(0))
    ids = ("nominal-0000", "nominal-0001")
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        before = np.array(session.run(Block(ids, {"obs": array})).outputs["action"])
        array += 1
        after = np.array(session.run(Block(ids, {"obs": array})).outputs["action"])
    assert len(written) == 2
    assert not np.array_equal(before, after)


def test_a_run_of_fewer_cases_has_an_array_of_its_own(tmp_path: Path, written: list[str]) -> None:
    array = frozen(0)
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        both = np.array(session.run(Block(("a", "b"), {"obs": array})).outputs["action"])
        first = np.array(session.run(Block(("a",), {"obs": array[:1]})).outputs["action"])
    assert len(written) == 2
    np.testing.assert_array_equal(both[:1], first)
