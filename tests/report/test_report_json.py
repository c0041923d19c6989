from __future__ import annotations

import datetime as dt
import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.errors import ArtifactError, OutputError, UsageError
from parity.report import json_file
from parity.report.json_file import encode, plain, read_json, write_json
from parity.report.schema import load_schema, validate
from parity.verdict import Verdict

Build = Callable[..., dict[str, Any]]


def test_reads_back_what_it_wrote(build: Build, tmp_path: Path) -> None:
    for verdict in ("PASS", "FAIL", "NOT_JUDGED"):
        write_json(build(verdict), tmp_path / "report.json")
        assert read_json(tmp_path / "report.json") == build(verdict)


def test_same_report_same_bytes_in_the_order_of_the_schema(build: Build) -> None:
    assert encode(build("FAIL")) == encode(build("FAIL"))
    assert list(json.loads(encode(build("FAIL"))))[:4] == ["schema", "verdict", "reasons", "release"]


def test_every_comparison_has_its_own_line(large: dict[str, Any]) -> None:
    encoded = encode(large).decode()
    lines = encoded.splitlines()
    assert sum(line.startswith('  {"id": "ort/graph/') for line in lines) == 10_000
    found = json.loads(encoded)
    assert found["comparisons"][1000]["max_abs"] == "NaN"
    assert found["comparisons"][1001]["max_abs"] == 1.2e-7
    validate({**found, "comparisons": found["comparisons"][:1100]})  # the others are made alike


