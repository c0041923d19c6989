"""Statistics computed again from the frames: beside bare reading and beside lerobot, and the memory that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lerobot_data import add_episode, finish
from parity.dataset.registry import open_dataset
from parity.stats.numbers import Numbers
from parity.stats.recompute import recompute

HERE = Path(__file__).resolve().parent
CORPUS = Path(os.environ.get("PARITY_CORPUS") or HERE.parents[2] / "shared" / "corpus")
REAL = CORPUS / "lerobot_datasets" / "v21_g1_inspire_100ep"
LEROBOT = Path(os.environ.get("PARITY_LEROBOT_PYTHON") or HERE.parents[1] / ".venv-lerobot" / "bin" / "python")
FEATURES = ["observation.state", "action"]
ROUNDS = 25
PAUSE = 0.2  # seconds, so that none pays for the processor time that the one before took of a shared machine
WIDTH = 8
Times = tuple[float, float]  # seconds: passed, and of processors


def measure() -> list[dict[str, str]]:
    """Return the times on the corpus's real v2.1 set, and the peak memory on generated sets."""
    return [*_times(), *_memory()]


def _times() -> list[dict[str, str]]:
    if not REAL.is_dir():
        return [{"what": f"no corpus at {CORPUS}: nothing was timed"}]
    files = sorted((REAL / "data").rglob("*.parquet"))
    dataset = open_dataset(REAL)
    lengths = dataset.episodes.lengths
    data = {n: np.concatenate([b.columns[n] for b in dataset.blocks([n])]) for n in FEATURES}

    def bare() -> None:
        for file in files:
            pq.read_table(file, columns=FEATURES)

    def alone() -> None:
        for values in data.values():
            numbers = Numbers(values.shape[1:], values.dtype)
            for part in np.split(values, np.cumsum(lengths)[:-1]):
                numbers.add(part)
            numbers.values()

    def whole() -> None:
        recompute(open_dataset(REAL), FEATURES)

    peer = _lerobot(data, lengths)
    read, sums, all_of_it = _interleaved(bare, alone, whole)
    rows = [
        _row("pyarrow: `read_table` of both features, nothing else", read),
        _row("parity: open, check the index against the files, read, all statistics", all_of_it, read, "the bare read"),
        _row("parity: all statistics of the same arrays, in memory", sums),
    ]
    for key, name in (("one call", "all frames in one call"), ("episodes", "each episode, then joined, as it does")):
        if peer:
            rows.append(_row(f"lerobot {peer['version']}: {name}, same arrays", peer[key], sums, "parity's"))
    return rows


def _interleaved(*works: Callable[[], None]) -> list[Times]:
    """Return the shortest times of each, taken in turn so that a busy moment meets all of them."""
    found: list[list[Times]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, times in zip(works, found, strict=True):
            time.sleep(PAUSE)
            begin, used = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - begin, time.process_time() - used))
    return [(min(t[0] for t in times), min(t[1] for t in times)) for times in found]


def _row(what: str, times: Times, other: Times | None = None, whose: str = "") -> dict[str, str]:
    row = {"what": what, "time": f"{times[0] * 1e3:.0f} ms", "processor": f"{times[1] * 1e3:.0f} ms", "ratio": ""}
    if other:
        time_, processor = (f"{a / b:.1f}" if a < 10 * b else f"{a / b:.0f}" for a, b in zip(times, other, strict=True))
        row["ratio"] = f"{time_} × {whose} (processor {processor} ×)"
    return row


def _lerobot(data: dict[str, np.ndarray], lengths: np.ndarray) -> dict[str, Any] | None:
    """Return lerobot's own times of the same arrays; None where there is no interpreter that has it."""
    if not LEROBOT.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", lengths=lengths, **data)
        command = [str(LEROBOT), str(HERE / "lerobot_stats.py"), f"{folder}/data.npz", "3"]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _memory() -> list[dict[str, str]]:
    rows = []
    for frames in (10**5, 10**6, 10**7):
        with tempfile.TemporaryDirectory() as folder:
            found = recomputed(make_set(Path(folder) / "set", frames))
        what = f"parity: {frames:,} frames of {WIDTH} float32, in shards of 100,000"
        rows.append({"what": what, "time": f"{found['seconds']:.1f} s", "peak memory": f"{found['peak_mb']:.0f} MB"})
    return rows


def make_set(root: Path, frames: int, shard: int = 100_000) -> Path:
    """Write a dataset of that many random frames, ``shard`` of them in a file, and return its folder."""
    rng = np.random.default_rng(0)
    for start in range(0, frames, shard):
        values = rng.standard_normal((min(shard, frames - start), WIDTH), dtype=np.float32)
        add_episode(root, start // shard, {"action": values})
    finish(root, {"action": values}, frames)
    return root


def recomputed(root: Path) -> dict[str, Any]:
    """Compute statistics in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, str(HERE / "recompute_stats.py"), str(root)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
