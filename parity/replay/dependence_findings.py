"""What is wrong with a candidate's dependence on its observations, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from parity.finding import Finding
from parity.replay.depends import Dependence
from parity.replay.feature_words import CHANGES, amount, dimensions, place
from parity.replay.model import Context
from parity.replay.reaction import Moved, Reaction, largest
from parity.replay.said import called

IGNORED, EXTRA, DIFFERENT, REPEAT, HISTORY = "REPLAY070", "REPLAY071", "REPLAY072", "REPLAY073", "REPLAY074"
INDEPENDENT, CROSSED, NOT_FINITE, FROZEN, UNSTEADY = "REPLAY075", "REPLAY076", "REPLAY077", "REPLAY078", "REPLAY079"


def ignored_words(name: str, reaction: Reaction, what: Dependence, context: Context) -> str:
    """Return one sentence: what moves the reference and not the candidate, with the frame to look at."""
    dims = np.flatnonzero(what.ignored).tolist()
    most = largest(reaction, reaction.top_reference, dims, context.scale)
    return (
        f"the candidate does not react to {name}: {CHANGES[most.kind]} at {place(most)}, it moves "
        f"{called(context, most.dimension)} of the reference by {amount(context, most.size, most.dimension)} and of "
        f"the candidate by {amount(context, most.other, most.dimension)}"
    )


def ignored(name: str, reaction: Reaction, what: Dependence, context: Context) -> Finding:
    """Return that the candidate is not connected to a feature that the reference depends on."""
    dims = np.flatnonzero(what.ignored).tolist()
    most = largest(reaction, reaction.top_reference, dims, context.scale)
    whole = bool((what.ignored == what.reference).all())
    title = _sentence(ignored_words(name, reaction, what, context))
    return Finding(
        IGNORED,
        "error",
        title,
        where=name,
        detail="" if whole else f"It does react to it elsewhere; not in {dimensions(context, dims)}.",
        evidence=_evidence(most, "reference", context) | {"dimensions": dims},
        remedy="look for this feature's key on the way into the candidate: one that is misspelled, left out, constant, "
        "or given to another input",
    )


def extra_words(name: str, reaction: Reaction, what: Dependence, context: Context) -> str:
    """Return one sentence: what moves the candidate and not the reference, with the frame to look at."""
    most = largest(reaction, reaction.top_candidate, np.flatnonzero(what.extra).tolist(), context.scale)
    return (
        f"the candidate reacts to {name}, which the reference does not depend on: {CHANGES[most.kind]} at "
        f"{place(most)}, it moves {called(context, most.dimension)} of the candidate by "
        f"{amount(context, most.size, most.dimension)} and of the reference by "
        f"{amount(context, most.other, most.dimension)}"
    )


def extra(name: str, reaction: Reaction, what: Dependence, context: Context) -> Finding:
    """Return that the candidate depends on a feature that the reference does not depend on."""
    dims = np.flatnonzero(what.extra).tolist()
    most = largest(reaction, reaction.top_candidate, dims, context.scale)
    return Finding(
        EXTRA,
        "error",
        _sentence(extra_words(name, reaction, what, context)),
        where=name,
        evidence=_evidence(most, "candidate", context) | {"dimensions": dims},
        remedy="look for features that are mixed up on the way into the candidate, or other statistics of this one",
    )


def different(
    names: Sequence[str], found: Mapping[str, Reaction], told: Mapping[str, Dependence], context: Context
) -> Finding:
    """Return that both sides react to features, but not alike: the one most unlike, and the others in the detail."""
    name = max(names, key=lambda n: (told[n].unlike, n))
    what, others = told[name], sorted(n for n in names if n != name)
    dims = np.flatnonzero(what.different)
    worst = int(dims[np.argmax(np.abs(np.log(np.maximum(what.gain[dims], 1e-12))) + 1 - what.cosine[dims])])
    turned = what.cosine[worst] < -0.5
    how = "the other way round" if turned else f"{what.gain[worst]:.2f} times as far as the reference's"
    at = largest(found[name], found[name].top_reference, [worst], context.scale)
    return Finding(
        DIFFERENT,
        "warning",
        f"Changing {name} moves {called(context, worst)} of the candidate {how}, over "
        f"{found[name].frames} frames; the reference moves most at {place(at)}.",
        where=name,
        detail=f"Also unlike, but less so: {', '.join(others)}." if others else "",
        evidence={
            "dimensions": dims.tolist(),
            "gain": [float(g) for g in what.gain[dims]],
            "cosine": [float(c) for c in what.cosine[dims]],
            "others": others,
        },
        remedy="compare how both sides normalize this feature: its statistics, its units, its order of elements",
    )


def crossed(one: str, other: str, found: dict[str, Reaction], context: Context) -> Finding:
    """Return that two features look swapped."""
    images = all(any(w in n.lower() for w in ("image", "cam", "rgb")) for n in (one, other))
    what = "cameras" if images else "features"
    return Finding(
        CROSSED,
        "error",
        f"The {what} {one} and {other} look swapped: the candidate reacts to each as the reference does to the other.",
        where=one,
        evidence={
            "features": [one, other],
            "reference": [[float(v) for v in _swap_rms(found[n], "rr")] for n in (one, other)],
            "candidate": [[float(v) for v in _swap_rms(found[n], "cc")] for n in (one, other)],
            "dimensions": list(context.names),
        },
        remedy="bind both by name, not by position, where observations are handed to the candidate",
    )


def _swap_rms(reaction: Reaction, which: str) -> Sequence[float]:
    values = reaction.rms(getattr(reaction, which))[reaction.kinds.index("swap")]
    return [float(v) if np.isfinite(v) else 0.0 for v in values]


def independent(names: Sequence[str], some: bool, context: Context) -> Finding:
    """Return once which features do not move the reference: nothing tells whether the candidate is connected."""
    listed = ", ".join(names)
    one = len(names) == 1
    return Finding(
        INDEPENDENT,
        "warning",
        f"The reference does not react to {listed}: not covered, nothing tells whether the candidate is connected to "
        f"{'it' if one else 'them'}.",
        where=names[0] if one else context.output,
        detail="" if some else "No feature that was changed moves the reference.",
        evidence={"features": list(names)},
        remedy="nothing, if the policy was meant to do without; else it was trained or is run without what it is given",
    )


def not_probed(observed: Sequence[str], context: Context) -> Finding:
    """Return that no observation was changed, or not so that it tells something of policies that sample."""
    why = "samples of one observation were not compared with each other" if context.sampled else "none was changed"
    return Finding(
        INDEPENDENT,
        "warning",
        f"Whether the candidate is connected to all of its observations is not covered: {why}.",
        where=context.output,
        evidence={"features": list(observed)},
        remedy="look at what it does with a camera covered, before the robot moves",
    )


def lost_words(name: str, reaction: Reaction) -> str:
    """Return one sentence: where only the candidate's output is not finite."""
    lost = reaction.lost_candidate
    at = int(np.flatnonzero(lost[:, 0])[0])
    kind = reaction.kinds[at]
    what = f"with {name} {CHANGES[kind]}" if reaction.feature else f"with the same observation {CHANGES[kind]}"
    return (
        f"{what}, the candidate's output is NaN or infinite at {int(lost[at, 0])} of {reaction.frames} frames, the "
        f"first in episode {int(lost[at, 1])}, frame {int(lost[at, 2])}; the reference's is finite"
    )


