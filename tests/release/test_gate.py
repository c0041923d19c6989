"""Vacuity: for each way a comparison can say nothing, the gate does not pass."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from parity.errors import ArtifactError
from parity.finding import Finding
from parity.release import gate
from parity.release.decide import Terms, decide
from parity.release.facts import Facts
from parity.release.plan import Entry, Plan, PlannedCase
from parity.runner.base import Failure
from rows import measured


def codes(findings: Any) -> list[str]:
    return [f.code for f in findings if f.severity == "error"]


def rows_of(outputs: list[Any], **more: Any) -> list[dict[str, Any]]:
    scale = np.max(np.abs(np.asarray(outputs, dtype=float)), axis=(0, 1))
    rows = [measured(a, a, case=f"nominal-{i:04d}", scale=scale, **more) for i, a in enumerate(outputs)]
    return decide(rows, {"ort": Terms("float32", {})})[0]


def test_outputs_that_never_move_say_nothing() -> None:
    same = [np.ones((1, 3), dtype=np.float32)] * 4
    assert codes(gate.coverage(rows_of(same), ["action"], "ort", {})) == ["GATE007"]


def test_outputs_that_move_less_than_four_limits_say_nothing() -> None:
    outputs = [np.full((1, 2), 1 + 1e-6 * i, dtype=np.float32) for i in range(4)]
    assert codes(gate.coverage(rows_of(outputs), ["action"], "ort", {})) == ["GATE008"]


def test_one_dimension_that_moves_is_enough_and_the_others_are_listed() -> None:
    outputs = [np.array([[i, 5.0]], dtype=np.float32) for i in range(4)]
    found = list(gate.coverage(rows_of(outputs), ["action"], "ort", {"action": ("knee", "gripper")}))
    assert codes(found) == []
    assert [f.code for f in found] == ["GATE010"]
    assert "1 (gripper)" in found[0].title


def test_only_action_outputs_count_as_informative() -> None:
    moving = [np.array([[i]], dtype=np.float32) for i in range(4)]
    still = [np.ones((1, 2), dtype=np.float32)] * 4
    rows = rows_of(moving, output="value") + rows_of(still)
    assert codes(gate.coverage(rows, ["action"], "ort", {})) == ["GATE008"]


def plan(digests: list[str]) -> Plan:
    cases = tuple(PlannedCase(f"nominal-{i:04d}", "nominal", 0, "", d) for i, d in enumerate(digests))
    return Plan("r", 0, tuple(Entry(c.id, "ort", "graph", None, "nominal", c.id, "action") for c in cases), cases)


def test_fewer_than_two_distinct_cases_say_nothing() -> None:
    assert codes(gate.distinct_cases(plan([]))) == ["GATE001"]
    assert codes(gate.distinct_cases(plan(["a", "a", "a"]))) == ["GATE001"]
    assert codes(gate.distinct_cases(plan(["a", "b"]))) == []
    assert codes(gate.nothing_planned(plan([]))) == ["GATE002"]


def test_a_side_that_did_not_run_to_the_end_blocks() -> None:
    dead = Facts("ort", failure=Failure("crash", "killed by SIGSEGV\nmore"))
    found = list(gate.ran(Facts("reference"), dead, {}))
    assert codes(found) == ["GATE003"]
    assert "SIGSEGV" in found[0].title
    assert codes(gate.ran(Facts("reference", failure=Failure("timeout", "hung")), Facts("ort"), {})) == ["GATE003"]


def test_what_to_do_is_in_the_remedy_and_not_in_the_detail() -> None:
    error = ArtifactError("a.onnx: cut short", expected="a whole file", remedy="export it again")
    failed = Facts("ort", failure=Failure.of(error, "artifact"))
    again = Facts.from_json(json.loads(json.dumps(failed.as_json())))
    for facts in (failed, again):
        (found,) = gate.ran(Facts("reference"), facts, {})
        assert found.remedy == "export it again"
        assert found.detail == "a.onnx: cut short\nexpected: a whole file"
    (found,) = gate.ran(Facts("reference"), Facts("ort", failure=Failure("timeout", "hung")), {})
    assert found.remedy == "raise timeout_s, or find out why it hangs"  # by its kind, where nothing better is known


def test_results_that_change_from_run_to_run_block() -> None:
    facts = Facts("ort", repeat_differs={"action": 1e-3})
    assert codes(gate.repeats(facts, {"action": 1.0}, "ort")) == ["GATE004"]
    assert codes(gate.repeats(Facts("ort", repeat_differs={"action": 1e-7}), {"action": 1.0}, "ort")) == []
    assert codes(gate.repeats(facts, {}, "ort")) == ["GATE004"]  # a scale that is not known excuses nothing


def test_random_ops_and_identical_sides_block() -> None:
    assert codes(gate.random_ops(["RandomNormal"], "x.onnx", "ort")) == ["GATE005"]
    assert codes(gate.random_ops([], "x.onnx", "ort")) == []
    assert codes(gate.same_thing(True, "ort")) == ["GATE006"]


def test_blocking_findings_are_errors_of_one_family() -> None:
    found: list[Finding] = [*gate.same_thing(True, "ort"), *gate.nothing_planned(plan([]))]
    assert all(f.code.startswith("GATE") for f in found)
