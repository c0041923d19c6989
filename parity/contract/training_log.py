"""The log beside a workspace checkpoint: the error that the training run measured of itself when it was saved.

diffusion_policy writes ``logs.json.txt`` into the folder of the run, a JSON object for each step; checkpoints lie in
``checkpoints/`` below it. ``train_action_mse_error`` is the mean squared error of sampled actions against those of one
training batch, in units of the action squared; it is measured every ``training.sample_every`` epochs, with noise that
is not kept. Source: diffusion_policy/workspace/train_diffusion_*_workspace.py and common/json_logger.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

NAME, MEASURE = "logs.json.txt", "train_action_mse_error"
MAX_BYTES = 256 << 20  # that are read, from the end: a run of a million steps writes less
MAX_LINE = 1 << 16
KEPT = 5  # of the last measures of the log


def read_training_log(checkpoint: Path, epoch: int | None, step: int | None) -> dict[str, Any] | None:
    """Return what the log beside a checkpoint says of its actions; None where there is no such log.

    ``train_action_mse_error``, ``epoch`` and ``global_step`` are of the checkpoint's own epoch, or of the last before
    it in which the error was measured; all None where the checkpoint does not tell its epoch, or none was. ``last`` are
    the last five measures of the log. An error that is not finite is "NaN" or "Infinity".
    """
    path = _beside(checkpoint)
    if path is None:
        return None
    at: dict[str, Any] | None = None
    last: list[dict[str, Any]] = []
    try:
        for row in _rows(path):
            last = [*last, row][-KEPT:]
            if epoch is None or row["epoch"] > epoch:
                continue
            if at is None or _rank(row, step) >= _rank(at, step):  # a run that went on from a checkpoint logs again
                at = row
    except OSError:
        return None
    if not last:
        return None
    return {"file": NAME, **(at or dict.fromkeys((MEASURE, "epoch", "global_step"))), "last": last}


def _rank(row: dict[str, Any], step: int | None) -> tuple[int, bool]:
    return row["epoch"], step is not None and row["global_step"] == step


def _beside(checkpoint: Path) -> Path | None:
    """Return the log of the run that a checkpoint lies in, if it is a file of that folder."""
    try:
        folder = checkpoint.parent.resolve()
        run = folder.parent if folder.name == "checkpoints" else folder
        path = (run / NAME).resolve()
        return path if path.is_relative_to(run) and path.is_file() else None
    except (OSError, RuntimeError):  # a loop of links
        return None


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the measures of a log in its order; what is no such line is passed over."""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - MAX_BYTES)
        file.seek(start)
        for number, line in enumerate(_lines(file)):
            if MEASURE.encode() in line and not (start and number == 0):
                row = _row(line)
                if row is not None:
                    yield row


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long, nothing that could be parsed."""
    whole = True
    while line := file.readline(MAX_LINE):
        ended = line.endswith(b"\n")
        yield line if whole and (ended or len(line) < MAX_LINE) else b""
        whole = ended


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None  # cut off while it was written
    if not isinstance(found, dict):
        return None
    value, epoch, step = found.get(MEASURE), found.get("epoch"), found.get("global_step")
    if not isinstance(value, int | float) or isinstance(value, bool) or type(epoch) is not int or epoch < 0:
        return None
    return {MEASURE: _number(value), "epoch": epoch, "global_step": step if type(step) is int else None}


def _number(value: float) -> float | str:
    try:
        plain = float(value)
    except OverflowError:
        plain = math.inf
    if math.isfinite(plain):
        return plain
    return "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
