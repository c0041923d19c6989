"""The first `parity.toml` of a release, drafted from the artifacts that are there, with comments for who edits it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parity.artifact import Artifact, recognize
from parity.contract import Contract, read_contract
from parity.contract.adapter import infer_adapter
from parity.contract.checkpoint import holds_actor
from parity.contract.join import join
from parity.contract.recurrent import keeps_state, state_pairs, without_state
from parity.contract.toml_text import toml_key, toml_string
from parity.errors import ArtifactError, UsageError
from parity.release.init_replay import datasets_apart, replay_part
from parity.release.init_stats import stats_part
from parity.release.sides import RUNNER_OF

TORCH_SIDE = (
    "torchscript",
    "pt2",
    "factory",
    "folder",
    "trace",
    "checkpoint",
)  # where a policy was trained, or was recorded
SHORT = {"onnx": "ort", "openvino": "openvino", "om": "om", "trace": "recorded", "folder": "lerobot"}
PLAIN_NAMES = {"policy", "model", "actor", "best", "last", "final", "exported"}
MAX_ENTRIES = 2000  # of a folder that are looked at


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact that can run, with its contract where that can be known without running it."""

    artifact: Artifact
    contract: Contract | None
    name: str = "reference"
    state: Mapping[str, str] = field(default_factory=dict)  # what the runner keeps, where the other side does so itself


def draft(artifacts: Sequence[Path], folder: Path = Path()) -> str:
    """Return a commented `parity.toml` that is to lie in ``folder``: paths in it are relative to that.

    The reference is the torch side (TorchScript, .pt2, a factory, a LeRobot folder, a trace), else the first artifact;
    all others are candidates. A folder that is no LeRobot policy stands for the artifacts in it, a dataset for what is
    to be replayed. What can be told from
    the contracts is filled in; the rest stands there as comments.

    Raises:
        ArtifactError: one of the artifacts cannot be read.
        UsageError: nothing that can run is among them, or the same artifact is given twice.
    """
    policies, datasets = datasets_apart(artifacts)
    found = _state_kept([_found(a) for path in policies for a in _expand(path)])
    if not found:
        raise UsageError(
            f"nothing that can run in {', '.join(map(str, artifacts)) or 'no artifact at all'}",
            expected="TorchScript, .pt2, ONNX, OM, a LeRobot folder, a trace, or package.module:factory",
        )
    first = next((f for f in found if f.artifact.kind in TORCH_SIDE), found[0])
    reference = first
    candidates = _named([f for f in found if f is not first])
    parts = [
        _head(reference, candidates),
        _reference(reference, folder),
        *(_candidate(c, reference, folder) for c in candidates),
        *([] if candidates else [NO_CANDIDATE]),
        _cases(reference),
        _budgets(reference, candidates),
        _adapters(reference, candidates),
        stats_part([f.artifact for f in (reference, *candidates)], folder),
        replay_part(datasets, folder),
        WAIVERS,
    ]
    text = "\n".join(parts)
    tomllib.loads(text)  # whatever the artifacts call themselves, this is TOML
    return text


def _expand(path: Path) -> list[Artifact]:
    """Return the artifact at ``path``, or those inside a folder that is none itself."""
    artifact = recognize(path)
    if artifact.kind == "folder" and not (path / "config.json").is_file():
        return [a for a in map(_recognized, _entries(path)) if a is not None and a.kind in RUNNER_OF and _runs(a)]
    if artifact.kind not in RUNNER_OF or artifact.kind == "npz":
        raise UsageError(
            f"{path}: a file of kind {artifact.kind} does not run by itself",
            expected="TorchScript, .pt2, ONNX, OM, a LeRobot folder, a trace, or package.module:factory",
            remedy="name it in [stats] sources or [cases] inputs of the finished parity.toml",
        )
    return [artifact]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(p for p, _ in zip(folder.iterdir(), range(MAX_ENTRIES), strict=False) if p.is_file())
    except OSError as e:
        raise ArtifactError(f"{folder}: cannot be read: {e.strerror or e}") from None


def _runs(artifact: Artifact) -> bool:
    return artifact.kind != "checkpoint" or holds_actor(artifact)


def _recognized(path: Path) -> Artifact | None:
    try:
        artifact = recognize(path)
    except ArtifactError:
        return None  # a README, a picture: not every file of a folder is an artifact
    return None if artifact.kind == "npz" else artifact


def _found(artifact: Artifact) -> Found:
    return Found(artifact, None if artifact.kind == "factory" else read_contract(artifact))


def _state_kept(found: Sequence[Found]) -> list[Found]:
    """Return all, with the state that goes in and out of some taken away, where others keep it inside."""
    if not any(f.contract is not None and keeps_state(f.contract) for f in found):
        return list(found)
    pairs = [state_pairs(f.contract) if f.contract is not None and f.artifact.kind == "onnx" else {} for f in found]
    return [
        replace(f, contract=without_state(f.contract, p), state=p) if f.contract is not None and p else f
        for f, p in zip(found, pairs, strict=True)
    ]


def _named(found: Sequence[Found]) -> list[Found]:
    """Return the candidates with short names of their own: ``ort``; the file's name where there are several."""
    kinds = [f.artifact.kind for f in found]
    named: list[Found] = []
    taken = {"default", "reference"}
    for f in found:
        short = SHORT.get(f.artifact.kind, "torch")
        name = short if kinds.count(f.artifact.kind) == 1 else _plain(f.artifact.path.stem) or short
        base, n = name, 2
        while name in taken:
            name, n = f"{base}-{n}", n + 1
        taken.add(name)
        named.append(replace(f, name=name))
    return named


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:40]


