"""A chain and a loop of stages: the values that go from one to the next, the update, every way of stopping early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fake_stages import FakeSession, cases, joined, session_of, spec, stage
from parity.errors import ArtifactError
from parity.stages import Loop, StagedSession
from parity.stages.fit import fitted
from parity.stages.looping import time_array
from parity.stages.names import CHAINED, called, entered, is_of_stages, looked_at, parts_of, state_name
from parity.stages.recall import recalled, times_of

LOOP = Loop(("expert",), 4, {"x_t": "v_t"}, start={"x_t": "noise"}, result={"x_t": "action"}, time="t")


def prefix(inputs: Any) -> dict[str, Any]:
    return {"kv": 2 * inputs["obs"]}


def expert(inputs: Any) -> dict[str, Any]:
    return {"v_t": inputs["kv"] - inputs["x_t"] * inputs["t"][..., None]}


def flow(loop: Loop = LOOP, **sessions: FakeSession) -> tuple[StagedSession, dict[str, FakeSession]]:
    """A prefix and an expert in a loop."""
    parts = {"prefix": FakeSession(prefix), "expert": FakeSession(expert), **sessions}
    program = joined(
        [stage("prefix", ["obs"], ["kv"]), stage("expert", ["kv", "x_t", spec("t", ("batch",))], ["v_t"])], loop
    )
    return session_of(program, parts), parts


def by_hand(block: Any, loop: Loop) -> tuple[list[Any], list[float]]:
    """Return the states after each step and the times, by the explicit Euler method written out."""
    x, kv, states, times = block.inputs["noise"], 2 * block.inputs["obs"], [], []
    for k in range(loop.steps):
        t = loop.between[0] + k * (loop.between[1] - loop.between[0]) / loop.steps
        x = x + np.float32(loop.dt) * (kv - x * np.float32(t))
        states.append(x)
        times.append(t)
    return states, times


@pytest.mark.parametrize("between", [(1.0, 0.0), (0.0, 1.0), (0.0, 5.0)])
def test_a_flow_is_integrated_by_the_explicit_euler_method(between: tuple[float, float]) -> None:
    loop = replace(LOOP, between=between)
    session, parts = flow(loop)
    block = cases(obs=(1, 3), noise=(1, 3))
    result = session.run(block)
    states, times = by_hand(block, loop)
    assert result.failure is None
    assert result.completed == 2
    for k, state in enumerate(states, 1):
        np.testing.assert_array_equal(result.outputs[state_name(k, "x_t")], state)
    np.testing.assert_array_equal(result.outputs["action"], states[-1])
    assert [float(f["t"][0, 0]) for f in parts["expert"].fed] == pytest.approx(times)
    assert result.outputs["action"].dtype == np.float32
    assert result.outputs[f"{CHAINED}v_t"].shape == (2, 4, 1, 3)
    assert len(parts["prefix"].fed) == 1


def test_a_graph_that_gives_the_next_state_is_fed_it_with_the_times_it_was_told() -> None:
    loop = Loop(("unet",), 3, {"sample": "previous"}, "replace", time="timestep", times=(90, 60, 30))
    unet = FakeSession(lambda i: {"previous": 0.5 * i["sample"] + i["cond"]})
    program = joined(
        [
            stage("encoder", ["obs"], ["cond"]),
            stage("unet", ["cond", "sample", spec("timestep", (), "int64")], ["previous"]),
        ],
        loop,
    )
    block = cases(obs=(1, 3), sample=(1, 3))
    result = session_of(program, {"encoder": FakeSession(lambda i: {"cond": i["obs"]}), "unet": unet}).run(block)
    x = block.inputs["sample"]
    for _ in range(3):
        x = 0.5 * x + block.inputs["obs"]
    np.testing.assert_array_equal(result.outputs["sample"], x)
    assert [f["timestep"].tolist() for f in unet.fed] == [[90, 90], [60, 60], [30, 30]]
    assert unet.fed[0]["timestep"].dtype == np.int64


def test_a_loop_of_several_stages_and_a_stage_after_it() -> None:
    loop = Loop(("encode", "dit"), 3, {"x": "v"}, start={"x": "noise"}, result={"x": "latent"})
    parts = {
        "vlm": FakeSession(lambda i: {"kv": i["obs"]}),
        "encode": FakeSession(lambda i: {"tokens": 3 * i["x"]}),
        "dit": FakeSession(lambda i: {"v": i["tokens"] + i["kv"]}),
        "decode": FakeSession(lambda i: {"action": i["latent"] * 2 + i["tokens"]}),
    }
    program = joined(
        [
            stage("vlm", ["obs"], ["kv"]),
            stage("encode", ["x"], ["tokens"]),
            stage("dit", ["tokens", "kv"], ["v"]),
            stage("decode", ["latent", "tokens"], ["action"]),
        ],
        loop,
    )
    assert program.words() == "vlm → (encode → dit) × 3 (Euler, t from 1 to 0) → decode"
    assert [t.name for t in program.inputs] == ["obs", "noise"]
    assert [t.name for t in program.outputs] == ["action"]
    block = cases(obs=(1, 3), noise=(1, 3))
    result = session_of(program, parts).run(block)
    x = block.inputs["noise"]
    for _ in range(3):
        tokens = 3 * x
        x = x + np.float32(-1 / 3) * (tokens + block.inputs["obs"])
    np.testing.assert_array_equal(result.outputs["action"], x * 2 + tokens)


def feeds_of(steps: int) -> None:
    """Check that what is recalled for each stage and step is what the stage was fed."""
    loop = replace(LOOP, stages=("encode", "expert"), steps=steps, time="t")
    parts = {
        "prefix": FakeSession(prefix),
        "encode": FakeSession(lambda i: {"h": 3 * i["x_t"]}),
        "expert": FakeSession(lambda i: {"v_t": i["kv"] - i["h"] * i["t"][..., None]}),
        "last": FakeSession(lambda i: {"out": i["action"] + i["h"]}),
    }
    program = joined(
        [
            stage("prefix", ["obs"], ["kv"]),
            stage("encode", ["x_t"], ["h"]),
            stage("expert", ["kv", "h", spec("t", ("batch",))], ["v_t"]),
            stage("last", ["action", "h"], ["out"]),
        ],
        loop,
    )
    block = cases(obs=(1, 3), noise=(1, 3))
    outputs: Any = session_of(program, parts).run(block).outputs
    for wired in program.stages:
        for step in times_of(program, wired):
            fed = parts[wired.name].fed[0 if step is None else step - 1]
            found = recalled(program, wired, step, block.inputs, outputs)
            assert set(fed) == {w.tensor for w in wired.takes}
            for w in wired.takes:
                np.testing.assert_array_equal(found[w.value], fed[w.tensor], err_msg=f"{wired.name} {step} {w.value}")


@pytest.mark.parametrize("steps", [1, 2, 10, 32, 33, 100])
def test_what_is_recalled_for_a_stage_alone_is_what_it_was_fed(steps: int) -> None:
    feeds_of(steps)


@pytest.mark.parametrize("steps", [1, 2, 10, 32, 33, 34, 100, 1000])
def test_the_steps_looked_at_hold_both_ends(steps: int) -> None:
    seen = looked_at(steps)
    assert seen[0] == 1
    assert seen[-1] == steps
    assert len(seen) <= 34
    assert entered(steps)[0] == 1
    assert entered(steps)[-1] == steps
    assert all(k == 1 or k - 1 in seen for k in entered(steps))
    assert steps > 32 or seen == entered(steps) == tuple(range(1, steps + 1))


def test_a_stage_that_stops_early_gives_fewer_cases_to_those_after_it() -> None:
    session, parts = flow(prefix=FakeSession(prefix, stops_after=1))
    result = session.run(cases(3, obs=(1, 3), noise=(1, 3)))
    assert result.completed == 1
    assert result.failure is not None
    assert result.failure.message == "stage 'prefix': killed by SIGSEGV"
    assert {len(a) for a in result.outputs.values()} == {1}
    assert {len(f["kv"]) for f in parts["expert"].fed} == {1}


def test_a_stage_that_fails_in_the_loop_is_named_with_its_step() -> None:
    class Second(FakeSession):
        def run(self, block: Any, *args: Any, **kwargs: Any) -> Any:
            self.stops_after = 0 if len(self.fed) == 1 else None
            return super().run(block, *args, **kwargs)

    session, _ = flow(expert=Second(expert))
    result = session.run(cases(obs=(1, 3), noise=(1, 3)))
    assert result.completed == 0
    assert result.outputs == {}
    assert result.failure is not None
    assert result.failure.message == "stage 'expert': killed by SIGSEGV (step 2 of the loop)"
    assert result.failure.kind == "crash"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "stage 'prefix' gave no 'kv'"),
        ({"kv": [np.zeros((1, 3)), np.zeros((2, 3))]}, "gave 'kv' in shapes that differ from case to case"),
    ],
)
def test_what_a_stage_does_not_give_stops_the_chain(given: dict[str, Any], words: str) -> None:
    session, _ = flow(prefix=FakeSession(lambda i: given))
    result = session.run(cases(obs=(1, 3), noise=(1, 3)))
    assert result.completed == 0
    assert result.failure is not None
    assert words in result.failure.message


def test_a_change_of_another_shape_is_no_state() -> None:
    session, _ = flow(expert=FakeSession(lambda i: {"v_t": np.zeros((2, 1, 4), np.float32)}))
    result = session.run(cases(obs=(1, 3), noise=(1, 3)))
    assert result.failure is not None
    assert "the loop's state has shape (1, 3), what changes it (1, 4)" in result.failure.message


def test_nan_goes_on_through_the_loop_and_is_not_hidden() -> None:
    session, _ = flow(expert=FakeSession(lambda i: {"v_t": i["x_t"] * np.float32("nan")}))
    result = session.run(cases(obs=(1, 3), noise=(1, 3)))
    assert np.isnan(np.asarray(result.outputs["action"])).all()


def test_a_sequence_is_carried_through_a_chain_and_refused_in_a_loop() -> None:
    block = replace(cases(obs=(1, 3), noise=(1, 3)), sequence=True)
    result = flow()[0].run(block)
    assert result.failure is not None
    assert "keeps state" in result.failure.message
    program = joined([stage("a", ["obs"], ["h"]), stage("b", ["h"], ["action"])])
    seen: list[bool] = []

    class Noting(FakeSession):
        def run(self, block: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(block.sequence)
            return super().run(block, *args, **kwargs)

    parts = {"a": Noting(lambda i: {"h": i["obs"]}), "b": Noting(lambda i: {"action": i["h"]})}
    assert session_of(program, parts).run(block).failure is None
    assert seen == [True, True]


def test_a_difference_between_two_runs_is_told_of_the_stage() -> None:
    program = joined([stage("a", ["obs"], ["shaky"]), stage("b", ["shaky"], ["action"])])
    parts = {"a": FakeSession(lambda i: {"shaky": i["obs"]}), "b": FakeSession(lambda i: {"action": i["shaky"]})}
    result = session_of(program, parts).run(cases(obs=(1, 3)), repeat=True)
    assert result.repeat_differs == {"chained:shaky": 0.5}


def test_what_stages_say_of_themselves_is_put_together() -> None:
    session, parts = flow()
    parts["expert"].info = replace(parts["expert"].info, precision="float16", variants=("base",), stateful="LSTM")
    assert session.info.precision == "float16"
    assert session.info.variants == ("base",)
    assert session.info.stateful == "expert: LSTM"
    assert set(session.info.environment["stages"]) == {"prefix", "expert"}
    session.close()
    assert all(p.closed for p in parts.values())


def test_floats_stay_wide_in_the_float64_variant_alone() -> None:
    seen: list[str] = []

    def noted(inputs: Any) -> dict[str, Any]:
        seen.append(inputs["kv"].dtype.name)
        return expert(inputs)

    session, _ = flow(prefix=FakeSession(lambda i: {"kv": i["obs"].astype(np.float64)}), expert=FakeSession(noted))
    block = cases(obs=(1, 3), noise=(1, 3))
    session.run(block)
    session.run(block, "float64")
    assert seen == ["float32"] * 4 + ["float64"] * 4


MASK = np.array([[True, False]])


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (MASK, "float32"),
        (MASK, "int64"),
        (np.array([0.0, 1.0], np.float32), "bool"),
        (np.array([3.0, -2.0], np.float32), "int64"),
        (np.array([3, -2]), "float16"),
        (np.array([0.1], np.float32), "float16"),
        (np.array([0.1], np.float32), "bfloat16"),
        (np.array([0.1], np.float32), None),
    ],
)
def test_a_value_that_survives_goes_to_the_next_stage_in_its_dtype(array: Any, dtype: str | None) -> None:
    found = fitted(array, dtype, "stage 'b': 'mask'")
    np.testing.assert_allclose(found.astype(np.float64), array.astype(np.float64), rtol=1e-3)
    assert dtype in (None, "bfloat16") or found.dtype == dtype


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([0.5], np.float32), "int64"),
        (np.array([0.5], np.float32), "bool"),
        (np.array([-10000.0], np.float32), "bool"),
        (np.array([2]), "bool"),
        (np.array([300]), "uint8"),
        (np.array([-1]), "uint64"),
        (np.array([2**60 + 1]), "float32"),
        (np.array([np.nan], np.float32), "int64"),
        (np.array([np.inf], np.float32), "int32"),
        (np.array([70000]), "float16"),
    ],
)
def test_a_value_that_does_not_survive_is_refused(array: Any, dtype: str) -> None:
    with pytest.raises(ArtifactError, match=r"stage 'b': 'mask' takes \w+, and what it is given"):
        fitted(array, dtype, "stage 'b': 'mask'")


def test_the_time_has_the_shape_and_the_dtype_that_the_graph_declares() -> None:
    loop = Loop(("e",), 10, {"x": "v"}, between=(1.0, 0.0))
    assert time_array(loop, 2, spec("t", ("batch",)), 3, 2).shape == (3, 2)
    assert time_array(loop, 2, spec("t", (1, 1), None), 3, 2).shape == (3, 1, 1)
    assert time_array(loop, 2, spec("t", None, None), 3, 2).tolist() == [[np.float32(0.9)] * 2] * 3
    with pytest.raises(ArtifactError, match="step 2"):
        time_array(loop, 2, spec("t", (), "int64"), 3, 2)


def test_names_of_outputs_of_stages() -> None:
    assert parts_of("alone:kv") == ("alone", "kv", None)
    assert parts_of("chained:alone:x") == ("chained", "alone:x", None)
    assert parts_of("step-0003:x_t") == ("loop", "x_t", 3)
    assert parts_of("step-3:x") == ("", "step-3:x", None)
    assert [is_of_stages(n) for n in ("alone:a", "step-0010:x", "action", "graph:action")] == [True, True, False, False]
    assert called("alone:kv", "prefix") == "kv of stage prefix (alone)"
    assert called("step-0003:x_t", "expert") == "x_t in the loop"
    assert called("alone:kv", None) == "alone:kv"
