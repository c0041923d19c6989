"""A recorded side whose trace holds just the planned cases is judged where it lies: gigabytes are not copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from parity.errors import ParityError
from parity.release.prepare import Prepared
from parity.release.sides import Side
from parity.tensor import Case
from parity.trace import Trace


def link_recording(prepared: Prepared, side: Side, target: Path) -> bool:
    """Make ``target`` lead to the side's own trace, if it can stand as it is; return whether it does.

    It can where every planned case is in it under its own id with the planned inputs, and no adapter changes names.
    """
    adapter = prepared.adapters.get(side.name)
    if side.spec.runner != "recorded" or (adapter is not None and not adapter.identity) or prepared.assembled:
        return False
    source = Path(side.spec.path).resolve()
    try:
        with Trace.open(source) as trace:
            known = {c.id for c in trace.cases}
            if not all(c.id in known and _same(trace, c) for c in prepared.cases):
                return False
    except ParityError:
        return False
    target.symlink_to(source)
    return True


def _same(trace: Trace, case: Case) -> bool:
    recorded = trace.inputs(case.id)
    return recorded.keys() == case.inputs.keys() and all(
        a.dtype == case.inputs[n].dtype
        and a.shape == case.inputs[n].shape
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(case.inputs[n]).tobytes()
        for n, a in recorded.items()
    )
