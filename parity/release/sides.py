"""The reference and the candidates of a release, resolved: which file, which runner, which contract, which bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact, digest, file_digest, recognize
from parity.contract import Contract, read_contract
from parity.contract.checkpoint import actor_contract
from parity.errors import ArtifactError, ParityError, UsageError
from parity.release.beside import Behind, Weights, behind_of, checkpoint_of
from parity.release.config import CandidateTable, PipelineTable, RunnerTable
from parity.release.gears import in_gear
from parity.release.identity import identity_of
from parity.release.staged import Staged
from parity.runner.base import Failure, RunnerSpec
from parity.runner.composed import Composition
from parity.runner.effect import effect_of
from parity.stages import is_of_stages

RUNNER_OF: Mapping[str, str] = {
    "onnx": "onnxruntime",
    "torchscript": "torch",
    "pt2": "torch",
    "factory": "torch",
    "folder": "torch",
    "checkpoint": "torch",
    "openvino": "openvino",
    "om": "om",
    "trace": "recorded",
    "npz": "recorded",
}
PIPELINE = " pipeline"  # what it calls the artifact that a side's pre- and post-processing is read from
UNREAD = ("factory", "openvino")  # kinds that run, and of which nothing is known without running them


@dataclass(frozen=True, slots=True)
class Piped:
    """Pre- and post-processing of a side.

    ``settings`` are what the user says of it beside its path; ``composition`` is there once it is fitted to the graph.
    """

    of: str
    artifact: Artifact
    given: str
    settings: Mapping[str, Any]
    sha256: str
    bytes: int
    composition: Composition | None = None

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes two pipelines the same: what they do, once they are fitted; empty where they do nothing."""
        if self.composition is None:
            return self.sha256, repr(sorted(self.settings.items()))
        return effect_of(self.composition)

    def artifact_json(self) -> dict[str, Any]:
        """Return its entry in the report's ``artifacts``."""
        told = {"path": self.given, "kind": self.artifact.kind, "sha256": self.sha256, "bytes": self.bytes}
        return {**told, "side": f"{self.of}{PIPELINE}"}


@dataclass(frozen=True, slots=True)
class Side:
    """The reference or one candidate.

    ``given`` is the path or command as the user wrote it. ``declared`` is the declared precision class, None where the
    user left it out. ``contract`` is None where nothing can be known without running (a factory, a command); where a
    ``pipeline`` is around the graph, it is that of the policy as a whole.
    ``problem`` says why the side cannot be run at all; ``staged`` are its graphs where it has several. ``behind`` is
    the artifact that a recording or command stands for, ``soc`` the chip that it has to run on.
    """

    name: str
    spec: RunnerSpec
    artifact: Artifact | None
    contract: Contract | None
    sha256: str | None
    bytes: int
    declared: str | None
    noise: tuple[str, ...] = ()
    pipeline: Piped | None = None
    adapter: Mapping[str, Any] = field(default_factory=dict)
    problem: Failure | None = None
    checkpoint: Weights | None = None
    behind: Behind | None = None
    soc: str | None = None
    given: str = ""
    staged: Staged | None = None

    def artifacts_json(self) -> list[dict[str, Any]]:
        """Return the side's entries in the report's ``artifacts``: what it runs, then the weights that explain it."""
        kind = self.artifact.kind if self.artifact else self.spec.runner
        own = {"path": self.given, "kind": kind, "sha256": self.sha256, "bytes": self.bytes, "side": self.name}
        around = [p.artifact_json() for p in (self.pipeline, self.checkpoint, self.behind) if p is not None]
        inside = self.staged.artifacts_json(self.name) if self.staged is not None else []
        return [own, *inside, *around]

    @property
    def graph(self) -> Contract | None:
        """What the artifact itself takes and gives, without its pipeline."""
        composed = self.pipeline.composition if self.pipeline else None
        return composed.graph if composed is not None else self.contract

    @property
    def shipped(self) -> Artifact | None:
        """The artifact that goes onto the robot: the one behind a recording, else what runs."""
        return self.behind.artifact if self.behind is not None else self.artifact

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes two sides the same thing run in the same way, so that comparing them says nothing."""
        return identity_of(self)


def resolve(table: RunnerTable, name: str, root: Path, adapter: Mapping[str, Any], *, strict: bool) -> Side:
    """Return the side that ``table`` describes, its paths relative to ``root``.

    With ``strict`` an artifact that cannot be read raises; else it becomes the side's ``problem``.

    Raises:
        UsageError: neither path nor command, or a runner that cannot be told.
        ArtifactError: the artifact cannot be read (``strict`` only).
    """
    if table.stages:
        raise UsageError(f"{name}: only `parity run` judges a policy in stages", remedy="give one graph here")
    if not table.path and not table.command:
        raise UsageError(f"[{name}] has neither `path` nor `command`", remedy="say what is to be run")
    path = _absolute(table.path, root)
    spec = RunnerSpec(
        name=name,
        runner=table.runner or ("command" if table.command else ""),
        path=path,
        precision=table.precision,
        kwargs=table.kwargs,
        python=_absolute_python(table.python, root),
        command=_command(table.command, root),
        provider=table.provider,
        device=table.device,
        options={"cwd": str(root), **table.options},
        timeout_s=table.timeout_s,
        memory_limit=None if table.memory_limit_mb is None else table.memory_limit_mb << 20,
    )
    extra: dict[str, Any] = {
        "declared": table.precision,
        "noise": tuple(table.noise),
        "pipeline": _pipeline(table.pipeline, name, root),
        "adapter": adapter,
        "checkpoint": checkpoint_of(table.checkpoint, name, root),
        "behind": behind_of(table.artifact, name, root) if isinstance(table, CandidateTable) else None,
        "soc": table.soc if isinstance(table, CandidateTable) else None,
        "given": table.path or " ".join(table.command),
    }
    try:
        return _with_artifact(spec, extra)
    except ArtifactError as e:
        if strict:
            raise
        return Side(name, _runner_named(spec, None), None, None, None, 0, **extra, problem=Failure.of(e, "load"))


def _with_artifact(spec: RunnerSpec, extra: dict[str, Any]) -> Side:
    artifact = recognize(spec.path, foreign=_foreign(spec.runner)) if spec.path else None
    spec = _runner_named(spec, artifact)
    contract = _contract(artifact, spec) if artifact and spec.runner != "command" else None
    if artifact and artifact.kind == "factory":
        sha, size = factory_digest(str(artifact.path), Path(str(spec.options["cwd"])))
    elif artifact:
        sha, size = digest(artifact)
    else:
        sha, size = command_digest(spec)
    return Side(spec.name, spec, artifact, contract, sha, size, **extra)


def _pipeline(table: str | PipelineTable | None, name: str, root: Path) -> Piped | None:
    """Return the artifact of a side's pre- and post-processing and its hash, None where the user names none.

    Raises:
        UsageError: there is none: a mistyped path must not leave observations as they are.
    """
    if table is None:
        return None
    told = {"path": table} if isinstance(table, str) else table.model_dump(exclude_none=True)
    path, settings = str(told["path"]), {k: v for k, v in told.items() if k != "path"}
    try:
        artifact = recognize(root / Path(path).expanduser())
        return Piped(name, artifact, path, settings, *digest(artifact))
    except ArtifactError as e:
        raise UsageError(f"[{name}] pipeline: {e.message}", expected=e.expected, remedy=e.remedy) from None


def _contract(artifact: Artifact, spec: RunnerSpec) -> Contract | None:
    if artifact.kind in UNREAD:
        return None
    try:
        if artifact.kind == "checkpoint" and spec.runner == "torch":
            return actor_contract(artifact, spec.kwargs)  # what runs is what can be rebuilt, not what training declares
        found = in_gear(read_contract(artifact), spec.options)
        whole = tuple(t for t in found.outputs if not is_of_stages(t.name))  # a trace may hold what stages gave
        return found if len(whole) == len(found.outputs) else replace(found, outputs=whole)
    except ArtifactError:
        if not _foreign(spec.runner):
            raise
        return None


def _foreign(runner: str) -> bool:
    """Whether a runner is a third party's: it has formats of its own, and tells what it loaded, or that it cannot."""
    return bool(runner) and runner not in (*RUNNER_OF.values(), "command")


