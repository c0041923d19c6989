"""What the files say comes in one line, and the strongest evidence speaks first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.contract import Contract
from parity.diagnose import Explanation, fit_structure, likely_cause, static_findings
from parity.finding import Finding
from parity.provenance.find import Found
from parity.provenance.match import WeightMatch
from parity.tensor import Range, TensorSpec


def match(matched: int, total: int) -> WeightMatch:
    return WeightMatch(
        tuple(
            Found(f"w{i}", "exact" if i < matched else None, f"w{i}", None if i < matched else 0.1)
            for i in range(total)
        ),
        (),
    )


def contract(name: str, *, normalized: bool = False, **more: Any) -> Contract:
    path = Path(name)
    held = Range("mean_std", (0.0, 0.0), (1.0, 2.0), (2,), f"{path}: normalizer._mean") if normalized else None
    kind = "onnx" if path.suffix == ".onnx" else "torchscript"
    return Contract(path, kind, inputs=(TensorSpec("obs", (1, 2), "float32", range=held),), **more)


def explanation(kind: str, sentence: str) -> Explanation:
    return Explanation(kind, 1.0, sentence)


SWAP = explanation("swap", "joints 3 and 9 are swapped")
PLAIN = (contract("a.pt"), contract("b.onnx"))


def test_foreign_weights_in_one_line() -> None:
    found = static_findings(*PLAIN, match(0, 8))
    assert [f.code for f in found if f.severity == "error"] == ["WEIGHT001"]
    assert likely_cause(found, []) == "0 of 8 weights match: another checkpoint"


def test_a_missing_normalizer_in_one_line() -> None:
    found = static_findings(contract("a.pt", normalized=True), contract("b.onnx"), match(8, 8))
    assert likely_cause(found, []) == "the normalizer is missing in the ONNX graph"
    few = static_findings(contract("a.pt", normalized=True), contract("b.onnx"), match(0, 8))
    assert likely_cause(few, []) == "0 of 8 weights match: another checkpoint"
    unknown = static_findings(contract("a.pt", normalized=True), contract("b.onnx"))
    assert likely_cause(unknown, []) == "the normalizer is missing in the ONNX graph"


@pytest.mark.parametrize("matched", [0, 6, 8])
def test_a_structural_fault_goes_before_weights(matched: int) -> None:
    found = static_findings(*PLAIN, match(matched, 8))
    assert likely_cause(found, [SWAP]) == "joints 3 and 9 are swapped"


def test_a_constant_output_of_another_checkpoint_is_another_checkpoint() -> None:
    constant = explanation("constant", "the output is constant")
    assert likely_cause(static_findings(*PLAIN, match(0, 8)), [constant]) == "0 of 8 weights match: another checkpoint"
    assert likely_cause(static_findings(*PLAIN, match(8, 8)), [constant]) == "the output is constant"


def test_another_normalizer_in_one_line() -> None:
    other = WeightMatch(match(8, 8).weights, (Found("mean", None, "normalizer._mean", 0.9),))
    cause = likely_cause(static_findings(*PLAIN, other), [])
    assert cause == "8 of 8 weights match; 1 of the normalizer's constants differ"


def test_the_few_weights_that_differ_are_named() -> None:
    cause = likely_cause(static_findings(*PLAIN, match(6, 8)), [])
    assert cause is not None
    assert cause.startswith("6 of 8 weights match; w6, w7 differ")


def test_precision_and_opset() -> None:
    a = contract("a.onnx", precision="float32", metadata={"opset": 11})
    b = contract("b.onnx", precision="float16", metadata={"opset": 17})
    found = {f.code: f for f in static_findings(a, b, match(8, 8))}
    assert found["DIAG012"].severity == found["DIAG013"].severity == "info"
    assert likely_cause(list(found.values()), []) == "the candidate computes in float16, the reference in float32"
    assert likely_cause([found["DIAG013"]], []) is None


def test_inputs_that_disagree_are_the_cause_when_nothing_else_is() -> None:
    other = Contract(Path("b.onnx"), "onnx", inputs=(TensorSpec("obs", (1, 3), "float32"),))
    cause = likely_cause(static_findings(contract("a.pt"), other, match(8, 8)), [])
    assert cause is not None
    assert "obs" in cause


def test_nothing_known_gives_nothing() -> None:
    assert static_findings(None, None) == []
    assert static_findings(*PLAIN, match(8, 8)) == []
    assert likely_cause([], []) is None
    assert likely_cause([Finding("INSP003", "warning", "The same tensor has two names.")], []) is None


def test_many_explanations_are_cut_short() -> None:
    many = [explanation("sign", f"joint {i}: sign is flipped") for i in range(5)]
    cause = likely_cause([], many)
    assert cause == "joint 0: sign is flipped; joint 1: sign is flipped; joint 2: sign is flipped; and 2 more"


def test_a_fit_on_outputs_speaks_in_the_line() -> None:
    r = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    assert likely_cause([], fit_structure(r, -r)) == "joints 0, 1, 2 and 3: sign is flipped"
