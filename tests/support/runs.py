"""Opens runners on artifacts made in a test, and makes blocks of cases for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np

from parity.runner.base import RunnerSpec, Session, runner_for
from parity.tensor import Block


@contextmanager
def opened(runner: str, path: Path | str, work: Path, **spec: Any) -> Iterator[Session]:
    """A session of ``runner`` with the artifact at ``path``; ``spec`` are further fields of `RunnerSpec`."""
    described = RunnerSpec("side", runner, str(path), **spec)
    with runner_for(described).open(described, work / "work") as session:
        yield session


@contextmanager
def factory(work: Path, source: str, **spec: Any) -> Iterator[Session]:
    """A session of the runner ``torch`` with a module ``made`` that holds ``source``, whose function is ``build``."""
    (work / "made.py").write_text(dedent(source), encoding="utf-8")
    options = {"cwd": str(work), **spec.pop("options", {})}
    with opened("torch", "made:build", work, options=options, **spec) as session:
        yield session


def block(n: int = 3, **arrays: Any) -> Block:
    """A block of ``n`` cases; without arrays one input ``x`` of shape ``(1, 4)`` with fixed values."""
    if not arrays:
        arrays = {"x": np.random.default_rng(0).standard_normal((n, 1, 4)).astype(np.float32)}
    return Block(tuple(f"nominal-{i:04d}" for i in range(n)), arrays)
