"""`parity inspect` of OMs with what they should be: names, order, dtypes, sizes, tools; right pairs are silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiled_om import compiled
from models import mlp
from om_writer import Port
from parity.cli import main
from parity.report.schema import validate

OBS, ACTION = Port("obs", (1, 6)), Port("out:0:action", (1, 3), source="out:0")
TOOLS = {"soc_version": "Ascend310P3", "atc_cmdline": "atc --model=policy.onnx --framework=5"}


def om(path: Path, *inputs: Port, outputs: tuple[Port, ...] = (ACTION,), **more: Any) -> Path:
    return compiled(path, {}, inputs=inputs or (OBS,), outputs=outputs, **({"attributes": TOOLS} | more))


def inspected(
    capsys: pytest.CaptureFixture[str], *files: Path, strict: bool = False
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return the exit code, the document, and the severity of what the pair disagrees in, by code."""
    code = main(["inspect", *map(str, files), "--json", "-", *(["--strict"] if strict else [])])
    document = json.loads(capsys.readouterr().out)
    validate(document, "inspect")
    between = [d for d in document["disagreements"] if d["severity"] != "info"]
    found = {d["code"]: d["severity"] for d in between}
    return code, document, found | {f["code"]: f["severity"] for f in document["findings"] if f["code"] >= "OM030"}


@pytest.mark.parametrize("batch", [1, "batch"])
def test_a_right_pair_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int | str) -> None:
    """The output reads ``<last node>:<index>:<name>`` in the OM, and is the same tensor."""
    onnx = mlp(tmp_path / "policy.onnx", batch=batch)
    for pair in ((onnx, om(tmp_path / "policy.om")), (tmp_path / "policy.om", onnx)):
        code, document, found = inspected(capsys, *pair, strict=True)
        assert (code, found) == (0, {}), document["reasons"]
    assert [t["name"] for t in document["artifacts"][0]["outputs"]] == ["action"]


@pytest.mark.parametrize(
    ("wrong", "codes"),
    [
        ({"outputs": (Port("out:0:action", (1, 3), "int32", source="out:0"),)}, {"INSP007": "error"}),
        ({"outputs": (Port("out:0:action", (1, 3), "float16", source="out:0"),)}, {"INSP007": "warning"}),
        ({"outputs": (Port("out:0:action", (1, 4), source="out:0"),)}, {"INSP005": "error"}),
        ({"inputs": (Port("obs", (1, 6), "int32"),)}, {"INSP007": "error", "OM037": "warning"}),
        ({"inputs": (Port("obs", (1, 8)),)}, {"INSP005": "error", "OM037": "warning"}),
        ({"inputs": (Port("obs", (3, 6)),)}, {"INSP006": "error", "OM037": "warning"}),
        ({"inputs": (OBS, Port("extra", (1, 2)))}, {"INSP001": "error"}),
    ],
)
def test_what_is_wrong_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], codes: dict[str, str]
) -> None:
    onnx = mlp(tmp_path / "policy.onnx")
    ports = wrong.pop("inputs", (OBS,))
    model = om(tmp_path / "policy.om", *ports, **wrong)
    for pair in ((onnx, model), (model, onnx)):
        code, _, found = inspected(capsys, *pair)
        assert (code, found) == (0, codes)
    errors = "error" in codes.values() or "INSP007" in codes
    assert inspected(capsys, onnx, model, strict=True)[0] == (1 if errors else 0)


def test_gears_and_the_model_that_it_was_compiled_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = mlp(tmp_path / "newer.onnx", batch="batch")
    ports = {"outputs": (Port("out:0:action", (-1, 3), source="out:0"),), "gears": ("batch", ((1,), (8,)))}
    code, document, found = inspected(capsys, onnx, om(tmp_path / "p.om", Port("obs", (-1, 6)), **ports))
    assert (code, found) == (0, {"OM032": "info", "OM042": "info"})
    titles = {f["code"]: f["title"] for f in document["findings"]}
    assert "batches of 1, 8 only" in titles["OM032"]
    assert "policy.onnx" in titles["OM042"]


def test_two_oms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = om(tmp_path / "a.om")
    assert inspected(capsys, one, om(tmp_path / "b.om"), strict=True)[::2] == (0, {})
    other = om(tmp_path / "c.om", attributes={**TOOLS, "soc_version": "Ascend910B4"})
    assert inspected(capsys, one, other)[2] == {"OM041": "warning"}


@pytest.mark.corpus
def test_two_real_builds_of_one_policy_give_other_numbers(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = corpus / "om/a3c_pong_v1.om", corpus / "om/a3c_pong_v2.om"
    code, document, found = inspected(capsys, *pair, strict=True)
    assert (code, found) == (1, {"INSP007": "error"})
    assert document["disagreements"][0]["values"] == ["float32", "int32"]
    for file in ("a3c_pong_v1.om", "vae_hh.om", "ddnet_out.om"):
        assert inspected(capsys, corpus / "om" / file, corpus / "om" / file)[2] == {}
