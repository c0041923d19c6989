"""Compares two HDF5 data sets by blocks and prints the peak memory of this process: `compare_files.py A.h5 B.h5`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from parity.compare.metrics import diff

STATUS = Path("/proc/self/status")  # getrusage would count the process that started this one


class DataSet:
    """A data set ``(N, D)`` as a `parity.tensor.TensorSource`: whole rows are read, nothing is held."""

    def __init__(self, path: Path) -> None:
        self._data = h5py.File(path, "r")["action"]
        self.shape = tuple(self._data.shape)
        self.dtype = self._data.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        width = self.shape[-1]
        first = start // width
        rows = self._data[first : -(-stop // width)].reshape(-1)
        return rows[start - first * width : stop - first * width]


def main() -> None:
    """Print the metrics, the seconds and the peak resident memory in MB as JSON."""
    candidate, reference = (DataSet(Path(p)) for p in sys.argv[1:3])
    begin = time.perf_counter()
    found = diff(candidate, reference)
    seconds = time.perf_counter() - begin
    peak = int(next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"peak_mb": peak, "seconds": seconds, "diff": found.as_json()}))


if __name__ == "__main__":
    main()
