"""Paths as the user gave them: where a text names a file below the release's folder, the folder's own path is left out.

A report is mailed and compared: it must not tell where a release lay on one machine, and must not depend on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.finding import Finding

Show = Callable[[Any], Any]


def relative_to(root: Path) -> Show:
    """Return a function that gives plain data back with ``root`` left out of every text in it; keys stay as they are.

    ``/x/broken/../a.onnx`` becomes ``../a.onnx`` below ``/x/broken``. Nothing is left out where ``root`` is ``/``.
    """
    if len(root.parts) < 2:
        return lambda value: value
    pattern = re.compile(rf"(?<![\w./-]){re.escape(str(root))}(/|(?![\w./-]))")

    def short(text: str) -> str:
        return pattern.sub(lambda found: "" if found[1] else ".", text) if str(root) in text else text

    def show(value: Any) -> Any:
        if isinstance(value, str):
            return short(value)
        if isinstance(value, Mapping):
            return {k: show(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [show(v) for v in value]
        return value

    return show


def shown(finding: Finding, show: Show) -> Finding:
    """Return a finding with the texts in which a path may stand as ``show`` gives them."""
    texts = {k: show(getattr(finding, k)) for k in ("title", "where", "detail", "evidence", "remedy")}
    return replace(finding, **texts)
