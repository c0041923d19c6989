"""TorchScript files: what can be known without torch and without running them.

Argument names come from the text of the program (``code/``), buffers from ``data.pkl``. Shapes are written nowhere, so
the contract is never complete: they come from a partner artifact, a sibling configuration or the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.archive import Archive
from parity.checkpoint.finite import finite_finding
from parity.checkpoint.pickle import Record
from parity.checkpoint.torch_file import read_zip_payload
from parity.checkpoint.torchscript import torchscript_weights
from parity.checkpoint.weight import Weight
from parity.contract.model import Contract
from parity.contract.roles import input_role, output_roles
from parity.contract.torch_ranges import normalizer_range
from parity.contract.torchscript_code import Signature, class_source, draws_random_numbers, signature
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import TensorSpec

STATE_BUFFERS = re.compile(
    r"(^|[._])(hidden|cell|memory|rnn|lstm|gru|recurrent)_?(state|out)?s?(_\d+)?$|(^|[._])[hc]x$"
)
RESETS = ("reset_memory", "reset", "reset_hidden", "reset_states")
# Modules that compute something else in train mode.
MODE_SENSITIVE = re.compile(r"(Dropout|BatchNorm|InstanceNorm|Dropconnect|DropPath|StochasticDepth)", re.IGNORECASE)
LOWEST = {"float16": "float16", "bfloat16": "bfloat16"}
MAX_MODULES = 100_000


@dataclass(frozen=True, slots=True)
class _Module:
    name: str  # dotted, "" for the root
    kind: str  # the class, such as "__torch__.torch.nn.modules.linear.Linear"
    attributes: Mapping[str, Any]


class TorchScriptReader:
    """Reads TorchScript archives."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is a TorchScript archive."""
        return artifact.kind == "torchscript"

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract of a TorchScript file, with ``complete`` False.

        Raises:
            ArtifactError: truncated, corrupt, or without a module that has a ``forward``.
        """
        archive = Archive(artifact.path)
        root = read_zip_payload(archive).root
        if not isinstance(root, Record) or not root.name.startswith("__torch__."):
            raise ArtifactError(
                f"{artifact.path}: data.pkl holds no TorchScript module",
                expected="a file written by torch.jit.save",
                remedy="if it is a training checkpoint, give the exported policy instead",
            )
        weights = torchscript_weights(archive)
        modules = list(_modules(root))
        source = class_source(archive, root.name)
        forward = signature(source, "forward")
        if forward is None:
            raise ArtifactError(
                f"{artifact.path}: the module {root.name.removeprefix('__torch__.')} has no forward method",
                expected="a policy exported with torch.jit.script or torch.jit.trace",
            )
        state = _state_buffers(weights)
        resets = [name for name in RESETS if signature(source, name) is not None]
        first = _first_layer(weights)
        random = draws_random_numbers(archive)
        epsilons = _epsilons(modules)
        inputs = _inputs(artifact, forward, weights, first, epsilons)
        findings = [*_findings(modules, state, resets, random)]
        findings += [f for f in (finite_finding(weights.values()),) if f is not None]
        return Contract(
            path=artifact.path,
            kind="torchscript",
            inputs=inputs,
            outputs=_outputs(forward),
            complete=False,
            precision=_precision(weights, modules),
            metadata={
                "class": root.name.removeprefix("__torch__."),
                "forward": forward.text,
                "first_layer": first,
                "stateful": sorted(state),
                "reset": resets,
                "training": bool(_attributes(root).get("training")),
                "random_ops": random,
                "parameters": sum(w.size for w in weights.values()),
            },
            findings=tuple(findings),
        )


def module_epsilons(path: Path) -> dict[str, float]:
    """Return what each module of a TorchScript file calls its ``eps``, by the module's name.

    Raises:
        ArtifactError: truncated or corrupt.
    """
    root = read_zip_payload(Archive(path)).root
    return _epsilons(list(_modules(root))) if isinstance(root, Record) else {}


def _epsilons(modules: list[_Module]) -> dict[str, float]:
    return {m.name: m.attributes["eps"] for m in modules if isinstance(m.attributes.get("eps"), float)}


def _attributes(record: Record) -> Mapping[str, Any]:
    return record.state if isinstance(record.state, dict) else {}


def _modules(root: Record) -> Iterator[_Module]:
    """Yield every module of the tree, the root first; one that appears twice is yielded once."""
    pending, seen = [("", root)], {id(root)}
    while pending and len(seen) < MAX_MODULES:
        name, record = pending.pop()
        attributes = _attributes(record)
        yield _Module(name, record.name, attributes)
        for key, value in attributes.items():
            if isinstance(value, Record) and value.name.startswith("__torch__.") and id(value) not in seen:
                seen.add(id(value))
                pending.append((f"{name}.{key}" if name else str(key), value))


def _state_buffers(weights: Mapping[str, Weight]) -> list[str]:
    """Return the names of buffers that hold a recurrent state (``hidden_state``), not an LSTM's weights."""
    return [n for n, w in weights.items() if STATE_BUFFERS.search(n) and len(w.shape) in (1, 2, 3) and w.shape[0] <= 8]


