"""``.pt2`` files of torch.export, read from their JSON without torch: inputs, outputs, shapes, state, precision.

``models/model.json`` (torch 2.8 and later) or ``serialized_exported_program.json`` (before) hold the graph with the
type of every tensor; see ``torch/_export/serde/schema.py`` of torch 2.13, schema version 8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from parity.artifact import Artifact
from parity.checkpoint.archive import Archive
from parity.checkpoint.finite import finite_finding
from parity.checkpoint.pt2 import REMEDY, SCALAR_TYPES, read_json, read_pt2_weights
from parity.contract.model import Contract
from parity.contract.roles import input_role, output_roles
from parity.contract.torch_ranges import normalizer_range
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Dim, Shape, TensorSpec

_SYMBOL = re.compile(r"^(?:Symbol\('(\w{1,40})'|(\w{1,40})$)")
_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "poisson", "exponential", "uniform")
_ORDER = ("float32", "float16", "bfloat16", "int8")


class Pt2Reader:
    """Reads exported programs of torch.export."""

    rank = 10

    def matches(self, artifact: Artifact) -> bool:
        """Whether the artifact is a ``.pt2`` archive."""
        return artifact.kind == "pt2"

    def read(self, artifact: Artifact) -> Contract:
        """Return the contract of an exported program.

        Raises:
            ArtifactError: truncated, corrupt, several programs in one file, or JSON that is no exported program.
        """
        archive = Archive(artifact.path)
        program = read_json(archive, _program(archive))
        try:
            return _contract(artifact, program)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError) as e:
            raise ArtifactError(
                f"{artifact.path}: the exported program is described in a way that parity does not know ({e!r})"[:500],
                expected="the format of torch 2.5 to 2.13",
                remedy=REMEDY,
            ) from None


def _program(archive: Archive) -> str:
    models = [n for n in archive.names if "/models/" in n and n.endswith(".json")]
    old = [n for n in archive.names if n.rpartition("/")[2] == "serialized_exported_program.json"]
    found = models or old
    if len(found) != 1:
        raise ArtifactError(
            f"{archive.path}: {len(found) or 'no'} exported programs in the archive", expected="one", remedy=REMEDY
        )
    return found[0]


def _contract(artifact: Artifact, program: dict[str, Any]) -> Contract:
    module = program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    values = graph["tensor_values"]
    described = [s["buffer"] for s in signature["input_specs"] if "buffer" in s]
    buffers = {b["arg"]["name"]: b["buffer_name"] for b in described}
    mutated = _mutated(signature, graph["nodes"], buffers)
    weights = {} if _is_old(artifact) else read_pt2_weights(artifact.path)
    inputs = list(_inputs(signature, values))
    if len(inputs) == 1:
        width = inputs[0].shape[-1] if inputs[0].shape else None
        known = width if isinstance(width, int) else None
        found = normalizer_range(artifact.path, weights, known, _epsilons(graph["nodes"], buffers))
        inputs = [TensorSpec(inputs[0].name, inputs[0].shape, inputs[0].dtype, inputs[0].role, range=found)]
    outputs = output_roles(list(_outputs(module, signature, values)))
    random = sorted({n["target"] for n in graph["nodes"] if _draws(n)})
    findings = [*_findings(mutated, random, graph["nodes"])]
    findings += [f for f in (finite_finding(weights.values()),) if f is not None]
    return Contract(
        path=artifact.path,
        kind="pt2",
        inputs=tuple(inputs),
        outputs=outputs,
        complete=bool(inputs) and all(t.shape is not None for t in (*inputs, *outputs)),
        precision=_precision(values, graph["nodes"]),
        metadata={
            "torch_version": str(program.get("torch_version", "")),
            "schema_version": program.get("schema_version"),
            "opset_version": program.get("opset_version"),
            "range_constraints": program.get("range_constraints"),
            "stateful": mutated,
            "random_ops": random,
            "parameters": sum(w.size for w in weights.values()),
        },
        findings=tuple(findings),
    )


def _mutated(signature: Mapping[str, Any], nodes: list[dict[str, Any]], buffers: Mapping[str, str]) -> list[str]:
    """Return the buffers that a call changes: told by the signature, or written to by an operator in place."""
    told = [s["buffer_mutation"]["buffer_name"] for s in signature["output_specs"] if "buffer_mutation" in s]
    for node in nodes:
        operator = str(node["target"]).removeprefix("torch.ops.aten.").partition(".")[0]
        if operator.endswith("_") and node["inputs"]:
            name = node["inputs"][0]["arg"].get("as_tensor", {}).get("name", "")
            told += [buffers[name]] if name in buffers else []
    return list(dict.fromkeys(told))


def _is_old(artifact: Artifact) -> bool:
    return any("serialized_state_dict" in n for n in Archive(artifact.path).names)


def _inputs(signature: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[TensorSpec]:
    for spec in signature["input_specs"]:
        argument = spec["user_input"]["arg"] if "user_input" in spec else {}
        if "as_tensor" in argument:
            name = argument["as_tensor"]["name"]
            shape, dtype = _typed(values[name])
            yield TensorSpec(name, shape, dtype, input_role(name, shape, dtype))


def _outputs(
    module: Mapping[str, Any], signature: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[TensorSpec]:
    """Yield the outputs, called as the policy's own dict calls them, else ``output_0`` and so on."""
    specs = [s["user_output"]["arg"] for s in signature["output_specs"] if "user_output" in s]
    tensors = [a["as_tensor"]["name"] for a in specs if "as_tensor" in a]
    keys = _output_keys(module)
    names = keys if len(keys) == len(tensors) else [f"output_{i}" for i in range(len(tensors))]
    for name, tensor in zip(names, tensors, strict=True):
        shape, dtype = _typed(values[tensor])
        yield TensorSpec(name, shape, dtype)


