"""Random models through everything that an export does to weights: all of it is found, and nothing in a twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parity.checkpoint.weight import Quantization, Weight
from parity.provenance.compare_weights import rounded_to
from parity.provenance.informative import follows_a_formula, why_silent
from parity.provenance.origin import speaking
from parity.provenance.pool import Pool
from parity.provenance.relation import Outcome, relate

Model = dict[str, np.ndarray]
EPS = 1e-5


def weights(arrays: Mapping[str, Any], dtype: str | None = None) -> dict[str, Weight]:
    def one(name: str, a: Any) -> Weight:
        a = np.asarray(a)
        return Weight(name, a.shape, dtype or a.dtype.name, lambda: a, statistics="normalizer" in name)

    return {n: one(n, a) for n, a in arrays.items()}


def related(exported: Mapping[str, Weight], source: Mapping[str, Any]) -> Outcome:
    return relate(speaking(exported)[0], Pool(weights(source)))


def model(seed: int, width: int, layers: int) -> Model:
    """Layers of each kind that exporters treat specially, with values of their own."""
    rng = np.random.default_rng(seed)

    def new(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    found: Model = {}
    for i in range(layers):
        found |= {f"l{i}.linear.weight": new(width, width + 3), f"l{i}.linear.bias": new(width)}
        found |= {f"l{i}.attn.in_proj_weight": new(3 * width, width), f"l{i}.attn.in_proj_bias": new(3 * width)}
        found |= {f"l{i}.{n}.weight": new(width, width) for n in ("q", "k", "v")}
        found |= {f"l{i}.conv.weight": new(width, 3, 3, 2), f"l{i}.conv.bias": new(width)}
        found |= {f"l{i}.norm.{n}": new(width) for n in ("weight", "bias", "running_mean")}
        found[f"l{i}.norm.running_var"] = rng.uniform(0.5, 2, width).astype(np.float32)
        found |= {f"l{i}.wn.weight_v": new(width, 5), f"l{i}.wn.weight_g": np.abs(new(width, 1)) + 0.1}
    return found


def plain(m: Model, p: str) -> Model:
    return {"w": m[f"{p}.linear.weight"], "b": m[f"{p}.linear.bias"]}


def transposed(m: Model, p: str) -> Model:
    return {"w": m[f"{p}.linear.weight"].T.copy(), "c": m[f"{p}.conv.weight"].transpose(2, 3, 1, 0).copy()}


def split(m: Model, p: str) -> Model:
    parts = np.split(m[f"{p}.attn.in_proj_weight"], 3)
    biases = np.split(m[f"{p}.attn.in_proj_bias"], 3)
    return {f"{n}{i}": a for i in range(3) for n, a in (("w", parts[i].T.copy()), ("b", biases[i]))}


def joined(m: Model, p: str) -> Model:
    qkv = [m[f"{p}.{n}.weight"] for n in ("q", "k", "v")]
    return {"rows": np.concatenate(qkv), "columns": np.concatenate([a.T for a in qkv], axis=1)}


def half(m: Model, p: str) -> Model:
    return {"w": m[f"{p}.linear.weight"].astype(np.float16), "b": m[f"{p}.attn.in_proj_bias"].astype(np.float16)}


def widened(m: Model, p: str) -> Model:
    return {"w": rounded_to(m[f"{p}.linear.weight"], "bfloat16"), "half": half(m, p)["w"].astype(np.float32)}


def half_parts(m: Model, p: str) -> Model:
    return {n: a.astype(np.float16) for n, a in (split(m, p) | joined(m, p)).items()}


def batch_norm(m: Model, p: str) -> Model:
    n = {k: m[f"{p}.norm.{k}"].astype(np.float64) for k in ("weight", "bias", "running_mean", "running_var")}
    s = n["weight"] / np.sqrt(n["running_var"] + EPS)
    conv = m[f"{p}.conv.weight"] * s[:, None, None, None]
    bias = (m[f"{p}.conv.bias"] - n["running_mean"]) * s + n["bias"]
    linear = m[f"{p}.linear.weight"].T * s
    return {"conv": conv.astype(np.float32), "bias": bias.astype(np.float32), "matmul": linear.astype(np.float32)}


def weight_norm(m: Model, p: str) -> Model:
    v, g = m[f"{p}.wn.weight_v"], m[f"{p}.wn.weight_g"]
    w = g * v / np.linalg.norm(v, axis=1, keepdims=True)
    return {"w": w, "t": w.T.copy(), "half": w.astype(np.float16)}


TRANSFORMS: list[Callable[[Model, str], Model]] = [
    *(plain, transposed, split, joined, half, widened, half_parts, batch_norm, weight_norm)
]
FOLDS = (batch_norm, weight_norm)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.integers(4, 24),
    st.lists(st.sampled_from(TRANSFORMS), min_size=1, max_size=4),
)
def test_every_tensor_is_found_and_none_in_a_twin(
    seed: int, width: int, chosen: list[Callable[[Model, str], Model]]
) -> None:
    source, twin = model(seed, width, len(chosen)), model(seed + 1, width, len(chosen))
    exported = {f"{i}.{n}": a for i, t in enumerate(chosen) for n, a in t(source, f"l{i}").items()}
    right = related(weights(exported), source)
    assert right.relation == "MATCH", [(f.exported, f.source) for f in right.missing]
    assert right.total == len(exported)
    assert (right.folded > 0) == any(t in FOLDS for t in chosen)
    wrong = related(weights(exported), twin)
    assert [(f.exported, f.how, f.source) for f in wrong.found if f.how is not None] == []
    assert wrong.relation == "FOREIGN"


@pytest.mark.parametrize(
    "transform", [plain, transposed, split, joined, batch_norm, weight_norm], ids=lambda t: t.__name__
)
def test_one_step_of_an_optimizer_is_seen(transform: Callable[[Model, str], Model]) -> None:
    """Adam's smallest usual step moves a weight by 1e-5, which lower classes than float32 cannot show."""
    source = model(0, 16, 1)
    rng = np.random.default_rng(1)
    later = {n: (a + np.float32(1e-5) * rng.choice([-1, 1], a.shape)).astype(np.float32) for n, a in source.items()}
    exported = {n: a for n, a in transform(source, "l0").items() if a.dtype == np.float32}
    found = related(weights(exported), later)
    assert found.total > 0
    assert found.matched + found.folded == 0
    assert found.relation in ("STALE", "FOREIGN")