def not_finite(name: str, reaction: Reaction, context: Context) -> Finding:
    """Return that only the candidate's output is NaN or infinite when an observation is changed."""
    lost = reaction.lost_candidate
    return Finding(
        NOT_FINITE,
        "error",
        _sentence(lost_words(name, reaction)),
        where=name if reaction.feature else context.output,
        evidence={"kinds": list(reaction.kinds), "frames": [int(n) for n in lost[:, 0]]},
        remedy="look for a division by a range or standard deviation of zero, or an overflow in a lower precision",
    )


def again_words(most: Moved, context: Context) -> str:
    """Return one sentence: how far the output for the same observation moves, with the frame to look at."""
    return (
        f"the same observation, {CHANGES[most.kind]}, moves {called(context, most.dimension)} of the candidate by "
        f"{amount(context, most.size, most.dimension)} at {place(most)}, and of the reference by "
        f"{amount(context, most.other, most.dimension)}"
    )


def again(kind: str, most: Moved, only: bool, reason: str) -> Finding:
    """Return that the same observation gives another output; ``only`` where the reference's stays the same."""
    repeat = kind == "repeat"
    seen = {"candidate": most.size, "reference": most.other, "episode": most.episode, "frame": most.frame}
    return Finding(
        REPEAT if repeat else HISTORY,
        "error" if only else "warning" if repeat else "info",
        _sentence(reason),
        evidence=seen,
        remedy="look for dropout or batch statistics in training mode, noise that is not an input, state that is kept"
        if repeat
        else "reset all state (queue, hidden state, last action) where an episode begins",
    )


def unsteady(most: Moved, context: Context) -> Finding:
    """Return that the reference does not give the same output twice, where the candidate does."""
    return Finding(
        UNSTEADY,
        "warning",
        f"The reference does not give the same output for the same observation twice: "
        f"{called(context, most.dimension)} moves by {amount(context, most.size, most.dimension)} at "
        f"{place(most)}; the candidate's does not.",
        where=context.output,
        evidence={"reference": most.size, "candidate": most.other, "episode": most.episode, "frame": most.frame},
        remedy="put the reference into evaluation mode, or inject its noise, and look whether the candidate kept it",
    )


def frozen(reaction: Reaction, context: Context) -> list[Finding]:
    """Return that a policy that samples gives one sample only, on one side."""
    trusted, tested = (float(v[v >= 0].max(initial=0.0)) for v in reaction.largest)
    if reaction.frames == 0 or (trusted > 0) == (tested > 0):
        return []
    fixed = "candidate" if trusted > 0 else "reference"
    return [
        Finding(
            FROZEN,
            "warning",
            f"The {fixed} gives the same sample every time, the other side does not.",
            where=context.output,
            evidence={"frames": reaction.frames, "reference": trusted, "candidate": tested},
            remedy="look for noise that was exported as a constant, or a seed that is set at every call",
        )
    ]


def _evidence(most: Moved, side: str, context: Context) -> dict[str, object]:
    other = "candidate" if side == "reference" else "reference"
    return {
        side: most.size,
        other: most.other,
        "units": context.units[most.dimension],
        "dimension": most.dimension,
        "kind": most.kind,
        "episode": most.episode,
        "frame": most.frame,
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
