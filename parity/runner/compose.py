"""Fits a pipeline to a graph: which array is which, what the policy does between the two, what it takes as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.contract.adapter import Adapter, infer_adapter
from parity.contract.adapter_table import parse_rules
from parity.contract.matching import match_tensors
from parity.contract.model import Contract
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding
from parity.runner.composed import LEADING, Composition
from parity.stats.model import FeatureStats
from parity.stats.pipeline import Pipeline
from parity.stats.steps import Executed, Feature, Normalize, Pad, Step, Window
from parity.tensor import Range, Role, TensorSpec

NEVER: tuple[Role, ...] = ("noise", "timestep", "tokens", "mask", "hidden_state")  # what no statistics are of
PADDED = ("openpi", "rlinf")  # eras whose models take states padded with zeros to their width
_PAIRS: tuple[tuple[str, str, str], ...] = (
    ("mean_std", "mean", "std"),
    ("quantiles", "q01", "q99"),
    ("min_max", "min", "max"),
)
_FIRST = {"MEAN_STD": "mean_std", "MIN_MAX": "min_max", "QUANTILES": "quantiles", "LINEAR": "min_max"}


@dataclass(frozen=True, slots=True)
class Composed:
    """What comes of fitting: the composition, the contract of the policy as a whole, and what was assumed."""

    composition: Composition
    contract: Contract
    findings: tuple[Finding, ...]


def compose(pipeline: Pipeline, graph: Contract, table: Mapping[str, Any]) -> Composed:
    """Return ``pipeline`` fitted to ``graph``; ``table`` is ``[adapter.<candidate>]``, where the user gives one.

    Raises:
        UsageError: which input of the graph is made of what cannot be told; the message says what to write.
        ArtifactError: the graph says nothing of its inputs or outputs, or a feature of the pipeline is none of them.
    """
    if not graph.inputs or not graph.outputs:
        raise ArtifactError(
            f"{graph.path}: its inputs and outputs are not known, so no pipeline can be put around it",
            remedy="say them: [contract.inputs.<name>] and [contract.outputs.<name>], or export the graph to ONNX",
        )
    policy = pipeline.contract or _of_statistics(pipeline, graph, table)
    whole = replace(
        graph,
        policy=policy.policy or graph.policy,
        inputs=(*policy.inputs, *_passed(policy.inputs, graph.inputs, table)),
        outputs=_outputs(policy.outputs, graph.outputs),
        window=policy.window,
        normalization=policy.normalization,
        sampler=policy.sampler or graph.sampler,
        complete=True,
    )
    findings: list[Finding] = []
    if table:
        adapter = Adapter.from_table(table, graph, whole)
    else:
        adapter, findings = infer_adapter(whole, graph)
    fit, cut = (*_windows(whole, graph, adapter), *_pads(pipeline, whole, graph, adapter)), _executed(policy)
    return Composed(Composition(pipeline, adapter, fit, cut, graph), whole, tuple(findings))


def _passed(
    features: Sequence[TensorSpec], taken: Sequence[TensorSpec], table: Mapping[str, Any]
) -> tuple[TensorSpec, ...]:
    """Return the graph's inputs that the pipeline has no part in: noise, time steps, masks."""
    if table:
        rules = parse_rules(table)
        built = {*rules.rename, *rules.inputs, *rules.constants, *(f.name for f in features)}
        return tuple(t for t in taken if t.name not in built)
    return match_tensors(features, taken).only_b


