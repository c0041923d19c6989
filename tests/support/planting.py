"""Plants a fault in a copy of a real artifact: keys renamed, numbers changed, JSON edited, a graph's nodes bypassed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parity.checkpoint.safetensors import open_safetensors
from tensor_files import save_tensors

Arrays = dict[str, Any]
PRE, POST = "policy_preprocessor.json", "policy_postprocessor.json"


def copy(source: Path, to: Path) -> Path:
    """Return a copy of a policy's folder, or of one file."""
    target = to / source.name
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target


def state_files(folder: Path) -> list[Path]:
    """Return the state files of a folder's normalizers, the preprocessor's first."""
    return sorted(folder.glob("*normalizer_processor.safetensors"), key=lambda p: "post" in p.name)


def edit_tensors(file: Path, change: Callable[[Arrays], None]) -> None:
    """Change the tensors of a safetensors file in place; all of them become float32."""
    opened = open_safetensors(file)
    arrays = {name: np.array(opened.read(name, as_float32=True)) for name in opened.names}
    change(arrays)
    save_tensors(file, arrays)


def edit_json(file: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")


def renamed(renames: Mapping[str, str]) -> Callable[[Arrays], None]:
    """Return a change that renames features: ``{"action": "so100.buffer.action"}``."""

    def change(arrays: Arrays) -> None:
        for name in list(arrays):
            feature, _, statistic = name.rpartition(".")
            if feature in renames:
                arrays[f"{renames[feature]}.{statistic}"] = arrays.pop(name)

    return change


def normalizer_of(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a processor's normalizer."""
    step = next(s for s in processor["steps"] if "normalizer" in s["registry_name"])
    config: dict[str, Any] = step["config"]
    return config


def without_normalizer(processor: Any) -> None:
    """Take the normalizer out of a processor's steps."""
    processor["steps"] = [s for s in processor["steps"] if "normalizer" not in s["registry_name"]]


def bypassed(source: Path, to: Path, *, drop: bool) -> Path:
    """Write a graph whose first layer takes the raw observation: Sub and Div are dropped, or left without a reader."""
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    sub = next(n for n in graph.node if n.op_type == "Sub")
    div = next(n for n in graph.node if n.op_type == "Div" and sub.output[0] in n.input)
    raw = sub.input[0]
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == div.output[0]:
                node.input[i] = raw
    if drop:
        gone = {sub.input[1], *(n for n in div.input if n != sub.output[0])}
        graph.node.remove(sub)
        graph.node.remove(div)
        kept = [i for i in graph.initializer if i.name not in gone]
        del graph.initializer[:]
        graph.initializer.extend(kept)
    onnx.save(model, str(to))
    return to
