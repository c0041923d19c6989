"""What lies beside a LeRobot configuration and decides what is really applied: processors, or legacy buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.checkpoint.safetensors import open_safetensors
from parity.contract.lerobot_policy import Feature, feature_of
from parity.contract.lerobot_processor import Processor, describe, read_processor
from parity.contract.lerobot_stats import MISSING, attach, legacy_key, legacy_statistics, sides_agree
from parity.contract.model import Contract, Normalization
from parity.contract.ranges import Statistics, needed_kind
from parity.finding import Finding
from parity.tensor import TensorSpec

MODES_DISAGREE = "CONTRACT012"

WEIGHTS = "model.safetensors"
BEFORE = ("policy_preprocessor.json", "preprocessor.json")  # the second name is that of the first releases
AFTER = ("policy_postprocessor.json", "postprocessor.json")


def with_processors(contract: Contract, base: Path) -> Contract:
    """Return the contract with normalization as the folder ``base`` really applies it, and with ranges.

    Raises:
        ArtifactError: a processor or a file of tensors is corrupt.
    """
    before, after = processors_in(base)
    if before is None and after is None:
        return _legacy(contract, base)
    return _processors(contract, before, after)


def processors_in(base: Path) -> tuple[Processor | None, Processor | None]:
    """Return the pre- and the postprocessor of a policy folder, None for one that is not there.

    Raises:
        ArtifactError: one of them is corrupt.
    """
    return _first(base, BEFORE), _first(base, AFTER)


def _first(base: Path, names: tuple[str, ...]) -> Processor | None:
    return next((read_processor(base / name) for name in names if (base / name).is_file()), None)


def _features(contract: Contract, specs: tuple[TensorSpec, ...]) -> dict[str, Feature]:
    types = contract.metadata.get("feature_types", {})
    inputs = {t.name for t in contract.inputs}
    return {s.name: feature_of(s, "input" if s.name in inputs else "output", types.get(s.name)) for s in specs}


def _processors(contract: Contract, before: Processor | None, after: Processor | None) -> Contract:
    findings: list[Finding] = []
    sides = []
    statistics: list[dict[str, Statistics]] = []
    for processor, specs in ((before, contract.inputs), (after, contract.outputs)):
        specs, found, said = _one_side(contract, processor, specs)
        sides.append(specs)
        statistics.append(found)
        findings += said
    findings += sides_agree(statistics[0], statistics[1], [t.name for t in contract.outputs])
    there = [p for p in (before, after) if p is not None]
    metadata: dict[str, Any] = {**contract.metadata, "processors": {p.path.name: describe(p) for p in there}}
    if before is not None and before.rename_map:
        metadata["rename_map"] = dict(before.rename_map)
    modes, disagreements = _modes(contract, there)
    return replace(
        contract,
        inputs=sides[0],
        outputs=sides[1],
        normalization=Normalization(modes, tuple(f for p in there for f in p.state_files)),
        metadata=metadata,
        findings=(*contract.findings, *findings, *disagreements),
    )


def _one_side(
    contract: Contract, processor: Processor | None, specs: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], dict[str, Statistics], list[Finding]]:
    """Return one side's tensors with ranges, the statistics found, and what would not be applied as declared."""
    features = _features(contract, specs)
    step = None if processor is None else processor.normalizer
    if processor is None or step is None:
        place = "a processor that normalizes" if processor is None else processor.path.name
        return specs, {}, _not_normalized(specs, features, contract.normalization.modes, place)
    modes = processor.modes
    found, findings = processor.statistics()
    if findings:
        return specs, {}, findings
    known = {f.name for f in processor.features()}
    unknown = [s for s in specs if known and s.name not in known]
    findings += _not_normalized(tuple(unknown), features, modes, processor.path.name)
    place = step.state_file or processor.path.name
    ranged, more = attach(specs, features, modes, found or {}, place=place)
    return ranged, found or {}, [*findings, *(f for f in more if f.where not in {s.name for s in unknown})]


def _not_normalized(
    specs: tuple[TensorSpec, ...], features: Mapping[str, Feature], modes: Mapping[str, str], place: str
) -> list[Finding]:
    named = {s.name: str(features[s.name].mode(modes)) for s in specs if needed_kind(features[s.name].mode(modes))}
    if not named:
        return []
    listed = ", ".join(f"{name} ({mode})" for name, mode in named.items())
    return [
        Finding(
            code=MISSING,
            severity="error",
            title=f"{place} does not normalize {listed}: silently the identity",
            where=next(iter(named)),
            evidence={"modes": named, "file": place},
            remedy="save the policy again with its processors",
        )
    ]


def _modes(contract: Contract, there: list[Processor]) -> tuple[dict[str, str], list[Finding]]:
    """Return the modes that the processors apply, which win over the configuration, and where they contradict it."""
    declared = dict(contract.normalization.modes)
    applied: dict[str, str] = {}
    findings = []
    for processor in there:
        differ = {k: [declared[k], m] for k, m in processor.modes.items() if k in declared and declared[k] != m}
        if differ:
            findings.append(_modes_disagree(processor.path.name, differ))
        applied.update({k: m for k, m in processor.modes.items() if k not in applied})
    return {**declared, **applied}, findings


def _modes_disagree(name: str, differ: dict[str, list[str]]) -> Finding:
    listed = ", ".join(f"{k} ({a} against {b})" for k, (a, b) in differ.items())
    return Finding(
        code=MODES_DISAGREE,
        severity="warning",
        title=f"the configuration and {name} disagree about normalization modes: {listed}; the processor is what runs",
        where=name,
        evidence=differ,
        remedy="find out which of the two the policy was trained with",
    )


def _legacy(contract: Contract, base: Path) -> Contract:
    """Return the contract with statistics from buffers inside the weights; without weights nothing is looked for."""
    weights = base / WEIGHTS
    if not weights.is_file():
        return contract
    inputs, outputs, findings = legacy_statistics(open_safetensors(weights), WEIGHTS)
    modes = contract.normalization.modes
    if not inputs and not outputs and not findings:
        specs = (*contract.inputs, *contract.outputs)
        missing = _not_normalized(specs, _features(contract, specs), modes, f"no file beside {WEIGHTS} and none in it")
        return replace(contract, findings=(*contract.findings, *missing))
    ambiguous = {f.where for f in findings}
    sides = []
    for specs, found in ((contract.inputs, inputs), (contract.outputs, outputs)):
        features = _features(contract, specs)
        ranged, said = attach(specs, features, modes, found, key=legacy_key, place=WEIGHTS)
        findings += [f for f in said if legacy_key(f.where) not in ambiguous]
        sides.append(ranged)
    stats = tuple(found.source for side in (inputs, outputs) for found in side.values())
    return replace(
        contract,
        inputs=sides[0],
        outputs=sides[1],
        normalization=Normalization(modes, stats),
        findings=(*contract.findings, *findings),
    )
