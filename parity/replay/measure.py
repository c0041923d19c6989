"""What is measured of replayed actions: found by entry point, group ``parity.measures``, one file each.

A measure sees one shard after the other, in any order and in any process, and keeps little of it. Its states are merged
in the order of the shards, so that any number of workers ends with the same bytes.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal, Protocol

import numpy as np

from parity.plugins import ranked
from parity.replay.model import Context, Judged, Played, State
from parity.tensor import Array

Gates = Literal[
    "single",  # where single actions can be compared: noise is injected, or there is none
    "sampled",  # where they cannot
    "always",
    "asked",  # where there is something to judge by, which may be nowhere
    "never",  # it shows, and names causes; where it cannot, nothing is lost
]


class Measure(Protocol):
    """One question about replayed actions.

    ``gates`` says where it must judge: without a row of its own the candidate is then NOT_JUDGED.
    """

    name: str
    rank: int  # the order in which the report tells of it
    gates: Gates

    def observe(self, played: Played) -> State:
        """Return what is kept of a shard: a few kilobytes, whose size does not grow with the number of frames."""
        ...

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both: associative, but for the rounding of sums."""
        ...

    def judge(self, state: State, context: Context) -> Judged:
        """Return what all shards together say. NaN, and nothing measured, never pass."""
        ...


def measures() -> tuple[Measure, ...]:
    """Return all registered measures, in order of rank.

    Raises:
        UsageError: one of them cannot be loaded.
    """
    return ranked("parity.measures", "measure")


def must_judge(measure: Measure, *, sampled: bool) -> bool:
    """Whether a candidate cannot pass without a row of this measure."""
    return measure.gates == "always" or measure.gates == ("sampled" if sampled else "single")


def merged(measure: Measure, states: list[State]) -> State:
    """Return the states of all shards, given in their order, as one."""
    return reduce(measure.merge, states)


def added(earlier: State, later: State) -> State:
    """Return the sums of all arrays by name: the merge of what only counts and adds up."""
    return {name: np.asarray(earlier[name] + later[name]) for name in earlier}


BLOCKS = 512  # groups of whole episodes that are resampled together, at most


def block_of(episode: Array) -> Array:
    """Return the group of whole episodes that each frame belongs to, ``(N,)``: each its own, up to `BLOCKS` of them.

    Frames of an episode depend on each other, so permutations and resampling move whole groups, never frames.
    """
    group: Array = np.asarray(episode, np.int64) % BLOCKS
    return group
