"""Which normalization statistics a LeRobot policy really applies to which feature, in the legacy and the processor era.

Legacy: buffers inside model.safetensors, ``normalize_inputs.buffer_observation_state.mean``, where the dots of a
feature's name became underscores. Processors: a safetensors file per normalizer step, ``observation.state.mean``.
A key that misses its feature is silently the identity in LeRobot, which is why every feature is looked up here.
Source: lerobot/policies/normalize.py (0.3), lerobot/processor/normalize_processor.py (0.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from parity.checkpoint.safetensors import SafetensorsFile
from parity.contract.lerobot_policy import Feature
from parity.contract.ranges import Statistics, from_safetensors, needed_kind, needed_names, with_range
from parity.finding import Finding
from parity.tensor import TensorSpec

OTHER_NAME = "CONTRACT004"
MISSING = "CONTRACT005"
SEVERAL_DATASETS = "CONTRACT010"
TWO_SIDES = "CONTRACT011"

_LEGACY = re.compile(
    r"(?P<module>normalize_inputs|normalize_targets|unnormalize_outputs)\.(?:(?P<data>[^.]+?)[_.])?buffer[_.]"
    r"(?P<name>.+)\.(?P<statistic>\w+)"
)

Lookup = Callable[[str], str]


def processor_key(feature: str) -> str:
    """Return the key under which a processor's state file keeps a feature: its own name."""
    return feature


def legacy_key(feature: str) -> str:
    """Return the name of a feature's legacy buffer: dots are underscores."""
    return feature.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Buffer:
    """A legacy buffer: ``dataset`` is "" where no dataset stands before its ``name`` (``observation_state``).

    ``stored`` is what stands between the module and the statistic: ``buffer_action``, ``so100_buffer_action``.
    """

    dataset: str
    name: str
    stored: str
    statistics: Statistics


def legacy_buffers(file: SafetensorsFile, source: str) -> dict[str, list[Buffer]]:
    """Return all legacy buffers by side, ``normalize_inputs`` and ``unnormalize_outputs``, in the file's order.

    Raises:
        ArtifactError: see `from_safetensors`.
    """
    places: dict[str, re.Match[str]] = {}  # name up to the statistic -> what its parts are
    for name in file.names:
        match = _LEGACY.fullmatch(name)
        if match and match["module"] != "normalize_targets":
            places.setdefault(name.rpartition(".")[0], match)
    found = from_safetensors(file, source) if places else {}
    sides: dict[str, list[Buffer]] = {"normalize_inputs": [], "unnormalize_outputs": []}
    for place, match in places.items():
        if place in found:
            stored = place.removeprefix(f"{match['module']}.")
            sides[match["module"]].append(Buffer(match["data"] or "", match["name"], stored, found[place]))
    return sides


def legacy_statistics(
    file: SafetensorsFile, source: str
) -> tuple[dict[str, Statistics], dict[str, Statistics], list[Finding]]:
    """Return the legacy buffers of inputs and of outputs by buffer name, and what is wrong with them.

    Checkpoints trained on several datasets prefix their buffers (``so100_buffer_action``). One prefix is read as it is;
    with several nobody can tell which applies, and none is returned.

    Raises:
        ArtifactError: see `from_safetensors`.
    """
    sides: list[dict[str, Statistics]] = []
    several: dict[str, list[str]] = {}
    for buffers in legacy_buffers(file, source).values():
        by_name: dict[str, list[Buffer]] = {}
        for buffer in buffers:
            by_name.setdefault(buffer.name, []).append(buffer)
        several |= {name: sorted(b.dataset for b in found) for name, found in by_name.items() if len(found) > 1}
        sides.append({name: found[0].statistics for name, found in by_name.items() if len(found) == 1})
    return sides[0], sides[1], [_several(buffer, datasets) for buffer, datasets in several.items()]


