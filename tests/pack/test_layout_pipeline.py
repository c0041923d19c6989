"""A packed release holds the pipelines of its sides, however they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models import mlp
from parity.pack.layout import lay_out
from policy_folder import policy_folder


@pytest.mark.parametrize("as_table", [False, True])
def test_the_pipeline_is_packed(tmp_path: Path, as_table: bool) -> None:
    mlp(tmp_path / "graph.onnx")
    policy_folder(tmp_path / "deep" / "folder")
    pipeline: Any = {"path": "deep/folder", "mode": "MEAN_STD"} if as_table else "deep/folder"
    table = {"name": "ort", "path": "graph.onnx", "pipeline": pipeline}
    layout = lay_out({"reference": {"path": "graph.onnx", "pipeline": pipeline}, "candidate": [table]}, tmp_path)
    for side in (layout.data["reference"], *layout.data["candidate"]):
        packed = side["pipeline"]["path"] if as_table else side["pipeline"]
        assert any(name.startswith(f"{packed}/") for name in layout.files)
        assert not as_table or side["pipeline"]["mode"] == "MEAN_STD"
