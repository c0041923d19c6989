"""Which output is the next value of which state input, and nothing where that is not certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parity.contract.model import Contract
from parity.contract.recurrent import keeps_state, state_pairs, without_state
from parity.contract.roles import input_role, output_roles
from parity.tensor import Shape, TensorSpec

STATE: Shape = (1, 1, 8)


def contract(ins: dict[str, Shape], outs: dict[str, Shape], dtype: str = "float32", **metadata: Any) -> Contract:
    """A graph with the roles that its reader finds, with an observation and an action."""
    inputs = {"obs": (1, 4), **ins}
    outputs = [TensorSpec(n, s, dtype) for n, s in {"actions": (1, 2), **outs}.items()]
    return Contract(
        Path("p.onnx"),
        "onnx",
        inputs=tuple(TensorSpec(n, s, "float32", input_role(n, s, "float32")) for n, s in inputs.items()),
        outputs=output_roles(outputs),
        metadata=metadata,
    )


def paired(ins: str, outs: str) -> dict[str, str]:
    return state_pairs(contract(dict.fromkeys(ins.split(), STATE), dict.fromkeys(outs.split(), STATE)))


@pytest.mark.parametrize(
    ("ins", "outs"),
    [
        ("h_in c_in", "h_out c_out"),
        ("h0 c0", "hn cn"),
        ("h_0 c_0", "h_n c_n"),
        ("hx cx", "hx_out cx_out"),
        ("hidden_state cell_state", "hidden_state_out cell_state_out"),
        ("hidden_state cell_state", "next_hidden_state next_cell_state"),
        ("hidden_in", "hidden_out"),
        ("hidden_state", "h_out"),
        ("state_in", "state_out"),
        ("rnn_state_in", "rnn_state_out"),
        ("h_0_in h_1_in", "h_0_out h_1_out"),
        ("actor_h_in actor_c_in", "actor_h_out actor_c_out"),
    ],
)
def test_names_that_pair(ins: str, outs: str) -> None:
    expected = dict(zip(ins.split(), outs.split(), strict=True))
    assert paired(ins, outs) == expected
    assert paired(ins, " ".join(reversed(outs.split()))) == expected  # names, never the position


@pytest.mark.parametrize(
    ("ins", "outs"),
    [
        ("h_in c_in", "h_out"),  # an input without its next value
        ("h_in", "h_out c_out"),  # a state that is nobody's next value
        ("h_in", "h_out hn"),  # two that may be
        ("h_in", "hidden_features"),
        ("state", "state_out"),  # may be what a model of the robot predicts
        ("robot_in", "robot_out"),
        ("h_out", "h_in"),  # the wrong way around
        ("", "h_out"),
        ("h_in", ""),
    ],
)
def test_what_is_not_certain(ins: str, outs: str) -> None:
    assert paired(ins, outs) == {}


def test_shapes_and_types_must_agree() -> None:
    assert state_pairs(contract({"h_in": (1, 1, 8)}, {"h_out": (1, 1, 9)})) == {}
    assert state_pairs(contract({"h_in": (1, 1, 8)}, {"h_out": (1, 8)})) == {}
    assert state_pairs(contract({"h_in": (1, 1, 8)}, {"h_out": (1, 1, 8)}, dtype="float16")) == {}
    assert state_pairs(contract({"h_in": (1, "batch", 8)}, {"h_out": (1, "n", 8)})) == {"h_in": "h_out"}


def test_a_graph_that_has_nothing_but_state_is_left_alone() -> None:
    whole = contract({"h_in": STATE}, {"h_out": STATE})
    bare = Contract(Path("p.onnx"), "onnx", inputs=whole.inputs[1:], outputs=whole.outputs)
    assert state_pairs(bare) == {}


def test_what_is_kept_is_no_input_or_output_any_more() -> None:
    whole = contract({"h_in": (1, "batch", 8)}, {"h_out": (1, "batch", 8)}, opset=17)
    kept = without_state(whole, {"h_in": "h_out"})
    assert [t.name for t in kept.inputs] == ["obs"]
    assert [(t.name, t.role) for t in kept.outputs] == [("actions", "action")]
    assert kept.metadata == {"opset": 17, "stateful": ["h_in"], "state_batch": True}
    assert keeps_state(kept)
    assert not keeps_state(whole)
    assert without_state(whole, {}) is whole
    fixed = without_state(contract({"h_in": STATE}, {"h_out": STATE}), {"h_in": "h_out"})
    assert fixed.metadata["state_batch"] is False


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"stateful": ["hidden_state"]}, True),
        ({"stateful": []}, False),
        ({"facts": {"stateful": "hidden kept"}}, True),
        ({"facts": {"stateful": None}}, False),
        ({"facts": "what a stranger wrote"}, False),
    ],
)
def test_who_keeps_state(metadata: dict[str, Any], kept: bool) -> None:
    assert keeps_state(contract({}, {}, **metadata)) is kept
