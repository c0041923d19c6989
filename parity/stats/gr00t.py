"""GR00T's statistics, by modality and key (``state.left_arm``), and ``modality.json``, which cuts up columns.

N1.5: ``experiment_cfg/metadata.json``, ``{embodiment: {"statistics": {"state": {key: {...}}, "action": ...}, ...}}``.
N1.6: ``statistics.json`` of a processor, ``{embodiment: {"state": ..., "action": ..., "relative_action": ...}}``, with
``processor_config.json`` beside it that says whether percentiles are read and values clipped. An embodiment is a set.
A dataset keeps ``meta/modality.json``, ``{"state": {key: {"start", "end", "original_key"}}}``, beside its statistics.
Source: gr00t/data/{schema,dataset,stats}.py, gr00t/data/state_action/state_action_processor.py of NVIDIA/Isaac-GR00T.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError
from parity.stats.feature import features_of
from parity.stats.json_features import is_features, statistics_in
from parity.stats.json_file import read_json
from parity.stats.model import Declared, FeatureStats, NormStats

KIND, N15, N16 = "gr00t", "gr00t", "gr00t-1.6"
MODALITY = "modality.json"
_FILES = ("experiment_cfg/metadata.json", "metadata.json", "statistics.json", "processor/statistics.json")
_MODALITIES = ("state", "action", "relative_action")
_ORIGINAL = {"state": "observation.state", "action": "action"}
_CONFIG = "processor_config.json"


class _Reader:
    """Reads metadata and statistics files, the folder of a checkpoint, and ``modality.json`` on its own."""

    rank = 18

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind == "folder":
            return _file(artifact.path) is not None
        return artifact.kind == "json" and _is_ours(artifact.path)

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        file = _file(path) if artifact.kind == "folder" else path
        if file is None:
            return ()
        data = read_json(file)
        if is_modality(data):
            return _modality(path, data)
        return tuple(_embodiments(path, file, {"": data} if _by_modality(data) else data))


def _file(folder: Path) -> Path | None:
    return next((folder / name for name in _FILES if (folder / name).is_file() and _is_ours(folder / name)), None)


def _is_ours(path: Path) -> bool:
    try:
        data = read_json(path)
    except ArtifactError:
        return False
    if is_modality(data) or _by_modality(data):
        return True
    return isinstance(data, dict) and bool(data) and all(map(_by_modality, data.values()))


def _by_modality(value: Any) -> bool:
    """Whether parsed JSON is one embodiment's statistics, by modality and key."""
    inner = value.get("statistics", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        return False
    found = [inner[m] for m in _MODALITIES if m in inner]
    return bool(found) and all(is_features(m) or m == {} for m in found) and any(found)


def is_modality(data: Any) -> bool:
    """Whether parsed JSON is a ``modality.json``: keys of state and action, and where in a column each lies."""
    if not isinstance(data, dict):
        return False
    slices = [v for m in ("state", "action") if isinstance(data.get(m), dict) for v in data[m].values()]
    return bool(slices) and all(isinstance(v, dict) and {"start", "end"} <= v.keys() for v in slices)


def _embodiments(path: Path, file: Path, data: Mapping[str, Any]) -> Iterator[NormStats]:
    config = _processor(file.parent / _CONFIG)
    for embodiment, value in data.items():
        inner = value.get("statistics", value)
        features: dict[str, FeatureStats] = {}
        for modality in _MODALITIES:
            place = f"{file.name}: {embodiment}.{modality}" if embodiment else f"{file.name}: {modality}"
            found = features_of(statistics_in(inner.get(modality) or {}, place))
            for key, one in found.items():
                name = f"{modality}.{key}"
                mode, clip = _applied(config, embodiment, modality, key)
                features[name] = replace(one, name=name, mode=mode, clip=clip)
        label = f"{path} [{embodiment}]" if len(data) > 1 else str(path)
        facts = {"file": file.name, **({"embodiment": embodiment} if embodiment else {})}
        era = N15 if "statistics" in value else N16
        yield NormStats(path, label, KIND, features, era, declared=_declared(value), facts=facts)


def _processor(path: Path) -> dict[str, Any]:
    data = read_json(path) if path.is_file() else None
    kwargs = data.get("processor_kwargs", data) if isinstance(data, dict) else None
    return kwargs if isinstance(kwargs, dict) else {}


def _applied(
    config: Mapping[str, Any], embodiment: str, modality: str, key: str
) -> tuple[str | None, tuple[float, float] | None]:
    """Return mode and clipping of a key, None where no processor's configuration tells."""
    if type(config.get("use_percentiles")) is not bool:
        return None, None
    inner: Any = config.get("modality_configs")
    for step in (embodiment, modality.removeprefix("relative_"), "mean_std_embedding_keys"):
        inner = inner.get(step) if isinstance(inner, dict) else None
    if isinstance(inner, list) and key in inner:
        return "MEAN_STD", None
    clip = (-1.0, 1.0) if config.get("clip_outliers") is True else None
    return ("QUANTILES" if config["use_percentiles"] else "MIN_MAX"), clip


def _declared(value: Mapping[str, Any]) -> tuple[Declared, ...]:
    """Return the states and actions that the metadata of an embodiment describes beside their statistics."""
    modalities = value.get("modalities")
    found = []
    for modality, kind in (("state", "STATE"), ("action", "ACTION")):
        described = modalities.get(modality) if isinstance(modalities, dict) else None
        for key, about in described.items() if isinstance(described, dict) else ():
            shape = about.get("shape") if isinstance(about, dict) else None
            sizes = shape if isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape) else None
            name = f"{modality}.{key}"
            whole = None if sizes is None else tuple(sizes)
            found.append(Declared(name, name, whole, kind, None, modality == "action"))
    return tuple(found)