def _runner_named(spec: RunnerSpec, artifact: Artifact | None) -> RunnerSpec:
    if spec.runner:
        return spec
    if artifact is None:
        return replace(spec, runner="unknown")
    if artifact.kind not in RUNNER_OF:
        raise UsageError(
            f"{artifact.path}: nothing here runs a file of kind {artifact.kind!r}",
            expected="ONNX, TorchScript, .pt2, OM, LeRobot folder, checkpoint, package.module:factory, trace, .npz",
            remedy=_remedy(artifact.kind),
        )
    return replace(spec, runner=RUNNER_OF[artifact.kind])


def _remedy(kind: str) -> str:
    return {
        "safetensors": "weights alone do not run: give the LeRobot folder or `package.module:factory`",
        "json": "a configuration alone does not run: `parity inspect` shows it",
        "yaml": "a configuration alone does not run: `parity inspect` shows it",
        "om2": "OM2 is not run: compile an OM for the chip, or record on the device and compare the trace",
    }.get(kind, "check the path")


def _absolute(path: str | None, root: Path) -> str:
    if not path:
        return ""
    module, colon, function = path.partition(":")
    if colon and function.isidentifier() and all(p.isidentifier() for p in module.split(".")):
        return path
    return str(root / Path(path).expanduser())


def _absolute_python(python: str | None, root: Path) -> str | None:
    if python is None or "/" not in python:
        return python
    return str(root / Path(python).expanduser())


def _command(command: list[str], root: Path) -> tuple[str, ...]:
    """Return the command with a program given by relative path made absolute."""
    if not command:
        return ()
    program = root / command[0] if "/" in command[0] else Path(command[0])
    return (str(program), *command[1:])


def factory_digest(path: str, root: Path) -> tuple[str | None, int]:
    """Return the SHA-256 and size of the source file that defines a factory, found without importing it."""
    module = path.partition(":")[0]
    base = root.joinpath(*module.split("."))
    for source in (base.with_suffix(".py"), base / "__init__.py"):
        if source.is_file():
            return file_digest(source)
    return None, 0


def command_digest(spec: RunnerSpec) -> tuple[str | None, int]:
    """Return the SHA-256 and size of the program that a command starts, where it is a file."""
    program = Path(spec.command[0]) if spec.command else None
    if program is None or not program.is_file():
        return None, 0
    try:
        return file_digest(program)
    except ParityError:
        return None, 0
