"""Cases from the contract alone: values, ids, what changes and what must not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.cases import CaseSet, fingerprint, make_cases
from parity.cases.edge import MAX_FEATURES
from parity.contract import Contract, Sampler, Window
from parity.errors import UsageError
from parity.tensor import Case, Range, TensorSpec

OBS = TensorSpec("obs", ("batch", 5), "float32", "state")
CAM = TensorSpec("cam", ("batch", 3, 16, 24), "float32", "image")
EVERYTHING: tuple[TensorSpec, ...] = (
    OBS,
    CAM,
    TensorSpec("wrist", ("batch", 3, 16, 24), "uint8", "image"),
    TensorSpec("env", ("batch", 4), "float64", "environment_state"),
    TensorSpec("noise", ("batch", 6, 2), "float32", "noise"),
    TensorSpec("t", ("batch",), "int64", "timestep"),
    TensorSpec("ids", ("batch", 7), "int32", "tokens"),
    TensorSpec("valid", ("batch", 7), "bool", "mask"),
    TensorSpec("h", (2, "batch", 8), "float32", "hidden_state"),
    TensorSpec("half", ("batch", 3), "float16"),
    TensorSpec("brain", ("batch", 3), "bfloat16"),
    TensorSpec("flag", ("batch", 2), "bool", "state"),
    TensorSpec("count", ("batch", 2), "int8"),
    TensorSpec("scalar", (), "float32", "timestep"),
)
DIFFUSION = Contract(Path("x"), "made", inputs=EVERYTHING, sampler=Sampler("DDPM", train_steps=50))


def digest(cases: Sequence[Case]) -> str:
    return hashlib.sha256("".join(f"{c.id}{fingerprint(c)}" for c in cases).encode()).hexdigest()


def by_id(made: CaseSet) -> dict[str, Case]:
    return {c.id: c for c in made.cases}


def codes(made: CaseSet) -> list[str]:
    return [f.code for f in made.findings]


def test_golden_nominal() -> None:
    made = make_cases(DIFFUSION, seed=42, nominal=4, edge=False, batch=2)
    assert digest(made.cases) == "dff25cfbd86b7fd37e59fd29dae70875a75f5e4c0cbd38b73fd8fdd43e20d555"


def test_golden_edge() -> None:
    assert (
        digest(make_cases(DIFFUSION, seed=42, nominal=0).cases)
        == "661f1700eb0c5811a6cf98ae923f2b91332272433caaf1a67aa2c533b6bf03c3"
    )


def test_golden_in_ranges() -> None:
    ranges = {
        "obs": Range("mean_std", (0.1, 2, 3, 4, 5), (1, 0.2, 0.3, 0, 5), (5,), "stats.json"),
        "cam": Range("mean_std", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (3, 1, 1), "ImageNet"),
        "env": Range("quantiles", (-1.0,) * 4, (0.3,) * 4, (4,), "stats.json"),
    }
    assert (
        digest(make_cases(DIFFUSION, seed=7, nominal=3, ranges=ranges).cases)
        == "f74e8bea18a561c78747f7f49ac98ff226e5c8911a7be3c2bd1174b2f543c1e0"
    )


def test_every_input_has_its_shape_dtype_and_finite_values() -> None:
    made = make_cases(DIFFUSION, seed=1, nominal=3, batch=2)
    for case in made.cases:
        assert list(case.inputs) == [s.name for s in EVERYTHING]
        for spec in EVERYTHING:
            array = case.inputs[spec.name]
            assert array.dtype.name == spec.dtype
            assert array.shape == tuple(2 if d == "batch" else d for d in spec.shape or ())
            assert np.isfinite(array.astype(np.float64)).all()
            assert not array.flags.writeable


def test_ids_are_in_order_and_unique() -> None:
    made = make_cases(DIFFUSION, seed=1, nominal=3)
    ids = [c.id for c in made.cases]
    assert ids[:3] == ["nominal-0000", "nominal-0001", "nominal-0002"]
    assert all(i.startswith("edge-") for i in ids[3:])
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids, key=lambda i: (i.startswith("edge"), i))
    assert {c.profile for c in made.cases} == {"nominal", "edge"}


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(len(EVERYTHING))), st.integers(1, len(EVERYTHING)), st.integers(0, 2**64))
def test_adding_or_moving_an_input_changes_no_other(order: list[int], count: int, seed: int) -> None:
    some = tuple(EVERYTHING[i] for i in order[:count])
    every = by_id(make_cases(DIFFUSION, seed=seed, nominal=2, edge=False))
    part = by_id(make_cases(replace(DIFFUSION, inputs=some), seed=seed, nominal=2, edge=False))
    for key, case in part.items():
        for name, array in case.inputs.items():
            assert array.tobytes() == every[key].inputs[name].tobytes()


def test_adding_an_input_changes_no_edge_value() -> None:
    one, two = (by_id(make_cases(s, seed=1, nominal=0)) for s in ([OBS], [OBS, CAM]))
    for key, case in one.items():
        assert case.inputs["obs"].tobytes() == two[key].inputs["obs"].tobytes()


def test_more_cases_or_a_larger_batch_change_no_value() -> None:
    few = make_cases(DIFFUSION, seed=1, nominal=2)
    more = by_id(make_cases(DIFFUSION, seed=1, nominal=5, batch=3))
    for case in few.cases:
        for spec in EVERYTHING:
            axis = 1 if spec.name == "h" else 0
            array = more[case.id].inputs[spec.name]
            first = array if spec.name == "scalar" else np.take(array, [0], axis=axis)
            assert case.inputs[spec.name].tobytes() == first.tobytes()


def test_a_longer_vector_keeps_the_elements_that_were_there() -> None:
    longer = replace(OBS, shape=("batch", 8))
    short, long = (make_cases([s], seed=1, nominal=4, edge=False).cases for s in (OBS, longer))
    for a, b in zip(short, long, strict=True):
        assert np.array_equal(a.inputs["obs"], b.inputs["obs"][:, :5])


def test_the_seed_matters() -> None:
    one, two = (make_cases([OBS], seed=s, nominal=1, edge=False).cases[0] for s in (1, 2))
    assert not np.array_equal(one.inputs["obs"], two.inputs["obs"])


def test_rows_of_a_batch_are_distinct() -> None:
    for case in make_cases([OBS, CAM], seed=1, batch=4).cases:
        rows = {(case.inputs["obs"][i].tobytes(), case.inputs["cam"][i].tobytes()) for i in range(4)}
        assert len(rows) == 4, case.id


def test_all_cases_are_distinct() -> None:
    for specs in ([OBS], [OBS, CAM], EVERYTHING):
        made = make_cases(specs, seed=1)
        assert made.distinct == len(made.cases)


def test_a_fixed_batch_is_kept() -> None:
    made = make_cases([replace(OBS, shape=(4, 5))], seed=1, nominal=1, batch=2)
    assert made.cases[0].inputs["obs"].shape == (4, 5)
    assert "CASE008" in codes(made)


class TestNominal:
    def test_mean_and_std(self) -> None:
        given_range = Range("mean_std", (10, -3, 0, 1, 2), (1, 0.1, 5, 2, 0), (5,), "model.safetensors:obs")
        made = make_cases([OBS], seed=1, nominal=800, edge=False, ranges={"obs": given_range})
        drawn = np.concatenate([c.inputs["obs"] for c in made.cases]).astype(np.float64)
        assert drawn.mean(axis=0) == pytest.approx([10, -3, 0, 1, 2], abs=0.6)
        assert drawn.std(axis=0) == pytest.approx([1, 0.1, 5, 2, 0], rel=0.12)
        assert (np.abs(drawn - given_range.first) <= 4.0001 * np.array(given_range.second)).all()
        assert "model.safetensors:obs" in made.sources["obs"]
        assert codes(made) == ["CASE004"]

    @pytest.mark.parametrize("kind", ["min_max", "quantiles"])
    def test_between_the_ends(self, kind: str) -> None:
        given_range = Range(kind, (-1, 0, 5), (1, 0.5, 9), (3,), "stats.json")  # type: ignore[arg-type]
        spec = TensorSpec("obs", ("batch", 2, 3), "float32", "state", range=given_range)
        made = make_cases([spec], seed=1, nominal=400, edge=False)
        drawn = np.concatenate([c.inputs["obs"] for c in made.cases]).reshape(-1, 3)
        assert (drawn >= given_range.first).all()
        assert (drawn <= given_range.second).all()
        assert drawn.mean(axis=0) == pytest.approx([0, 0.25, 7], abs=0.15)
        assert codes(made) == []

    def test_last_resort_is_reported(self) -> None:
        made = make_cases([OBS, CAM], seed=1)
        assert codes(made) == ["CASE001", "CASE001"]
        assert all(f.severity == "warning" for f in made.findings)
        assert "no range is known" in made.sources["obs"]

    def test_images_fill_zero_to_one_and_every_other_one_is_tiled(self) -> None:
        made = make_cases([CAM], seed=1, nominal=100, edge=False)
        images = np.stack([c.inputs["cam"][0] for c in made.cases])
        assert images.min() >= 0
        assert images.max() <= 1
        for part in (images[0::2], images[1::2]):
            assert part.mean() == pytest.approx(0.5, abs=0.01)
            assert part.std() == pytest.approx(12**-0.5, abs=0.01)
        tiles = images[1::2].reshape(50, 3, 8, 2, 8, 3)
        assert (tiles == tiles[:, :, :, :1, :, :1]).all()
        assert len(np.unique(images[0])) > 1000

    def test_tiles_lie_on_the_pixel_axes_where_channels_come_last(self) -> None:
        spec = TensorSpec("cam", (1, 2, 16, 32, 3), "float32", "image")
        image = make_cases([spec], seed=1, nominal=2, edge=False).cases[1].inputs["cam"]
        tiles = image.reshape(2, 8, 2, 8, 4, 3)
        assert (tiles == tiles[:, :, :1, :, :1]).all()
        assert len(np.unique(image)) == 2 * 8 * 8 * 3

    def test_masks_are_prefixes_with_at_least_one_and_full_at_first(self) -> None:
        spec = TensorSpec("m", ("batch", 9), "float32", "mask")
        cases = make_cases([spec], seed=1, nominal=60, edge=False).cases
        lengths = []
        for case in cases:
            mask = case.inputs["m"][0]
            lengths.append(int(mask.sum()))
            assert mask.tolist() == [1.0] * lengths[-1] + [0.0] * (9 - lengths[-1])
        assert lengths[0] == 9
        assert set(lengths) == set(range(1, 10))

    def test_time_steps_come_from_the_sampler(self) -> None:
        made = make_cases(DIFFUSION, seed=1, nominal=600, edge=False)
        steps = {int(c.inputs["t"][0]) for c in made.cases}
        assert steps == set(range(50))
        assert all(0 <= float(c.inputs["scalar"]) <= 49 and float(c.inputs["scalar"]) % 1 == 0 for c in made.cases)

    def test_unknown_train_steps_and_vocabulary_are_reported(self) -> None:
        specs = [TensorSpec("t", (1,), "int64", "timestep"), TensorSpec("ids", (1, 4), "int64", "tokens")]
        made = make_cases(specs, seed=1, nominal=300)
        assert codes(made) == ["CASE006", "CASE006"]
        assert max(int(c.inputs["t"].max()) for c in made.cases) == 99
        assert max(int(c.inputs["ids"].max()) for c in made.cases) == 9

    def test_tokens_stay_within_the_vocabulary(self) -> None:
        vocabulary = Range("min_max", (0.0,), (31.0,), (), "tokenizer.json")
        spec = TensorSpec("ids", (1, 40), "int64", "tokens", range=vocabulary)
        values = np.stack([c.inputs["ids"] for c in make_cases([spec], seed=1, nominal=50).cases])
        assert set(np.unique(values)) == set(range(32))

    def test_flow_time_lies_between_zero_and_one(self) -> None:
        spec = TensorSpec("time", (1,), "float32", "timestep")
        values = [float(c.inputs["time"][0]) for c in make_cases([spec], seed=1, nominal=50).cases]
        assert min(values) == 0
        assert max(values) == 1
        assert len(set(values)) > 40

    def test_hidden_state_is_zero(self) -> None:
        made = make_cases(DIFFUSION, seed=1, nominal=3, edge=False)
        assert not any(c.inputs["h"].any() for c in made.cases)

    def test_uint8_images_use_the_whole_scale(self) -> None:
        made = make_cases(DIFFUSION, seed=1, nominal=4, edge=False)
        assert made.cases[0].inputs["wrist"].min() == 0
        assert made.cases[0].inputs["wrist"].max() == 255

    def test_image_statistics_do_not_leave_the_scale(self) -> None:
        imagenet = Range("mean_std", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (3, 1, 1), "ImageNet")
        made = make_cases([CAM], seed=1, nominal=4, edge=False, ranges={"cam": imagenet})
        for case in made.cases:
            assert case.inputs["cam"].min() >= 0
            assert case.inputs["cam"].max() <= 1


class TestEdge:
    RANGE = Range("min_max", (-1, 0, 5, 2, 3), (1, 10, 9, 2, 4), (5,), "stats.json")

    def made(self, *more: TensorSpec) -> dict[str, Case]:
        specs = [replace(OBS, range=self.RANGE, elements=("a", "b", "c", "d", "e")), *more]
        return by_id(make_cases(specs, seed=1, nominal=0))

    def obs(self, number: int) -> list[float]:
        return [round(float(v), 5) for v in self.made()[f"edge-{number:04d}"].inputs["obs"][0]]

    def test_whole_cases(self) -> None:
        assert self.obs(0) == [0, 0, 0, 0, 0]
        assert self.obs(1) == [0, 5, 7, 2, 3.5]
        assert self.obs(2) == [-1, 0, 5, 2, 3]
        assert self.obs(3) == [1, 10, 9, 2, 4]
        assert self.obs(4) == [-1.2, -1, 4.6, 2, 2.9]
        assert self.obs(5) == [1.2, 11, 9.4, 2, 4.1]
        assert self.obs(6) == [1, 1, 1, 1, 1]
        assert self.obs(7) == [-1, -1, -1, -1, -1]

    def test_denormals(self) -> None:
        for dtype in ("float16", "float32", "float64", "bfloat16"):
            values = make_cases([replace(OBS, dtype=dtype)], seed=1, nominal=0)
            array = by_id(values)["edge-0008"].inputs["obs"].astype(np.float64)
            smallest = {"float16": 2.0**-14, "float64": 2.0**-1022}.get(dtype, 2.0**-126)
            assert (array > 0).all()
            assert (array < smallest).all()

    def test_one_feature_at_a_time(self) -> None:
        assert self.obs(16) == [1, 5, 7, 2, 3.5]
        assert self.obs(18) == [0, 5, 9, 2, 3.5]
        assert self.obs(19) == [0, 5, 7, 3, 3.5]  # no width: one above the centre
        note = self.made()["edge-0018"].note
        assert note == "obs[2] (c) at its upper end 9, all else at its centre"

    def test_unknown_features_move_to_one(self) -> None:
        made = by_id(make_cases([OBS, CAM], seed=1, nominal=0))
        assert made["edge-0017"].inputs["obs"].tolist() == [[0, 1, 0, 0, 0]]
        assert (made["edge-0017"].inputs["cam"] == 0.5).all()
        assert "edge-0021" not in made

    def test_black_and_saturated_images(self) -> None:
        made = self.made(CAM, replace(CAM, name="bytes", dtype="uint8"))
        assert not made["edge-0009"].inputs["cam"].any()
        assert (made["edge-0010"].inputs["cam"] == 1).all()
        assert not made["edge-0009"].inputs["bytes"].any()
        assert (made["edge-0010"].inputs["bytes"] == 255).all()
        assert made["edge-0010"].inputs["obs"][0].tolist() == pytest.approx([0, 5, 7, 2, 3.5])

    def test_integers_masks_and_time_steps_never_leave_their_range(self) -> None:
        for case in make_cases(DIFFUSION, seed=1, nominal=0).cases:
            assert case.inputs["ids"].min() >= 0
            assert case.inputs["ids"].max() <= 9
            assert case.inputs["t"].min() >= 0
            assert case.inputs["t"].max() <= 49
            assert case.inputs["valid"].any()
            assert case.inputs["count"].min() >= 0
            assert case.inputs["count"].max() <= 1

    def test_recurrent_state_is_driven(self) -> None:
        hidden = by_id(make_cases(DIFFUSION, seed=1, nominal=0))["edge-0011"].inputs["h"]
        assert 0.5 < np.abs(hidden).max() <= 1

    def test_many_features_are_evenly_chosen_and_reported(self) -> None:
        made = make_cases([replace(OBS, shape=(1, 885))], seed=1, nominal=0)
        singles = [c for c in made.cases if int(c.id[-4:]) >= 16]
        assert len(singles) == MAX_FEATURES
        moved = [int(np.flatnonzero(c.inputs["obs"])[0]) for c in singles]
        assert moved == sorted(set(moved))
        assert max(np.diff(moved)) == 4
        assert "CASE003" in codes(made)

    def test_without_edges(self) -> None:
        assert len(make_cases([OBS], seed=1, nominal=3, edge=False).cases) == 3


class TestRanges:
    def test_a_given_range_that_does_not_fit_is_refused(self) -> None:
        wrong = Range("min_max", (0.0,) * 4, (1.0,) * 4, (4,), "parity.toml")
        with pytest.raises(UsageError, match=r"shape \(4,\), which does not fit the input's \(1, 5\)"):
            make_cases([OBS], seed=1, ranges={"obs": wrong})

    def test_numbers_that_do_not_fill_the_shape_are_refused(self) -> None:
        with pytest.raises(UsageError, match="holds 4 and 5 numbers"):
            make_cases([OBS], seed=1, ranges={"obs": Range("min_max", (0.0,) * 4, (1.0,) * 5, (5,), "x")})

    def test_a_declared_range_that_does_not_fit_is_left_aside_and_reported(self) -> None:
        wrong = Range("mean_std", (0.0,) * 4, (1.0,) * 4, (4,), "stats.json")
        made = make_cases([replace(OBS, range=wrong)], seed=1)
        assert codes(made) == ["CASE005", "CASE001"]

    @pytest.mark.parametrize(
        ("kind", "first", "second"),
        [
            ("mean_std", float("nan"), 1.0),
            ("mean_std", 0.0, -1.0),
            ("mean_std", 0.0, float("inf")),
            ("min_max", 2.0, 1.0),
        ],
    )
    def test_values_that_are_no_range_are_reported(self, kind: str, first: float, second: float) -> None:
        bad = Range(kind, (0, 0, first, 0, 0), (1, 1, second, 1, 1), (5,), "stats.json")  # type: ignore[arg-type]
        made = make_cases([replace(OBS, range=bad)], seed=1)
        assert codes(made) == ["CASE005"]
        assert "obs[2]" in made.findings[0].title
        assert all(np.isfinite(c.inputs["obs"]).all() for c in made.cases)

    def test_a_range_for_no_input_names_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'obs'"):
            make_cases([OBS], seed=1, ranges={"obz": TestEdge.RANGE})

    def test_values_beyond_a_dtype_are_held_inside_it(self) -> None:
        wide = Range("min_max", (-1e300,), (1e299,), (), "x")
        for dtype in ("float16", "float32", "bfloat16", "int8", "uint64"):
            for case in make_cases([replace(OBS, dtype=dtype, range=wide)], seed=1).cases:
                assert np.isfinite(case.inputs["obs"].astype(np.float64)).all()

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(["mean_std", "min_max", "quantiles"]),
        st.lists(st.tuples(st.floats(), st.floats()), min_size=5, max_size=5),
        st.sampled_from(["float32", "float16", "float64", "int32", "uint8"]),
        st.sampled_from(["state", "image", "tokens", "timestep", "noise", "hidden_state", None]),
    )
    def test_any_range_gives_finite_cases(self, kind, pairs, dtype, role) -> None:  # type: ignore[no-untyped-def]
        first, second = zip(*pairs, strict=True)
        spec = TensorSpec("x", ("batch", 5), dtype, role, range=Range(kind, first, second, (5,), "x"))
        for case in make_cases([spec], seed=1, nominal=3, batch=2).cases:
            assert np.isfinite(case.inputs["x"].astype(np.float64)).all()


class TestShapes:
    def test_an_unknown_shape_says_what_is_needed(self) -> None:
        with pytest.raises(UsageError, match="'obs': its shape is not known") as e:
            make_cases([TensorSpec("obs")], seed=1)
        assert "--inputs" in str(e.value)

    def test_no_inputs(self) -> None:
        with pytest.raises(UsageError, match="no inputs are declared"):
            make_cases(Contract(Path("policy.pt"), "torchscript", complete=False), seed=1)

    def test_two_inputs_of_one_name(self) -> None:
        with pytest.raises(UsageError, match="two inputs"):
            make_cases([OBS, OBS], seed=1)

    def test_symbolic_dims_get_a_documented_default_or_what_is_bound(self) -> None:
        spec = TensorSpec("x", ("batch", "tokens", None), "float32", "state")
        made = make_cases([spec], seed=1, nominal=1)
        assert made.cases[0].inputs["x"].shape == (1, 8, 8)
        assert made.findings[0].code == "CASE002"
        assert made.findings[0].evidence == {"tokens": 8, "x[2]": 8}
        bound = make_cases([spec], seed=1, nominal=1, bind={"tokens": 3, "x[2]": 4, "batch": 2})
        assert bound.cases[0].inputs["x"].shape == (2, 3, 4)
        assert "CASE002" not in codes(bound)

    def test_dims_of_one_name_have_one_size(self) -> None:
        specs = [TensorSpec("a", ("s0", "s1"), "float32"), TensorSpec("b", (1, "s0", "s1"), "float32")]
        inputs = make_cases(specs, seed=1, nominal=1, batch=3, bind={"s1": 4}).cases[0].inputs
        assert inputs["a"].shape == (3, 4)
        assert inputs["b"].shape == (1, 3, 4)

    def test_symbolic_images_are_large_enough_for_a_network(self) -> None:
        spec = TensorSpec("cam", ("batch", "c", "h", "w"), "float32", "image")
        assert make_cases([spec], seed=1, nominal=1).cases[0].inputs["cam"].shape == (1, 3, 96, 96)

    def test_names_of_the_window_are_bound_to_it(self) -> None:
        spec = TensorSpec("noise", ("batch", "horizon", 2), "float32", "noise")
        contract = Contract(Path("x"), "made", inputs=(spec,), window=Window(horizon=16))
        assert make_cases(contract, seed=1, nominal=1).cases[0].inputs["noise"].shape == (1, 16, 2)

    def test_a_range_or_names_tell_the_size_of_a_symbolic_dim(self) -> None:
        spec = TensorSpec("observation.state", ("${env.state_dim}",), "float32", "state", batched=False)
        told = replace(spec, range=Range("min_max", (0.0,) * 7, (1.0,) * 7, (7,), "stats.json"))
        named = replace(spec, elements=("a", "b", "c"))
        for one, size in ((told, 7), (named, 3)):
            made = make_cases([one], seed=1, nominal=1)
            assert made.cases[0].inputs["observation.state"].shape == (1, size)
            assert "CASE002" not in codes(made)
        unnamed = TensorSpec("x", ("batch", None), "float32", "state")
        made = make_cases([unnamed], seed=1, nominal=1, ranges={"x": Range("min_max", (0, 0), (1, 1), (2,), "user")})
        assert made.cases[0].inputs["x"].shape == (1, 2)
        assert made.findings == ()

    def test_a_scalar_range_tells_nothing(self) -> None:
        spec = TensorSpec("x", ("batch", None), "float32", "state", range=Range("min_max", (0,), (1,), (1,), "user"))
        assert make_cases([spec], seed=1, nominal=1).cases[0].inputs["x"].shape == (1, 8)

    def test_bare_shapes_get_batch_and_time_axes(self) -> None:
        specs = (
            TensorSpec("observation.state", (6,), "float32", "state", batched=False),
            TensorSpec("observation.image", (3, 32, 32), "float32", "image", batched=False),
        )
        contract = Contract(Path("config.json"), "lerobot", inputs=specs, window=Window(n_obs_steps=2))
        made = make_cases(contract, seed=1, nominal=1)
        assert made.cases[0].inputs["observation.state"].shape == (1, 2, 6)
        assert made.cases[0].inputs["observation.image"].shape == (1, 2, 3, 32, 32)
        assert "CASE007" in codes(made)
        single = make_cases(contract, seed=1, nominal=1, batch=3, bind={"n_obs_steps": 1})
        assert single.cases[0].inputs["observation.state"].shape == (3, 6)

    def test_a_size_for_no_dim_is_refused(self) -> None:
        with pytest.raises(UsageError, match="no input has a dim called 'batsh'; did you mean 'batch'"):
            make_cases([OBS], seed=1, bind={"batsh": 2})

    @pytest.mark.parametrize("size", [0, -1, 2.5, True, "4"])
    def test_a_size_that_is_no_size_is_refused(self, size: object) -> None:
        with pytest.raises(UsageError, match="whole number"):
            make_cases([OBS], seed=1, bind={"batch": size})  # type: ignore[dict-item]

    def test_a_shape_too_large_for_memory_is_refused_before_it_is_taken(self) -> None:
        with pytest.raises(UsageError, match="would take"):
            make_cases([TensorSpec("x", (1, 2**40), "float32")], seed=1)
        with pytest.raises(UsageError, match="would take"):
            make_cases([TensorSpec("x", (2**31, 2**31, 2**31), "float32")], seed=1)
        with pytest.raises(UsageError, match="at most 8 GiB"):
            make_cases([OBS], seed=1, nominal=10**9)

    @pytest.mark.parametrize("dtype", ["string", "complex64", "float8e4m3fn", "object"])
    def test_a_dtype_without_numbers_is_refused(self, dtype: str) -> None:
        with pytest.raises(UsageError, match=f"has dtype '{dtype}'"):
            make_cases([replace(OBS, dtype=dtype)], seed=1)

    def test_an_unknown_dtype_is_assumed_and_reported(self) -> None:
        made = make_cases([replace(OBS, dtype=None)], seed=1, nominal=1)
        assert made.cases[0].inputs["obs"].dtype == np.float32
        assert "CASE009" in codes(made)

    def test_an_input_without_a_role_that_looks_like_an_image_is_one(self) -> None:
        made = make_cases([TensorSpec("data", (1, 3, 32, 32), "float32")], seed=1, nominal=1)
        assert made.cases[0].inputs["data"].min() >= 0

    def test_negative_counts_are_refused(self) -> None:
        with pytest.raises(UsageError, match="-1 nominal"):
            make_cases([OBS], seed=1, nominal=-1)
