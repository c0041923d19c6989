"""Plain arrays of whoever wrote them; what is merely called mean is none of ours; damaged files are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity.errors import ArtifactError
from parity.stats.registry import read_stats
from tensor_files import save_tensors

STYLES = {
    "dotted": {"obs.mean": [1.0, 2.0], "obs.std": [3.0, 4.0]},
    "slashed": {"obs/mean": [1.0, 2.0], "obs/std": [3.0, 4.0]},
    "underscored": {"obs_mean": [1.0, 2.0], "obs_std": [3.0, 4.0]},
}
BARE = {"mean": [1.0, 2.0], "std": [3.0, 4.0]}


def save(folder: Path, form: str, arrays: dict[str, Any]) -> Path:
    path = folder / f"arrays.{form}"
    if form == "json":
        path.write_text(json.dumps(arrays))
    elif form == "npz":
        np.savez(path, **{k: np.asarray(v) for k, v in arrays.items()})
    elif form == "pkl":
        path.write_bytes(pickle.dumps({k: np.asarray(v, np.float32) for k, v in arrays.items()}, 4))
    else:
        save_tensors(path, arrays)
    return path


@pytest.mark.parametrize("form", ["json", "npz", "pkl", "safetensors"])
@pytest.mark.parametrize("style", [*STYLES, "bare"])
def test_every_style_in_every_container(tmp_path: Path, form: str, style: str) -> None:
    (stats,) = read_stats(save(tmp_path, form, STYLES.get(style, BARE)))
    assert list(stats.features) == ["unnamed" if style == "bare" else "obs"]
    (one,) = stats.features.values()
    assert {n: v.tolist() for n, v in one.values.items()} == BARE
    assert (stats.era, one.mode, one.eps) == (None, None, None)


@pytest.mark.parametrize("form", ["npz", "pkl", "safetensors"])
@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": [1.0], "w": [1.0]},
        {"a.mean": [1.0], "a.std": [1.0, 2.0]},
        {"a.mean": [1.0], "b.std": [1.0]},
        {"bn.running_mean": [1.0], "bn.running_var": [1.0]},
        {"bn.x_mean": [1.0], "bn.x_std": [1.0]},
        {"a.count": [3], "a.q50": [1.0]},
    ],
)
def test_what_only_sounds_like_statistics_is_none(tmp_path: Path, form: str, arrays: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="no normalization statistics were found"):
        read_stats(save(tmp_path, form, arrays))


def test_a_file_of_several_datasets_is_a_set_for_each(tmp_path: Path) -> None:
    one = {"action": {**BARE, "mask": [True, False]}, "num_transitions": 7, "num_trajectories": 2}
    path = tmp_path / "dataset_statistics.json"
    path.write_text(json.dumps({"bridge_orig": one, "fractal": one}))
    found = read_stats(path)
    assert [s.facts["dataset"] for s in found] == ["bridge_orig", "fractal"]
    assert [s.label for s in found] == [f"{path} [bridge_orig]", f"{path} [fractal]"]
    assert (found[0].facts["num_transitions"], found[0].facts["beside"]) == (7, ["mask"])


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    header = {n: {"dtype": "BF16", "shape": [1], "data_offsets": [2 * i, 2 * i + 2]} for i, n in enumerate(BARE)}
    text = json.dumps({f"a.{n}": v for n, v in header.items()}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\xc0\x3f\x00\x40")
    values = read_stats(path)[0].features["a"].values
    assert (values["mean"].tolist(), values["std"].tolist()) == ([1.5], [2.0])


@pytest.mark.parametrize("dtype", ["F8_E4M3", "C64"])
def test_types_that_no_statistics_have_are_refused(tmp_path: Path, dtype: str) -> None:
    size = {"F8_E4M3": 1, "C64": 8}[dtype]
    entries = {
        f"a.{n}": {"dtype": dtype, "shape": [1], "data_offsets": [size * i, size * i + size]}
        for i, n in enumerate(BARE)
    }
    text = json.dumps(entries).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(2 * size))
    with pytest.raises(ArtifactError, match="is stored as"):
        read_stats(tmp_path / "a.safetensors")


def test_a_sequence_of_millions_is_no_statistic(tmp_path: Path) -> None:
    big = np.zeros((1 << 20) + 1, dtype=np.float32)
    np.savez(tmp_path / "a.npz", **{"x.mean": big, "x.std": big})
    with pytest.raises(ArtifactError, match="no normalization statistics were found"):
        read_stats(tmp_path / "a.npz")


@pytest.mark.parametrize("form", ["json", "npz", "pkl", "safetensors"])
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_read_or_refused_but_never_crash(tmp_path: Path, form: str, data: st.DataObject) -> None:
    whole = save(tmp_path, form, STYLES["dotted"]).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    path = tmp_path / f"damaged.{form}"
    path.write_bytes(damaged)
    try:
        found = read_stats(path)
    except ArtifactError:
        return
    assert all(v.dtype == np.float64 for s in found for one in s.features.values() for v in one.values.values())


def test_json_larger_than_statistics_ever_are_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "norm_stats.json"
    path.write_text('{"norm_stats": {"a": {"mean": [' + "0," * (8 << 20) + '0], "std": [1]}}}')
    with pytest.raises(ArtifactError, match="bytes of text"):
        read_stats(path)
