"""Sides with a pipeline: the graph and what stands around it become one policy, judged at policy level.

A side without `pipeline` is taken as it is. So a candidate with one is compared, on raw observations and physical
actions, with a reference that is a whole policy (a LeRobot folder, a factory, a recording of one), or that has a
pipeline of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parity.contract.adapter import Adapter
from parity.errors import ArtifactError, ParityError, UsageError
from parity.finding import Finding
from parity.release.config import Config
from parity.release.sides import Side
from parity.runner.base import Failure
from parity.runner.compose import compose
from parity.runner.composed import GRAPH, refuse_whole
from parity.stats.pipeline import Pipeline, read_pipeline
from parity.stats.steps import Normalize

GRAPHS = ("onnx", "torchscript", "pt2", "checkpoint", "openvino")  # kinds that are often a network alone


def with_pipelines(sides: Sequence[Side], *, strict: bool) -> tuple[list[Side], list[Finding]]:
    """Return the sides, each with its pipeline fitted to its graph, and what was assumed.

    The first is the reference. With ``strict``, and for the reference, what cannot be read raises; else it becomes the
    side's ``problem``.

    Raises:
        UsageError: which array is which cannot be told, or the settings contradict the artifact.
        ArtifactError: a pipeline cannot be read, has a step that is not known, or lacks statistics.
    """
    fitted: list[Side] = []
    findings: list[Finding] = []
    for side in sides:
        if side.pipeline is None or side.problem is not None:
            fitted.append(side)
            continue
        try:
            made, said = _fitted(side)
            said += [_applied(made), *([] if side is sides[0] else _whole(sides[0]))]
            findings += [f.for_candidate(None if side is sides[0] else side.name) for f in said]
        except ArtifactError as e:
            if strict or side is sides[0]:
                raise
            made = replace(side, problem=Failure.of(e, "load"), contract=None)
        fitted.append(made)
    return fitted, findings


def _fitted(side: Side) -> tuple[Side, list[Finding]]:
    assert side.pipeline is not None
    if side.artifact is not None:
        refuse_whole(side.artifact.kind, side.name)
    if side.contract is None:
        raise ArtifactError(
            f"{side.name}: what {side.given} takes is not known without running it: no pipeline fits around it",
            remedy="export it to ONNX, or let it take raw observations itself",
        )
    pipeline = read_pipeline(side.pipeline.artifact, side.pipeline.settings)
    composed = compose(pipeline, side.contract, side.adapter)
    around = replace(side.pipeline, composition=composed.composition)
    return replace(side, pipeline=around, contract=composed.contract), list(composed.findings)


def _applied(side: Side) -> Finding:
    """Return what stands before and after the graph, as it was read and will be applied."""
    assert side.pipeline is not None
    assert side.pipeline.composition is not None
    steps = side.pipeline.composition.as_json()
    before, after = (", ".join(str(s["step"]) for s in steps[k]) or "nothing" for k in ("before", "after"))
    return Finding(
        "PIPE001",
        "info",
        f"Judged as a policy: {before} before {side.given}, {after} after it, by the formulas of {steps['era']}.",
        where=side.pipeline.given,
        detail="parity applies the steps that these files describe; the code that does it on the robot is not run.",
        evidence=steps,
    )


def _whole(reference: Side) -> list[Finding]:
    """Return a finding where a bare graph stands for a whole policy."""
    if reference.pipeline is not None or reference.artifact is None or reference.artifact.kind not in GRAPHS:
        return []
    return [
        Finding(
            "PIPE002",
            "info",
            f"The reference {reference.given} has no pipeline: it is fed raw observations, as a policy that has its "
            "pre- and post-processing inside.",
            where=reference.given,
            remedy="if it takes normalized observations, give [reference] the pipeline of its training, too",
        )
    ]


def levels_of(reference: Side, candidates: Sequence[Side]) -> dict[str, str]:
    """Return the level at which each candidate is judged: ``policy`` where a pipeline is around it or the reference."""
    return {c.name: "policy" if c.pipeline or reference.pipeline else "graph" for c in candidates}


def with_graphs(
    reference: Side, candidates: Sequence[Side], adapters: Mapping[str, Adapter]
) -> tuple[Side, list[Side], dict[str, tuple[str, ...]]]:
    """Return the sides, told to show what their graphs give, and by candidate the outputs that are judged so besides.

    ``adapters`` are those of the candidates that call raw arrays otherwise than the reference.
    That takes a reference whose graph can be looked at: one with a pipeline, or a LeRobot folder that lerobot runs.
    Both graphs are given what the reference's pre-processing makes: a wrong pipeline does not hide a right graph.
    """
    trusted = _trusted(reference)
    if trusted is None:
        return reference, list(candidates), {}
    names = unnormalized(trusted)
    graphs: dict[str, tuple[str, ...]] = {}
    told: list[Side] = []
    for side in candidates:
        around = side.pipeline
        if around is not None and around.composition is not None:
            shown = tuple(n for n in names if n in unnormalized(around.composition.pipeline))
            called = adapters[side.name].rules.rename if side.name in adapters else {}
            composition = replace(around.composition, trusted=trusted, shown=shown, called=called)
            side = replace(side, pipeline=replace(around, composition=composition))
            graphs |= {side.name: tuple(f"{GRAPH}{n}" for n in shown)} if shown else {}
        told.append(side)
    return (_showing(reference, names) if graphs else reference), told, graphs


def _trusted(reference: Side) -> Pipeline | None:
    """Return the reference's pipeline, None where it is a whole policy that cannot be looked into."""
    if reference.pipeline is not None and reference.pipeline.composition is not None:
        return reference.pipeline.composition.pipeline
    if reference.artifact is None or reference.artifact.kind != "folder" or reference.spec.runner != "torch":
        return None
    try:
        return read_pipeline(reference.artifact)
    except ParityError:  # lerobot runs it all the same; its graph is then not compared by itself
        return None


def unnormalized(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the outputs that a pipeline unnormalizes."""
    return tuple(f.name for s in pipeline.after if isinstance(s, Normalize) for f in s.features if f.stats is not None)


def _showing(reference: Side, names: tuple[str, ...]) -> Side:
    around = reference.pipeline
    if around is not None and around.composition is not None:
        return replace(reference, pipeline=replace(around, composition=replace(around.composition, shown=names)))
    return replace(reference, spec=replace(reference.spec, options={**reference.spec.options, "network": GRAPH}))


def check_units(config: Config, levels: Mapping[str, str], graphs: Mapping[str, Sequence[str]]) -> None:
    """Refuse budgets in the graph's own numbers where only physical actions are judged: they would limit neither.

    Raises:
        UsageError: a budget of a candidate that is judged at policy level alone has a ``scale``, or no ``units``.
    """
    for name in (n for n, level in levels.items() if level == "policy" and not graphs.get(n)):
        tables = {**config.budgets.get("default", {}), **config.budgets.get(name, {})}
        for output, budget in tables.items():
            if budget.scale is not None:
                raise UsageError(
                    f"[budgets.{name}.{output}]: `scale` turns a graph's numbers into physical units, but {name} has a "
                    "pipeline: its actions are physical already",
                    remedy="leave `scale` out",
                )
            limited = budget.model_dump(exclude_none=True, exclude={"units", "allow_nan"})
            if limited and budget.units is None:
                raise UsageError(
                    f"[budgets.{name}.{output}] has no `units`, so it would limit the graph's own numbers, but {name} "
                    "is judged on physical actions",
                    remedy=f'say in which units: [budgets.{name}.{output}] units = "rad"',
                )
