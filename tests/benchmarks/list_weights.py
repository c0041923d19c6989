"""Lists the tensors of a file in a process of its own: `list_weights.py FILE`; prints seconds and peak memory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from parity.checkpoint.checkpoint import read_checkpoint

STATUS = Path("/proc/self/status")  # getrusage would count the process that started this one


def main() -> None:
    """Print as JSON what listing took (clock, CPU, peak memory in MB) and how many tensors there are."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = read_checkpoint(sys.argv[1])
    listed = [(name, w.shape, w.dtype) for name, w in found.weights.items()]
    seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    peak = int(next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"peak_mb": peak, "seconds": seconds, "cpu_seconds": cpu, "tensors": len(listed)}))


if __name__ == "__main__":
    main()
