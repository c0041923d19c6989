"""Every kind of disagreement is found, named with both values, and nothing unknown counts as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parity.contract import Contract, Normalization, Sampler, Window
from parity.contract.disagree import Disagreement, disagreements, disagreements_of, only_one_says
from parity.contract.disagreement import CODES
from parity.tensor import Range, TensorSpec


def bare(name: str, *shape: int, **more: Any) -> TensorSpec:
    return TensorSpec(name, shape, batched=False, **more)


def graph(name: str, *shape: int | str | None, **more: Any) -> TensorSpec:
    return TensorSpec(name, shape, **more)


CONFIG = Contract(
    Path("run/config.json"),
    "lerobot",
    policy="diffusion",
    inputs=(
        bare("observation.images.top", 3, 96, 96, role="image"),
        bare("observation.state", 2, role="state"),
    ),
    outputs=(bare("action", 2, role="action"),),
    window=Window(n_obs_steps=2, horizon=16, n_action_steps=8),
    normalization=Normalization({"VISUAL": "MEAN_STD", "STATE": "MIN_MAX", "ACTION": "MIN_MAX"}),
    sampler=Sampler(scheduler="DDIM", train_steps=100, inference_steps=10, prediction_type="epsilon", clip_sample=True),
)
EXPORT = Contract(
    Path("run/policy.onnx"),
    "onnx",
    inputs=(
        graph("observation_images_top", "batch", 2, 3, 96, 96, dtype="float32", role="image"),
        graph("observation.state", "batch", 2, 2, dtype="float32", role="state"),
    ),
    outputs=(graph("action", "batch", 8, 2, dtype="float32", role="action"),),
)
WALK = Contract(
    Path("a/policy.onnx"),
    "onnx",
    inputs=(graph("obs", 1, 45, dtype="float32", role="state"),),
    outputs=(graph("actions", 1, 12, dtype="float32", role="action"),),
    metadata={"joint_names": ["hip", "knee", "ankle"], "action_scale": [0.25, 0.25, 0.5]},
)


def only(found: list[Disagreement]) -> Disagreement:
    real = [d for d in found if d.severity != "info"]
    assert len(real) == 1, [d.sentence for d in real]
    return real[0]


def real(found: list[Disagreement]) -> list[Disagreement]:
    return [d for d in found if d.kind != "name" and d.severity != "info"]


def output(*shape: int | str) -> Contract:
    return replace(EXPORT, outputs=(graph("action", *shape, dtype="float32", role="action"),))


def test_a_config_and_its_right_export_disagree_in_one_spelling_only() -> None:
    found = disagreements(CONFIG, EXPORT)
    assert [d.kind for d in found] == ["name"]
    assert found[0].where == "observation.images.top"
    assert not real(disagreements(EXPORT, CONFIG))


def test_nothing_disagrees_with_itself() -> None:
    for contract in (CONFIG, EXPORT, WALK):
        assert disagreements(contract, contract) == []
        assert only_one_says(contract, contract) == []


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (16, "the whole horizon, of which only steps [1:9] are executed"),
        (15, "the horizon without its first 1 step(s)"),
        (9, "its first 1 step(s) seem to lie in the past"),
        (7, "1 step(s) short"),
        (4, "neither the executed part nor the whole"),
    ],
)
@pytest.mark.parametrize("flip", [False, True])
def test_an_output_that_is_not_the_executed_chunk(length: int, said: str, flip: bool) -> None:
    wrong = output("batch", length, 2)
    d = only(real(disagreements(*((wrong, CONFIG) if flip else (CONFIG, wrong)))))
    assert d.kind == "chunk"
    assert d.severity == "error"
    assert said in d.sentence
    assert (d.a_value, d.b_value) == ((length, 8) if flip else (8, length))


def test_a_whole_act_chunk_is_a_warning() -> None:
    config = replace(CONFIG, window=Window(n_obs_steps=2, chunk_size=100, n_action_steps=50))
    d = only(real(disagreements(config, output("batch", 100, 2))))
    assert (d.kind, d.severity) == ("chunk", "warning")
    assert not real(disagreements(config, output("batch", 50, 2)))


def test_a_step_of_a_sampler_works_on_the_horizon() -> None:
    step = replace(
        output("batch", 16, 2), inputs=(*EXPORT.inputs, graph("timestep", "batch", dtype="int64", role="timestep"))
    )
    assert "chunk" not in {d.kind for d in disagreements(CONFIG, step)}


def test_observation_steps_of_a_graph_against_the_window() -> None:
    wrong = replace(EXPORT, inputs=(EXPORT.inputs[0], graph("observation.state", "batch", 3, 2)))
    d = only(real(disagreements(CONFIG, wrong)))
    assert (d.kind, d.where, d.a_value, d.b_value) == ("window", "observation.state", 2, 3)
    none = replace(EXPORT, inputs=(EXPORT.inputs[0], graph("observation.state", "batch", 2)))
    assert only(real(disagreements(CONFIG, none))).kind == "window"


@pytest.mark.parametrize("name", ["n_obs_steps", "horizon", "chunk_size", "n_action_steps"])
def test_windows(name: str) -> None:
    a = replace(CONFIG, window=Window(**{name: 8}))
    b = replace(CONFIG, window=Window(**{name: 16}))
    d = only(disagreements(a, b))
    assert (d.kind, d.where, d.a_value, d.b_value) == ("window", name, 8, 16)
    assert disagreements(a, replace(b, window=Window(**{name: None}))) == []
    assert disagreements(a, replace(b, window=Window(**{name: "${" + name + "}"}))) == []


def test_missing_inputs_and_outputs() -> None:
    less = replace(CONFIG, inputs=CONFIG.inputs[1:], path=Path("b.json"))
    d = only(disagreements(CONFIG, less))
    assert (d.kind, d.where, d.b_value) == ("input", "observation.images.top", None)
    more = replace(CONFIG, outputs=(*CONFIG.outputs, bare("value", 1)), path=Path("b.json"))
    d = only(disagreements(CONFIG, more))
    assert (d.kind, d.where, d.a_value) == ("output", "value", None)


def test_one_vector_that_is_split_on_the_other_side() -> None:
    a = replace(CONFIG, inputs=(bare("observation.state", 2), bare("observation.environment_state", 16)))
    b = replace(EXPORT, inputs=(graph("obs", 1, 18),))
    found = [d for d in disagreements(a, b) if d.kind == "input"]
    assert len(found) == 3
    assert all(
        "has the length of 'observation.state', 'observation.environment_state' together" in d.sentence for d in found
    )


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        (graph("obs", 1, 45), graph("obs", 1, 48), "shape"),
        (graph("obs", "batch", 45), graph("obs", "batch", 1, 45), "shape"),
        (bare("obs", 3, 96, 96), bare("obs", 96, 96), "shape"),
        (bare("obs", 3, 96, 96), graph("obs", "batch", 96), "shape"),
        (bare("obs", 3, 96, 96), graph("obs", "batch", 96, 96, 3), "shape"),
        (graph("obs", 1, 45), graph("obs", 4, 45), "batch"),
        (graph("obs", 1, 45, dtype="float32"), graph("obs", 1, 45, dtype="float16"), "dtype"),
        (graph("obs", 1, 45, dtype="uint8"), graph("obs", 1, 45, dtype="float32"), "dtype"),
        (graph("obs", 1, 45, units="rad"), graph("obs", 1, 45, units="deg"), "units"),
    ],
)
def test_pairs_of_tensors(a: TensorSpec, b: TensorSpec, kind: str) -> None:
    for x, y in ((a, b), (b, a)):
        d = only(disagreements(replace(WALK, inputs=(x,)), replace(WALK, path=Path("b.onnx"), inputs=(y,))))
        assert d.kind == kind
        assert d.where == "obs"


def test_channels_last_is_said() -> None:
    a, b = replace(WALK, inputs=(bare("i", 3, 90, 96),)), replace(WALK, inputs=(graph("i", 1, 90, 96, 3),))
    assert "channels first against channels last" in only(disagreements(a, b)).sentence
    assert "channels last against channels first" in only(disagreements(b, a)).sentence


@pytest.mark.parametrize("shape", [("batch", 45), (None, 45), ("batch", "features"), ("n", None)])
def test_unknown_and_symbolic_dims_agree_with_any(shape: tuple[Any, ...]) -> None:
    assert not real(disagreements(WALK, replace(WALK, inputs=(graph("obs", *shape),))))


def test_a_fixed_batch_against_a_free_one_is_worth_knowing() -> None:
    found = disagreements(WALK, replace(WALK, path=Path("b.onnx"), inputs=(graph("obs", "batch", 45),)))
    assert [(d.kind, d.severity) for d in found] == [("batch", "info")]
    assert "takes batches of 1 only" in found[0].sentence


def test_one_symbol_cannot_be_two_sizes() -> None:
    a = replace(WALK, inputs=(graph("p", "n", 3), graph("q", "n", 3)))
    b = replace(WALK, inputs=(graph("p", 2, 3), graph("q", 4, 3)))
    assert "'n' of" in only(real(disagreements(a, b))).sentence
    assert "'n' of" in only(real(disagreements(b, a))).sentence


def test_order_of_a_graph_but_not_of_a_config() -> None:
    turned = replace(EXPORT, inputs=EXPORT.inputs[::-1], path=Path("b.onnx"))
    assert only(disagreements(EXPORT, turned)).kind == "order"
    assert disagreements(CONFIG, replace(CONFIG, inputs=CONFIG.inputs[::-1])) == []


def _range(first: float, second: float, kind: Any = "min_max", n: int = 2) -> Range:
    return Range(kind, (0.0,) * (n - 1) + (first,), (1.0,) * (n - 1) + (second,), (n,), "stats.json")


@pytest.mark.parametrize(
    ("b", "severity"),
    [
        (_range(0.0, 1.0), None),
        (_range(0.0, 1.0 + 1e-6), None),
        (_range(0.0, 1.001), "warning"),
        (_range(0.5, 1.0), "error"),
        (_range(float("nan"), 1.0), "error"),
        (_range(0.0, 1.0, n=3), "error"),
        (_range(0.0, 1.0, kind="mean_std"), None),
    ],
)
def test_ranges(b: Range, severity: str | None) -> None:
    one = replace(CONFIG, inputs=(replace(CONFIG.inputs[1], range=_range(0.0, 1.0)),))
    other = replace(CONFIG, path=Path("b.json"), inputs=(replace(CONFIG.inputs[1], range=b),))
    found = disagreements(one, other)
    assert [(d.kind, d.severity) for d in found] == ([("range", severity)] if severity else [])
    assert all(d.where.startswith("observation.state") for d in found)


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ({"STATE": "MIN_MAX"}, {"STATE": "MEAN_STD"}, True),
        ({"STATE": "MIN_MAX"}, {"STATE": "min_max"}, False),
        ({"STATE": "MIN_MAX"}, {"observation.state": "limits"}, False),
        ({"STATE": "MIN_MAX"}, {"observation.state": "gaussian"}, True),
        ({"observation_state": "mean_std"}, {"observation.state": "gaussian"}, False),
        ({"STATE": "MIN_MAX"}, {"ACTION": "MEAN_STD"}, False),
        ({"STATE": "QUANTILES"}, {"STATE": "QUANTILE10"}, True),
        ({"STATE": "MEAN_STD"}, {"STATE": "IDENTITY"}, True),
    ],
)
def test_normalization_modes(a: dict[str, str], b: dict[str, str], differ: bool) -> None:
    one, other = replace(CONFIG, normalization=Normalization(a)), replace(CONFIG, normalization=Normalization(b))
    kinds = {d.kind for d in disagreements(one, other)} | {d.kind for d in disagreements(other, one)}
    assert kinds == ({"normalization"} if differ else set())


@pytest.mark.parametrize(
    ("field", "a", "b"),
    [
        ("scheduler", "DDPM", "DDIM"),
        ("train_steps", 100, 50),
        ("inference_steps", 10, 16),
        ("beta_schedule", "squaredcos_cap_v2", "linear"),
        ("beta_start", 1e-4, 2e-4),
        ("beta_end", 0.02, 0.01),
        ("prediction_type", "epsilon", "sample"),
        ("clip_sample", True, False),
        ("clip_sample_range", 1.0, 3.0),
        ("variance_type", "fixed_small", "fixed_large"),
        ("use_ema", True, False),
    ],
)
def test_samplers(field: str, a: Any, b: Any) -> None:
    one, other = replace(CONFIG, sampler=Sampler(**{field: a})), replace(CONFIG, sampler=Sampler(**{field: b}))
    d = only(disagreements(one, other))
    assert (d.kind, d.where, d.a_value, d.b_value) == ("sampler", f"sampler.{field}", a, b)
    assert disagreements(one, replace(CONFIG, sampler=Sampler())) == []
    assert disagreements(one, replace(CONFIG, sampler=None)) == []


def robot(**metadata: Any) -> Contract:
    return replace(WALK, path=Path("deploy.yaml"), metadata=metadata)


@pytest.mark.parametrize(
    ("other", "kind", "said"),
    [
        (robot(joint_names=["hip", "ankle", "knee"]), "elements", "another order"),
        (robot(joint_names=["hip", "knee", "toe"]), "elements", "ankle"),
        (robot(joint_names='["hip", "ankle", "knee"]'), "elements", "another order"),
        (robot(joint_names="hip,ankle,knee"), "elements", "another order"),
        (robot(deploy={"action_scale": 0.5}), "action_scale", "2 of 3 differ"),
        (robot(action_scale="0.25,0.25,0.4"), "action_scale", "of ankle: 0.5"),
        (robot(action_scale=[0.25, 0.5]), "action_scale", "3 numbers"),
        (robot(action_scale=[0.25, 0.25, float("nan")]), "action_scale", "nan"),
    ],
)
def test_robots(other: Contract, kind: str, said: str) -> None:
    d = only(disagreements(WALK, other))
    assert d.kind == kind
    assert said in d.sentence


def test_numbers_per_joint_are_compared_by_joint() -> None:
    turned = robot(joint_names=["ankle", "hip", "knee"], action_scale=[0.5, 0.25, 0.25])
    assert only(disagreements(WALK, turned)).kind == "elements"
    wrong = robot(joint_names=["ankle", "hip", "knee"], action_scale=[0.25, 0.25, 0.5])
    assert {d.kind for d in disagreements(WALK, wrong)} == {"elements", "action_scale"}


@pytest.mark.parametrize(
    ("exact", "written", "severity"),
    [
        ([0.547546, 0.35], "0.548,0.350", "info"),
        ([0.547546, 0.35], "0.547,0.350", "error"),  # cut off, not rounded
        ([0.0746, 0.0004], "0.075,0.000", "warning"),  # rounded to nothing
        ([1000.0, 0.0014], "1000.0004,0.001", "warning"),  # a slight gap of a large number hides no other
        ([0.25, 0.25], "0.25000001,0.25", None),  # float32
    ],
)
def test_numbers_rounded_on_export(exact: list[float], written: str, severity: str | None) -> None:
    for a, b in ((exact, written), (written, exact)):
        found = disagreements(robot(action_scale=a), replace(WALK, metadata={"action_scale": b}))
        assert [(d.kind, d.severity) for d in found] == ([("action_scale", severity)] if severity else [])


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [
        ({"control_hz": 50}, {"control_dt": 0.02}, False),
        ({"control_hz": 50}, {"control_dt": 0.005}, True),
        ({"control_frequency": 30.0}, {"policy_dt": 0.02}, True),
        ({"default_joint_pos": [0.1, 0.2]}, {"default_dof_pos": [0.1, 0.2]}, False),
        ({"default_joint_pos": [0.1, 0.2]}, {"default_dof_pos": [0.1, -0.2]}, True),
        ({"kp": [20, 30]}, {"rl_kp": [20.0, 31.0]}, True),
        ({"damping": 1.0}, {"joint_damping": [1.0, 1.0]}, False),
        ({"joint_names": [".*_hip"]}, {"joint_names": ["a", "b"]}, False),
        ({"action_scale": {"hip": 1.0}}, {"action_scale": 0.5}, False),
        ({"action_scale": None}, {"action_scale": 0.5}, False),
        ({"action_scale": True}, {"action_scale": 0.5}, False),
        ({"joint_names": "[" * 100_000}, {"joint_names": ["a", "b"]}, False),
    ],
)
def test_the_words_of_different_formats(a: dict[str, Any], b: dict[str, Any], differ: bool) -> None:
    found = disagreements(replace(WALK, metadata=a), replace(WALK, metadata=b))
    assert bool([d for d in found if d.severity == "error"]) == differ


def test_the_control_rate_of_the_window() -> None:
    a = replace(CONFIG, window=Window(control_hz=50.0))
    assert only(disagreements(a, replace(CONFIG, window=Window(control_hz=30.0)))).kind == "control_rate"
    assert disagreements(a, replace(CONFIG, window=Window(control_hz=1 / 0.02))) == []


def test_element_names_of_a_tensor() -> None:
    a = replace(WALK, metadata={}, outputs=(graph("actions", 1, 2, role="action", elements=("l", "r")),))
    b = replace(WALK, metadata={}, outputs=(graph("actions", 1, 2, role="action", elements=("r", "l")),))
    assert "elements" in {d.kind for d in disagreements(a, b)}


def test_policies_of_two_kinds() -> None:
    assert only(disagreements(CONFIG, replace(CONFIG, policy="act"))).kind == "policy"
    assert disagreements(CONFIG, replace(CONFIG, policy="Diffusion")) == []


def test_torchscript_that_knows_nothing_disagrees_in_nothing() -> None:
    blank = Contract(Path("policy.pt"), "torchscript", inputs=(TensorSpec("x"),), complete=False)
    assert not real(disagreements(blank, WALK))
    assert not real(disagreements(WALK, blank))
    (f,) = only_one_says(blank, WALK)
    assert f.severity == "info"
    assert "joint names" in f.title


def test_every_other_is_compared_with_the_first() -> None:
    others = [replace(WALK, path=Path(f"{n}.onnx"), metadata={"action_scale": n}) for n in (1.0, 2.0)]
    found = disagreements_of([WALK, *others])
    assert {d.b for d in found} == {"1.0.onnx", "2.0.onnx"}
    assert {d.a for d in found} == {"a/policy.onnx"}
    assert disagreements_of([WALK]) == []


def test_codes_are_unique_and_every_kind_has_one() -> None:
    codes = [code for code, _ in CODES.values()]
    assert len(set(codes)) == len(codes)
    d = only(disagreements(CONFIG, replace(CONFIG, policy="act")))
    f = d.as_finding()
    assert f.code == d.code == CODES["policy"][0]
    assert f.remedy
    assert d.as_json()["values"] == ["diffusion", "act"]