def _first_layer(weights: Mapping[str, Weight]) -> dict[str, Any] | None:
    """Return the first weight matrix or kernel and the input width that it suggests; only a guess."""
    layers = [w for w in weights.values() if len(w.shape) >= 2 and not w.statistics]
    named = [w for w in layers if "weight" in w.name.rpartition(".")[2]]
    recurrent = [w for w in named if w.name.rpartition(".")[2].startswith("weight_ih_l0")]
    if not named:
        return None
    first = recurrent[0] if recurrent else named[0]
    return {"name": first.name, "shape": list(first.shape), "in_features": first.shape[1]}


def _inputs(
    artifact: Artifact,
    forward: Signature,
    weights: Mapping[str, Weight],
    first: dict[str, Any] | None,
    epsilons: Mapping[str, float],
) -> tuple[TensorSpec, ...]:
    specs = []
    for name, kind in forward.arguments:
        role = input_role(name, None, None) if kind.startswith(("Tensor", "Optional[Tensor")) else None
        specs.append(TensorSpec(name, role=role))
    if len(specs) == 1:
        width = None if first is None else int(first["in_features"])
        found = normalizer_range(artifact.path, weights, width, epsilons)
        specs = [replace(specs[0], range=found)]
    return tuple(specs)


def _outputs(forward: Signature) -> tuple[TensorSpec, ...]:
    """Return the outputs as the torch runner names them (``output_0``); a dict's keys are known only when it runs."""
    parts = forward.returned
    return output_roles([TensorSpec(f"output_{i}") for i, kind in enumerate(parts) if kind.startswith("Tensor")])


def _precision(weights: Mapping[str, Weight], modules: list[_Module]) -> str | None:
    """Return the lowest class that weights are stored in; what the program casts to is found when it runs."""
    if any(".quantized." in m.kind for m in modules):
        return "int8"
    floats = [w.dtype for w in weights.values() if w.dtype in ("float32", "float64", "float16", "bfloat16")]
    if not floats:
        return None
    order = ("float32", "float16", "bfloat16")
    return max((LOWEST.get(d, "float32") for d in floats), key=order.index)


def _findings(modules: list[_Module], state: list[str], resets: list[str], random: list[str]) -> Iterator[Finding]:
    active = [m.name or "the module" for m in modules if m.attributes.get("training") and MODE_SENSITIVE.search(m.kind)]
    if active:
        yield Finding(
            "TORCH001",
            "warning",
            f"Saved in train mode, with layers that then compute something else: {', '.join(active[:3])}.",
            where=active[0],
            evidence={"modules": active},
            remedy="call .eval() before torch.jit.script or torch.jit.trace, and export again",
        )
    if state:
        how = f"reset by {resets[0]}()" if resets else "and no method resets it"
        yield Finding(
            "TORCH002",
            "info" if resets else "warning",
            f"The policy keeps state between calls ({', '.join(state)}), {how}.",
            where=state[0],
            evidence={"buffers": state, "reset": resets},
        )
    if random:
        yield Finding(
            "TORCH003",
            "warning",
            f"The program draws random numbers ({', '.join(random)}): the same input gives different outputs.",
            evidence={"ops": random},
            remedy="export with the noise as an input",
        )


READER = TorchScriptReader()
