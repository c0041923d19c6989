"""What an exporter wrote, made fit to be shipped: read back and checked, without paths, with its data inside.

Facts about the exporters of torch 2.13: asked for opset 17, the dynamo exporter may write 18 without a word, or an
invalid graph; it writes a ``.data`` file beside the smallest model; its nodes carry stack traces with absolute paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.errors import ArtifactError, RunnerError
from parity.finding import Finding

MAX_INSIDE = (1 << 31) - (64 << 20)  # bytes that a protobuf message may have, less what the graph takes
_SCOPES, _TRACE = "pkg.torch.onnx.name_scopes", ("stack_trace", "fx_node")
_ABSOLUTE = re.compile(r"(/[^\s\"':,;()<>]+){2,}|[A-Za-z]:\\[^\s\"']+")


@dataclass(frozen=True, slots=True)
class Finished:
    """The graph as it is stored: its files, its opset, and what is to be said of it."""

    files: tuple[Path, ...]
    opset: int
    scopes: dict[str, str]
    findings: tuple[Finding, ...]


def finish(raw: Path, target: Path, *, opset: int, prefix: str, metadata: dict[str, str]) -> Finished:
    """Read back the model at ``raw``, check and clean it, and store it at ``target``.

    Raises:
        RunnerError: the exporter wrote an invalid graph, or another opset than the one that was asked for.
    """
    import onnx

    model = _read(raw)
    wrote = next((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if wrote != opset:
        raise RunnerError(
            f"asked for opset {opset}, the exporter wrote opset {wrote}; nothing was stored",
            remedy=f"say --opset {wrote}, or use the other exporter",
        )
    scopes = dict(_scopes(model.graph, prefix))
    findings = tuple(_strip(model))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    data = sum(len(t.raw_data) for t in model.graph.initializer)
    if data > MAX_INSIDE:
        beside = target.name + ".data"
        onnx.save_model(model, target, save_as_external_data=True, location=beside, size_threshold=1024)
        files: tuple[Path, ...] = (target, target.with_name(beside))
    else:
        onnx.save_model(model, target)
        files = (target,)
    try:
        onnx.checker.check_model(str(target), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as e:
        for file in files:
            file.unlink(missing_ok=True)
        text = " ".join(str(e).split())[:400]
        raise RunnerError(
            f"the exporter wrote an invalid graph: {text}", remedy="use the other exporter, or another opset"
        ) from None
    return Finished(files, wrote, scopes, findings)


def _read(raw: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    try:
        return onnx.load(raw)  # with the external data, which lies in the same folder
    except (OSError, DecodeError, ValueError) as e:
        raise ArtifactError(f"what the exporter wrote cannot be read back: {e}") from None


def _scopes(graph: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield (value name, module) for each value that a module computed: ``down.0.conv`` for what its convolution gave.

    The TorchScript exporter writes the modules into the names of its nodes (``/down/down.0/conv/Conv``), dynamo into
    their metadata.
    """
    for node in graph.node:
        scope = _from_metadata(node) or _from_name(node.name)
        scope = scope.removeprefix(prefix).lstrip(".") if prefix and scope.split(".")[0] == prefix else scope
        for output in node.output:
            if output and scope:
                yield output, scope


def _from_metadata(node: Any) -> str:
    text = next((p.value for p in node.metadata_props if p.key == _SCOPES), "")
    parts = re.findall(r"'([^']*)'", text)
    return parts[-2] if len(parts) > 1 else ""  # the last is the operation's own name


def _from_name(name: str) -> str:
    """Return the module's path from a node's name, such as ``/unet/down/down.0/conv/Conv`` of ``unet.down.0.conv``.

    A child of a list is called by its parent's name and its number.
    """
    steps = [p for p in name.split("/") if p]
    if not name.startswith("/") or len(steps) < 2:
        return ""
    path: list[str] = []
    for step in steps[:-1]:
        if path and step.startswith(path[-1] + "."):
            path[-1] = step
        else:
            path.append(step)
    return ".".join(path)


def _strip(model: Any) -> Iterator[Finding]:
    """Take away what tells of the machine: texts for people, stack traces, paths in metadata."""
    taken = 0
    for graph in _graphs(model.graph):
        graph.doc_string = ""
        for node in graph.node:
            taken += bool(node.doc_string and _ABSOLUTE.search(node.doc_string))
            node.doc_string = ""
            kept = [p for p in node.metadata_props if not p.key.endswith(_TRACE)]
            taken += len(kept) < len(node.metadata_props)
            kept = [(p.key, p.value) for p in kept if not _ABSOLUTE.search(p.value)]
            del node.metadata_props[:]
            for key, value in kept:
                node.metadata_props.add(key=key, value=value)
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.doc_string = ""
    for function in model.functions:
        function.doc_string = ""
    model.doc_string = ""
    if taken:
        yield Finding(
            "EXPT004",
            "info",
            f"{taken} nodes told of files on the exporting machine; that was taken away.",
            evidence={"nodes": taken},
        )


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield the graph and those inside its nodes (If, Loop, Scan)."""
    pending = [graph]
    while pending:
        at = pending.pop()
        yield at
        pending += [a.g for n in at.node for a in n.attribute if a.HasField("g")]
        pending += [g for n in at.node for a in n.attribute for g in a.graphs]


def scopes_text(finished: Finished) -> bytes:
    """Return the side file that says which module each value comes from, for tools that drop names or metadata."""
    return json.dumps({"schema": 1, "opset": finished.opset, "scopes": finished.scopes}, indent=1).encode() + b"\n"