def test_numbers_that_are_not_finite_are_strings_and_numpy_is_plain() -> None:
    values = {
        "nan": math.nan,
        "list": [math.inf, -math.inf, 1.5],
        "scalar": np.float32(0.5),
        "nan32": np.float32("nan"),
        "int": np.int64(3),
        "flag": np.bool_(True),
        "array": np.array([[1.0, np.nan]]),
        "tuple": (1, 2),
        "verdict": Verdict.PASS,
        "path": Path("a/b"),
        "date": dt.date(2026, 12, 31),
        3: None,
    }
    found = json.loads(encode({"values": values, "rows": [{"x": np.float64("inf")}, {"x": (1.0, np.float32(2))}]}))
    assert found["values"] == {
        "nan": "NaN",
        "list": ["Infinity", "-Infinity", 1.5],
        "scalar": 0.5,
        "nan32": "NaN",
        "int": 3,
        "flag": True,
        "array": [[1.0, "NaN"]],
        "tuple": [1, 2],
        "verdict": "PASS",
        "path": "a/b",
        "date": "2026-12-31",
        "3": None,
    }
    assert found["rows"] == [{"x": "Infinity"}, {"x": [1.0, 2.0]}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_plain_data_is_strict_json(document: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(encode(document).decode("utf-8"), parse_constant=refuse) == plain(document)


def test_what_has_no_form_in_json_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="object has no form"):
        encode({"x": object()})


def test_hostile_text_survives_as_data(hostile: dict[str, Any], tmp_path: Path) -> None:
    write_json(hostile, tmp_path / "report.json")
    assert read_json(tmp_path / "report.json") == hostile
    assert b"\x1b" not in (tmp_path / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not readable as JSON"),
        ("{", "not readable as JSON"),
        ("[1]", "holds a list"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"schema": 1, "verdict": "FAIL", "verdict": "PASS"}', "same key"),
        ('{"schema": NaN}', "not readable as JSON"),
        ("{}", "no report of parity"),
        ('{"schema": true}', "no report of parity"),
        ('{"schema": "1"}', "no report of parity"),
        ('{"schema": 1}', "without verdict"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ArtifactError, match=words):
        read_json(tmp_path / "report.json")


def test_unreadable_files_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(ArtifactError, match=r"report\.json"):
        read_json(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ArtifactError, match="not readable as JSON"):
        read_json(tmp_path / "bytes.json")
    monkeypatch.setattr(json_file, "MAX_BYTES", 10)
    (tmp_path / "big.json").write_text(" " * 11)
    with pytest.raises(ArtifactError, match="11 bytes"):
        read_json(tmp_path / "big.json")


def test_a_newer_schema_is_a_usage_error(build: Build, tmp_path: Path) -> None:
    write_json(build(schema=2), tmp_path / "report.json")
    with pytest.raises(UsageError, match="schema version 2"):
        read_json(tmp_path / "report.json")


def _edit(report: dict[str, Any], how: str, entry: Build, statement: Build) -> dict[str, Any]:
    report["verdict"] = "PASS"
    match how:
        case "failed comparison":
            report["comparisons"].append(entry(case="edge-0001", verdict="FAIL"))
        case "unjudged comparison":
            report["comparisons"].append(entry(case="edge-0001", verdict="NOT_JUDGED"))
        case "failed candidate":
            report["candidates"][0]["verdict"] = "FAIL"
        case "failed measure":
            report["measures"][0]["verdict"] = "FAIL"
        case "nothing":
            report["comparisons"], report["measures"] = [], []
        case "error finding":
            report["findings"].append(statement())
        case "waived NaN":
            report["comparisons"].append(entry(case="edge-0001", verdict="FAIL", fault="nan"))
            report["findings"].append(statement("DIFF001", where="action", waived="seen"))
        case "waived, of another candidate":
            report["comparisons"].append(entry(case="edge-0001", verdict="FAIL", fault="budget"))
            report["findings"].append(statement("DIFF001", where="action", candidate="om", waived="seen"))
    return report


@pytest.mark.parametrize(
    "how",
    [
        "failed comparison",
        "unjudged comparison",
        "failed candidate",
        "failed measure",
        "nothing",
        "error finding",
        "waived NaN",
        "waived, of another candidate",
    ],
)
def test_a_pass_that_its_entries_do_not_support_is_refused(
    build: Build, entry: Build, statement: Build, tmp_path: Path, how: str
) -> None:
    write_json(_edit(build("PASS"), how, entry, statement), tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="says PASS, but its own entries say"):
        read_json(tmp_path / "report.json")


def test_not_judged_cannot_hide_a_fail(build: Build, tmp_path: Path) -> None:
    write_json({**build("FAIL"), "verdict": "NOT_JUDGED"}, tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="says NOT_JUDGED, but its own entries say FAIL"):
        read_json(tmp_path / "report.json")


def test_going_over_budget_may_be_waived(build: Build, entry: Build, statement: Build, tmp_path: Path) -> None:
    report = build("PASS")
    report["comparisons"].append(entry(case="edge-0001", verdict="FAIL", fault="budget"))
    report["findings"].append(statement("DIFF001", where="action", waived="known (me, until 2026-12-31)"))
    write_json(report, tmp_path / "report.json")
    assert read_json(tmp_path / "report.json")["verdict"] == "PASS"


def test_an_unknown_verdict_is_refused(build: Build, tmp_path: Path) -> None:
    report = build("PASS")
    report["comparisons"][0]["verdict"] = "OK"
    write_json(report, tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="'OK'"):
        read_json(tmp_path / "report.json")
    report = build("PASS", comparisons=["x"])
    write_json(report, tmp_path / "report.json")
    with pytest.raises(ArtifactError, match="`comparisons` is no list of objects"):
        read_json(tmp_path / "report.json")


def test_an_earlier_file_stays_where_a_new_one_cannot_be_written(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.json"
    write_json(build("FAIL"), target)
    before = target.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_json(build("PASS"), target)
    assert "free space" in str(caught.value)
    assert caught.value.exit_code == 3
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


# --- the JSON Schemas ---------------------------------------------------------------------------------------------


def test_the_schemas_are_schemas() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(load_schema("report"))
    Draft202012Validator.check_schema(load_schema("inspect"))
    Draft202012Validator.check_schema(load_schema("stats"))


def test_reports_fit_the_schema(build: Build, hostile: dict[str, Any]) -> None:
    for verdict in ("PASS", "FAIL", "NOT_JUDGED"):
        validate(plain(build(verdict)))
    validate(json.loads(encode(hostile)))
    validate(plain(build("PASS", added="later")))


def _paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in ((*prefix, k), *_paths(v, (*prefix, k)))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _paths(value[0], (*prefix, 0))
    return []


OPTIONAL = {"cause", "where", "limit_ratio", "side"}
FREE = {"environment", "evidence", "floor", "budget"}  # objects of no fixed form


def test_every_field_of_the_public_surface_is_required_and_typed(build: Build) -> None:
    for path in _paths(build("FAIL")):
        if set(path[:-1]) & FREE or (path[-1] in OPTIONAL and path[0] != "findings"):
            continue
        for change in ("drop", "type"):
            report = plain(build("FAIL"))
            holder = report
            for key in path[:-1]:
                holder = holder[key]
            if change == "drop":
                del holder[path[-1]]
            else:
                holder[path[-1]] = [{"wrong": [object.__name__]}] if not isinstance(holder[path[-1]], list) else 5
            with pytest.raises(ArtifactError, match=r"does not fit report\.schema\.json"):
                validate(report)


@pytest.mark.parametrize("name", ["max_abs", "cosine_min", "rel", "p99_abs"])
@pytest.mark.parametrize(
    ("value", "fits"), [("NaN", True), ("Infinity", True), (None, True), ("nan", False), ("1.0", False)]
)
def test_metrics_may_be_null_or_not_finite(build: Build, name: str, value: Any, fits: bool) -> None:
    report = plain(build("FAIL"))
    report["comparisons"][0][name] = value
    if fits:
        validate(report)
    else:
        with pytest.raises(ArtifactError, match=name):
            validate(report)


def test_inspect_documents() -> None:
    tensor = {"name": "obs", "shape": ["batch", 48, None], "dtype": "float32", "role": None}
    artifact = {"path": "a.onnx", "kind": "onnx", "inputs": [tensor], "outputs": [], "metadata": {}}
    document = {"schema": 1, "artifacts": [artifact], "disagreements": [], "findings": []}
    validate(document, "inspect")
    with pytest.raises(ArtifactError, match=r"artifacts\[0\]"):
        validate({**document, "artifacts": [{**artifact, "inputs": [{"name": "obs"}]}]}, "inspect")
