"""Recorded tensors: inputs, outputs and floor terms of one runner, in parity's own HDF5 store or a plain `.npz`.

The store holds blocks of cases whose tensors have the same shapes, stacked, so that thousands of cases are cheap and
an output of gigabytes is read in pieces. The layout is described in `docs/formats.md`.
"""

from parity.trace.reader import Trace, TraceCase
from parity.trace.writer import TraceWriter

__all__ = ["Trace", "TraceCase", "TraceWriter"]
