"""What a candidate is asked in a release, in its own words: its inputs after adapter or pipeline, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.cases import fingerprint
from parity.errors import ArtifactError, UsageError
from parity.release.batches import is_batch
from parity.release.config import Config
from parity.release.prepare import Prepared, prepare
from parity.release.sides import Side
from parity.release.state import SEQUENCE
from parity.tensor import Array, Case, TensorSpec

KINDS = ("om", "onnx")  # what a script on a device can run


@dataclass(frozen=True, slots=True)
class Question:
    """A release's cases, as one candidate is asked them.

    ``left_out`` says in words what is planned and does not go along. ``state``: inputs of the artifact that hold its
    state, each with the output that is its next value.
    """

    prepared: Prepared
    side: Side
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    state: Mapping[str, str]

    @property
    def adapted(self) -> bool:
        """Whether the artifact is fed otherwise than the plan has it, or gives otherwise than it is judged."""
        adapter = self.prepared.adapters.get(self.side.name)
        return self.side.pipeline is not None or (adapter is not None and not adapter.identity)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the artifact takes, in its own order and names."""
        graph = self.side.graph
        return graph.inputs if graph and graph.inputs else self.prepared.contract.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the artifact gives, in its own order and names, without its state."""
        graph = self.side.graph
        return graph.outputs if graph and graph.outputs else self.prepared.contract.outputs

    def asked(self, case: Case) -> dict[str, Array]:
        """Return what the artifact is fed, ``(B, ...)`` by its names, in its own element types.

        Raises:
            ParityError: the adapter or the pipeline does not fit.
        """
        rows = {name: array[None] for name, array in case.inputs.items()}
        piped = self.side.pipeline.composition if self.side.pipeline else None
        adapter = self.prepared.adapters.get(self.side.name)
        fed = piped.inputs(rows) if piped else adapter.inputs(rows) if adapter else rows
        types = {t.name: t.dtype for t in self.inputs}
        return {name: _as_taken(case.id, name, array[0], types.get(name)) for name, array in fed.items()}

    def answered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what is judged, ``(B, ...)`` by the contract's names, from what the artifact gave.

        Raises:
            ParityError: the adapter or the pipeline does not fit.
        """
        rows = {name: array[None] for name, array in outputs.items()}
        piped = self.side.pipeline.composition if self.side.pipeline else None
        adapter = self.prepared.adapters.get(self.side.name)
        given: Mapping[str, Any] = piped.outputs(rows) if piped else adapter.outputs(rows) if adapter else rows
        return {name: array[0] for name, array in given.items()}

    def resets(self, case: Case) -> bool:
        """Whether the policy's state is forgotten before the case: it is but within a sequence."""
        return not case.id.startswith(SEQUENCE) or case.id == f"{SEQUENCE}0000"

    def key(self, case: Case) -> str:
        """Return the hash of what the artifact is fed."""
        return fed_sha256(self.asked(case))


def fed_sha256(inputs: Mapping[str, Array]) -> str:
    """Return the SHA-256 of what is fed: `parity.cases.fingerprint`, and the script on the device makes the same."""
    return fingerprint(Case("", "nominal", 0, inputs))


def question_of(config: Config, root: Path, name: str | None) -> Question:
    """Return what the candidate called ``name`` (the only one that a device can run, if None) is asked.

    Raises:
        UsageError: no such candidate, several, or one that no script on a device can run.
        ArtifactError: an artifact cannot be read.
    """
    prepared = prepare(config, root, strict=False)
    side = _chosen(prepared, name)
    if side.problem is not None:
        raise ArtifactError(f"{side.name}: {side.problem.message}", remedy=side.problem.remedy)
    kind = side.artifact.kind if side.artifact else side.spec.runner
    if kind not in KINDS:
        raise UsageError(
            f"{side.name}: {side.given} is {kind}, which the script of a bundle cannot run",
            expected="an OM or ONNX file",
            remedy="export it (`parity export`), or record it where it runs: `parity run --record`",
        )
    cases = [c for c in prepared.cases_of(side) if not is_batch(c.id)]
    if not cases:
        raise UsageError(f"{side.name}: the release has no cases to take along")
    state: Mapping[str, str] = side.spec.options.get("state") or {}
    return Question(prepared, side, tuple(cases), tuple(_left_out(prepared, config, side)), dict(state))


def _chosen(prepared: Prepared, name: str | None) -> Side:
    named = {s.name: s for s in prepared.candidates}
    if name is not None:
        if name not in named:
            raise UsageError(f"--candidate {name}: no candidate is called so", expected=", ".join(named))
        return named[name]
    able = [s for s in prepared.candidates if s.artifact is not None and s.artifact.kind in KINDS]
    foremost = [s for s in able if s.artifact is not None and s.artifact.kind == "om"] or able
    if len(foremost) != 1:
        found = ", ".join(s.name for s in foremost) or "none of " + ", ".join(named)
        raise UsageError(f"which candidate goes to the device? {found} can", remedy="say --candidate NAME")
    return foremost[0]


def _left_out(prepared: Prepared, config: Config, side: Side) -> list[str]:
    found = []
    asked = config.cases.worst if config.cases else 0
    if asked:
        found.append(
            "worst cases are found by running both sides: record them (`parity run --record`) to take them along"
        )
    if any(side.name in takers for takers in prepared.batches.takers.values()):
        found.append("batches: the device runs the single cases that they are made of")
    if config.replay.dataset is not None:
        found.append("recorded data: replays need the policy where the data are")
    if prepared.graphs.get(side.name):
        found.append("outputs of its graph alone: on the device it is fed by its own pipeline only")
    return found


def _as_taken(case: str, name: str, array: Array, dtype: str | None) -> Array:
    """Return the array in the artifact's element type, as its runner would make it.

    Raises:
        UsageError: values would change.
    """
    import numpy as np

    if dtype is None or array.dtype.name == dtype:
        return np.ascontiguousarray(array)
    to = _dtype(dtype)
    if to is not None and array.dtype.kind == to.kind == "f":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array.astype(to))
    if to is not None and array.dtype.kind in "iub" and to.kind in "iub":
        made = array.astype(to)
        if np.array_equal(made, array):
            return np.ascontiguousarray(made)
    raise UsageError(
        f"case {case}: input {name!r} has dtype {array.dtype}, the artifact takes {dtype}",
        remedy="say in parity.toml what it is to be fed: [adapter.<candidate>] cast = {…}",
    )


def _dtype(name: str) -> Any:
    import numpy as np

    try:
        return np.dtype(name)
    except TypeError:
        return None


def specs_json(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Return tensors as a bundle's manifest tells them."""
    return [{"name": t.name, "dtype": t.dtype, "shape": None if t.shape is None else list(t.shape)} for t in specs]
