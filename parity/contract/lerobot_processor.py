"""LeRobot's processor files, ``policy_preprocessor.json`` and ``policy_postprocessor.json``: steps with their state.

A step is named by ``registry_name`` (built in) or ``class`` (a plugin's dotted path); neither is imported here. State
files are looked up beside the JSON and nowhere else. Source: lerobot/processor/pipeline.py (0.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.safetensors import open_safetensors
from parity.contract.fields import kind_of, mapping
from parity.contract.lerobot_policy import Feature, channels_last, features_of, is_channels_last, modes_from
from parity.contract.lerobot_stats import attach
from parity.contract.model import Contract, Normalization
from parity.contract.ranges import Statistics, from_safetensors
from parity.contract.text import load_json
from parity.errors import ArtifactError
from parity.finding import Finding

STATE_FILE_MISSING = "CONTRACT008"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a processor: its name, its configuration, and the file that holds its tensors, if any."""

    name: str
    config: Mapping[str, Any]
    state_file: str | None

    @property
    def is_normalizer(self) -> bool:
        """Whether this step normalizes or unnormalizes."""
        return "normalizerprocessor" in self.name.rsplit(".", 1)[-1].lower().replace("_", "")


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor file. ``rename_map`` maps the robot's names of observations to the policy's."""

    path: Path
    name: str | None
    steps: tuple[Step, ...]
    rename_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def normalizer(self) -> Step | None:
        """The step that normalizes or unnormalizes, None where there is none."""
        return next((s for s in self.steps if s.is_normalizer), None)

    @property
    def state_files(self) -> tuple[str, ...]:
        """Names of all state files, in the order of the steps."""
        return tuple(s.state_file for s in self.steps if s.state_file is not None)

    @property
    def modes(self) -> dict[str, str]:
        """Normalization mode by feature type, as this processor applies it."""
        return (
            {}
            if self.normalizer is None
            else modes_from(self.normalizer.config.get("norm_map"), str(self.path), "norm_map")
        )

    def features(self) -> tuple[Feature, ...]:
        """Return the features that the normalizer knows: actions as outputs, everything else as inputs.

        Raises:
            ArtifactError: a feature is not described as this format does.
        """
        if self.normalizer is None:
            return ()
        known = mapping(self.normalizer.config.get("features"), str(self.path), "features")
        actions = {n: v for n, v in known.items() if isinstance(v, dict) and str(v.get("type")).endswith("ACTION")}
        others = {n: v for n, v in known.items() if n not in actions}
        return features_of({"input_features": others, "output_features": actions}, str(self.path))

    def statistics(self) -> tuple[dict[str, Statistics] | None, list[Finding]]:
        """Return the normalizer's statistics by key, None where it has no state file or the file is not there.

        Raises:
            ArtifactError: the state file is there but corrupt.
        """
        name = None if self.normalizer is None else self.normalizer.state_file
        if name is None:
            return None, []
        file = self.path.parent / name
        if not file.is_file():
            return None, [_state_file_missing(name, self.path)]
        return from_safetensors(open_safetensors(file), name), []


def is_processor(data: Any) -> bool:
    """Whether parsed JSON is a processor file."""
    steps = data.get("steps") if isinstance(data, dict) else None
    return isinstance(steps, list) and all(
        isinstance(s, dict) and ("registry_name" in s or "class" in s) for s in steps
    )


def read_processor(path: Path) -> Processor:
    """Return a processor file.

    Raises:
        ArtifactError: unreadable, or not a list of steps as LeRobot writes it; a state file outside the folder.
    """
    data = load_json(path)
    if not is_processor(data):
        raise ArtifactError(
            f"{path}: not a LeRobot processor", expected='{"name": ..., "steps": [{"registry_name": ...}]}'
        )
    steps = tuple(_step(s, str(path)) for s in data["steps"])
    renamed: dict[str, str] = {}
    for step in steps:
        found = mapping(step.config.get("rename_map"), str(path), "rename_map")
        renamed.update({str(a): str(b) for a, b in found.items()})
    name = data.get("name")
    return Processor(path, name if isinstance(name, str) else None, steps, renamed)


def _step(value: Mapping[str, Any], where: str) -> Step:
    name = value.get("registry_name") or value.get("class")
    if not isinstance(name, str):
        raise ArtifactError(f"{where}: a step is named by {kind_of(name)}", expected="registry_name or class as text")
    state = value.get("state_file")
    if state is not None and (not isinstance(state, str) or Path(state).name != state or "\\" in state or not state):
        raise ArtifactError(
            f"{where}: the state file of {name} is {state!r}", expected="the name of a file in the same folder"
        )
    return Step(name, mapping(value.get("config"), where, f"the configuration of {name}"), state)


def _state_file_missing(name: str, path: Path) -> Finding:
    return Finding(
        code=STATE_FILE_MISSING,
        severity="error",
        title=f"{path.name} names the state file {name}, which is not beside it: nothing can be normalized",
        where=name,
        evidence={"state_file": name, "processor": path.name},
        remedy="fetch the whole policy folder",
    )


class _Reader:
    """Reads one processor file on its own."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "json":
            return False
        try:
            return is_processor(load_json(artifact.path))
        except ArtifactError:
            return False  # whoever is asked last says why it cannot be parsed

    def read(self, artifact: Artifact) -> Contract:
        processor = read_processor(artifact.path)
        features = processor.features()
        inputs = tuple(f.spec() for f in features if f.side == "input")
        outputs = tuple(f.spec() for f in features if f.side == "output")
        found, findings = processor.statistics()
        if found is not None:
            place = str(processor.normalizer.state_file if processor.normalizer else "")
            by_name = {f.name: f for f in features}
            inputs, first = attach(inputs, by_name, processor.modes, found, place=place)
            outputs, second = attach(outputs, by_name, processor.modes, found, place=place)
            findings += [*first, *second]
        findings += list(_channels(inputs))
        return Contract(
            path=artifact.path,
            kind="lerobot_processor",
            inputs=inputs,
            outputs=outputs,
            normalization=Normalization(processor.modes, processor.state_files),
            complete=bool(inputs and outputs),
            metadata=describe(processor),
            findings=tuple(findings),
        )


def _channels(inputs: tuple[Any, ...]) -> Iterator[Finding]:
    return (channels_last(s.name, list(s.shape)) for s in inputs if is_channels_last(s))


def describe(processor: Processor) -> dict[str, Any]:
    """Return a processor as JSON-able metadata: name, steps in order with their configuration, files, rename map."""
    return {
        "name": processor.name,
        "steps": [s.name for s in processor.steps],
        "state_files": list(processor.state_files),
        "rename_map": dict(processor.rename_map),
        "configs": [dict(s.config) for s in processor.steps],
    }


READER = _Reader()
