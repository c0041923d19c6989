"""Statistics of each position of an action chunk: row k of a chunk that starts at frame t is the action of frame t + k.

Only whole chunks count. An episode of L frames has those that start at 0 … L − K, so position k sees frames
k … L − K + k and every position sees equally many; frames of another episode, or repeated ones, never come in. An
episode shorter than a chunk has none. So it is in GR00T (gr00t/data/stats.py, ``usable_length``) and LeRobot
(``compute_relative_action_stats``).
Relative actions are ``action[t + k] − state[t]``, the state being that of the chunk's first frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.model import Block, Feature
from parity.errors import UsageError
from parity.stats.numbers import Numbers

if TYPE_CHECKING:
    from parity.tensor import Array

AT_ONCE = 1 << 22  # values of chunks that are laid out at once


class Chunks:
    """The summary of an action's chunks of ``length`` frames, ``(length, *shape)``, over whole episodes.

    Blocks must come in the order of the dataset. Two of these may be joined if each saw whole episodes.
    """

    __slots__ = ("_action", "_kept", "_state", "length", "numbers", "short")

    def __init__(self, action: Feature, length: int, state: Feature | None = None) -> None:
        if state is not None and state.shape != action.shape:
            raise UsageError(
                f"{action.name} of shape {list(action.shape)} cannot be taken relative to {state.name} of shape "
                f"{list(state.shape)}",
                expected="a state with one element for each of the action's",
            )
        self._action, self._state, self.length = action.name, state.name if state else None, length
        self._kept: dict[str, Array] = {}
        self.short = 0  # episodes that are shorter than a chunk
        self.numbers = Numbers((length, *action.shape), action.dtype)

    @property
    def names(self) -> tuple[str, ...]:
        """The features that blocks must hold."""
        return (self._action,) if self._state is None else (self._action, self._state)

    def add(self, block: Block) -> None:
        """Take in a block."""
        for span in block.spans:
            rows = {name: block.columns[name][span.start : span.stop] for name in self.names}
            if span.frame:
                rows = {name: np.concatenate([self._kept[name], part]) for name, part in rows.items()}
            self._add(rows)
            self.short += bool(span.last and span.frame + span.stop - span.start < self.length)
            self._kept = {name: part[max(0, len(part) - self.length + 1) :] for name, part in rows.items()}

    def merge(self, other: Chunks) -> None:
        """Take in what another has summed up over other episodes."""
        self.numbers.merge(other.numbers)
        self.short += other.short

    def _add(self, rows: Mapping[str, Array]) -> None:
        action = rows[self._action]
        count = len(action) - self.length + 1
        step = max(1, AT_ONCE // max(1, self.length * action[:1].size))
        for start in range(0, count, step):
            stop = min(count, start + step)
            part: Any = action[start : stop + self.length - 1]
            chunks = np.moveaxis(np.lib.stride_tricks.sliding_window_view(part, self.length, axis=0), -1, 1)
            if self._state is None:
                self.numbers.add(chunks)
            else:
                self.numbers.add(chunks - rows[self._state][start:stop, None])