def test_int8_with_a_scale_for_each_channel() -> None:
    source, twin = model(3, 16, 1), model(4, 16, 1)
    w = source["l0.linear.weight"]
    scale = (np.abs(w).max(axis=1) / 127).astype(np.float32)
    q = np.clip(np.round(w / scale[:, None]), -128, 127).astype(np.int8)
    exported = {"q": Weight("q", q.shape, "int8", lambda: q, quantization=Quantization(lambda: scale, None, 0))}
    assert related(exported, source).rounded == 1
    assert related(exported, twin).relation == "FOREIGN"


def test_bfloat16_as_stored() -> None:
    source = model(5, 16, 1)
    bits = (rounded_to(source["l0.linear.weight"], "bfloat16").view(np.uint32) >> 16).astype(np.uint16)
    part = bits[:5]
    found = related(weights({"w": bits, "part": part}, "bfloat16"), source)
    assert (found.relation, found.rounded) == ("MATCH", 2)


def test_float16_of_converters_that_let_nothing_become_zero() -> None:
    """onnxruntime.transformers.float16 puts the least float16 number in the place of what would be 0."""
    w = model(5, 16, 1)["l0.linear.weight"]
    w.reshape(-1)[:6] = (1e-9, -1e-9, 4e-8, -7e-8, 0.0, 2e-8)
    for least in (np.float32(5.96e-8), np.float32(1e-7)):
        small = (w != 0) & (np.abs(w) < least)
        half = np.where(small, np.copysign(least, w), w).astype(np.float16)
        found = related(weights({"w": half, "widened": half.astype(np.float32)}), {"w": w})
        assert (found.relation, found.rounded) == ("MATCH", 2)
        half.reshape(-1)[9] = 0
        assert related(weights({"w": half}), {"w": w}).relation != "MATCH"


