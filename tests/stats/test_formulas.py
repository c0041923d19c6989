"""Each framework's normalization formulas: the same bits as torch gives, and a round trip within what they lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.errors import ArtifactError, UsageError
from parity.stats.formula import FORMULAS, formula_of
from parity.stats.model import FeatureStats

torch = pytest.importorskip("torch")

SEED = np.random.default_rng(5)
X = (SEED.normal(size=(4, 3, 6)) * 40 + 100).astype(np.float32)
MEAN, STD = SEED.normal(size=6) * 90, np.abs(SEED.normal(size=6)) * 30 + 0.1
LOW, HIGH = MEAN - 3 * STD, MEAN + 3 * STD
VALUES = {"mean": MEAN, "std": STD, "min": LOW, "max": HIGH, "q01": LOW, "q99": HIGH, "q10": LOW, "q90": HIGH}
VALUES |= {"scale": 2 / (HIGH - LOW), "offset": -1 - 2 / (HIGH - LOW) * LOW}
STATS = FeatureStats("observation.state", {k: v.astype(np.float32).astype(np.float64) for k, v in VALUES.items()})
MODES = [(era, mode) for era, formula in FORMULAS.items() for mode in sorted(formula.modes)]


def t(name: str) -> torch.Tensor:
    """Return one statistic as the framework's buffer holds it."""
    return torch.from_numpy(STATS.values[name].astype(np.float32))


def as_upstream(era: str, mode: str, x: torch.Tensor, *, back: bool) -> torch.Tensor:
    """Return what the upstream source computes, written once more from it, in torch."""
    low, high = (t("min"), t("max")) if mode in ("MIN_MAX", "SCALE") else (t("q01"), t("q99"))
    mean, std = t("mean"), t("std")
    if mode == "IDENTITY":
        return x
    if era == "lerobot-0.3":
        if mode == "MEAN_STD":
            return x * std + mean if back else (x - mean) / (std + 1e-8)
        if back:
            x = (x + 1) / 2
            return x * (high - low) + low
        x = (x - low) / (high - low + 1e-8)
        return x * 2 - 1
    if era == "rsl_rl":
        return x * (std + 1e-2) + mean if back else (x - mean) / (std + 1e-2)
    if era == "diffusion_policy":
        return (x - t("offset")) / t("scale") if back else x * t("scale") + t("offset")
    if mode == "MEAN_STD":
        return x * std + mean if back else (x - mean) / std
    if mode == "BINARY":
        return (x > 0.5).to(x.dtype)
    if mode == "SCALE":
        return x / torch.max(torch.abs(low), torch.abs(high))
    if back:
        return (x + 1) / 2 * (high - low) + low
    both = 2 * ((x - low) / (high - low)) - 1
    return torch.clamp(both, -1, 1) if mode == "QUANTILES" else both


@pytest.mark.parametrize(
    ("era", "mode"),
    [(e, m) for e, m in MODES if e in ("lerobot-0.3", "rsl_rl", "diffusion_policy", "gr00t")],
)
def test_the_same_bits_as_torch(era: str, mode: str) -> None:
    formula = FORMULAS[era]
    there = formula.forward(X, STATS, mode)
    np.testing.assert_array_equal(there, as_upstream(era, mode, torch.from_numpy(X), back=False).numpy())
    assert there.dtype == np.float32
    if mode != "SCALE":
        unit = (SEED.normal(size=X.shape)).astype(np.float32)
        back = formula.backward(unit, STATS, mode)
        np.testing.assert_array_equal(back, as_upstream(era, mode, torch.from_numpy(unit), back=True).numpy())


