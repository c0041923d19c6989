"""Computes a dataset's statistics and prints time, peak memory and what came out: run in a process of its own."""

from __future__ import annotations

import json
import resource
import sys
import time

from parity.dataset.registry import open_dataset
from parity.stats.recompute import recompute


def main() -> None:
    """Print the figures as JSON."""
    begin = time.perf_counter()
    found = recompute(open_dataset(sys.argv[1]))
    seconds = time.perf_counter() - begin
    record = next(iter(found.records.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "frames": record.used, "bound": record.bound}))


if __name__ == "__main__":
    main()
