"""A dataset without a frame cannot be opened, in whatever format it holds nothing: one message, and never a PASS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lerobot_data import data_file, episodes, write_v2, write_v3
from parity.cli import main
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError
from stats_files import norm_stats

FORMATS = ["v2.0", "v2.1", "v2.1 without episodes", "v3.0", "npz", "h5"]


def said(root: Path, **changes: Any) -> None:
    path = root / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def empty(folder: Path, form: str) -> Path:
    """Write a dataset of no frames and return its path."""
    nothing = {"observation.state": np.zeros((0, 3), np.float32), "action": np.zeros((0, 2), np.float32)}
    if form == "npz":
        np.savez(folder / "set.npz", **nothing)
        return folder / "set.npz"
    if form == "h5":
        with h5py.File(folder / "set.h5", "w") as file:
            for name, values in nothing.items():
                file[name] = values
        return folder / "set.h5"
    import pyarrow.parquet as pq

    root = folder / "set"
    if form == "v3.0":
        write_v3(root, episodes([3]), total_frames=0)
    else:
        write_v2(root, episodes([3]), version=form[:4], total_frames=0)
        lines = [] if "without" in form else [json.dumps({"episode_index": 0, "tasks": ["push"], "length": 0})]
        (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    if "without" in form:
        said(root, total_episodes=0)
        data_file(root, 0).unlink()
    for file in root.rglob("*.parquet"):
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    return root


@pytest.mark.parametrize("form", FORMATS)
def test_a_dataset_without_frames_is_refused(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    if form not in ("npz", "h5"):
        pytest.importorskip("pyarrow")
    path = empty(tmp_path, form)
    with pytest.raises(ArtifactError, match=r"no frames|no episodes|empty \(0 bytes\)"):
        open_dataset(path)
    for nan in (False, True):  # what nothing gives is no statistic of nothing
        source = norm_stats(tmp_path / "source.json")
        if nan:
            source.write_text(source.read_text().replace("[", "[NaN, ", 1))
        assert main(["stats", str(source), "--dataset", str(path)]) == 2
    assert main(["stats", "--dataset", str(path)]) == 2
    assert capsys.readouterr().err.count("error: ") == 3