def _outputs(policy: Sequence[TensorSpec], given: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the outputs of the policy as a whole: those it names, then what else the graph gives."""
    found = match_tensors(policy, given)
    return (*policy, *found.only_b)


def _windows(whole: Contract, graph: Contract, adapter: Adapter) -> tuple[Step, ...]:
    """Return the step that gives observations their time axis, where the graph's inputs have one more axis."""
    steps = whole.window.n_obs_steps
    own = {t.name: len(t.shape) for t in whole.inputs if t.shape is not None and not t.batched}
    timed = {}
    for spec in graph.inputs:
        axes = own.get(adapter.rules.rename.get(spec.name, spec.name))
        if axes is not None and spec.shape is not None and len(spec.shape) == axes + 2:
            length = spec.shape[1]
            if not isinstance(steps, int) or (isinstance(length, int) and length != steps):
                raise UsageError(
                    f"{graph.path}: {spec.name} {spec.shape} has a time axis of {length}; the policy's n_obs_steps is "
                    f"{steps}",
                    remedy="give the pipeline of the policy that was exported",
                )
            timed[spec.name] = axes
    return (Window(steps, timed, LEADING),) if timed and isinstance(steps, int) else ()


def _pads(pipeline: Pipeline, whole: Contract, graph: Contract, adapter: Adapter) -> tuple[Step, ...]:
    """Return the step that pads observations with zeros to the graph's width, in eras whose models are fed so."""
    widths = {t.name: t.shape[-1] for t in whole.inputs if t.shape}
    sizes = {}
    for spec in graph.inputs if pipeline.era in PADDED else ():
        width, wanted = (
            widths.get(adapter.rules.rename.get(spec.name, spec.name)),
            spec.shape[-1] if spec.shape else None,
        )
        if isinstance(width, int) and isinstance(wanted, int) and width < wanted:
            sizes[spec.name] = wanted
    return (Pad(sizes),) if sizes else ()


def _executed(policy: Contract) -> tuple[Step, ...]:
    """Return the step that takes the executed actions out of a diffusion policy's trajectory (LeRobot)."""
    window = policy.window
    first, horizon, count = window.n_obs_steps, window.horizon, window.n_action_steps
    if policy.policy != "diffusion" or not (
        isinstance(first, int) and isinstance(horizon, int) and isinstance(count, int)
    ):
        return ()
    return (Executed("action", horizon, first - 1, count),)


def _of_statistics(pipeline: Pipeline, graph: Contract, table: Mapping[str, Any]) -> Contract:
    """Return the contract of a policy of which only statistics are known: the graph's tensors under their keys.

    Raises:
        ArtifactError: a key that is no tensor of the graph.
    """
    renamed = parse_rules(table).rename if table else {}
    sides = []
    for steps, taken in ((pipeline.before, graph.inputs), (pipeline.after, graph.outputs)):
        features = [f for s in steps if isinstance(s, Normalize) for f in s.features]
        known = [replace(t, name=renamed.get(t.name, t.name)) for t in taken if t.role not in NEVER]
        found = match_tensors([TensorSpec(f.name, role=_role(f.name)) for f in features], known)
        sure = [m for m in found.pairs if m.how not in ("shape", "position")]
        lost = [f.name for f in features if f.name not in {m.a.name for m in sure}]
        if lost:
            raise ArtifactError(
                f"{pipeline.path}: statistics of {', '.join(lost)}, which is nothing that "
                f"{graph.path.name} has (it has {', '.join(t.name for t in taken)})",
                remedy='say which is which: pipeline = {path = "…", inputs = {<graph\'s input> = "<key>"}}',
            )
        by_name = {f.name: f for f in features}
        sides.append(tuple(_ranged(m.b, by_name[m.a.name], pipeline) for m in sure))
    return Contract(pipeline.path, "statistics", inputs=sides[0], outputs=sides[1])


def _role(key: str) -> Role | None:
    tail = key.replace("/", ".").rsplit(".", 1)[-1]
    return "action" if tail in ("action", "actions") else "state" if tail == "state" else None


def _ranged(spec: TensorSpec, feature: Feature, pipeline: Pipeline) -> TensorSpec:
    """Return the graph's tensor as the policy takes or gives it: under the feature's name, in its raw range."""
    stats = feature.stats
    raw = replace(spec, name=feature.name, range=None if stats is None else _range(stats, feature.mode))
    told = pipeline.widths.get(feature.name)
    if told is not None and spec.shape:
        return replace(raw, shape=(*spec.shape[:-1], told), range=_first_of(raw.range, told))
    if pipeline.era in PADDED and raw.range is not None and spec.shape and raw.range.shape:
        width, last = raw.range.shape[-1], spec.shape[-1]
        if isinstance(last, int) and width < last and spec.role != "action":
            raw = replace(raw, shape=(*spec.shape[:-1], width))
    return raw


def _first_of(found: Range | None, width: int) -> Range | None:
    """Return the range of the first ``width`` elements of the last axis."""
    if found is None or not found.shape or found.shape[-1] <= width:
        return found
    first, second = (np.reshape(v, found.shape)[..., :width] for v in (found.first, found.second))
    return replace(found, first=tuple(first.ravel().tolist()), second=tuple(second.ravel().tolist()), shape=first.shape)


def _range(stats: FeatureStats, mode: str) -> Range | None:
    """Return where raw values lie, by the statistics that the mode uses, else by any; None where there are none."""
    values = dict(stats.values)
    if "scale" in values and "min" not in values:
        scale = np.where(values["scale"] == 0, 1.0, values["scale"])
        values |= {"min": (-1 - values["offset"]) / scale, "max": (1 - values["offset"]) / scale}
    order = sorted(_PAIRS, key=lambda p: p[0] != _FIRST.get(mode))
    for kind, first, second in order:
        if first in values and second in values:
            a, b = np.asarray(values[first], float), np.asarray(values[second], float)
            source = stats.sources.get(first, stats.name)
            return Range(kind, tuple(a.reshape(-1).tolist()), tuple(b.reshape(-1).tolist()), a.shape, source)  # type: ignore[arg-type]
    return None
