"""Which tensor is which: names, spellings, roles, shapes, positions, and nothing where it is open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.contract.matching import canonical, fits, is_generated, match_tensors
from parity.tensor import TensorSpec


def spec(name: str, *shape: int | str | None, bare: bool = False, **more: object) -> TensorSpec:
    return TensorSpec(name, shape or None, batched=not bare, **more)  # type: ignore[arg-type]


def paired(a: list[TensorSpec], b: list[TensorSpec]) -> dict[str, tuple[str, str]]:
    return {m.a.name: (m.b.name, m.how) for m in match_tensors(a, b).pairs}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("observation.images.top", "observation_images_top"),
        ("observation.images.top", "images.top"),
        ("observation.images.top", "observation/images/top"),
        ("observation.images.top", "top"),
        ("observation.state", "state"),
        ("action", "actions"),
        ("Action", "action:0"),
        ("observation.environment_state", "environment_state"),
    ],
)
def test_the_same_name_in_another_spelling(ours: str, theirs: str) -> None:
    others = [spec("observation.wrist", 3), spec("noise", 4)]
    assert paired([spec(ours, 7), *others], [*others, spec(theirs, 9)])[ours] == (theirs, "spelling")


def test_an_exact_name_wins_over_a_spelling() -> None:
    both = [spec("wrist_cam", 1), spec("wrist.cam", 2)]
    assert paired(both, both[::-1]) == {"wrist_cam": ("wrist_cam", "name"), "wrist.cam": ("wrist.cam", "name")}


def test_two_spellings_that_collide_are_left_open() -> None:
    found = match_tensors([spec("a.b", 3), spec("a_b", 3)], [spec("a/b", 3), spec("c", 3)])
    assert not found.pairs
    assert len(found.only_a) == len(found.only_b) == 2


def test_the_single_tensor_of_each_side_whatever_its_shape() -> None:
    assert paired([spec("x", 1, 45)], [spec("obs", 1, 48)]) == {"x": ("obs", "single")}


def test_roles_where_each_is_alone() -> None:
    a = [spec("pixels", 1, 3, 96, 96, role="image"), spec("p", 1, 7, role="state")]
    b = [spec("q", 1, 7, role="state"), spec("view", 1, 3, 96, 96, role="image")]
    assert paired(a, b) == {"pixels": ("view", "role"), "p": ("q", "role")}


def test_shapes_where_each_fits_one() -> None:
    assert paired([spec("p", 1, 7), spec("q", 1, 9)], [spec("r", "n", 9), spec("s", "n", 7)]) == {
        "p": ("s", "shape"),
        "q": ("r", "shape"),
    }


def test_positions_only_where_names_mean_nothing() -> None:
    a = [spec("arg_1"), spec("arg_2")]
    b = [spec("image", 1, 3, 8, 8), spec("state", 1, 7)]
    assert paired(a, b) == {"arg_1": ("image", "position"), "arg_2": ("state", "position")}
    meaningful = [spec("left", 1, 7), spec("right", 1, 7)]
    assert not paired(meaningful, [spec("port", 1, 7), spec("starboard", 1, 7)])


def test_positions_never_where_a_shape_contradicts() -> None:
    assert not paired([spec("input_1", 1, 7), spec("input_2", 1, 7)], [spec("a", 1, 7), spec("b", 1, 8)])


def test_a_bare_feature_fits_a_graph_with_batch_and_time() -> None:
    feature = spec("observation.state", 2, bare=True)
    assert fits(feature, spec("s", "batch", 2, 2))
    assert fits(feature, spec("s", 1, 2))
    assert not fits(feature, spec("s", 1, 3))
    assert not fits(spec("a", 1, 7, dtype="int64"), spec("b", 1, 7, dtype="float32"))


def test_two_configurations_mean_the_names_of_their_features() -> None:
    top, front = (spec(f"observation.images.{n}", 3, 96, 96, bare=True, role="image") for n in ("top", "front"))
    state = spec("observation.state", 7, bare=True)
    assert "observation.images.top" not in paired([top, state], [front, state])
    graph = spec("pixels", "batch", 3, 96, 96, role="image")
    assert paired([top, state], [graph, state])["observation.images.top"] == ("pixels", "role")


def test_shapes_of_another_rank_do_not_fit() -> None:
    assert not fits(spec("a", 3, bare=True), spec("b", 3, 480, 640, bare=True))
    assert not fits(spec("a", "batch", 3), spec("b", "batch", 16, 3))


@pytest.mark.parametrize("name", ["x", "input", "input_1", "input.1", "15", "onnx::Gemm_0", "output_0", "arg1_1", ""])
def test_names_that_mean_nothing(name: str) -> None:
    assert is_generated(name) or name == "arg1_1"


@pytest.mark.parametrize("name", ["obs", "action", "actions", "state", "xpos", "input_ids", "image", "noise"])
def test_names_that_mean_something(name: str) -> None:
    assert not is_generated(name)


def test_canonical() -> None:
    assert canonical("Observation.images/TOP:0") == "observation_images_top"


names = st.sampled_from(
    ["obs", "observation.state", "state", "x", "images.top", "top", "a_b", "a.b", "action", "noise"]
)
specs = st.lists(
    st.builds(
        spec,
        names,
        st.sampled_from([1, "batch"]),
        st.integers(1, 3),
        role=st.sampled_from([None, "state", "action"]),
    ),
    max_size=5,
    unique_by=lambda t: t.name,
)


@given(specs, specs)
def test_a_matching_is_a_partial_bijection_and_symmetric(a: list[TensorSpec], b: list[TensorSpec]) -> None:
    found = match_tensors(a, b)
    assert len({m.a.name for m in found.pairs}) == len(found.pairs) == len({m.b.name for m in found.pairs})
    assert {m.a.name for m in found.pairs} | {t.name for t in found.only_a} == {t.name for t in a}
    assert {m.b.name for m in found.pairs} | {t.name for t in found.only_b} == {t.name for t in b}
    back = match_tensors(b, a)
    assert {(m.a.name, m.b.name) for m in found.pairs} == {(m.b.name, m.a.name) for m in back.pairs}


@given(specs)
def test_everything_matches_itself(a: list[TensorSpec]) -> None:
    assert all(m.a is m.b and m.how == "name" for m in match_tensors(a, a).pairs)
    assert len(match_tensors(a, a).pairs) == len(a)