def _modality(path: Path, data: Mapping[str, Any]) -> tuple[NormStats, ...]:
    """Return what ``modality.json`` declares, with the statistics of the dataset that it lies in, if it does."""
    declared = tuple(
        Declared(name, name, (end - start,), kind, None, kind == "ACTION")
        for name, _, start, end, kind in _slices(data, str(path))
    )
    beside = path.parent / "stats.json"
    stats = read_json(beside) if beside.is_file() else None
    features = features_of(statistics_in(stats, beside.name)) if is_features(stats) and isinstance(stats, dict) else {}
    whole = NormStats(path, str(path), "gr00t_modality", features, declared=declared, facts={"file": path.name})
    return (replace(whole, features=cut(features, data, str(path))),)


def by_modality(whole: NormStats, path: Path) -> NormStats:
    """Return a dataset's statistics cut into the keys of its ``modality.json`` at ``path``.

    Raises:
        ArtifactError: it cannot be parsed, or is none.
    """
    data = read_json(path)
    if not is_modality(data):
        raise ArtifactError(f"{path}: no modality.json", expected='{"state": {"<key>": {"start": 0, "end": 6}}}')
    return replace(
        whole,
        label=f"{whole.path} [{path.name}]",
        features=cut(whole.features, data, str(path)),
        facts={**whole.facts, "cut_by": path.name},
    )


def cut(features: Mapping[str, FeatureStats], data: Mapping[str, Any], where: str) -> dict[str, FeatureStats]:
    """Return the statistics of each key, cut out of the last axis of its column; none for a column that is not there.

    A statistic that is too short for a key is left out, so that what is missing can be seen.
    """
    found = {}
    for name, column, start, end, _ in _slices(data, where):
        one = features.get(column)
        if one is None:
            continue
        values = {s: v[..., start:end] for s, v in one.values.items() if v.ndim and v.shape[-1] >= end}
        sources = {s: f"{one.sources.get(s, column)}[{start}:{end}]" for s in values}
        found[name] = replace(one, name=name, values=values, sources=sources)
    return found


def _slices(data: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, int, int, str]]:
    """Yield name, column, start, end and type of each key of state and action."""
    for modality, kind in (("state", "STATE"), ("action", "ACTION")):
        keys = data.get(modality)
        for key, value in keys.items() if isinstance(keys, dict) else ():
            start, end = value.get("start"), value.get("end")
            original = value.get("original_key") or _ORIGINAL[modality]
            if type(start) is not int or type(end) is not int or not 0 <= start < end < 1 << 31:
                raise ArtifactError(
                    f"{where}: {modality}.{key} has no columns to be cut from", expected="0 <= start < end"
                )
            if not isinstance(original, str):
                raise ArtifactError(f"{where}: the column of {modality}.{key} is no text", expected="a feature's name")
            yield f"{modality}.{key}", original, start, end, kind


READER = _Reader()
