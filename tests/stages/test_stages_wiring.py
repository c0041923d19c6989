"""Stages joined by name: what is certain is joined, what would silently become another policy is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fake_stages import joined, spec, stage
from parity.errors import ArtifactError, ParityError, UsageError
from parity.stages import Loop

LOOP = Loop(("expert",), 4, {"x_t": "v_t"}, start={"x_t": "noise"}, result={"x_t": "action"}, time="t")
PREFIX = stage("prefix", ["obs"], ["kv"])
EXPERT = stage("expert", ["kv", "state", "x_t", spec("t", ("batch",))], ["v_t"])


def test_inputs_and_outputs_of_the_policy_are_what_no_stage_gives_and_what_comes_last() -> None:
    program = joined([PREFIX, EXPERT], LOOP)
    assert [t.name for t in program.inputs] == ["obs", "state", "noise"]
    assert [(t.name, t.role) for t in program.outputs] == [("action", "action")]
    assert next(t.role for t in program.inputs if t.name == "noise") == "noise"
    chain = joined([PREFIX, stage("decoder", ["kv", "state"], ["action", "std"])])
    assert [t.name for t in chain.outputs] == ["action", "std"]
    assert [t.name for t in chain.inputs] == ["obs", "state"]


def test_a_state_may_begin_as_what_a_stage_gives() -> None:
    loop = replace(LOOP, start={"x_t": "guess"})
    program = joined([stage("prefix", ["obs"], ["kv", "guess"]), EXPERT], loop)
    assert [t.name for t in program.inputs] == ["obs", "state"]


def test_names_are_joined_by_rename() -> None:
    program = joined([stage("prefix", ["pixels"], ["123"], pixels="obs", **{"123": "kv"}), EXPERT], LOOP)
    assert program.stages[0].values == ("kv",)
    assert [t.name for t in program.inputs] == ["obs", "state", "noise"]


@pytest.mark.parametrize(
    ("stages", "loop", "words"),
    [
        ([stage("a", ["obs"], ["kv"], kw="x"), stage("b", ["kv"], ["action"])], None, "there is no 'kw'"),
        (
            [stage("a", ["obs"], ["h"]), stage("b", ["h"], ["h2"]), stage("c", ["h2", "h"], ["h"])],
            None,
            "both give 'h'",
        ),
        ([stage("a", ["obs"], ["kv"]), stage("b", ["kv_in"], ["action"])], None, "'kv_in', which no stage gives"),
        ([stage("a", ["obs"], ["kv", "w"]), stage("b", ["kv", "w2"], ["y"])], None, "'w2', which no stage gives"),
        ([stage("a", ["obs"], [spec("kv", ("batch", 9))]), stage("b", ["z"], ["y"])], None, "nothing that stage 'a'"),
        ([stage("b", ["kv"], ["y"]), stage("a", ["obs"], ["kv"])], None, "takes 'kv' before stage 'a' gives it"),
        ([stage("a", ["obs", "h"], ["h"])], None, "takes 'h' before stage 'a' gives it"),
        ([stage("a", [], ["kv"]), stage("b", ["kv"], ["y"])], None, "cannot be told without running it"),
        ([stage("a", ["obs"], ["kv"], kv="alone:kv"), stage("b", ["kv"], ["y"])], None, "how parity calls outputs"),
        ([PREFIX, EXPERT], replace(LOOP, stages=("export",)), "no stage is called 'export'; did you mean 'expert'?"),
        ([PREFIX, EXPERT], replace(LOOP, stages=("expert", "prefix")), "do not follow one another"),
        ([PREFIX, EXPERT], replace(LOOP, state={"x": "v_t"}, start={}, result={}), "takes no 'x'"),
        ([PREFIX, EXPERT], replace(LOOP, state={"x_t": "v"}), "gives no 'v'"),
        ([PREFIX, EXPERT], replace(LOOP, time="timestep"), "loop.time: expert takes no 'timestep'"),
        ([stage("prefix", ["obs"], ["kv", "x_t"]), EXPERT], LOOP, "is given by a stage, too"),
    ],
)
def test_what_would_be_another_policy_is_refused(stages: list[Any], loop: Loop | None, words: str) -> None:
    with pytest.raises(UsageError) as e:
        joined(stages, loop)
    assert words in str(e.value)
    assert str(e.value).startswith("side: ")


@pytest.mark.parametrize(
    ("given", "taken"), [((1, 4, 8), (1, 5, 8)), ((1, 4), (1, 4, 1)), (("batch", 16), ("batch", 32))]
)
def test_stages_of_other_sizes_do_not_fit(given: tuple[Any, ...], taken: tuple[Any, ...]) -> None:
    with pytest.raises(ArtifactError, match="stage 'a' gives 'kv' in shape"):
        joined([stage("a", ["obs"], [spec("kv", given)]), stage("b", [spec("kv", taken)], ["y"])])


def test_a_change_of_another_shape_than_its_state_does_not_fit() -> None:
    wrong = stage("expert", ["kv", "x_t"], [spec("v_t", ("batch", 4))])
    with pytest.raises(ArtifactError, match="stage 'expert' gives 'v_t' in shape"):
        joined([PREFIX, wrong], replace(LOOP, time=None))


def test_an_input_that_is_the_policys_own_is_said_to_be() -> None:
    stages = [stage("a", ["obs"], ["kv", "w"]), stage("b", ["kv", "goal"], ["y"], goal="goal")]
    assert [t.name for t in joined(stages).inputs] == ["obs", "goal"]
    with pytest.raises(ParityError, match="goal"):
        joined([stages[0], replace(stages[1], rename={})])


def test_a_time_that_is_no_whole_number_for_a_graph_that_takes_integers() -> None:
    expert = stage("expert", ["kv", "x_t", spec("t", ("batch",), "int64")], ["v_t"])
    with pytest.raises(UsageError, match=r"'t' is int64, and one of the times is 0.75"):
        joined([PREFIX, expert], LOOP)
    assert joined([PREFIX, expert], replace(LOOP, times=(0, 250, 500, 750))).loop is not None
