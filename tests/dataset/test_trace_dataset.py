"""Traces as datasets: inputs and outputs are features, a case is a frame, a sequence is an episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError
from parity.stats.recompute import recompute
from parity.tensor import SEQUENCE, Block, Profile
from parity.trace import TraceWriter

RNG = np.random.default_rng(0)


def add(writer: TraceWriter, ids: list[str], batch: int = 1, profile: Profile = "nominal", **more: np.ndarray) -> None:
    """Append cases whose observation is their number, and whose action is twice that."""
    n = len(ids)
    numbers = np.arange(n * batch, dtype=np.float32).reshape(n, batch, 1)
    obs = np.repeat(numbers, 3, 2)
    outputs = {"action": np.repeat(numbers * 2, 4, 2).reshape(n, batch, 2, 2), **more}
    writer.add(Block(tuple(ids), {"obs": obs}), profile, [0] * n, [""] * n, outputs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with TraceWriter(tmp_path / "golden.h5", {"runner": "torch"}) as writer:
        add(writer, [f"nominal-{i:04d}" for i in range(5)])
        add(writer, [f"{SEQUENCE}{i:04d}" for i in range(8)])
        add(writer, ["nominal-b0000"], batch=4)
        add(writer, ["edge-0000", "edge-0001"], profile="edge")
    return tmp_path / "golden.h5"


def test_cases_are_frames_and_a_sequence_is_an_episode(path: Path) -> None:
    dataset = open_dataset(path)
    assert dataset.kind == "trace"
    assert not dataset.findings
    assert dataset.arrays == ("obs", "action")
    assert (dataset.features["obs"].shape, dataset.features["action"].shape) == ((3,), (2, 2))
    assert list(dataset.episodes.lengths) == [1] * 5 + [8] + [1] * 2
    assert dataset.facts["repeated"] == 1  # the batch case, whose rows are single cases too
    (block,) = dataset.blocks()
    np.testing.assert_array_equal(block.columns["action"][:, 0, 0], block.columns["obs"][:, 0] * 2)
    assert np.diff(dataset.episode(5)["obs"][:, 0]).tolist() == [1.0] * 7
    np.testing.assert_array_equal(dataset.frame(5, 3)["obs"], dataset.episode(5)["obs"][3])
    chunks = recompute(dataset, ["action"], chunk=3).stats
    assert set(chunks.features) == {"action"}


def test_npz_of_cases(tmp_path: Path) -> None:
    obs, action = RNG.normal(size=(6, 2, 3)).astype(np.float32), RNG.normal(size=(6, 2, 4))
    np.savez(tmp_path / "trace.npz", **{"inputs/obs": obs, "outputs/action": action})
    dataset = open_dataset(tmp_path / "trace.npz")
    assert dataset.kind == "trace"
    assert list(dataset.episodes.lengths) == [1] * 12  # every row of a batch stands alone
    (block,) = dataset.blocks()
    np.testing.assert_array_equal(block.columns["obs"], obs.reshape(12, 3))
    np.testing.assert_array_equal(block.columns["action"], action.reshape(12, 4))


def test_names_that_go_in_and_come_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{"inputs/h": np.ones((3, 1, 2)), "outputs/h": np.zeros((3, 1, 2))})
    dataset = open_dataset(tmp_path / "t.npz")
    assert dataset.arrays == ("inputs/h", "outputs/h")
    renamed = open_dataset(tmp_path / "t.npz", {"state": "inputs/h"})
    assert renamed.episode(0)["state"].tolist() == [[1.0, 1.0]]
    with pytest.raises(UsageError, match=r"no tensor 'outputs/i' for 'x' \(did you mean 'outputs/h'"):
        open_dataset(tmp_path / "t.npz", {"x": "outputs/i"})


def test_tensors_that_are_not_in_every_case_are_left_out(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.h5", {}) as writer:
        add(writer, ["nominal-0000", "nominal-0001"], debug=np.zeros((2, 1, 5)))
        add(writer, ["edge-0000"], profile="edge")
    dataset = open_dataset(tmp_path / "t.h5")
    assert [(f.code, f.severity) for f in dataset.findings] == [("DATA018", "warning")]
    assert "outputs/debug" in dataset.findings[0].title
    assert dataset.arrays == ("obs", "action")


def test_a_trace_of_nothing(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t.h5", {}):
        pass
    with pytest.raises(ArtifactError, match="holds no cases"):
        open_dataset(tmp_path / "t.h5")


def test_a_trace_that_is_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ArtifactError, match="truncated or corrupt"):
        open_dataset(path)


def test_tensors_with_other_numbers_of_rows(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{"inputs/obs": np.ones((3, 4, 2)), "outputs/action": np.zeros((3, 1, 2))})
    with pytest.raises(ArtifactError, match="different numbers of rows: inputs/obs: 4, outputs/action: 1"):
        open_dataset(tmp_path / "t.npz")
    assert open_dataset(tmp_path / "t.npz", {"action": "outputs/action"}).episodes.frames == 3
