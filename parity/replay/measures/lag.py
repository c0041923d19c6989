"""Is the candidate early, late, faster or slower: executed actions at several lags, chunk steps against other steps.

It only explains. A named cause is an error, as the difference that it explains is over a limit.
"""

from __future__ import annotations

import numpy as np

from parity.finding import Finding
from parity.replay import kept
from parity.replay.causes.late import Late, late, of_demonstration
from parity.replay.causes.shifted import LAGS, aligned, alignments, chunks, sequences
from parity.replay.causes.tell_lag import told_chunk, told_execution, told_lag, told_recorded
from parity.replay.measure import Gates, added
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.said import look_at, moving, over_limits
from parity.tensor import Array

SHARE = 16  # one of so many chunks is looked at,
AT_LEAST = 32  # but as many as this of a shard, if it has them
ELEMENTS = 1 << 18  # numbers of each side's chunks, at most
RECORDED = 512  # frames of a shard that are held against what was recorded


class Lag:
    """Cross-correlates candidate and reference, and the reference and what was recorded."""

    name = "lag"
    rank = 31
    gates: Gates = "never"

    def observe(self, played: Played) -> State:
        """Return sums at every lag and alignment of chunk steps, and the worst places.

        A shard in which the sides differ by rounding alone adds no sums: there is nothing to explain.
        """
        e = played.executed
        some = _some(played)
        both = kept.compared(played)
        differ, few = (0 if both.same else len(e.at)), (some[:0] if both.same else some)
        recorded = np.full_like(e.reference, np.nan) if e.recorded is None else e.recorded
        return {
            "frames": np.array([len(e.at), np.isfinite(e.candidate).all(axis=1).sum()]),
            **kept.under("sent", sequences(e.reference[:differ], e.candidate[:differ], e.first[:differ])),
            **kept.under("demo", sequences(recorded[:RECORDED], e.reference[:RECORDED], e.first[:RECORDED])),
            **kept.under("chunk", chunks(played.reference[few], played.candidate[few])),
            **kept.under("worst", both.worst),
            **kept.under("chunk_worst", both.worst_chunk),
        }

    def merge(self, earlier: State, later: State) -> State:
        """Return what is kept of both."""
        merged = {"frames": np.asarray(earlier["frames"] + later["frames"])}
        for name, join in (
            ("sent", added),
            ("demo", added),
            ("chunk", added),
            ("worst", kept.worse),
            ("chunk_worst", kept.worse),
        ):
            merged |= kept.under(name, join(kept.of(earlier, name), kept.of(later, name)))
        return merged

    def judge(self, state: State, context: Context) -> Judged:
        """Return the lags, chunk steps and speeds that explain at least 90 % of a difference over a limit."""
        sent, place, chunk_place = (kept.of(state, k) for k in ("sent", "worst", "chunk_worst"))
        n = int(state["frames"][1])
        findings = self._recorded(state, context)
        if not n:
            return Judged((Row(self.name, None, "NOT_JUDGED", reason="no frame at which both sides are finite"),))
        if context.sampled:
            why = "single actions are not compared: its noise could not be injected"
            return Judged((Row(self.name, None, "NOT_JUDGED", n=n, reason=why),), tuple(findings))
        informative = moving(context)
        over = np.flatnonzero(over_limits(context, place) & informative).tolist()
        over_chunk = np.flatnonzero(over_limits(context, chunk_place) & informative).tolist()
        in_chunk = _explained(kept.of(state, "chunk"), over_chunk)
        told = told_chunk(in_chunk, context, chunk_place, _names(len(state["chunk.n"])))
        if over and not over_chunk:
            told += told_execution(context, place, over)
        known = {x.dimension for x in in_chunk}
        lags = [x for x in _explained(sent, over) if x.dimension not in known]
        told += told_lag(lags, context, place)
        return Judged((_row(n, [*in_chunk, *lags], context, place),), (*told, *findings))

    def _recorded(self, state: State, context: Context) -> list[Finding]:
        lag, share = of_demonstration(aligned(kept.of(state, "demo")), np.flatnonzero(moving(context)).tolist())
        return [told_recorded(lag, share, context)] if lag else []


def _some(played: Played) -> Array:
    """Return positions of the chunks that are looked at, spread evenly."""
    n, horizon, dims = played.reference.shape
    count = min(n, max(AT_LEAST, n // SHARE), max(1, ELEMENTS // (horizon * dims)))
    return np.unique(np.linspace(0, n - 1, count).astype(np.int64)) if n else np.zeros(0, np.int64)


def _explained(state: State, over: list[int]) -> list[Late]:
    if state["n"].max() < 1:
        return []
    return late(aligned(state), state["zero"] / np.maximum(state["n"], 1.0), over)


def _names(count: int) -> list[str]:
    names = [name for name, _, _ in alignments(1)]
    assert len(names) == count
    return names


def _row(n: int, found: list[Late], context: Context, place: State) -> Row:
    if not found:
        return Row("lag", 0.0, "PASS", n=n, units="steps")
    worst = min(found, key=lambda x: x.share)
    steps = float(worst.lag) if worst.row < len(LAGS) else 0.0
    where = look_at(context, place, [worst.dimension])
    why = f"another time explains {100 * (1 - worst.share):.1f} % of the difference; {where}"
    return Row("lag", steps, "FAIL", n=n, units="steps", reason=why)


MEASURE = Lag()
