"""What a compiler does to weights: rounded once, a BatchNorm folded in float32 before that, merged axes, padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import rounded_to
from parity.provenance.origin import speaking
from parity.provenance.pool import Pool
from parity.provenance.relation import Outcome, relate

Arrays = dict[str, np.ndarray]


def weights(arrays: Mapping[str, Any], *, compiled: bool = False, dtype: str | None = None) -> dict[str, Weight]:
    def one(name: str, a: Any) -> Weight:
        a = np.asarray(a)
        return Weight(name, a.shape, dtype or a.dtype.name, lambda: a, compiled=compiled)

    return {n: one(n, a) for n, a in arrays.items()}


def related(compiled: Mapping[str, Any], source: Mapping[str, Any]) -> Outcome:
    return relate(speaking(weights(compiled, compiled=True))[0], Pool(weights(source)))


def network(seed: int, width: int = 24) -> Arrays:
    rng = np.random.default_rng(seed)

    def new(*shape: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    found = {"conv.weight": new(width, 8, 3, 3), "conv.bias": new(width), "fc.weight": new(7, width), "fc.bias": new(7)}
    found |= {f"bn.{n}": 1 + new(width) for n in ("weight", "running_var")}
    return found | {f"bn.{n}": new(width) for n in ("bias", "running_mean")}


def later(source: Arrays, by: float = 1e-5) -> Arrays:
    """Return the same network some steps of an optimizer later."""
    rng = np.random.default_rng(9)
    return {n: (a + np.float32(by) * rng.choice([-1, 1], a.shape)).astype(np.float32) for n, a in source.items()}


def folded(s: Arrays, eps: float = 1e-5, *, bias: bool = True) -> Arrays:
    """Return the convolution as Ascend's compiler leaves it: computed in float32, then cast."""
    f = np.float32
    scale = s["bn.weight"] / np.sqrt(s["bn.running_var"] + f(eps))
    start = s["conv.bias"] if bias else f(0)
    shift = (start - s["bn.running_mean"]) * scale + s["bn.bias"]
    weight = s["conv.weight"] * scale[:, None, None, None]
    return {"conv_filter_host": weight.astype(np.float16), "conv_bias_host": shift.astype(np.float16)}


def half(s: Arrays) -> Arrays:
    return {n: s[n].astype(np.float16) for n in ("fc.weight", "fc.bias")}


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 1e-6])
@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_that_was_folded_in_float32_and_cast_is_found(eps: float, bias: bool) -> None:
    source = network(0)
    found = related(half(source) | folded(source, eps, bias=bias), source)
    assert (found.relation, found.matched, found.folded, found.rounded) == ("MATCH", 2, 2, 2)


@pytest.mark.parametrize("by", [1e-5, 1e-4, 1e-3])
def test_a_fold_of_the_next_epoch_is_told_apart_though_float16_is_coarse(by: float) -> None:
    """Held to within a share of the largest element, as other exports are, every epoch would fit."""
    source = network(0, 64)
    after = later(source, by)
    wrong = related(folded(source), after)
    assert wrong.matched + wrong.folded == 0
    assert wrong.relation == "STALE"
    loose = relate(speaking(weights(folded(source)))[0], Pool(weights(later(source, 1e-5))))
    assert loose.folded == 2


def test_one_folded_tensor_of_another_run_is_named() -> None:
    source = network(0)
    other = source | {"conv.weight": later(source)["conv.weight"]}
    found = related(half(source) | folded(source), other)
    assert found.relation == "PARTIAL"
    assert [f.exported for f in found.missing] == ["conv_filter_host"]


def test_float32_folds_of_a_compiler_are_held_to_float32() -> None:
    source = network(0)
    wide = {n: a.astype(np.float32) for n, a in folded(source).items()}
    assert related(wide, source).folded == 0  # cast to float16 in between: not what was computed
    scale = source["bn.weight"] / np.sqrt(source["bn.running_var"] + np.float32(1e-5))
    assert related({"w": source["conv.weight"] * scale[:, None, None, None]}, source).relation == "MATCH"