def _path(artifact: Artifact, folder: Path) -> str:
    """Return the artifact's path relative to ``folder``, or a factory as it is."""
    if artifact.kind == "factory":
        return str(artifact.path)
    return Path(os.path.relpath(artifact.path.absolute(), folder.absolute())).as_posix()


def _head(reference: Found, candidates: Sequence[Found]) -> str:
    path = reference.artifact.path
    stem = path.stem if reference.artifact.kind != "factory" else path.name.partition(":")[0]
    name = _plain(stem) if stem.lower() not in PLAIN_NAMES else _plain(path.absolute().parent.name) or stem
    return "\n".join(
        [
            "# A release: a trusted reference, candidates that must be the same policy, and how to judge that.",
            "# Judge it with `parity run`. Paths are relative to the folder of this file.",
            "",
            "[release]",
            f"name = {toml_string(name or 'release')}",
            "seed = 42",
            "",
        ]
    )


def _precision(contract: Contract | None) -> str | None:
    return contract.precision if contract is not None else None


def _reference(found: Found, folder: Path) -> str:
    return "\n".join(
        [
            "[reference]                # the trusted runner",
            f"runner = {toml_string(RUNNER_OF[found.artifact.kind])}",
            f"path = {toml_string(_path(found.artifact, folder))}",
            *_options(found),
            '# python = "../train/.venv/bin/python"    # run it with another interpreter, one that has its torch',
            "",
        ]
    )


def _candidate(found: Found, reference: Found, folder: Path) -> str:
    own, trusted = _precision(found.contract), _precision(reference.contract) or "float32"
    if own is None:
        precision = ['# precision = "float32"     # default: the reference\'s']
    elif own == trusted:
        precision = [f"precision = {toml_string(own)}"]
    else:
        precision = [
            f"# The graph computes in {toml_string(own)}, the reference in {toml_string(trusted)}.",
            f"precision = {toml_string(own)}     # is that meant? without this line it is a FAIL (PREC001)",
        ]
    return "\n".join(
        [
            "[[candidate]]",
            f"name = {toml_string(found.name)}",
            f"runner = {toml_string(RUNNER_OF[found.artifact.kind])}",
            f"path = {toml_string(_path(found.artifact, folder))}",
            *precision,
            *_options(found),
            "# timeout_s = 120           # seconds that a case may take",
            "",
        ]
    )


def _options(found: Found) -> list[str]:
    """Return the line that tells the runner which state to keep, if any."""
    pairs = ", ".join(f"{toml_key(k)} = {toml_string(v)}" for k, v in found.state.items())
    comment = "     # kept for it between calls: zeros at reset, each output fed back to its input"
    return [f"options = {{state = {{{pairs}}}}}{comment}"] if pairs else []


NO_CANDIDATE = """\
# Nothing to judge yet: name what is to be shipped.
# [[candidate]]
# name = "ort"
# runner = "onnxruntime"
# path = "policy.onnx"
"""

WAIVERS = """\
# A waiver turns one error finding into a shown, waived one, until a date.
# [[waiver]]
# finding = "PREC001"
# candidate = "ort"
# reason = "why this is acceptable"
# owner = "who says so"
# until = 2030-01-31
"""


def _cases(reference: Found) -> str:
    if reference.artifact.kind == "trace":
        return "# [cases] is left out: the cases are those that the trace recorded.\n"
    return "\n".join(
        [
            "# Inputs are made from the contract; these are the defaults.",
            "# [cases]",
            "# nominal = 16               # drawn from the normalizer's statistics, where the artifacts hold any",
            "# edge = true                # range ends, zeros, one feature at a time, ...",
            "# worst = 200                # evaluations of a search for the input that differs most",
            '# inputs = "observations.npz"    # judge on your own observations instead: one array per input',
            "",
        ]
    )


def _budgets(reference: Found, candidates: Sequence[Found]) -> str:
    contract = _joined(reference, candidates)
    output = contract.outputs[0] if contract is not None and contract.outputs else None
    key = toml_key(output.name if output is not None else "action")
    width = output.shape[-1] if output is not None and output.shape else None
    limits = "0.01" if not isinstance(width, int) or width > 32 else "[" + ", ".join(["0.01"] * width) + "]"
    name = toml_key(candidates[0].name if candidates else "ort")
    return "\n".join(
        [
            "# Budgets are derived from measured rounding. For a sign-off, set what the robot can bear, per dimension.",
            f"# [budgets.{name}.{key}]",
            f"# max_abs = {limits}",
            '# units = "rad"              # with units: physical; scale = [...] maps the graph\'s output to them',
            "",
        ]
    )


def _joined(reference: Found, candidates: Sequence[Found]) -> Contract | None:
    known = [f.contract for f in (reference, *candidates) if f.contract is not None]
    return join(known) if known else None


def _adapters(reference: Found, candidates: Sequence[Found]) -> str:
    """Return a section that says what must be decided, where the contracts do not tell how tensors correspond."""
    lines = ["# Where two artifacts name, order or split things differently (names on the left: the candidate's):"]
    contract = _joined(reference, candidates)
    for c in candidates:
        if contract is None or c.contract is None or not c.contract.inputs:
            continue
        try:
            infer_adapter(contract, c.contract)
        except UsageError as e:
            lines += [f"# {toml_string(c.name)}: {_comment(e.message)}"]
            told = (e.remedy or "").replace("<candidate>", toml_key(c.name))
            lines += [f"# {_comment(line)}" for line in told.split("\n")[1:]]
            return "\n".join([*lines, ""])
    name = toml_key(candidates[0].name if candidates else "ort")
    return "\n".join([*lines, f"# [adapter.{name}]", '# rename = {obs = "observation.state"}', ""])


def _comment(text: str) -> str:
    """Return text that may hold names from artifacts as the rest of one comment line."""
    return toml_string(text)[1:-1].replace('\\"', '"')
