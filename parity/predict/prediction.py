"""Whether one graph is predicted to survive float16 on a release's cases, and what would have to stay in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.compare.budget import SHARE_OF_SCALE
from parity.localize.onnx_graph import OnnxFile, read_onnx
from parity.om.model import OmModel
from parity.predict.constants import lost_constants
from parity.predict.hazards import Hazard, hazards
from parity.predict.held import Held, by_default, by_om
from parity.predict.seen import OutputSeen
from parity.predict.watch import learn_types, watch

if TYPE_CHECKING:
    from parity.tensor import Array

    Cases = Sequence[tuple[str, Mapping[str, Array]]]

LIMIT = SHARE_OF_SCALE["float16"]
MOST_KEPT = 12  # nodes that are worth naming one by one
WIDER = 2  # how often the nodes that made a value are taken in too


@dataclass(frozen=True, slots=True)
class Ending:
    """How far the roundings move an output: the worst action dimension, as a share of the limit of float16.

    ``ratio`` is |Δ| over 1.6e-2 of the dimension's scale; ``broken`` counts elements that become NaN or infinite.
    """

    output: str
    ratio: float
    dimension: int
    gap: float
    broken: int
    case: str

    @property
    def survives(self) -> bool:
        return self.ratio <= 1.0 and not self.broken

    def as_json(self) -> dict[str, object]:
        """Return it as plain data."""
        told = {"output": self.output, "survives": self.survives, "ratio": float(f"{self.ratio:.3g}")}
        more = {"max_abs": float(f"{self.gap:.3g}"), "dimension": self.dimension}
        return {**told, **more, "broken": self.broken, "case": self.case or None}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted of one graph. Nothing of it is evidence.

    Attributes:
        held: what was taken to be in float16, and why.
        values: how many values were looked at.
        cases: ids of the cases that were run.
        hazards: where float16 fails.
        endings: what becomes of the outputs.
        keep: names of nodes with which the outputs survive if they stay in float32; None where they survive as it is,
            or where no short list was found.
        unknown: values that were left as they are, because nothing tells their type.
    """

    held: Held
    values: int
    cases: tuple[str, ...]
    hazards: tuple[Hazard, ...]
    endings: tuple[Ending, ...]
    keep: tuple[str, ...] | None = None
    unknown: int = 0

    @property
    def survives(self) -> bool:
        return bool(self.endings) and all(e.survives for e in self.endings)


def predict(path: Path, cases: Cases, workdir: Path, om: OmModel | None = None) -> Prediction:
    """Return what float16 is predicted to do to the ONNX at ``path`` on ``cases``; memory does not grow with these.

    Args:
        path: the source ONNX.
        cases: id, and the graph's inputs ``(B, ...)`` by name.
        workdir: for copies of the graph.
        om: what was compiled from it, where that is known: then its nodes say what is in float16.

    Raises:
        ArtifactError: the ONNX cannot be read.
        UsageError: a case lacks an input of the graph.
        RunnerError: it cannot be run here.
    """
    file = read_onnx(path)
    unknown = learn_types(file, workdir)
    held = by_default(file) if om is None else by_om(file, om)
    seen = watch(file, held.lowered, cases, workdir, inner=held.inner)
    found = tuple(hazards(file, seen.values, list(lost_constants(file, held.lowered))))
    endings = tuple(_ending(name, o) for name, o in seen.outputs.items())
    ids = tuple(c for c, _ in cases)
    prediction = Prediction(held, len(seen.values), ids, found, endings, unknown=unknown)
    if prediction.survives or not endings:
        return prediction
    kept = next((k for k in _to_keep(file, found) if _survives_with(file, held, k, cases, workdir)), None)
    if kept is not None:
        kept = _shorter(file, held, kept, cases, workdir)
    names = None if kept is None else tuple(dict.fromkeys(_node(file, v) for v in kept))
    return replace(prediction, keep=names)


def _ending(name: str, seen: OutputSeen) -> Ending:
    limit = LIMIT * seen.scale
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(seen.gap > 0, seen.gap / limit, 0.0)
    worst = int(np.argmax(ratio))
    return Ending(name, float(ratio[worst]), worst, float(seen.gap[worst]), seen.broken, seen.at)


def _to_keep(file: OnnxFile, found: Sequence[Hazard]) -> Iterator[tuple[str, ...]]:
    """Yield sets of values to keep in float32: where it fails, then what stands before and behind these too."""
    serious = {h.value for h in found if h.kind in ("overflow", "lost", "whole", "vanishes")}
    serious |= {v.name for v in file.graph.values for h in found if h.kind.startswith("constant") and v.node == h.node}
    chosen = serious & set(file.graph.by_name)
    for _ in range(WIDER + 1):
        if not chosen or len(chosen) > MOST_KEPT:
            return
        yield tuple(v.name for v in file.graph.values if v.name in chosen)
        before = {n for v in chosen for n in file.graph.by_name[v].inputs if n in file.graph.by_name}
        after = {v.name for v in file.graph.values if any(n in chosen for n in v.inputs)}
        chosen = chosen | before | after


def _shorter(file: OnnxFile, held: Held, kept: tuple[str, ...], cases: Cases, workdir: Path) -> tuple[str, ...]:
    """Return those of the values without each of which the outputs would not survive, tried one by one."""
    for value in kept:
        rest = tuple(v for v in kept if v != value)
        if rest and _survives_with(file, held, rest, cases, workdir):
            kept = rest
    return kept


def _survives_with(file: OnnxFile, held: Held, kept: Sequence[str], cases: Cases, workdir: Path) -> bool:
    lowered = [n for n in held.lowered if n not in kept]
    seen = watch(file, lowered, cases, workdir, inner=held.inner, names=())
    return all(_ending(name, o).survives for name, o in seen.outputs.items())


def _node(file: OnnxFile, value: str) -> str:
    return file.graph.by_name[value].node.partition(" ")[2]
