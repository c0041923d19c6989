"""The pipeline of a LeRobot policy folder, of the processor era (0.4 and later) or the legacy one (0.3 and earlier).

Sources: lerobot/processor/pipeline.py and the steps beside it (0.4.4 to 0.6.1); lerobot/policies/normalize.py and
`predict_action_chunk` of the policies (0.3.3). LeRobot leaves a feature whose statistics are missing as it is; here
that is an error. What a policy does itself between processors and network (its window of observations, the executed
steps of a trajectory) is not in the files: `parity.runner.composed` adds it where the graph asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.safetensors import open_safetensors
from parity.contract import Contract, read_contract
from parity.contract.lerobot_processor import Processor, read_processor
from parity.contract.lerobot_processor import Step as FileStep
from parity.contract.lerobot_stats import legacy_key, legacy_statistics
from parity.contract.ranges import Statistics, from_safetensors
from parity.errors import ArtifactError, UsageError
from parity.stats.formulas.lerobot import flat_image_stats
from parity.stats.model import FeatureStats
from parity.stats.pipeline import Pipeline
from parity.stats.steps import Cast, Feature, Normalize, Rename, Step

BEFORE = ("policy_preprocessor.json", "preprocessor.json")  # the second name is that of the first releases
AFTER = ("policy_postprocessor.json", "postprocessor.json")
WEIGHTS = "model.safetensors"
_BATCH = "to_batch_processor"
_WITHOUT_EFFECT = (_BATCH, f"{_BATCH}_observation", f"{_BATCH}_action", f"{_BATCH}_complementary_data")
_FLOATS = {"half": "float16", "float": "float32", "double": "float64"}


def is_policy_folder(folder: Path) -> bool:
    """Whether a folder is a LeRobot policy: it holds its configuration."""
    return (folder / "config.json").is_file() or any((folder / name).is_file() for name in (*BEFORE, *AFTER))


def lerobot_pipeline(artifact: Artifact, settings: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline of a policy folder.

    Raises:
        ArtifactError: a file is corrupt, a step is not known, or statistics are missing.
        UsageError: ``settings``: this folder says everything itself.
    """
    if settings:
        raise UsageError(f"{artifact.path}: a LeRobot folder says itself what is applied; {', '.join(settings)} cannot")
    contract = read_contract(artifact)
    before, after = _first(artifact.path, BEFORE), _first(artifact.path, AFTER)
    if before is None and after is None:
        return _legacy(artifact.path, contract)
    if before is None or after is None:
        there, lacking = (before, AFTER[0]) if after is None else (after, BEFORE[0])
        raise ArtifactError(
            f"{artifact.path}: {there.path.name if there else ''} is there and {lacking} is not",
            remedy="fetch the whole policy folder",
        )
    return Pipeline(artifact.path, "lerobot-0.4", _steps(before), _steps(after), contract)


def _first(folder: Path, names: Iterable[str]) -> Processor | None:
    return next((read_processor(folder / name) for name in names if (folder / name).is_file()), None)


def _steps(processor: Processor) -> tuple[Step, ...]:
    return tuple(made for step in processor.steps if (made := _step(processor, step)) is not None)


def _step(processor: Processor, step: FileStep) -> Step | None:
    """Return one step, None where it changes nothing here (observations have their batch axis; devices hold bytes).

    Raises:
        ArtifactError: it is not known: whatever it does would not be done.
    """
    match step.name:
        case "rename_observations_processor":
            names = {str(a): str(b) for a, b in (step.config.get("rename_map") or {}).items()}
            return Rename(names) if names else None
        case "device_processor":
            asked = step.config.get("float_dtype")
            return None if asked is None else _cast(str(asked), processor.path)
        case "normalizer_processor" | "unnormalizer_processor":
            return _normalizer(processor, step)
        case name if name in _WITHOUT_EFFECT:
            return None
    raise ArtifactError(
        f"{processor.path}: the step {step.name!r} is not known here, so its effect is not either",
        expected="rename_observations_processor, to_batch_processor, device_processor, normalizer_processor, "
        "unnormalizer_processor",
        remedy="compare whole policies (the reference in its own lerobot, the candidate with its own pre-processing)",
    )


