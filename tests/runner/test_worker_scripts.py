"""The worker scripts stand alone: old syntax, no import of parity, and no name that shadows a runtime."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import parity.runner
from parity.runner.om import device_source

FOLDER = Path(parity.runner.__file__).parent / "worker"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def test_there_are_scripts() -> None:
    assert {"protocol.py", "run_torch.py", "run_onnxruntime.py", "run_openvino.py"} <= {p.name for p in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_script_is_python_3_8(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))
    newer = {"removeprefix", "removesuffix", "is_relative_to", "file_digest", "readlink", "bit_count", "pairwise"}
    for node in ast.walk(tree):
        assert not isinstance(node, getattr(ast, "Match", ()))
        if isinstance(node, ast.Attribute):
            assert node.attr not in newer, node.attr
        if isinstance(node, ast.keyword):
            assert node.arg not in ("strict", "slots", "kw_only", "encoding_errors"), node.arg
    first = [n for n in tree.body if isinstance(n, ast.ImportFrom)]
    assert script.name == "__init__.py" or first[0].module == "__future__"


def runtime_imports(body: list[ast.stmt]) -> set[str]:
    """The modules imported when the script runs, those under ``if TYPE_CHECKING`` left out."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found |= runtime_imports(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        for part in ("body", "orelse", "finalbody", "handlers"):
            found |= runtime_imports(getattr(node, part, []))
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_script_imports_nothing_of_parity(script: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {p.stem for p in SCRIPTS}
    allowed |= {"numpy", "torch", "onnxruntime", "onnx", "openvino", "lerobot", "diffusers"}
    allowed |= {"acl", "ais_bench"}
    assert runtime_imports(ast.parse(script.read_text(encoding="utf-8")).body) <= allowed


def test_no_file_shadows_a_module() -> None:
    names = {p.stem for p in SCRIPTS}
    assert not names & (
        set(sys.stdlib_module_names) | {"torch", "onnxruntime", "onnx", "numpy", "openvino", "lerobot", "acl"}
    )


def test_what_a_bundle_carries_is_python_3_7_and_stands_alone() -> None:
    ast.parse((FOLDER / "ais_model.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    tree = ast.parse(device_source(), feature_version=(3, 7))
    assert runtime_imports(tree.body) <= set(sys.stdlib_module_names) | {"numpy", "acl"}
    newer = {"removeprefix", "removesuffix", "is_relative_to", "file_digest", "readlink", "prod", "cached_property"}
    assert not newer & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    assert {"AclModel", "AclCalls", "AclError", "check_input"} <= defined