def attach(
    specs: Sequence[TensorSpec],
    features: Mapping[str, Feature],
    modes: Mapping[str, str],
    found: Mapping[str, Statistics],
    *,
    key: Lookup = processor_key,
    place: str,
) -> tuple[tuple[TensorSpec, ...], list[Finding]]:
    """Return the tensors with their ranges, and every feature whose normalization would not happen as declared.

    Args:
        specs: the policy's inputs or outputs.
        features: the same as features, by name.
        modes: normalization mode by feature or feature type.
        found: statistics by key as stored.
        key: how a feature's name becomes such a key.
        place: the file in which the statistics were looked for.
    """
    result: list[TensorSpec] = []
    findings: list[Finding] = []
    claimed = {key(name) for name in features}
    for spec in specs:
        mode = features[spec.name].mode(modes)
        kind = needed_kind(mode)
        statistics = found.get(key(spec.name))
        if statistics is None:
            if kind is not None:
                near = _near(spec.name, [k for k in found if k not in claimed])
                findings.append(_missing(spec.name, str(mode), near, place))
            result.append(spec)
            continue
        if kind is not None and not statistics.has(kind):
            findings.append(_incomplete(spec.name, str(mode), statistics))
        ranged, finding = with_range(spec, statistics, mode)
        result.append(ranged)
        findings.extend([finding] if finding else [])
    return tuple(result), findings


def sides_agree(
    before: Mapping[str, Statistics], after: Mapping[str, Statistics], names: Iterable[str]
) -> list[Finding]:
    """Return one finding per output whose statistics differ between the pre- and the postprocessor."""
    import numpy as np

    findings = []
    for name in names:
        a, b = before.get(name), after.get(name)
        if a is None or b is None:
            continue
        differ = [
            s
            for s in sorted(a.values.keys() & b.values.keys())
            if not np.array_equal(a.values[s], b.values[s], equal_nan=True)
        ]
        if differ:
            findings.append(
                Finding(
                    code=TWO_SIDES,
                    severity="error",
                    title=f"{name} is normalized and unnormalized with different statistics ({', '.join(differ)})",
                    where=name,
                    evidence={"statistics": differ, "before": a.source, "after": b.source},
                    remedy="take both processors from one training run",
                )
            )
    return findings


def _near(name: str, keys: Iterable[str]) -> str | None:
    """Return a stored key that was meant for this feature: other punctuation, or a dataset's prefix."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())
    for stored in keys:
        spelled = re.sub(r"[^a-z0-9]+", "_", stored.lower())
        if spelled == plain or spelled.endswith(f"buffer_{plain}") or f"observation_{spelled}" == plain:
            return stored
    return None


def _missing(name: str, mode: str, near: str | None, place: str) -> Finding:
    if near is not None:
        return Finding(
            code=OTHER_NAME,
            severity="error",
            title=(
                f"normalization statistics exist for {near} but the policy's feature is {name}: silently the identity"
            ),
            where=name,
            detail=f"{place} holds statistics under a key that no feature has, so {mode} is never applied.",
            evidence={"stored": near, "feature": name, "mode": mode, "file": place},
            remedy=f"rename the key {near!r} to {name!r} in the statistics, or train again with a version that does",
        )
    return Finding(
        code=MISSING,
        severity="error",
        title=f"{name} is to be normalized by {mode}, but there are no statistics for it: silently the identity",
        where=name,
        evidence={"feature": name, "mode": mode, "file": place},
        remedy="save the policy again with its dataset's statistics",
    )


def _incomplete(name: str, mode: str, statistics: Statistics) -> Finding:
    kind = needed_kind(mode)
    wanted = " and ".join(needed_names(kind)) if kind else "other statistics"
    return Finding(
        code=MISSING,
        severity="error",
        title=f"{name} is to be normalized by {mode}, which needs {wanted}; there are {', '.join(statistics.values)}",
        where=name,
        evidence={"feature": name, "mode": mode, "statistics": list(statistics.values), "source": statistics.source},
        remedy="save the policy again with its dataset's statistics",
    )


def _several(buffer: str, datasets: list[str]) -> Finding:
    return Finding(
        code=SEVERAL_DATASETS,
        severity="warning",
        title=f"statistics of {len(datasets)} datasets for {buffer}: which applies cannot be told",
        where=buffer,
        evidence={"datasets": datasets},
        remedy="keep the statistics of the robot that runs this policy and remove the others",
    )
