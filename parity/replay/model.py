"""What replaying gives: the actions of reference and candidate on the same frames, and what is judged of them.

Frames are rows of a dataset. Where a policy is asked it gives a chunk of ``H`` actions (``H`` is 1 for one that gives a
single action); some of them are executed before it is asked again. All actions are physical, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from parity.finding import Finding
from parity.tensor import Array, Range

State = Mapping[str, Array]  # what a measure keeps of some shards: plain arrays by name, stored without pickling
ProbeKind = Literal[
    "swap",  # the feature as it is at another frame, of another episode where there is one
    "zero",  # the feature all zero
    "shift",  # a small step of the feature, in units of how far it moves in the shard
    "repeat",  # the same observation again
    "history",  # the same observation after another history (state that is kept and not reset)
]


@dataclass(frozen=True, slots=True)
class Frames:
    """Some frames, in order. All arrays are ``(N,)``, int64.

    Attributes:
        row: in the dataset.
        episode: its number in the dataset.
        frame: within its episode, from 0.
        length: of its episode, in frames.
    """

    row: Array
    episode: Array
    frame: Array
    length: Array

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Executed:
    """What each side would have sent to the robot, frame by frame: queue, ensembling and resets applied.

    Attributes:
        at: the frames, ``(F,)``.
        first: where a run of consecutive frames begins (an episode, or a shard's part of one), ``(F,)`` bool.
        step: which step of its chunk was executed, 0 right after the policy was asked: a seam, ``(F,)``.
        reference: ``(F, D)``.
        candidate: ``(F, D)``.
        recorded: ``(F, D)``, NaN where the dataset has no action; None where it has none at all.
    """

    at: Frames
    first: Array
    step: Array
    reference: Array
    candidate: Array
    recorded: Array | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Several samples for the same observation, from policies whose noise could not be injected, or that sample.

    Attributes:
        asked: positions in ``Played.at``, ``(M,)``.
        reference: ``(M, S, H, D)``.
        candidate: ``(M, S, H, D)``.
    """

    asked: Array
    reference: Array
    candidate: Array


@dataclass(frozen=True, slots=True)
class Probe:
    """Some observations again, with one feature changed.

    Attributes:
        feature: the changed feature, "" where none is (``repeat``, ``history``).
        kind: how it was changed.
        asked: positions in ``Played.at``, ``(M,)``; the unchanged outputs are those of ``Played``.
        reference: ``(M, H, D)``.
        candidate: ``(M, H, D)``.
    """

    feature: str
    kind: ProbeKind
    asked: Array
    reference: Array
    candidate: Array


@dataclass(frozen=True, slots=True)
class Layout:
    """What the reference does where a history stands in another order, or a camera's picture comes in another way.

    The candidate is shown it as it is.

    Attributes:
        feature: the history, or the cameras.
        order: a key of `parity.replay.layouts.ORDERS`, or of `parity.replay.pictures.SEEN`.
        asked: positions in ``Played.at``, ``(M,)``.
        reference: ``(M, H, D)``.
    """

    feature: str
    order: str
    asked: Array
    reference: Array


@dataclass(frozen=True, slots=True)
class Played:
    """One shard: what reference and one candidate gave for one action output, on the same observations and noise.

    Attributes:
        at: where the policies were asked, N frames.
        reference: ``(N, H, D)``.
        candidate: ``(N, H, D)``, NaN and infinities as they came.
        recorded: the dataset's actions from that frame on, ``(N, H, D)``, NaN behind the end of the episode; None where
            the dataset has no action.
        observations: raw features at the asked frames, ``(N, ...)`` by name, as the dataset holds them.
        executed: frame by frame.
        drawn: repeated samples, where the policy samples.
        probes: the same frames again, changed.
        layouts: the same frames again, histories in another order and pictures in another way.
        border: of an output that is a class, from which number on it is class 1; None where it is an action.
        labels: the recorded classes at the asked frames, ``(N,)``; None where there are none.
    """

    at: Frames
    reference: Array
    candidate: Array
    recorded: Array | None
    observations: Mapping[str, Array]
    executed: Executed
    drawn: Drawn | None = None
    probes: tuple[Probe, ...] = ()
    layouts: tuple[Layout, ...] = ()
    border: float | None = None
    labels: Array | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How one side is driven: all in frames of the dataset.

    Attributes:
        n_obs_steps: observations that it is shown, the current one last.
        first: which step of its chunk is executed first.
        n_action_steps: how many are executed before it is asked again.
        ensemble: coefficient of ACT's temporal ensembling (weights ``exp(-ensemble * age)``, age 0 the oldest); None
            where the chunk is executed as it is. It is then asked at every frame.
        control_hz: the rate at which it acts, where known.
    """

    n_obs_steps: int = 1
    first: int = 0
    n_action_steps: int = 1
    ensemble: float | None = None
    control_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a measure is judged by.

    Attributes:
        candidate: its name.
        output: the action output.
        names: of the action dimensions, D of them, such as ``"2 (wrist)"`` or ``"2"``.
        units: of each dimension, None where not known; D of them.
        limits: how far a single action may be off, ``(D,)``: the user's `max_abs`, or derived from rounding and the
            precision class; infinite where a dimension is not judged so.
        scale: how far the reference moves over all frames (max - min), ``(D,)``.
        precision: the candidate's precision class.
        fps: frames per second of the dataset.
        timing: of reference and candidate.
        ranges: of the policy's inputs, by name, where known.
        sampled: whether the candidate's noise could not be injected, so that single actions cannot be compared.
        budget: what the user limits (``max_abs``, ``rmse``, ``p99_abs``, ``mean_abs``) in units, and ``allow_nan``.
            With a ``max_abs`` of the user's, `limits` are not derived.
        options: of ``[replay]``, for measures that have some.
        seed: of the release.
    """

    candidate: str
    output: str
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    limits: Array
    scale: Array
    precision: str = "float32"
    fps: float | None = None
    timing: tuple[Timing, Timing] = (Timing(), Timing())
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sampled: bool = False
    budget: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Row:
    """One judged number: an entry of ``measures`` in the report.

    ``dimension`` is a position in ``Context.names``, None for what concerns them all; ``reason`` is a sentence with
    the number, the units and the frame to look at, where it does not pass.
    """

    name: str
    value: float | None
    verdict: Literal["PASS", "FAIL", "NOT_JUDGED"]
    limit: float | None = None
    interval: tuple[float, float] | None = None
    units: str | None = None
    n: int = 0
    dimension: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one measure says of one candidate and output.

    Attributes:
        rows: at least one, or the measure counts as NOT_JUDGED.
        findings: named causes and signs, ``candidate`` set by the engine.
        shown: what the report draws or tables, JSON-able, by name of the exhibit.
    """

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)
