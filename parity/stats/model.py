"""Normalization statistics as plain data: one `NormStats` for each source, whatever format and era it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class FeatureStats:
    """What one source says about one feature.

    Attributes:
        name: the feature's key as it is stored.
        values: ``mean``, ``std``, ``min``, ``max`` and quantiles (``q01`` … ``q99``), float64, in the stored shape:
            ``(D,)``, per chunk step ``(T, D)``, per channel ``(C, 1, 1)``. A diffusion_policy normalizer also has
            ``scale`` and ``offset``.
        sources: for each of them the file and the key that it was taken from.
        count: samples that they were computed over, None where the source does not tell.
        mode: how the source's own policy uses them: ``MEAN_STD``, ``MIN_MAX``, ``QUANTILES``, ``QUANTILE10``,
            ``IDENTITY``, ``LINEAR`` (scale and offset); None where the source does not tell.
        eps: what is added to, or replaces, the divisor; None where the source does not tell.
        clip: bounds that normalized values are clipped to, None where they are not.
    """

    name: str
    values: Mapping[str, Array]
    sources: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    mode: str | None = None
    eps: float | None = None
    clip: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """A feature of the source's policy, as its configuration declares it.

    Attributes:
        name: the feature's name, such as ``observation.state``.
        key: the key under which its framework looks its statistics up; a miss is silently the identity in some.
        shape: of one sample, without batch and time; None where it is not declared.
        type: ``STATE``, ``VISUAL``, ``ENV``, ``ACTION``; None where it is not declared.
        mode: declared normalization, in the words of `FeatureStats.mode`.
        output: whether the policy gives it (an action) rather than takes it.
    """

    name: str
    key: str
    shape: tuple[int, ...] | None = None
    type: str | None = None
    mode: str | None = None
    output: bool = False


@dataclass(frozen=True, slots=True)
class NormStats:
    """The normalization statistics of one source.

    Attributes:
        path: the artifact that was read.
        label: what the source is called in reports: its path, and the part of it where it holds several.
        kind: the format, such as ``lerobot_processor``, ``openpi``, ``lerobot_dataset``, ``recomputed``.
        era: which formulas apply it: a key of `parity.stats.formula.FORMULAS`; None where it only describes data.
        features: by key as stored. Where the way in and the way out are stored apart, the way in.
        outputs: the way out (``unnormalize_outputs``, a postprocessor), where it is stored apart; else empty.
        declared: what the policy beside them declares, empty where there is none.
        chunk: the length of the policy's action chunk, None where it is not known.
        findings: what is wrong with how they are stored.
        facts: what else the source says, as JSON.
    """

    path: Path
    label: str
    kind: str
    features: Mapping[str, FeatureStats]
    era: str | None = None
    outputs: Mapping[str, FeatureStats] = field(default_factory=dict)
    declared: tuple[Declared, ...] = ()
    chunk: int | None = None
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
