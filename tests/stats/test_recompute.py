"""Statistics out of frames: against NumPy in float64 and exact fractions, and the same bytes in whatever order."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lerobot_data import episodes, write_v2
from parity.dataset.registry import open_dataset
from parity.errors import UsageError
from parity.stats.bits import bins_for
from parity.stats.numbers import Numbers
from parity.stats.recompute import INDICES, recomputation, recompute
from parity.stats.summary import QUANTILES, Pixels

ANY = {"allow_nan": True, "allow_infinity": True}


def summed(values: np.ndarray, bins: int | None = None) -> Numbers:
    numbers = Numbers(values.shape[1:], values.dtype, bins)
    numbers.add(values)
    return numbers


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray]]:
    """Values, and the same rows in another order and in pieces."""
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8]))
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 3)))
    elements = hnp.from_dtype(np.dtype(dtype), **(ANY if np.dtype(dtype).kind == "f" else {}))
    values = draw(hnp.arrays(dtype, shape, elements=elements))
    order = np.asarray(draw(st.permutations(range(len(values)))))
    cuts = sorted(draw(st.lists(st.integers(0, len(values)), max_size=4)))
    return values, np.split(values[order], cuts)


@settings(max_examples=100, deadline=None)
@given(cut_up(), st.sampled_from([None, 2, 3, 8]), st.randoms())
def test_the_same_bytes_in_any_order_and_any_parts(
    data: tuple[np.ndarray, list[np.ndarray]], bins: int | None, random: object
) -> None:
    values, parts = data
    sums = [Numbers(values.shape[1:], values.dtype, bins) for _ in parts]
    for one, part in zip(sums, parts, strict=True):
        half = len(part) // 2
        one.add(part[:half])
        assert one.count.max(initial=0) <= half  # settles what was gathered so far
        one.add(part[half:])
    random.shuffle(sums)  # type: ignore[attr-defined]
    while len(sums) > 1:
        sums[0].merge(sums.pop())
    whole = summed(values, bins)
    assert sums[0].digest() == whole.digest()
    for name, found in sums[0].values().items():
        np.testing.assert_array_equal(found, whole.values()[name])


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(st.sampled_from([np.float32, np.float64]), (12, 2), elements=st.floats(width=32, **ANY)))
def test_mean_and_variance_are_exact(values: np.ndarray) -> None:
    found = summed(values)
    mean, std = found.values()["mean"], found.values()["std"]
    for column in range(2):
        kept = [Fraction(float(v)) for v in values[:, column] if np.isfinite(v)]
        assert found.count[column] == len(kept)
        assert found.nan[column] == np.isnan(values[:, column]).sum()
        assert found.inf[column] == np.isinf(values[:, column]).sum()
        if not kept:
            assert np.isnan(mean[column])
            assert np.isnan(std[column])
            continue
        exact = sum(kept) / len(kept)
        variance = sum((v - exact) ** 2 for v in kept) / len(kept)
        assert mean[column] == float(exact)
        assert std[column] == np.sqrt(float(variance))


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64]), (50, 2), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([2, 4, 16, 64]),
)
def test_quantiles_lie_within_their_bound_of_numpys(values: np.ndarray, bins: int) -> None:
    found = summed(values, bins)
    for name, fraction in QUANTILES.items():
        true = np.quantile(values.astype(np.float64), fraction, axis=0)
        off = np.abs(found.values()[name] - true)
        assert (off <= found.bounds()[name] * (1 + 1e-12) + 1e-9 * np.abs(true)).all(), name


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(np.float32, (60, 1), elements=st.floats(-100, 100, width=32)),
    st.sampled_from([2, 8, 64]),
    st.floats(-100, 100),
    st.floats(-100, 100),
)
def test_how_many_lie_outside(values: np.ndarray, bins: int, one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    share = summed(values, bins).outside(np.asarray([low]), np.asarray([high]))[0]
    outside = int(((values.astype(np.float64) < low) | (values.astype(np.float64) > high)).sum())
    assert share.low <= outside <= share.high
    if bins == 64:  # as many bins as values: exact
        assert share.low == share.high


def test_many_equal_values_do_not_overflow() -> None:
    values = np.full((1 << 19, 1), np.float32(1) - np.float32(2**-24))  # 24 bits of ones
    found = summed(values)
    assert found.values()["mean"][0] == float(values[0, 0])
    assert found.values()["std"][0] == 0
    assert found.values()["q50"][0] == float(values[0, 0])


def test_few_distinct_values_are_exact_however_many_there_are() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, 50, 100_000), rng.normal(size=100_000)], axis=1).astype(np.float32)
    found = summed(values, 1024)
    assert found.bounds()["q01"][0] == 0
    assert 0 < found.bounds()["q01"][1] < 0.04
    assert summed(values).bounds()["q01"][1] < 0.001
    assert found.values()["q50"][0] == np.quantile(values[:, 0], 0.5)


def test_a_parked_joint_keeps_its_std() -> None:
    rng = np.random.default_rng(0)
    values = (152 + rng.normal(0, 0.003, (20_000, 1))).astype(np.float32)
    x = values[:, 0]
    naive = np.sqrt(np.maximum(0, np.mean(x**2, dtype=np.float32) - np.mean(x, dtype=np.float32) ** 2))
    found = summed(values)
    true = values.astype(np.float64).std()
    assert found.values()["std"][0] == pytest.approx(true, rel=1e-9)
    assert abs(naive - true) > 0.5 * true
    assert found.bounds()["q99"][0] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy_on_many_rows(dtype: str) -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(30_000, 5)) * 10.0 ** np.arange(-3, 2)).astype(dtype)
    found = Numbers((5,), dtype)
    for part in np.array_split(values, 7):
        found.add(part)
    exact = values.astype(np.float64)
    got = found.values()
    np.testing.assert_allclose(got["mean"], exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got["std"], exact.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(got["min"], exact.min(axis=0))
    np.testing.assert_array_equal(got["max"], exact.max(axis=0))
    for name, fraction in QUANTILES.items():
        np.testing.assert_allclose(got[name], np.quantile(exact, fraction, axis=0), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 26, 1300, 100_000])
def test_all_bins_together_are_bounded(width: int) -> None:
    assert bins_for(width) >= 1024
    assert bins_for(width) & (bins_for(width) - 1) == 0
    assert bins_for(26) == 1 << 16


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, (6, 4, 5, 3)), st.integers(0, 6))
def test_pictures_by_channel(values: np.ndarray, cut: int) -> None:
    one, other = Pixels((4, 5, 3)), Pixels((4, 5, 3))
    one.add(values[cut:])
    other.add(values[:cut])
    one.merge(other)
    whole = Pixels((3, 4, 5))
    whole.add(np.moveaxis(values, 3, 1))
    assert one.digest() == whole.digest()
    flat = values.reshape(-1, 3).astype(np.float64) / 255
    found = one.values()
    assert found["mean"].shape == (3, 1, 1)
    np.testing.assert_allclose(found["mean"].ravel(), flat.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found["std"].ravel(), flat.std(axis=0), atol=1e-12)
    np.testing.assert_allclose(found["max"].ravel(), flat.max(axis=0))
    for name, fraction in QUANTILES.items():
        np.testing.assert_allclose(found[name].ravel(), np.quantile(flat, fraction, axis=0), atol=1e-12)
    half = np.full(3, 0.5)
    assert [s.low for s in one.outside(0 * half, half)] == (flat > 0.5).sum(axis=0).tolist()


pytest.importorskip("pyarrow")
LENGTHS = [7, 3, 40, 16]


def test_a_dataset(tmp_path: Path) -> None:
    data = episodes(LENGTHS)
    found = recompute(open_dataset(write_v2(tmp_path / "set", data)))
    assert found.stats.kind == "recomputed"
    assert set(found.stats.features) == {"observation.state", "action"}
    assert not set(INDICES) & set(found.stats.features)
    actions = np.concatenate([e["action"] for e in data]).astype(np.float64)
    feature = found.stats.features["action"]
    assert feature.count == sum(LENGTHS) == found.records["action"].used
    assert found.records["action"].bound == 0
    np.testing.assert_allclose(feature.values["std"], actions.std(axis=0), rtol=1e-12)
    assert set(feature.values) == set(feature.sources) == {"mean", "std", "min", "max", *QUANTILES}


def naive_chunks(data: list[dict[str, np.ndarray]], length: int, relative: bool) -> np.ndarray:
    """Return all chunks ``(N, K, D)``, as GR00T lays them out."""
    return np.asarray(
        [
            e["action"][t : t + length] - (e["observation.state"][t] if relative else 0)
            for e in data
            for t in range(len(e["action"]) - length + 1)
        ],
        np.float64,
    )


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("block", [4, 8192])
def test_each_position_of_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool, block: int) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK", block)  # chunks that span blocks
    data = episodes(LENGTHS, state=2)
    dataset = open_dataset(write_v2(tmp_path / "set", data))
    found = recompute(dataset, ["action"], chunk=5, relative_to="observation.state" if relative else None)
    assert found.chunks is not None
    feature = found.chunks.features["action"]
    chunks = naive_chunks(data, 5, relative)
    assert feature.count == len(chunks)
    assert found.chunks.facts["records"]["action"]["short"] == 1
    np.testing.assert_allclose(feature.values["mean"], chunks.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(feature.values["std"], chunks.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(feature.values["q99"], np.quantile(chunks, 0.99, axis=0), rtol=1e-12)
    assert feature.values["min"].shape == (5, 2)


def test_relative_to_a_state_of_another_size(tmp_path: Path) -> None:
    dataset = open_dataset(write_v2(tmp_path / "set", episodes([8])))
    with pytest.raises(UsageError, match="cannot be taken relative to"):
        recompute(dataset, chunk=2, relative_to="observation.state")
    with pytest.raises(UsageError, match="no feature 'actions'"):
        recompute(dataset, chunk=2, action="actions")


def test_parts_of_a_dataset_join_to_the_whole(tmp_path: Path) -> None:
    dataset = open_dataset(write_v2(tmp_path / "set", episodes(LENGTHS)))
    names = ["observation.state", "action"]
    parts = []
    for episode in reversed(dataset.episodes):
        part = recomputation(dataset, names, chunk=4)
        for block in dataset.blocks(names, episode.start, episode.start + episode.length):
            part.add(block)
        parts.append(part)
    for part in parts[1:]:
        parts[0].merge(part)
    whole = recompute(dataset, names, chunk=4)
    for name in names:
        assert parts[0].summaries[name].digest() == whole.summaries[name].digest()
    assert parts[0].chunks[0].numbers.digest() == whole.chunk_summaries["action"].digest()
    assert parts[0].result(dataset).records == whole.records


def test_pictures_are_chosen_by_number_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.stats.recompute.PICTURES", 16)
    rng = np.random.default_rng(0)
    data = [{"image": rng.integers(0, 256, (n, 4, 4, 3)).astype(np.uint8)} for n in (60, 40, 60)]
    root = write_v2(tmp_path / "set", data)
    dataset = open_dataset(root)
    found = recompute(dataset)
    assert 4 < found.records["image"].used < 40
    assert found.records["image"].frames == 160
    monkeypatch.setattr("parity.dataset.model.BLOCK", 7)
    again = recompute(open_dataset(root))
    assert again.summaries["image"].digest() == found.summaries["image"].digest()


@pytest.mark.corpus
def test_the_real_set_is_exact(corpus: Path) -> None:
    dataset = open_dataset(corpus / "lerobot_datasets" / "v21_g1_inspire_100ep")
    found = recompute(dataset)
    for name in ("observation.state", "action"):
        values = np.concatenate([b.columns[name] for b in dataset.blocks([name])]).astype(np.float64)
        got = found.stats.features[name].values
        np.testing.assert_allclose(got["mean"], values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(got["std"], values.std(axis=0), rtol=1e-9)
        np.testing.assert_allclose(got["q01"], np.quantile(values, 0.01, axis=0), rtol=1e-12, atol=1e-15)
        assert found.records[name].bound == 0