def _cast(asked: str, path: Path) -> Step:
    dtype = _FLOATS.get(asked, asked)
    if dtype not in _FLOATS.values():
        raise ArtifactError(f"{path}: device_processor casts to {asked!r}", expected=", ".join(_FLOATS.values()))
    return Cast(dtype)  # type: ignore[arg-type]


def _normalizer(processor: Processor, step: FileStep) -> Step:
    """Return a step that normalizes observations (a preprocessor's), or unnormalizes the action.

    Raises:
        ArtifactError: its features, its statistics or their file are missing or not as this format has them.
    """
    inward = step.name == "normalizer_processor"
    alone = replace(processor, steps=(step,))
    modes, features = alone.modes, alone.features()
    if step.state_file is None:
        found: dict[str, Statistics] = {}
    else:
        file = processor.path.parent / step.state_file
        if not file.is_file():
            raise ArtifactError(
                f"{processor.path}: {step.state_file} is not beside it, which holds the statistics of {step.name}",
                remedy="fetch the whole policy folder",
            )
        found = from_safetensors(open_safetensors(file), step.state_file)
    keys = step.config.get("normalize_observation_keys")
    eps = step.config.get("eps", 1e-8)
    if not isinstance(eps, int | float) or isinstance(eps, bool) or not 0 <= eps < 1:
        raise ArtifactError(f"{processor.path}: eps of {step.name} is {eps!r}", expected="a small number")
    wanted = [f for f in features if (f.side == "input") == inward and (not inward or keys is None or f.name in keys)]
    if not wanted:
        what = "observation" if inward else "action"
        raise ArtifactError(f"{processor.path}: {step.name} knows no {what}, so nothing is done to any")
    made = tuple(
        _feature(f.name, f.type, modes.get(f.type or "", "IDENTITY"), found.get(f.name), str(step.state_file), eps)
        for f in wanted
    )
    return Normalize("lerobot-0.4", "forward" if inward else "backward", made)


def _feature(
    name: str, kind: str | None, mode: str, statistics: Statistics | None, place: str, eps: float | None
) -> Feature:
    if mode == "IDENTITY":
        return Feature(name, mode)
    if statistics is None:
        raise ArtifactError(
            f"{place}: no statistics for {name}, which is declared {mode}: LeRobot would silently leave it as it is",
            remedy="rename the key that was meant (`parity inspect` shows a near one), or export the policy again",
        )
    values = {k: flat_image_stats(v) if kind == "VISUAL" else v for k, v in statistics.values.items()}
    sources = dict.fromkeys(values, statistics.source)
    return Feature(name, mode, FeatureStats(name, values, sources, mode=mode, eps=eps))


def _legacy(folder: Path, contract: Contract) -> Pipeline:
    """Return the pipeline of the buffers inside ``model.safetensors``: normalize_inputs, graph, unnormalize_outputs.

    Raises:
        ArtifactError: the weights are missing or corrupt, or a buffer that the configuration asks for is.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ArtifactError(
            f"{folder}: neither {BEFORE[0]} nor {WEIGHTS}: there is no normalization to read",
            remedy="fetch the whole policy folder",
        )
    inputs, outputs, several = legacy_statistics(open_safetensors(weights), WEIGHTS)
    if several:
        raise ArtifactError(f"{weights}: {several[0].title}", remedy=several[0].remedy)
    modes, types = contract.normalization.modes, contract.metadata.get("feature_types", {})

    def made(specs: Iterable[Any], found: Mapping[str, Statistics]) -> tuple[Feature, ...]:
        features = []
        for spec in specs:
            kind = types.get(spec.name)
            mode = (modes.get(spec.name) or modes.get(kind or "") or "IDENTITY").upper()
            features.append(_feature(spec.name, kind, mode, found.get(legacy_key(spec.name)), WEIGHTS, None))
        return tuple(features)

    before = Normalize("lerobot-0.3", "forward", made(contract.inputs, inputs))
    after = Normalize("lerobot-0.3", "backward", made(contract.outputs, outputs))
    return Pipeline(folder, "lerobot-0.3", (before,), (after,), contract)
