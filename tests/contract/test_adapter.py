"""The adapter: every operation, on any leading axes, and an error for whatever could go wrong in silence."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.contract import Contract
from parity.contract.adapter import Adapter, infer_adapter
from parity.contract.adapter_table import parse_part
from parity.errors import UsageError
from parity.tensor import Array, TensorSpec

STATE = np.arange(2 * 3 * 7, dtype=np.float32).reshape(2, 3, 7)
ENV = -np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
ARRAYS = {"observation.state": STATE, "observation.env": ENV}


def adapter(text: str, **contracts: Contract | None) -> Adapter:
    return Adapter.from_table(tomllib.loads(text), **contracts)


def contract(inputs: list[TensorSpec], outputs: list[TensorSpec] | None = None, **more: Any) -> Contract:
    return Contract(Path("c.onnx"), "onnx", inputs=tuple(inputs), outputs=tuple(outputs or ()), **more)


CANDIDATE = contract(
    [TensorSpec("obs", (1, 11), "float32"), TensorSpec("mask", (1, 2), "int64")], [TensorSpec("out", (1, 4), "float32")]
)
REFERENCE = contract(
    [TensorSpec("observation.state", (1, 7)), TensorSpec("observation.env", (1, 4))], [TensorSpec("action", (1, 4))]
)


def test_nothing_is_the_identity() -> None:
    made = Adapter.from_table({})
    assert made.identity
    assert made.inputs(ARRAYS) == ARRAYS
    assert made.outputs(ARRAYS) == ARRAYS


def test_rename_in_both_directions() -> None:
    made = adapter('rename = {obs = "observation.state", out = "action"}')
    assert list(made.inputs({"observation.state": STATE})) == ["obs"]
    assert list(made.outputs({"out": ENV})) == ["action"]


def test_two_names_can_be_swapped() -> None:
    made = adapter('rename = {"observation.state" = "observation.env", "observation.env" = "observation.state"}')
    built = made.inputs(ARRAYS)
    assert built["observation.state"] is ENV
    assert built["observation.env"] is STATE


def test_slices_are_concatenated_in_their_order() -> None:
    made = adapter('inputs.obs = ["observation.env", "observation.state[5:]", "observation.state[:5]"]')
    (obs,) = made.inputs(ARRAYS).values()
    assert np.array_equal(obs, np.concatenate([ENV, STATE[..., 5:], STATE[..., :5]], axis=-1))
    assert obs.dtype == np.float32


def test_outputs_are_split_and_joined() -> None:
    made = adapter('outputs.action = ["arm[0:6]", "gripper[0]"]\noutputs.rest = "arm[6]"')
    arm, gripper = STATE, ENV[..., :1]
    built = made.outputs({"arm": arm, "gripper": gripper})
    assert np.array_equal(built["action"], np.concatenate([arm[..., :6], gripper], axis=-1))
    assert np.array_equal(built["rest"], arm[..., 6:])


def test_permute_takes_element_i_from_element_p_i() -> None:
    made = adapter('permute = {"observation.env" = [3, 0, 1, 2], out = [1, 0]}')
    built = made.inputs(ARRAYS)
    assert np.array_equal(built["observation.env"], ENV[..., [3, 0, 1, 2]])
    assert built["observation.state"] is STATE
    assert np.array_equal(made.outputs({"out": ENV[..., :2]})["out"], ENV[..., [1, 0]])


@pytest.mark.parametrize("leading", [1, 2])
def test_constants_have_the_leading_axes_of_the_others(leading: int) -> None:
    state = STATE if leading == 2 else STATE[0]
    made = adapter(
        'constant = {mask = [1, 0], t = {value = 5, shape = [], dtype = "int64"}, z = {value = 0.5, shape = [2, 3]}}'
    )
    built = made.inputs({"observation.state": state}, leading=leading)
    lead = state.shape[:leading]
    assert built["mask"].shape == (*lead, 2)
    assert built["t"].shape == lead
    assert built["t"].dtype == np.int64
    assert built["z"].shape == (*lead, 2, 3)
    assert np.all(built["t"] == 5)
    assert built["mask"].flags.writeable
    assert np.all(built["mask"] == [1, 0])


def test_a_constant_takes_shape_and_type_from_the_candidate() -> None:
    made = adapter('constant = {mask = 1}\ninputs.obs = ["observation.state", "observation.env"]', candidate=CANDIDATE)
    built = made.inputs(ARRAYS)
    assert list(built) == ["obs", "mask"]
    assert built["mask"].shape == (2, 3, 2)
    assert built["mask"].dtype == np.int64


def test_outputs_of_differing_shapes_come_as_lists() -> None:
    made = adapter('rename = {out = "action"}\npermute = {out = [1, 0]}')
    rows = [np.zeros((1, n, 2), np.float32) for n in (1, 2, 3)]
    built = made.outputs({"out": rows})
    assert [a.shape for a in built["action"]] == [(1, 1, 2), (1, 2, 2), (1, 3, 2)]


def test_cast() -> None:
    made = adapter('cast = {"observation.state" = "float16"}')
    assert made.inputs(ARRAYS)["observation.state"].dtype == np.float16
    assert made.inputs(ARRAYS)["observation.env"].dtype == np.float32
    tokens = adapter('cast = {t = "int32"}')
    assert tokens.inputs({"t": np.array([[7]], np.int64)})["t"].dtype == np.int32
    with pytest.raises(UsageError, match="do not fit"):
        tokens.inputs({"t": np.array([[2**40]], np.int64)})
    with pytest.raises(UsageError, match="cut values off"):
        adapter('cast = {t = "int32"}').inputs({"t": np.array([[0.5]])})


def test_what_is_left_out_must_be_said() -> None:
    text = 'inputs.obs = ["observation.state[0:3]", "observation.state[5:7]"]\n'
    with pytest.raises(UsageError, match=r"nothing uses observation.state\[3:5\]") as e:
        adapter(text).inputs({"observation.state": STATE})
    assert 'unused = ["observation.state[3:5]"]' in str(e.value)
    made = adapter('unused = ["observation.state[3:5]", "observation.env"]\n' + text)
    assert made.inputs(ARRAYS)["obs"].shape == (2, 3, 5)
    with pytest.raises(UsageError, match=r"nothing uses arm\[6:7\]"):
        adapter('outputs.action = ["arm[0:6]"]').outputs({"arm": STATE})


def test_the_same_elements_may_go_to_two_inputs() -> None:
    built = adapter('inputs.a = "observation.state"\ninputs.b = "observation.state"').inputs(
        {"observation.state": STATE}
    )
    assert np.array_equal(built["a"], built["b"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('renam = {a = "b"}', "unknown key 'renam'; did you mean 'rename'"),
        ('rename = "a"', "expected: a table"),
        ("rename = {a = 1}", "expected: a name"),
        ('rename = {a = "c", b = "c"}', "'a', 'b' are both renamed to 'c'"),
        ("permute = {a = [0, 2]}", "no permutation of 0…1: 1 missing"),
        ("permute = {a = [0, 0]}", "no permutation"),
        ("permute = {a = [0, -1]}", "list of indices"),
        ("permute = {a = [true, false]}", "list of indices"),
        ("permute = {a = []}", "list of indices"),
        ('constant = {a = "1"}', "a number"),
        ("constant = {a = [[1], [1, 2]]}", "equal length"),
        ("constant = {a = []}", "equal length"),
        ("constant = {a = {shape = [1]}}", "value"),
        ("constant = {a = {value = 1, shap = [1]}}", "value"),
        ("constant = {a = {value = 1, shape = [-1]}}", "a list of sizes"),
        ('constant = {a = {value = 1, dtype = "object"}}', "no element type"),
        ('cast = {a = "complex64"}', "no element type"),
        ("inputs = {a = []}", "expected: a list"),
        ("inputs = {a = 3}", "expected: a list"),
        ('inputs = {a = ["b[]"]}', "no part of a tensor"),
        ('rename = {a = "b"}\ninputs = {a = ["c"]}', "both `rename` and `inputs`"),
        ('rename = {a = "b"}\noutputs = {b = ["c"]}', "both `rename` and `outputs`"),
    ],
)
def test_tables_that_make_no_sense(text: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        adapter(text)
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('inputs.obs = ["observation.stat"]', "did you mean 'observation.state'"),
        ('inputs.obs = ["observation.state[0:8]"]', "out of range: 'observation.state' has 7 elements"),
        ('inputs.obs = ["observation.state[3:3]"]', "out of range"),
        ('inputs.obs = ["observation.state[7]"]', "out of range"),
        ('permute = {"observation.state" = [1, 0]}', "2 indices for a last axis of 7"),
        ('constant = {"observation.state" = 1}', "also built from the contract's inputs"),
        ("constant = {mask = 1}", "shape of the constant 'mask' is not known"),
        ('constant = {mask = {value = 0.5, shape = [1], dtype = "int64"}}', "does not fit int64"),
        ('constant = {mask = {value = 300, shape = [1], dtype = "uint8"}}', "does not fit uint8"),
        ("constant = {mask = {value = [1, 2], shape = [3]}}", "has shape (2,), declared is (3,)"),
        ('rename = {"observation.state" = "observation.env"}', "nothing uses observation.state[0:7]"),
    ],
)
def test_inputs_that_cannot_be_built(text: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        adapter(text).inputs(ARRAYS)
    assert said in str(e.value)


@pytest.mark.parametrize("other", [ENV[:1], ENV[..., 0], ENV.astype(np.float64)])
def test_parts_that_do_not_fit_are_never_broadcast(other: Array) -> None:
    made = adapter('inputs.obs = ["observation.state", "observation.env"]')
    with pytest.raises(UsageError, match="only the last axis may differ"):
        made.inputs({"observation.state": STATE, "observation.env": other})


def test_an_output_is_not_built_twice() -> None:
    with pytest.raises(UsageError, match="built twice"):
        adapter('rename = {out = "action"}').outputs({"action": ENV, "out": ENV})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('rename = {ob = "observation.state"}', "the candidate has no tensor 'ob'; did you mean 'obs'"),
        ('rename = {obs = "observation.stat"}', "the contract has no tensor 'observation.stat'"),
        ("permute = {ob = [0]}", "no tensor 'ob'"),
        ("constant = {musk = 1}", "no input 'musk'; did you mean 'mask'"),
        ('cast = {musk = "int32"}', "no input 'musk'"),
        ('inputs.ob = ["observation.state"]', "no input 'ob'"),
        ('inputs.obs = ["observation.sate"]', "no input 'observation.sate'"),
        ('inputs.obs = ["observation.state[5:9]"]', "out of range"),
        ('outputs.action = ["ot"]', "no output 'ot'"),
        ('outputs.action = ["out[2:6]"]', "out of range"),
        ('outputs.actin = ["out"]', "the contract has no output 'actin'"),
    ],
)
def test_names_are_checked_before_anything_runs(text: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        adapter(text, candidate=CANDIDATE, reference=REFERENCE)
    assert said in str(e.value)


def test_every_input_of_the_candidate_must_be_built() -> None:
    made = adapter('inputs.obs = ["observation.state", "observation.env"]', candidate=CANDIDATE)
    with pytest.raises(UsageError, match="'mask' is built from nothing"):
        made.inputs(ARRAYS)
    with pytest.raises(UsageError, match=r"the candidate has no input 'observation\.env'"):
        adapter('rename = {obs = "observation.state"}\nconstant = {mask = 1}', candidate=CANDIDATE).inputs(ARRAYS)


@given(st.permutations(range(7)), st.integers(1, 6))
def test_a_permutation_and_a_split_lose_nothing(order: list[int], cut: int) -> None:
    inverse = [order.index(i) for i in range(7)]
    there = Adapter.from_table({"permute": {"s": order}}).inputs({"s": STATE})["s"]
    assert np.array_equal(Adapter.from_table({"permute": {"s": inverse}}).outputs({"s": there})["s"], STATE)
    split = Adapter.from_table({"inputs": {"a": [f"s[:{cut}]"], "b": [f"s[{cut}:]"]}}).inputs({"s": STATE})
    joined = Adapter.from_table({"outputs": {"s": ["a", "b"]}}).outputs(split)
    assert np.array_equal(joined["s"], STATE)


@given(st.text(max_size=30))
def test_any_text_is_a_part_or_a_usage_error(text: str) -> None:
    try:
        part = parse_part("inputs.x", text)
    except UsageError:
        return
    assert part.name
    assert part.start is None or part.start >= 0


# --- inferred --------------------------------------------------------------------------------------------------------


def test_equal_contracts_need_nothing() -> None:
    made, findings = infer_adapter(REFERENCE, REFERENCE)
    assert made.identity
    assert findings == []


def test_spellings_are_renamed_without_a_word() -> None:
    other = contract(
        [TensorSpec("observation_env", ("b", 4)), TensorSpec("state", ("b", 7))], [TensorSpec("actions", ("b", 4))]
    )
    made, findings = infer_adapter(REFERENCE, other)
    assert findings == []
    built = made.inputs(ARRAYS)
    assert list(built) == ["observation_env", "state"]  # in the order in which the candidate takes them
    assert built["state"] is STATE
    assert list(made.outputs({"actions": ENV})) == ["action"]


def test_single_tensors_are_renamed_and_it_is_said() -> None:
    one = contract([TensorSpec("x", (1, 7))], [TensorSpec("15", (1, 4))])
    two = contract([TensorSpec("obs", (1, 7))], [TensorSpec("actions", (1, 4))])
    made, findings = infer_adapter(one, two)
    assert list(made.inputs({"x": STATE})) == ["obs"]
    assert list(made.outputs({"actions": ENV})) == ["15"]
    assert [(f.code, f.severity) for f in findings] == [("INSP031", "info")]
    assert "'obs' as 'x'" in findings[0].title


def test_an_input_and_an_output_of_the_same_name() -> None:
    one = contract([TensorSpec("h_in", (1, 7))], [TensorSpec("h_out", (1, 7))])
    two = contract([TensorSpec("h", (1, 7))], [TensorSpec("h", (1, 7))])
    made, _ = infer_adapter(one, two)
    assert list(made.inputs({"h_in": STATE})) == ["h"]
    assert list(made.outputs({"h": STATE})) == ["h_out"]


def test_one_flat_vector_from_several_is_never_guessed() -> None:
    flat = contract([TensorSpec("obs", (1, 11), "float32")], [TensorSpec("action", (1, 4))])
    with pytest.raises(UsageError) as e:
        infer_adapter(REFERENCE, flat)
    lines = (e.value.remedy or "").split("\n")[1:]
    assert lines[0] == "[adapter.<candidate>.inputs]"
    table = tomllib.loads("\n".join(lines).replace("<candidate>", "ort"))["adapter"]["ort"]
    assert table == {"inputs": {"obs": ["observation.state", "observation.env"]}}
    built = Adapter.from_table(table, flat, REFERENCE).inputs(ARRAYS)
    assert np.array_equal(built["obs"], np.concatenate([STATE, ENV], axis=-1))


def test_an_input_that_only_the_candidate_takes_shows_the_constant() -> None:
    more = contract([*REFERENCE.inputs, TensorSpec("my mask", (1, 2), "int64")], list(REFERENCE.outputs))
    with pytest.raises(UsageError) as e:
        infer_adapter(REFERENCE, more)
    lines = (e.value.remedy or "").split("\n")[1:]
    table = tomllib.loads("\n".join(lines).replace("<candidate>", "ort"))["adapter"]["ort"]
    assert table == {"constant": {"my mask": 1}}
    assert Adapter.from_table(table, more, REFERENCE).inputs(ARRAYS)["my mask"].shape == (2, 3, 2)


def test_an_input_that_the_candidate_does_not_take_is_said() -> None:
    less = contract([REFERENCE.inputs[0]], list(REFERENCE.outputs))
    made, findings = infer_adapter(REFERENCE, less)
    assert [(f.code, f.severity, f.where) for f in findings] == [("INSP001", "warning", "observation.env")]
    assert list(made.inputs(ARRAYS)) == ["observation.state"]


def test_a_half_precision_input_is_cast() -> None:
    one = contract([TensorSpec("obs", (1, 7), "float32")], [TensorSpec("a", (1, 4), "float32")])
    two = contract([TensorSpec("obs", (1, 7), "float16")], [TensorSpec("a", (1, 4), "float16")])
    made, _ = infer_adapter(one, two)
    assert made.inputs({"obs": STATE})["obs"].dtype == np.float16
    assert made.outputs({"a": ENV.astype(np.float16)})["a"].dtype == np.float16


def test_joints_in_another_order_are_shown_but_not_moved() -> None:
    one = contract(
        [TensorSpec("q", (1, 3), elements=("a", "b", "c"))], [TensorSpec("u", (1, 3), elements=("a", "b", "c"))]
    )
    two = contract(
        [TensorSpec("q", (1, 3), elements=("c", "a", "b"))], [TensorSpec("u", (1, 3), elements=("c", "a", "b"))]
    )
    made, findings = infer_adapter(one, two)
    assert made.identity
    assert [f.severity for f in findings] == ["warning", "warning"]
    values = {"a": 1.0, "b": 2.0, "c": 3.0}
    for f, key, source, target in zip(findings, ("inputs", "outputs"), ("abc", "cab"), ("cab", "abc"), strict=True):
        line = f.remedy.partition(": ")[2]
        turned = getattr(adapter(line), key)(
            {"q" if key == "inputs" else "u": np.array([[[values[c] for c in source]]])}
        )
        assert next(iter(turned.values()))[0, 0].tolist() == [values[c] for c in target]


def test_a_candidate_that_cannot_be_known_changes_nothing() -> None:
    blank = replace(CANDIDATE, inputs=(), outputs=())
    assert Adapter.from_table({"rename": {"obs": "observation.state"}}, blank).candidate is None
