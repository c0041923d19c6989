"""Computes a dataset's statistics and prints time, peak memory and what came out: run in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from parity.dataset.registry import open_dataset
from parity.stats.recompute import recompute


def main() -> None:
    """Print the figures as JSON."""
    begin = time.perf_counter()
    found = recompute(open_dataset(sys.argv[1]))
    seconds = time.perf_counter() - begin
    record = next(iter(found.records.values()))
    status = Path("/proc/self/status").read_text()  # `ru_maxrss` starts at what the parent process held
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "frames": record.used, "bound": record.bound}))


if __name__ == "__main__":
    main()
