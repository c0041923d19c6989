"""Settles what a checkpoint leaves open: every choice is tried against another side, and the one that fits is named.

A choice fits where the largest difference is at most 5 % of the largest output, and no other choice is nearly as near:
on the corpus the right activation is at 1e-6, the next at 1e-1. Where none fits, the nearest is taken only if the other
side's weights are others too: then no choice could make them equal, and the comparison says by how much they differ.
Else the network has a form that was not tried, and nothing can be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.checkpoint.weights import read_weights
from parity.contract.actor_config import read_actor
from parity.errors import ParityError
from parity.provenance.compare_weights import is_informative, same_values, squeezed
from parity.release.sides import Side
from parity.runner.base import Failure, RunResult
from parity.runner.rebuilt import Chosen
from parity.tensor import Block, stack

if TYPE_CHECKING:
    from parity.release.execute import Live
    from parity.release.prepare import Prepared

FITS = 0.05  # of the largest output
APART = 4.0  # times as far must the next choice be
TINY = 1e-5  # differences below it are rounding: choices this near both are the same function here
PROBES = 4  # cases that are tried
KEPT = 24  # choices that are tried on all of them


@dataclass(frozen=True, slots=True)
class Tried:
    """How far one choice is from the partner: max|Δ| / max|partner| over the probed cases; infinite where it failed."""

    choice: int
    rel: float


def settle(prepared: Prepared, lives: Sequence[Live]) -> None:
    """Give every side that was rebuilt from a checkpoint the choice that fits another side; else note why none does.

    Sides whose configuration settles everything come first, so that another checkpoint can be tried against them.
    """
    waiting = [x for x in lives if x.session is not None and _choices(x)]
    for live in sorted(waiting, key=lambda x: len(_choices(x))):
        choices = _choices(live)
        if len(choices) == 1:
            _take(live, 0, {"settled": choices[0]})
            continue
        partners = [x for x in lives if x is not live and x.session is not None and not _choices(x)]
        _try(prepared, live, partners)


def _choices(live: Live) -> list[dict[str, Any]]:
    """Return what is left to choose; nothing once a choice was made."""
    found = live.session.info.environment.get("choices") if live.session is not None else None
    return list(found) if isinstance(found, list) else []


def _take(live: Live, choice: int, how: dict[str, Any]) -> None:
    assert live.session is not None
    rebuilt = dict(live.session.info.environment.get("rebuilt", {}))
    chosen = Chosen(live.session, choice, {**rebuilt, **how, "open": {}})
    live.session = chosen
    live.facts.learn(chosen.info)


def _try(prepared: Prepared, live: Live, partners: Sequence[Live]) -> None:
    choices = _choices(live)
    said = [f"{live.side.spec.path}: its weights do not say {_open(live)}, and no configuration beside it does"]
    nearest: tuple[Tried, Live] | None = None
    for partner in partners:
        tried = _distances(prepared, live, partner)
        if not tried:
            continue
        first, rivals = tried[0], _rivals(tried)
        if first.rel <= FITS and not rivals:
            _take(live, first.choice, _how(choices[first.choice], tried, partner, fits=True))
            return
        if first.rel <= FITS:
            names = ", ".join(_words(choices[t.choice], choices) for t in (first, *rivals[:3]))
            said.append(f"{partner.side.name} fits {names} alike")
        else:
            said.append(f"none of {len(choices)} choices fits {partner.side.name}")
            nearest = nearest or (first, partner)
            if _other_weights(live.side, partner.side):
                _take(live, first.choice, _how(choices[first.choice], tried, partner, fits=False))
                return
    if not partners:
        said.append("there is no other side to try it against")
    live.session = None
    live.facts.failure = Failure("load", "; ".join(said) + ".", f"say it: {_example(choices)}")


def _open(live: Live) -> str:
    assert live.session is not None
    names = live.session.info.environment.get("rebuilt", {}).get("open", {})
    return " or ".join(n.replace("_", " ") for n in names) or "how it is built"


def _example(choices: Sequence[dict[str, Any]]) -> str:
    """Return the line of `parity.toml` that would settle the choice, the most usual values in it."""
    pairs = [
        f'{k} = "{v}"' for k, v in choices[0].items() if isinstance(v, str) and len({str(c[k]) for c in choices}) > 1
    ]
    if any("geometry" in c for c in choices):
        pairs.append("strides = [2, 2, 2]")
    return f"`kwargs = {{{', '.join(pairs)}}}` in its table of parity.toml"


def _words(choice: dict[str, Any], choices: Sequence[dict[str, Any]]) -> str:
    """Return a choice in words, without what all choices share."""
    return " ".join(f"{k.replace('_', ' ')} {v}" for k, v in choice.items() if len({str(c[k]) for c in choices}) > 1)


def _how(choice: dict[str, Any], tried: Sequence[Tried], partner: Live, *, fits: bool) -> dict[str, Any]:
    others = [t.rel for t in tried[1:] if np.isfinite(t.rel)]
    return {
        "settled": choice,
        "tried": len(tried),
        "against": partner.side.name,
        "fits": fits,
        "rel": float(f"{tried[0].rel:.1e}"),
        "next_rel": float(f"{others[0]:.1e}") if others else None,
    }


def _rivals(tried: Sequence[Tried]) -> list[Tried]:
    """Return the choices that are nearly as near as the nearest."""
    return [t for t in tried[1:] if t.rel <= max(APART * tried[0].rel, TINY)]


def _distances(prepared: Prepared, live: Live, partner: Live) -> list[Tried]:
    """Return how far each choice is from the partner, the nearest first; nothing where the partner cannot tell."""
    from parity.release.execute import run_block

    block = _probes(prepared, live.side, partner.side)
    if block is None or live.session is None:
        return []
    session, tried = live.session, [Tried(i, 0.0) for i in range(len(_choices(live)))]
    for some in (_first(block), block):  # all choices on one case, the nearest few of them on all
        wanted = run_block(prepared, partner, some)
        if wanted.failure is not None:
            return []
        seen = []
        for i in sorted(t.choice for t in tried[:KEPT] if some is block) or range(len(tried)):
            live.session = Chosen(session, i, {}, "one_thread")  # small and many: threads would wait for one another
            result = run_block(prepared, live, some)
            live.session = session
            seen.append(Tried(i, _distance(wanted, result)))
            if result.failure is not None and result.failure.kind in ("crash", "timeout", "memory", "interrupted"):
                return []
        tried = sorted(seen, key=lambda t: t.rel) + (tried[KEPT:] if some is block else [])
    return tried


def _first(block: Block) -> Block:
    return Block(block.ids[:1], {n: a[:1] for n, a in block.inputs.items()})


def _probes(prepared: Prepared, *sides: Side) -> Block | None:
    """Return the first nominal cases that both sides run, as one block."""
    shared = [c for c in prepared.cases if all(any(c is o for o in prepared.cases_of(s)) for s in sides)]
    nominal = [c for c in shared if c.profile == "nominal"] or shared
    return next(stack(nominal[:PROBES]), None)


def _distance(wanted: RunResult, got: RunResult) -> float:
    """Return max|Δ| / max|wanted| over the outputs that both give; infinite where there are none or shapes differ."""
    worst, seen = 0.0, False
    if got.failure is not None:
        return float("inf")
    for name, expected in wanted.outputs.items():
        if name not in got.outputs:
            continue
        x, y = np.asarray(expected, np.float64), np.asarray(got.outputs[name], np.float64)
        scale = float(np.abs(x).max(initial=0.0))
        if x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
            return float("inf")
        gap = float(np.abs(x - y).max(initial=0.0))
        worst, seen = max(worst, gap / scale if scale else (0.0 if gap == 0 else float("inf"))), True
    return worst if seen else float("inf")


def _other_weights(side: Side, partner: Side) -> bool:
    """Whether some weight matrix of the rebuilt actor is in the partner in no form: then they are other weights."""
    if partner.artifact is None:
        return False
    try:
        mine = read_actor(side.artifact.path, side.spec.kwargs).weights if side.artifact else {}
        theirs = [w for w in read_weights(partner.artifact).values() if is_informative(w)]
    except ParityError:
        return False
    matrices = [w for w in mine.values() if len(squeezed(w.shape)) > 1 and is_informative(w)]
    if not theirs or not matrices:
        return False
    return any(all(t.size != w.size or same_values(t, w) is None for t in theirs) for w in matrices)
