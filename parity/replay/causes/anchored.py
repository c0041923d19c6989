"""Actions relative to something else: to the action before, to the chunk's start, to the state, or summed up.

Each suspicion says what the candidate would be (`Claim.expected`); sums of what it leaves add up over shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from parity.replay.model import Played, State
from parity.tensor import Array

INTERPOLATED = 0.1  # as much where the state had to be interpolated
LEFT = 0.02  # a named claim leaves at most this share of the difference and of how much the candidate moves
FEWEST = 32  # rows below which agreement may be luck
FEATURES = 4  # observations as wide as the action that are looked at, at most


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows ``(M, D)``: the candidate, what a suspicion expects it to be, and the reference."""

    candidate: Array
    expected: Array
    reference: Array


def claims(played: Played, some: Array) -> Iterator[tuple[str, Callable[[], Claim]]]:
    """Yield every suspicion by name, with what makes it; ``some`` are positions of the chunks that are looked at.

    Names are a kind, and behind a blank the observation that it is about.
    """
    e = played.executed
    after = np.flatnonzero(~e.first)
    before = after - 1
    r, c = e.reference, e.candidate
    yield "delta", lambda: Claim(c[after], r[after] - r[before], r[after])
    yield "delta_next", lambda: Claim(c[before], r[after] - r[before], r[before])
    yield "summed", lambda: Claim(c[after] - c[before], r[after], r[after] - r[before])
    rc, cc = played.reference[some], played.candidate[some]
    yield "chunk_delta", lambda: _rows(cc[:, 1:], rc[:, 1:] - rc[:, :-1], rc[:, 1:])
    yield "from_first", lambda: _rows(cc[:, 1:], rc[:, 1:] - rc[:, :1], rc[:, 1:])
    yield "chunk_summed", lambda: _rows(np.diff(cc, axis=1), rc[:, 1:], np.diff(rc, axis=1))
    for name, state in _states(played):
        yield from _of_state(played, name, state, some)


def _of_state(played: Played, name: str, state: Array, some: Array) -> Iterator[tuple[str, Callable[[], Claim]]]:
    s, r, c = state[some][:, None], played.reference[some], played.candidate[some]
    yield f"minus {name}", lambda: _rows(c, r - s, r)
    yield f"plus {name}", lambda: _rows(c, r + s, r)
    yield f"is {name}", lambda: _rows(c[:, :1], s, r[:, :1])
    yield f"anchored {name}", lambda: _anchored(played, state)


def _rows(candidate: Array, expected: Array, reference: Array) -> Claim:
    dims = candidate.shape[-1]
    return Claim(candidate.reshape(-1, dims), expected.reshape(-1, dims), reference.reshape(-1, dims))


def _states(played: Played) -> list[tuple[str, Array]]:
    dims = played.reference.shape[-1]
    found = [
        (name, values.astype(np.float64))
        for name, values in sorted(played.observations.items())
        if values.ndim == 2 and values.shape[1] == dims and values.dtype.kind in "fiu"
    ]
    return found[:FEATURES]


def _anchored(played: Played, state: Array) -> Claim:
    """A relative chunk whose every step is added to the state of then, not to that of when it was made.

    Between the frames at which the policy was asked the state is interpolated (Catmull and Rom 1974).
    """
    e, asked = played.executed, played.at
    if not len(asked) or not len(e.at):
        return Claim(e.candidate[:0], e.candidate[:0], e.reference[:0])
    now = np.clip(np.searchsorted(asked.row, e.at.row, side="right") - 1, 0, len(asked) - 1)
    then = np.minimum(now + 1, len(asked) - 1)
    gap = np.maximum(asked.row[then] - asked.row[now], 1)
    part = (e.at.row - asked.row[now]) / gap
    here = _between(state, asked.episode, now, part[:, None])
    start = np.clip(np.searchsorted(asked.row, e.at.row - e.step), 0, len(asked) - 1)
    good = (asked.episode[now] == e.at.episode) & (asked.row[start] == e.at.row - e.step)
    good &= (asked.episode[then] == e.at.episode) | (part == 0)
    expected = e.reference + here - state[start]
    return Claim(e.candidate[good], expected[good], e.reference[good])


def _between(state: Array, episode: Array, now: Array, part: Array) -> Array:
    """Return the state a ``part`` of the way from position ``now`` to the next, with slopes from the neighbours."""
    end = len(state) - 1
    then = np.minimum(now + 1, end)
    before, behind = np.maximum(now - 1, 0), np.minimum(now + 2, end)
    before = np.where(episode[before] == episode[now], before, now)
    behind = np.where(episode[behind] == episode[then], behind, then)
    step = state[then] - state[now]
    slope_now = np.where((before < now)[:, None], (state[then] - state[before]) / 2, step)
    slope_then = np.where((behind > then)[:, None], (state[behind] - state[now]) / 2, step)
    bend_now, bend_then = slope_now - step, step - slope_then
    result: Array = state[now] + part * step + part * (1 - part) * ((1 - part) * bend_now + part * bend_then)
    return result


def sums(claim: Claim) -> dict[str, Array]:
    """Return rows, what is left, the difference as it is, and the candidate's sums, of the finite rows."""
    finite = np.isfinite(claim.candidate).all(axis=1) & np.isfinite(claim.expected).all(axis=1)
    if not finite.all():
        claim = Claim(claim.candidate[finite], claim.expected[finite], claim.reference[finite])
    c = claim.candidate
    return {
        "n": np.array([float(len(c))]),
        "left": _squares(c - claim.expected),
        "whole": _squares(c - claim.reference),
        "sum": c.sum(axis=0),
        "squares": _squares(c),
    }


def _squares(values: Array) -> Array:
    result: Array = np.einsum("td,td->d", values, values)
    return result


def share(state: State) -> Array:
    """Return what a claim leaves of the difference, or of how the candidate moves where that is less, ``(D,)``."""
    n = max(float(state["n"][0]), 1.0)
    motion = state["squares"] - state["sum"] ** 2 / n
    motion = np.where(motion > 1e-12 * state["squares"], motion, 0.0)
    whole = np.minimum(state["whole"], motion)
    if state["n"][0] < FEWEST:
        return np.full(len(whole), np.inf)
    result: Array = np.divide(state["left"], whole, out=np.full(len(whole), np.inf), where=whole > 0)
    return result


def best(shares: Mapping[str, Array], among: list[int]) -> dict[str, list[int]]:
    """Return the dimensions that each claim explains, a dimension under the claim that leaves least of it."""
    found: dict[str, list[int]] = {}
    for d in among:
        name = min(shares, key=lambda k: float(shares[k][d]), default=None)
        limit = INTERPOLATED if name is not None and name.startswith("anchored") else LEFT
        if name is not None and shares[name][d] <= limit:
            found.setdefault(name, []).append(d)
    return found
