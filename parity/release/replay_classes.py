"""Outputs of a replay that are classes: what `[replay.classes]` says, held against the policy and the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from parity.errors import UsageError
from parity.release.config import ReplayTable

if TYPE_CHECKING:
    from parity.dataset.model import Dataset

Classes = Mapping[str, tuple[float, str | None]]  # by output: from which number on it is class 1, and its labels


def classes_of(dataset: Dataset, table: ReplayTable, outputs: Sequence[str]) -> Classes:
    """Return which outputs are a class.

    Raises:
        UsageError: there is no such output, or the labels are not there, or are more than one number a frame.
    """
    for name, told in table.classes.items():
        if outputs and name not in outputs:
            raise UsageError(
                f"[replay.classes]: the policy has no output {name!r}", expected=f"one of {', '.join(outputs)}"
            )
        if told.label is not None:
            dataset.check([told.label])
            shape = dataset.features[told.label].shape
            if any(n != 1 for n in shape):
                raise UsageError(
                    f"{dataset.path}: {told.label} is {shape} in each frame", expected="one number: the class, from 0"
                )
    return {name: (told.threshold, told.label) for name, told in table.classes.items()}


def check_classes(classes: Classes, widths: Mapping[str, tuple[int, int]]) -> None:
    """Make sure that outputs are what a class can be read from.

    Raises:
        UsageError: one gives a chunk, or more numbers than there may be classes.
    """
    from parity.replay.classes import MOST

    for name in classes:
        steps, width = widths.get(name, (1, 1))
        if steps != 1 or width > MOST:
            raise UsageError(
                f"[replay.classes] {name}: the reference gives {steps} steps of {width} numbers",
                expected=f"one step of 1 to {MOST} numbers: a logit, or one for each class",
            )
