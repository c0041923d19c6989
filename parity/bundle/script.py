"""Joins the parts of `parity/bundle/device/` and a model's source into one readable script.

Every part is plain Python that is checked where it lies; here imports of parity fall away, the others come first, once.
"""

from __future__ import annotations

import ast
from collections import Counter
from importlib.resources import files

from parity.bundle.manifest import SCRIPT
from parity.errors import ArtifactError

MODELS = {
    "onnx": ("bundle/device/ort_model.py",),
    "om": (
        "runner/worker/acl_calls.py",
        "runner/worker/acl_arrays.py",
        "runner/worker/acl_model.py",
        "runner/worker/ais_model.py",
        "bundle/device/om_model.py",
    ),
}
AROUND = ("running.py", "dumping.py", "main.py")
HEAD = '''#!/usr/bin/env python3
"""Runs the cases of a parity bundle on this machine and brings back a zip of what came out.

    python3 -m zipfile -e BUNDLE.zip bundle     # on the device; `unzip` does as well
    python3 bundle/{script} -o results.zip

Needs Python 3.7 or newer, NumPy, and {runtime}.
Nothing is installed and nothing is changed. Every file is checked against manifest.json, every array by name, element
type and exact size; the first cases run twice. Then take the zip back and say `parity capture results.zip` there.
The parts below are those of parity itself, joined to one file.
"""

from __future__ import annotations

'''
NUMPY = (
    "try:",
    "    import numpy as np",
    "except ImportError:",
    '    sys.exit("STOPPED: NumPy is not installed for " + sys.executable + ": use a Python that has it")',
)
RUNTIMES = {"onnx": "onnxruntime", "om": "acl (pyACL of CANN) or ais_bench"}


def script_for(kind: str) -> bytes:
    """Return `run_on_device.py` for an artifact of ``kind``.

    Raises:
        ArtifactError: there is none for it.
    """
    if kind not in MODELS:
        raise ArtifactError(f"no script runs a file of kind {kind!r} on a device", expected=", ".join(MODELS))
    parts = ("bundle/device/files.py", *MODELS[kind], *(f"bundle/device/{part}" for part in AROUND))
    sources = [files("parity").joinpath(part).read_text(encoding="utf-8") for part in parts]
    return joined(sources, HEAD.format(script=SCRIPT, runtime=RUNTIMES[kind])).encode("utf-8")


def joined(sources: list[str], head: str) -> str:
    """Return the sources as one: ``head``, all imports but those of parity, then what is left of each.

    Raises:
        ValueError: two of them define the same name.
    """
    imports: list[ast.Import | ast.ImportFrom] = []
    bodies: list[str] = []
    defined: list[str] = []
    for source in sources:
        lines = source.splitlines()
        tree = ast.parse(source)
        title = ast.get_docstring(tree) or ""
        for node in tree.body:
            imported = isinstance(node, ast.Import | ast.ImportFrom)
            if imported or (node is tree.body[0] and title) or _for_types(node):
                assert node.end_lineno is not None
                lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
                imports += [node] if isinstance(node, ast.Import | ast.ImportFrom) else []
            else:
                defined += _names(node)
        bodies.append(f"# --- {title.splitlines()[0] if title else ''}\n\n\n" + "\n".join(lines).strip("\n"))
    twice = [name for name, count in Counter(defined).items() if count > 1]
    if twice:
        raise ValueError(f"two parts of the script define {', '.join(twice)}")
    return head + "\n".join(_imports(imports)) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"


def _imports(nodes: list[ast.Import | ast.ImportFrom]) -> list[str]:
    """Return the lines that import what the parts import, each once; parity's own names stand in the file itself."""
    whole = {f"import {alias.name}" for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(("parity", "__future__")):
            names.setdefault(node.module, set()).update(a.name for a in node.names if a.name != "TYPE_CHECKING")
    parts = [f"from {module} import {', '.join(sorted(found))}" for module, found in names.items() if found]
    standard = sorted(line for line in whole if "numpy" not in line) + sorted(parts)
    return [*standard, "", *NUMPY]


def _for_types(node: ast.stmt) -> bool:
    """Whether it is ``if TYPE_CHECKING``, whose either branch imports what stands in the same file here."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [t.id for t in targets if isinstance(t, ast.Name)]