def test_openpi_computes_in_float64_and_leaves_the_padding_alone() -> None:
    formula = FORMULAS["openpi"]
    there = formula.forward(X, STATS, "MEAN_STD")
    np.testing.assert_array_equal(there, (X - STATS.values["mean"]) / (STATS.values["std"] + 1e-6))
    assert there.dtype == np.float64
    np.testing.assert_array_equal(formula.forward(X[..., :4], STATS, "MEAN_STD"), there[..., :4])
    padded = np.concatenate([there, np.full((4, 3, 2), 0.5)], axis=-1).astype(np.float32)
    back = formula.backward(padded, STATS, "MEAN_STD")
    np.testing.assert_allclose(back[..., :6], X, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(back[..., 6:], np.full((4, 3, 2), 0.5 * (1 + 1e-6)))
    quantiles = formula.backward(padded, STATS, "QUANTILES")
    np.testing.assert_array_equal(quantiles[..., 6:], padded[..., 6:])
    with pytest.raises(ArtifactError, match="6 dimensions cannot unnormalize 4"):
        formula.backward(X[..., :4], STATS, "MEAN_STD")


def test_lerobot_replaces_a_range_of_zero_and_its_legacy_adds_to_every_range() -> None:
    flat = FeatureStats("a", {"min": np.array([2.0]), "max": np.array([2.0])})
    at, above = np.array([2.0], np.float32), np.array([2.5], np.float32)
    for era in ("lerobot-0.3", "lerobot-0.4"):
        assert FORMULAS[era].forward(at, flat, "MIN_MAX") == [-1.0]
        assert FORMULAS[era].forward(above, flat, "MIN_MAX")[0] > 9e7
    assert FORMULAS["lerobot-0.3"].backward(above, flat, "MIN_MAX") == [2.0]
    assert FORMULAS["lerobot-0.4"].loss(flat, "MIN_MAX") == [0.0]
    assert FORMULAS["lerobot-0.3"].loss(flat, "MIN_MAX") == [1.0]
    wide = FeatureStats("a", {"min": np.array([0.0]), "max": np.array([1e-8])}, eps=1e-3)
    assert FORMULAS["lerobot-0.4"].forward(np.array([1e-8], np.float32), wide, "MIN_MAX") == [1.0]
    stated = FeatureStats("a", {"mean": np.array([0.0]), "std": np.array([1.0])}, eps=1.0)
    assert FORMULAS["lerobot-0.4"].forward(np.array([3.0], np.float32), stated, "MEAN_STD") == [1.5]


def test_gr00t_gives_what_has_no_range_as_upstream_does() -> None:
    flat = FeatureStats("a", {n: np.array([2.0]) for n in ("min", "max", "q01", "q99", "mean")} | {"std": np.zeros(1)})
    x = np.array([0.25], np.float32)
    assert FORMULAS["gr00t"].forward(x, flat, "MIN_MAX") == [0.0]
    assert FORMULAS["gr00t"].forward(x, flat, "QUANTILES") == [0.25]
    assert FORMULAS["gr00t"].forward(x * 80, flat, "QUANTILES") == [1.0]  # clipped all the same
    assert FORMULAS["gr00t"].forward(x, flat, "MEAN_STD") == [0.25]
    assert FORMULAS["gr00t-1.6"].forward(x, flat, "QUANTILES") == [0.0]
    assert FORMULAS["gr00t-1.6"].backward(np.array([7.0], np.float32), flat, "MIN_MAX") == [2.0]
    wide = FeatureStats("a", {"min": np.zeros(1), "max": np.array([4.0])})
    assert FORMULAS["gr00t-1.6"].backward(np.array([7.0], np.float32), wide, "MIN_MAX") == [4.0]  # clipped first
    assert FORMULAS["gr00t-1.6"].forward(np.array([8.0], np.float32), wide, "MIN_MAX") == [3.0]
    clipped = FeatureStats("a", wide.values, clip=(-1.0, 1.0))
    assert FORMULAS["gr00t-1.6"].forward(np.array([8.0], np.float32), clipped, "MIN_MAX") == [1.0]
    with pytest.raises(UsageError, match="no normalization mode 'SCALE'"):
        FORMULAS["gr00t"].backward(x, wide, "SCALE")


def test_diffusion_policy_folds_the_last_axes_only_where_they_fit() -> None:
    one = FeatureStats("image", {"scale": np.array([2.0]), "offset": np.array([-1.0])})
    image = np.full((2, 3, 4, 4), 0.5, np.float32)
    np.testing.assert_array_equal(FORMULAS["diffusion_policy"].forward(image, one, "LINEAR"), np.zeros_like(image))
    two = FeatureStats("a", {"scale": np.array([2.0, 3.0, 4.0]), "offset": np.zeros(3)})
    with pytest.raises(ArtifactError, match="3 scales do not fit data of shape"):  # upstream would fold 6 into 2 × 3
        FORMULAS["diffusion_policy"].forward(np.zeros((3, 2), np.float32), two, "LINEAR")
    with pytest.raises(ArtifactError, match="has no way back"):
        FORMULAS["diffusion_policy"].backward(
            np.zeros((3, 1), np.float32), FeatureStats("a", {"scale": np.zeros(1), "offset": np.zeros(1)}), "LINEAR"
        )


@pytest.mark.parametrize(("era", "mode"), [(e, m) for e, m in MODES if m not in ("IDENTITY", "BINARY")])
def test_a_missing_statistic_is_an_error_and_never_the_identity(era: str, mode: str) -> None:
    formula = formula_of(era)
    for name in STATS.values:
        rest = {k: v for k, v in STATS.values.items() if k != name}
        try:
            whole = formula.forward(X, FeatureStats("observation.state", rest), mode)
        except ArtifactError as e:
            assert name in e.message  # noqa: PT017
        else:
            np.testing.assert_array_equal(whole, formula.forward(X, STATS, mode))
    with pytest.raises(ArtifactError, match="and there is none"):
        formula.forward(X, FeatureStats("observation.state", {}), mode)


@pytest.mark.parametrize(("era", "mode"), [(e, m) for e, m in MODES if m not in ("IDENTITY", "BINARY")])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_statistic_that_is_not_finite_is_an_error(era: str, mode: str, bad: float) -> None:
    spoiled = {k: np.where(np.arange(6) == 3, bad, v) for k, v in STATS.values.items()}
    with pytest.raises(ArtifactError, match="not finite"):
        formula_of(era).forward(X, FeatureStats("observation.state", spoiled), mode)


@pytest.mark.parametrize(("era", "mode"), [(e, m) for e, m in MODES if m not in ("IDENTITY", "BINARY", "LINEAR")])
@pytest.mark.parametrize("shape", [(4,), (7, 1, 1), (5, 4, 3, 6)])
def test_statistics_of_another_shape_are_an_error_and_never_spread(era: str, mode: str, shape: tuple[int, ...]) -> None:
    other = FeatureStats("observation.state", {k: np.ones(shape) for k in VALUES})
    with pytest.raises(ArtifactError, match="does not fit data of shape"):
        formula_of(era).forward(X, other, mode)


@pytest.mark.parametrize("era", [e for e in FORMULAS if e != "diffusion_policy"])
def test_integers_and_unknown_modes_are_refused(era: str) -> None:
    with pytest.raises(ArtifactError, match="dtype uint8"):
        formula_of(era).forward(np.zeros((2, 6), np.uint8), STATS, "MEAN_STD")
    with pytest.raises(UsageError, match="no normalization mode 'mean_std'"):
        formula_of(era).forward(X, STATS, "mean_std")
    with pytest.raises(UsageError, match="no normalization formulas"):
        formula_of("lerobot-9.9")


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([(e, m) for e, m in MODES if m not in ("BINARY", "SCALE")]),
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e3)), min_size=3, max_size=3),
)
def test_the_round_trip_loses_what_the_pair_says(
    pair: tuple[str, str], at: list[float], unit: list[float], width: list[float]
) -> None:
    """``backward(forward(x))`` is ``anchor + (1 − loss)·(x − anchor)``, within rounding."""
    era, mode = pair
    formula = formula_of(era)
    centre, std = np.array(at), np.array(width)
    low, high = centre - std, centre + std
    scale = 1 / np.where(std < 1e-4, 1, std)
    values = {"mean": centre, "std": std, "min": low, "max": high, "q01": low, "q99": high, "q10": low, "q90": high}
    stats = FeatureStats("a", values | {"scale": scale, "offset": -centre * scale})
    inside = np.clip(unit, -1, 1) if era.startswith("gr00t") else np.array(unit)  # upstream clips there
    x = (centre + inside * std).astype(np.float32)
    y = formula.forward(x, stats, mode)
    back = formula.backward(y, stats, mode).astype(np.float64)
    anchor = low if mode not in ("MEAN_STD", "LINEAR", "IDENTITY") else centre
    wanted = x + np.broadcast_to(formula.loss(stats, mode), (3,)) * (anchor - x.astype(np.float64))
    u = 2.0**-23
    reach = np.abs(centre) + np.abs(x) + std * 4
    steep = np.abs(np.asarray(y, np.float64)) * np.maximum(2 * std, 1e-2)  # rounding of y, times the way back
    eps = 1e-8 * (np.abs(y) + 1)  # a range of zero: eps takes its place
    if era == "gr00t-1.6":  # nearly no range is given as 0: the middle of the range comes back
        flat = np.isclose(high, low) & (mode in ("MIN_MAX", "QUANTILES"))
        wanted = np.where(flat, centre, wanted)
    elif era == "gr00t" and mode == "MIN_MAX":
        wanted = np.where(low == high, centre, wanted)
    assert (np.abs(back - wanted) <= 16 * u * (reach + steep) + eps + 1e-30).all(), (back, wanted, y)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([(e, m, back) for e, m in MODES for back in (False, True) if not (back and m == "SCALE")]),
    st.lists(st.sampled_from([0.0, 1e-12, 2.0]), min_size=6, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=9),
    st.sampled_from(["float16", "float32", "float64", "bfloat16"]),
)
def test_nan_stays_nan_and_nothing_else_becomes_nan(
    asked: tuple[str, str, bool], width: list[float], at: list[tuple[int, int, int]], dtype: str
) -> None:
    """What a broken graph gives is never turned into a number: not by a comparison, a clip or a range of zero."""
    import ml_dtypes

    era, mode, back = asked
    ends = {"mean": np.full(6, 0.5), "std": np.array(width), "min": np.zeros(6), "max": np.array(width)}
    values = ends | {"q01": ends["min"], "q99": ends["max"], "q10": ends["min"], "q90": ends["max"]}
    stats = FeatureStats("a", values | {"scale": np.ones(6), "offset": np.zeros(6)}, clip=(-1.0, 1.0))
    x = np.linspace(0, 1, 72, dtype=np.float32).reshape(4, 3, 6)
    for place in at:
        x[place] = np.nan
    x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    with np.errstate(all="ignore"):  # a std of zero divides by eps or by nothing
        out = (formula_of(era).backward if back else formula_of(era).forward)(x, stats, mode)
    spoiled = np.isnan(x)
    np.testing.assert_array_equal(np.isnan(out) & spoiled, spoiled)
    if 0.0 not in width:
        np.testing.assert_array_equal(np.isnan(out), spoiled)