def test_tensorflows_names_and_layout() -> None:
    s = network(0)
    source = {"conv/kernel": s["conv.weight"].transpose(2, 3, 1, 0).copy(), "bn/gamma": s["bn.weight"]}
    source |= {"bn/beta": s["bn.bias"], "bn/moving_mean": s["bn.running_mean"]}
    source |= {"bn/moving_variance": s["bn.running_var"]}
    compiled = folded(s, 1e-3, bias=False)
    hwcn = compiled | {"conv_filter_host": compiled["conv_filter_host"].transpose(2, 3, 1, 0).copy()}
    for exported in (compiled, hwcn):
        found = related(exported, source)
        assert (found.relation, found.folded) == ("MATCH", 2), found.missing


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from([4, 16, 33]), st.sampled_from(["float16", "bfloat16", "float32"]))
def test_right_checkpoints_match_and_neighbours_do_not(seed: int, width: int, to: str) -> None:
    source = network(seed, width)
    wide = {n: a for n, a in source.items() if n.startswith(("fc", "conv"))}
    if to == "bfloat16":
        bits = {n: (rounded_to(a, "bfloat16").view(np.uint32) >> 16).astype(np.uint16) for n, a in wide.items()}
        exported = weights(bits, compiled=True, dtype="bfloat16")
    else:
        exported = weights({n: a.astype(to) for n, a in wide.items()}, compiled=True)
    questions = speaking(exported)[0]
    right = relate(questions, Pool(weights(source)))
    assert right.relation == "MATCH"
    assert right.folded == 0
    wrong = relate(questions, Pool(weights(network(seed + 1, width))))
    assert wrong.matched + wrong.folded == 0
    stale = relate(questions, Pool(weights(later(source, 1e-3))))
    assert stale.relation == "STALE"


def test_merged_and_split_axes() -> None:
    s = network(3)
    w = s["conv.weight"]
    shapes = {"merged": w.reshape(24, 72), "transposed": w.reshape(24, 72).T.copy(), "row": w.reshape(-1)}
    found = related({n: a.astype(np.float16) for n, a in shapes.items()} | half(s), s)
    assert (found.relation, found.rounded) == ("MATCH", 5), found.missing
    split = related({"w": s["fc.weight"].reshape(7, 4, 6).astype(np.float16)}, s)
    assert split.relation == "MATCH"
    wrong = {n: np.roll(a.astype(np.float16), 1) for n, a in shapes.items()}
    assert related(wrong, s).matched == 0


def test_padding_is_explained() -> None:
    s = network(4)
    padded = {
        "bias": np.pad(s["fc.bias"], (0, 9)).astype(np.float16),
        "weight": np.pad(s["fc.weight"], ((0, 9), (0, 8))).astype(np.float16),
        "value": np.pad(s["conv.bias"][:, None], ((0, 0), (0, 15))).astype(np.float16),
    }
    found = related(padded, s)
    assert found.relation == "MATCH", found.missing
    assert {f.exported: f.source for f in found.found} == {
        "bias": "fc.bias (padded with zeros to 16)",
        "weight": "fc.weight (padded with zeros to 16, 32)",
        "value": "conv.bias (padded with zeros to 24, 16)",
    }
    spoiled = {"bias": padded["bias"].copy()}
    spoiled["bias"][-1] = 1e-3
    assert related(spoiled, s).matched == 0


def test_what_holds_no_information_is_neither_found_nor_missed() -> None:
    s = network(5)
    silent = {"pads": np.zeros((16, 16), np.float16), "shape": np.array([1, 45], np.int64), "one": np.float16(1)}
    found = related(half(s) | silent, s)
    assert (found.relation, found.total) == ("MATCH", 2)


def test_few_bits_prove_nothing() -> None:
    """Two numbers of float16 are somewhere in any checkpoint; they must not be found in another shape by chance."""
    s = network(6) | {"pair": np.array([[0.5], [0.25]], np.float32).reshape(2, 1)}
    exported = weights({"two": np.array([0.5, 0.25, 0, 0], np.float16)}, compiled=True)
    assert relate(speaking(exported)[0], Pool(weights(s))).matched == 0


def test_a_compiled_tensor_is_no_other_kind_of_weight() -> None:
    one = next(iter(weights({"a": np.ones(3, np.float32)}).values()))
    assert not one.compiled
    assert replace(one, compiled=True).compiled


def test_a_normalizers_constants_are_held_to_one_rounding() -> None:
    """Two steps of one run have nearly the same statistics: what is folded from them must still tell which."""
    rng = np.random.default_rng(0)
    source = {"obs_normalizer._std": (1 + rng.random(45)).astype(np.float32)}
    folded_std = {"std": (source["obs_normalizer._std"] + np.float32(1e-2)).astype(np.float16)}
    assert related(folded_std, source).folded == 1
    near = {n: (a * np.float32(1 + 4.5e-4)).astype(np.float32) for n, a in source.items()}
    assert related(folded_std, near).folded == 0
    assert relate(speaking(weights(folded_std))[0], Pool(weights(near))).folded == 1  # as exports are held otherwise
