"""The contract itself: named tensors, temporal window, normalization, sampler. Plain, frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parity.finding import Finding
from parity.tensor import TensorSpec


@dataclass(frozen=True, slots=True)
class Window:
    """The temporal window. A field is None where the artifact does not say; a string is an unresolved reference
    such as ``${n_obs_steps}``.

    ``horizon`` is the length of the predicted trajectory (diffusion), ``chunk_size`` that of an action chunk (ACT,
    VLA); ``n_action_steps`` is how many of them are executed; ``control_hz`` is the control rate in hertz.
    """

    n_obs_steps: int | str | None = None
    horizon: int | str | None = None
    chunk_size: int | str | None = None
    n_action_steps: int | str | None = None
    control_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Sampler:
    """How a diffusion or flow policy samples. A field is None where the artifact does not say."""

    scheduler: str | None = None  # "DDPM", "DDIM", "flow_matching", ...
    train_steps: int | None = None
    inference_steps: int | None = None
    beta_schedule: str | None = None
    beta_start: float | None = None
    beta_end: float | None = None
    prediction_type: str | None = None
    clip_sample: bool | None = None
    clip_sample_range: float | None = None
    variance_type: str | None = None
    use_ema: bool | None = None


@dataclass(frozen=True, slots=True)
class Normalization:
    """Normalization mode per feature or per type, in the artifact's own words (``MEAN_STD``, ``min_max``, ...).

    ``stats`` names the files or keys that hold the statistics, where known; they are judged by `parity stats`.
    """

    modes: Mapping[str, str] = field(default_factory=dict)
    stats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """What one artifact says about a policy's interface.

    ``complete`` is False where inputs or outputs cannot be known from this artifact alone (TorchScript: names and
    shapes come from a partner, a sibling config or the user). ``metadata`` is JSON-able and in the artifact's own
    words: joint names, scales, default positions, opset, producer.
    """

    path: Path
    kind: str
    policy: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    window: Window = Window()
    normalization: Normalization = field(default_factory=Normalization)
    sampler: Sampler | None = None
    complete: bool = True
    precision: str | None = None  # the lowest class the graph computes in: float32, float16, bfloat16, int8
    metadata: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def input(self, name: str) -> TensorSpec | None:
        """Return the input called ``name``, or None."""
        return next((t for t in self.inputs if t.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        """Return the output called ``name``, or None."""
        return next((t for t in self.outputs if t.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Return the contract as `parity inspect --json` writes it for one artifact."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "inputs": [t.as_json() for t in self.inputs],
            "outputs": [t.as_json() for t in self.outputs],
            "metadata": {
                **dict(self.metadata),
                "policy": self.policy,
                "window": asdict(self.window),
                "normalization": {"modes": dict(self.normalization.modes), "stats": list(self.normalization.stats)},
                "sampler": None if self.sampler is None else asdict(self.sampler),
                "precision": self.precision,
                "complete": self.complete,
            },
        }