def test_a_merged_adapter() -> None:
    rng = np.random.default_rng(6)
    base, a, b = (rng.standard_normal(s).astype(np.float32) for s in ((32, 24), (4, 24), (32, 4)))
    source = {"q.base_layer.weight": base, "q.lora_A.default.weight": a, "q.lora_B.default.weight": b}
    merged = (base + 2.0 * b @ a).astype(np.float32)
    assert related(weights({"q.weight": merged}), source).folded == 1
    assert related(weights({"q.weight": merged.T.copy()}), source).folded == 1
    assert related(weights({"q.weight": base + rng.standard_normal((32, 24)).astype(np.float32)}), source).folded == 0


def test_a_normalizers_constants() -> None:
    rng = np.random.default_rng(7)
    low, span, mean = (rng.uniform(0.5, 2, 9).astype(np.float32) for _ in range(3))
    source = {"normalizer.obs.min": low, "normalizer.obs.max": low + span, "normalizer.obs.mean": mean}
    exported = {"range": (low + span) - low, "inverse": np.float32(2) / ((low + span) - low + np.float32(1e-8))}
    assert related(weights(exported), source).folded == 2
    assert related(weights({"other": span * np.float32(1.001)}), source).folded == 0


def test_what_tells_nothing() -> None:
    steps = np.arange(64, dtype=np.float32)
    waves = np.exp(steps[:32] * -np.log(10000) / 31)
    table = np.concatenate([np.sin(steps[:, None] * waves), np.cos(steps[:, None] * waves)], axis=1)
    silent = {
        "range": steps,
        "frequencies": waves.astype(np.float32),
        "positions": table.astype(np.float32),
        "channels first": table.T.astype(np.float32),
        "mean": np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1),
        "zeros": np.zeros((4, 4), np.float32),
        "ones": np.ones(8, np.float32),
        "one": np.float32(3),
        "index": np.arange(5),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert {n: why_silent(w) is not None for n, w in weights(silent).items()} == dict.fromkeys(silent, True)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 40), st.integers(1, 8))
def test_what_was_learned_follows_no_formula(seed: int, n: int, columns: int) -> None:
    learned = np.random.default_rng(seed).standard_normal((n, columns))
    assert not follows_a_formula(learned)
    assert not follows_a_formula(1 + 1e-5 * learned)  # a layer's gain after few steps


def test_partial_names_the_rest() -> None:
    source, other = model(8, 16, 1), model(9, 16, 1)
    exported = plain(source, "l0") | split(source, "l0") | {"head": other["l0.linear.weight"][:4]}
    found = related(weights(exported), source)
    assert (found.relation, [f.exported for f in found.missing]) == ("PARTIAL", ["head"])


def test_nothing_to_be_told_by() -> None:
    assert related(weights({"zeros": np.zeros(4, np.float32)}), model(0, 8, 1)).relation == "NOT_JUDGED"


def test_the_nearest_of_many_is_not_taken_for_a_stale_one() -> None:
    """The best of 64 unrelated matrices of 256 elements has a cosine near 0.2 on the elements it was chosen by."""
    rng = np.random.default_rng(10)
    source = {f"l{i}.weight": rng.standard_normal((16, 16)).astype(np.float32) for i in range(64)}
    exported = {f"x{i}": rng.standard_normal((16, 16)).astype(np.float32) for i in range(9)}
    found = related(weights(exported), source)
    assert found.relation == "FOREIGN"
    assert found.cosine is not None
    assert abs(found.cosine) < 0.1