def _output_keys(module: Mapping[str, Any]) -> list[str]:
    """Return the keys of a dict that the program returns, if it returns one of tensors."""
    for call in module["module_call_graph"]:
        if call["fqn"] == "" and call["signature"]:
            tree = json.loads(call["signature"]["out_spec"])[1]
            flat = all(not child["children_spec"] for child in tree["children_spec"])
            if tree["type"] == "builtins.dict" and flat:
                return [str(k) for k in json.loads(tree["context"])]
    return []


def _typed(value: Mapping[str, Any]) -> tuple[Shape, str | None]:
    return tuple(_dim(s) for s in value["sizes"]), SCALAR_TYPES.get(value["dtype"])


def _dim(size: Mapping[str, Any]) -> Dim:
    if "as_int" in size:
        return int(size["as_int"])
    text = str(size["as_expr"]["expr_str"])
    symbol = _SYMBOL.match(text)
    return (symbol[1] or symbol[2]) if symbol and ("*" not in text and "+" not in text) else text[:80]


def _epsilons(nodes: list[dict[str, Any]], buffers: Mapping[str, str]) -> dict[str, float]:
    """Return what is added to a normalizer's standard deviation, by the module's name."""
    found = {}
    for node in nodes:
        args = [i["arg"] for i in node["inputs"]]
        if node["target"].startswith("torch.ops.aten.add") and len(args) > 1 and "as_float" in args[1]:
            name = buffers.get(args[0].get("as_tensor", {}).get("name", ""))
            if name is not None:
                found[name.rpartition(".")[0]] = float(args[1]["as_float"])
    return found


def _draws(node: Mapping[str, Any]) -> bool:
    name = str(node["target"]).removeprefix("torch.ops.aten.")
    if name.startswith(("dropout", "native_dropout")):
        return any(i["arg"].get("as_bool") is True for i in node["inputs"])
    return name.startswith(_RANDOM)


def _precision(values: Mapping[str, Any], nodes: list[dict[str, Any]]) -> str:
    """Return the lowest class of any float tensor in the program, weights included; int8 where operators quantize."""
    if any("quantize" in n["target"] or "_int_mm" in n["target"] for n in nodes):
        return "int8"
    found = {d for d in (SCALAR_TYPES.get(v["dtype"], "") for v in values.values()) if "float" in d}
    classes = {"int8" if d.startswith("float8") else d for d in found}
    return max((c for c in classes if c in _ORDER), key=_ORDER.index, default="float32")


def _findings(mutated: list[str], random: list[str], nodes: list[dict[str, Any]]) -> Iterator[Finding]:
    training = [
        n["name"] if n.get("name") else n["target"]
        for n in nodes
        if "batch_norm" in n["target"]
        and any(i["name"] in ("training", "train") and i["arg"].get("as_bool") is True for i in n["inputs"])
    ]
    if training:
        yield Finding(
            "TORCH001",
            "warning",
            f"Exported in train mode: {len(training)} batch normalizations use the batch at hand.",
            where=training[0],
            evidence={"modules": training},
            remedy="call .eval() before torch.export.export, and export again",
        )
    if mutated:
        yield Finding(
            "TORCH002",
            "info",
            f"The policy keeps state between calls ({', '.join(mutated)}).",
            where=mutated[0],
            evidence={"buffers": mutated, "reset": []},
        )
    if random:
        yield Finding(
            "TORCH003",
            "warning",
            f"The program draws random numbers ({', '.join(random)}): the same input gives different outputs.",
            evidence={"ops": random},
            remedy="export in eval mode, with the noise as an input",
        )


READER = Pt2Reader()
