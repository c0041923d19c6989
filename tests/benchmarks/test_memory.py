"""A comparison takes constant memory, however large the files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bench_listing import FORMATS, SIZE, listed
from bench_memory import compare, make_pair

LIMIT_MB = 400


def test_forty_times_the_data_takes_no_more_memory(tmp_path: Path) -> None:
    small = compare(make_pair(tmp_path, 4 << 20))
    large = compare(make_pair(tmp_path, 160 << 20))
    assert large["peak_mb"] < small["peak_mb"] + 220  # numba takes 130 of these, the two files hold 320
    assert large["peak_mb"] < LIMIT_MB
    assert large["diff"]["size"] == 40 << 20
    assert large["diff"]["max_abs"] > 0
    assert large["diff"]["p50_abs"] is not None


@pytest.mark.soak
def test_two_files_of_2_gb_under_400_mb(tmp_path: Path) -> None:
    found = compare(make_pair(tmp_path, 2 << 30))
    assert found["diff"]["compared"] == (2 << 30) // 4
    assert found["peak_mb"] < LIMIT_MB


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_listing_2_gb_of_weights_takes_no_more_memory_than_its_index(tmp_path: Path, name: str) -> None:
    found = listed(FORMATS[name](tmp_path / "weights", SIZE))
    assert found["tensors"] == 2000
    assert found["peak_mb"] <= 100


def test_statistics_of_ten_times_the_frames_take_no_more_memory(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from bench_stats import make_set, recomputed

    small, large = (recomputed(make_set(tmp_path / str(n), n)) for n in (200_000, 2_000_000))
    assert (small["frames"], large["frames"]) == (200_000, 2_000_000)
    assert large["peak_mb"] < small["peak_mb"] + 48  # the frames alone are 58 MB more
    assert 0 < large["bound"] < 0.001
