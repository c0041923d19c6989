"""Times the real lerobot's statistics; runs in its own interpreter: `lerobot_stats.py DATA.npz ROUNDS` prints JSON.

DATA holds ``lengths`` and the features. As LeRobot does it: each episode, then joined; and all frames in one call.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from lerobot import __version__
from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats, get_feature_stats


def best(work: Callable[[], object], rounds: int) -> list[float]:
    """Return the shortest time and processor time of some rounds."""
    found = []
    for _ in range(rounds):
        begin, used = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - begin, time.process_time() - used))
    return [min(wall for wall, _ in found), min(cpu for _, cpu in found)]


def main() -> None:
    """Print the version and the times."""
    with np.load(sys.argv[1]) as file:
        data = {name: file[name] for name in file.files}
    ends = np.cumsum(data.pop("lengths"))
    features = {name: {"dtype": "float32", "shape": values.shape[1:]} for name, values in data.items()}
    parts = {name: np.split(values, ends[:-1]) for name, values in data.items()}
    episodes = [{name: parts[name][i] for name in data} for i in range(len(ends))]
    rounds = int(sys.argv[2])
    found = {
        "version": __version__,
        "episodes": best(lambda: aggregate_stats([compute_episode_stats(e, features) for e in episodes]), rounds),
        "one call": best(lambda: [get_feature_stats(v, axis=0, keepdims=False) for v in data.values()], rounds),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
