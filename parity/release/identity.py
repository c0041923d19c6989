"""When two sides are the same thing run in the same way, so that comparing them says nothing.

What differs on paper only (a default spelled out, an option that its runner does not have, another name of the same
interpreter, another file with the statistics of the same pipeline) is no difference.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import UsageError
from parity.runner.om import device_number
from parity.runner.onnxruntime import PROVIDERS

if TYPE_CHECKING:
    from parity.release.sides import Side
    from parity.runner.base import RunnerSpec

DEFAULTS = {"threads": 2}
NO_EFFECT = ("cwd", "load_timeout_s", "allow_fallback", "network", "soc", "device_id")  # options that change no number
BUILT = ("factory", "folder", "checkpoint")  # kinds that keyword arguments reach
EXECUTED = ("torch", "openvino")  # runners for which a device is chosen


def identity_of(side: Side) -> tuple[Any, ...]:
    """Return what makes up ``side``: equal for two sides that are the same bytes run in the same way."""
    if side.staged is not None:
        program = side.staged.program
        loop = program.loop if program is not None else None  # names of values change no number
        once = loop is None or (loop.steps == 1 and loop.update == "replace" and loop.time is None)
        if once and len(side.staged.sides) == 1:
            return identity_of(side.staged.sides[0])  # the graph itself
        told = None if loop is None else (loop.stages, loop.steps, loop.update, loop.between, loop.times)
        return ("stages", told, *(identity_of(stage) for stage in side.staged.sides))
    spec = side.spec
    kind = side.artifact.kind if side.artifact else None
    options = {
        k: v for k, v in spec.options.items() if k not in NO_EFFECT and v != DEFAULTS.get(k) and v not in ({}, [])
    }
    return (
        side.sha256,
        () if side.pipeline is None else side.pipeline.identity,
        spec.runner,
        spec.command,
        spec.path if kind == "factory" else None,
        _sorted(spec.kwargs) if kind in BUILT else (),
        _provider(spec),
        _device(spec),
        _interpreter(spec),
        _sorted(options),
    )


def _sorted(table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, repr(v)) for k, v in table.items()))


def _provider(spec: RunnerSpec) -> str | None:
    if spec.runner != "onnxruntime":
        return None
    return PROVIDERS.get((spec.provider or "cpu").lower(), spec.provider)


def _device(spec: RunnerSpec) -> str | None:
    if spec.runner == "om":
        try:
            return f"npu:{device_number(spec)}"
        except UsageError:  # said where it is run
            return spec.device
    return (spec.device or "cpu").lower() if spec.runner in EXECUTED else None


def _interpreter(spec: RunnerSpec) -> tuple[str, str]:
    """Return the environment and the program of the interpreter: ``python`` and ``python3`` of one are the same."""
    given = spec.python or sys.executable
    found = Path(shutil.which(given) or given)
    return str(found.parent.resolve()), str(found.resolve())
