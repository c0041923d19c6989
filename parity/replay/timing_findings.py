"""Where reference and candidate are driven differently, or one of them not as the data were recorded, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from parity.contract.disagree_policy import policy_disagreements
from parity.contract.disagree_robot import robot_disagreements
from parity.contract.disagreement import Sides
from parity.contract.model import Contract
from parity.finding import Finding
from parity.replay.driven import Told
from parity.replay.history import layout_disagreement
from parity.replay.model import Timing

RATE = 0.005  # a relative gap between rates that matters to nobody: 29.97 and 30 are the same
DRIVEN = ("n_obs_steps", "n_action_steps", "control_hz")  # what the user may settle
KINDS = ("window", "sampler", "control_rate")  # of disagreements between contracts that concern time

OBSERVED, FIRST, COUNT, ENSEMBLE, RATES = "TIME001", "TIME002", "TIME003", "TIME004", "TIME005"
RECORDED, START, TOO_MANY, UNSAID, OVERRIDDEN = "TIME006", "TIME008", "TIME009", "TIME010", "TIME011"
MOMENTUM = "TIME012"


def disagreements(
    reference: Timing,
    candidate: Timing,
    fps: float | None,
    contracts: tuple[Contract, Contract] | None = None,
) -> tuple[Finding, ...]:
    """Return where the sides, or a side and the dataset, contradict each other.

    Args:
        reference: how it is driven.
        candidate: likewise; both give chunks of the same length.
        fps: frames per second of the dataset.
        contracts: of both sides' own artifacts, where known: what they contradict each other in (``INSP008``,
            ``INSP012``, ``INSP014``) is said in their words, and not twice.
    """
    differ = dict(_sides(reference, candidate, fps))
    told = [] if contracts is None else list(_contracts(*contracts, differ))
    said = {"control_hz" if f.code == "INSP014" else f.where for f in told}
    found = [f for name, f in differ.items() if name not in said]
    layouts = [] if contracts is None else layout_disagreement(*contracts)
    return (*told, *found, *layouts, *_recorded(reference, candidate, fps))


def _contracts(a: Contract, b: Contract, differ: Collection[str]) -> Iterator[Finding]:
    """Yield what `parity inspect` says of two contracts that concerns time, but what is driven alike all the same."""
    sides = Sides(a, b)
    for d in (*policy_disagreements(sides), *robot_disagreements(sides)):
        field = "control_hz" if d.kind == "control_rate" else d.where
        if d.kind in KINDS and (field not in DRIVEN or field in differ):
            yield d.as_finding()


def _sides(a: Timing, b: Timing, fps: float | None) -> Iterator[tuple[str, Finding]]:
    """Yield what differs between the sides, with the name of the field."""
    if a.n_obs_steps != b.n_obs_steps:
        title = f"The reference is shown {a.n_obs_steps} observations at once, the candidate {b.n_obs_steps}."
        yield "n_obs_steps", _error(OBSERVED, "n_obs_steps", title, a.n_obs_steps, b.n_obs_steps)
    if a.first != b.first:
        gap = abs(a.first - b.first)
        how = "lag by" if b.first < a.first else "run ahead by"
        late = f"{gap} step{'s' if gap > 1 else ''}{_seconds(gap, fps)}"
        title = f"Step {a.first} of the reference's chunk is executed first, step {b.first} of the candidate's"
        yield "first", _error(FIRST, "first", f"{title}: its actions {how} {late}.", a.first, b.first)
    if (a.ensemble is None) != (b.ensemble is None) or (
        a.ensemble is not None and b.ensemble is not None and abs(a.ensemble - b.ensemble) > 1e-9
    ):
        title = f"The reference is {_ensembled(a)}, the candidate {_ensembled(b)}."
        yield "ensemble", _error(ENSEMBLE, "ensemble", title, a.ensemble, b.ensemble)
    elif a.n_action_steps != b.n_action_steps:
        count, own = (f"{t.n_action_steps}{_seconds(t.n_action_steps, fps)}" for t in (a, b))
        title = f"The reference executes {count} actions before it is asked again, the candidate {own}."
        yield "n_action_steps", _error(COUNT, "n_action_steps", title, a.n_action_steps, b.n_action_steps)
    if a.control_hz is not None and b.control_hz is not None and not _same(a.control_hz, b.control_hz):
        title = f"The reference acts at {a.control_hz:g} Hz, the candidate at {b.control_hz:g} Hz."
        yield "control_hz", _error(RATES, "control_hz", title, a.control_hz, b.control_hz)


def _error(code: str, where: str, title: str, a: float | None, b: float | None) -> Finding:
    return Finding(
        code,
        "error",
        title,
        where=where,
        evidence={"reference": a, "candidate": b},
        remedy=f"drive both alike; where it is meant, say it for both: [replay] {where} = …",
    )


def _ensembled(timing: Timing) -> str:
    if timing.ensemble is None:
        return "executed chunk by chunk"
    return f"ensembled over its chunks (coefficient {timing.ensemble:g})"


def _seconds(count: int, fps: float | None) -> str:
    return f" ({count / fps:.3g} s)" if fps else ""


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= RATE * max(a, b)


def _recorded(reference: Timing, candidate: Timing, fps: float | None) -> Iterator[Finding]:
    """Yield which sides act at another rate than the data were recorded at."""
    rates = {"reference": reference.control_hz, "candidate": candidate.control_hz}
    off = {n: r for n, r in rates.items() if fps and r is not None and not _same(r, fps)}
    if not off or not fps:
        return
    rate = off.get("candidate", next(iter(off.values())))
    who = "Both sides act" if len(set(off.values())) == 1 and len(off) == 2 else f"The {' and the '.join(off)} acts"
    shown = " and ".join(f"{r:g} Hz" for r in dict.fromkeys(off.values()))
    speed = f"{rate / fps:.2g} times the speed of the recorded one"
    yield Finding(
        RECORDED,
        "warning",
        f"{who} at {shown}, and the dataset was recorded at {fps:g} frames per second: a policy trained on each frame "
        f"of it moves at {speed}.",
        where="control_hz",
        evidence={"fps": fps, **off},
        remedy="run the robot's loop at the dataset's rate, or find out whether training took every frame",
    )


def doubts(told: Told, side: str) -> tuple[Finding, ...]:
    """Return what had to be assumed of how ``side`` (its name) is driven, and what cannot be done."""
    return tuple(_doubts(told, side))


def _doubts(told: Told, side: str) -> Iterator[Finding]:
    timing = told.timing
    if told.wanted is not None:
        left = told.steps - timing.first
        yield Finding(
            TOO_MANY,
            "error",
            f"{side} is to execute {told.wanted} actions, but from step {timing.first} on it gives {left}.",
            where="n_action_steps",
            evidence={"wanted": told.wanted, "given": told.steps, "first": timing.first},
            remedy="take the n_action_steps of training, or export the whole chunk",
        )
    if not told.start:
        yield Finding(
            START,
            "warning",
            f"Which of the {told.steps} actions that {side} gives is executed first is not known: step {timing.first} "
            "is taken.",
            where="first",
            evidence={"given": told.steps, "first": timing.first, "n_obs_steps": timing.n_obs_steps},
            remedy="say it: [replay] first = …",
        )
    if told.unsaid:
        yield Finding(
            UNSAID,
            "info",
            f"Nothing says how many of the {told.steps} actions that {side} gives are executed: all "
            f"{timing.n_action_steps} are.",
            where="n_action_steps",
            remedy="say it: [replay] n_action_steps = …",
        )
    for name, own in (told.own or {}).items():
        yield Finding(
            OVERRIDDEN,
            "info",
            f"[replay] drives {side} with {name} = {getattr(timing, name)}; its own configuration says {own:g}.",
            where=name,
            evidence={"replayed": getattr(timing, name), "own": own},
            remedy="nothing, where the robot is driven so",
        )
    if told.momentum is not None:
        yield Finding(
            MOMENTUM,
            "warning",
            f"{side} averages its actions with a momentum of {told.momentum:g} (temporal_ensemble_momentum, LeRobot of "
            "2024), which is not replayed: chunks are executed as they are.",
            where="ensemble",
            evidence={"momentum": told.momentum},
            remedy="convert the policy to temporal_ensemble_coeff, which later versions of LeRobot have",
        )
