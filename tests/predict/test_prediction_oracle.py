"""The rounded run against NumPy's own float16, operation by operation; groups and blocks of any size see the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from half_graphs import cancelling, cases, graph, overflowing, timed
from parity.predict.prediction import predict
from parity.predict.tell import as_json

OPS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
Chain = Sequence[tuple[str, float]]


def in_numpy(chain: Chain, rows: np.ndarray, dtype: type) -> np.ndarray:
    """Compute the chain with every value and constant in ``dtype``."""
    value = rows.astype(dtype)
    with np.errstate(all="ignore"):
        for op, constant in chain:
            value = OPS[op](value, np.asarray(constant, np.float32).astype(dtype))
    return value.astype(np.float64)


constants = st.builds(
    lambda s, e: float(np.float32(s * 10.0**e)), st.sampled_from([-2.3, 1.0, 3.7]), st.integers(-5, 4)
)
chains = st.lists(st.tuples(st.sampled_from(sorted(OPS)), constants), min_size=1, max_size=5)


@settings(max_examples=12, deadline=None)
@given(chains)
def test_outputs_move_as_numpy_moves_them(chain: Chain) -> None:
    names = ["obs", *(f"v{i}" for i in range(1, len(chain))), "action"]
    steps = [(op, f"/n{i}", [names[i], f"c{i}"], names[i + 1]) for i, (op, _) in enumerate(chain)]
    some = cases(3)
    rows = np.concatenate([c["obs"] for _, c in some])
    with tempfile.TemporaryDirectory() as folder:
        path = graph(Path(folder), steps, {f"c{i}": np.asarray(c) for i, (_, c) in enumerate(chain)})
        found = predict(path, some, Path(folder) / "work").endings[0]
    full, half = in_numpy(chain, rows, np.float32), in_numpy(chain, rows, np.float16)
    sound = np.isfinite(full) & np.isfinite(half)
    assert found.broken == int((np.isfinite(full) & ~np.isfinite(half)).sum())
    gaps = np.where(sound, np.abs(np.where(sound, half, 0) - np.where(sound, full, 0)), 0).max(axis=0)
    scale = np.where(np.isfinite(full), np.abs(full), 0).max(axis=0)
    assert found.gap == pytest.approx(gaps[found.dimension], rel=1e-3, abs=1e-6 * float(scale.max()))


@pytest.mark.parametrize(("make", "scale"), [(overflowing, 2.0), (cancelling, 0.1), (timed, 4.0)])
def test_groups_and_blocks_of_any_size_see_the_same(
    make: object, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    whole = as_json(predict(path, cases(5, scale), tmp_path / "a"), "p", "c")
    for module in ("parity.localize.measure", "parity.predict.watch"):
        monkeypatch.setattr(f"{module}.GROUP_BYTES", 20)  # one value, one case
    assert as_json(predict(path, cases(5, scale), tmp_path / "b"), "p", "c") == whole


def test_a_softmax_of_large_scores_is_named(tmp_path: Path) -> None:
    steps = [("Mul", "/scores", ["obs", "many"], "scores"), ("Softmax", "/softmax", ["scores"], "action")]
    close = np.asarray([[1.0, 1.0001, 1.0002, 1.0003]], np.float32)
    some = [(f"nominal-{i:04d}", {"obs": close + np.float32(i * 1e-4)}) for i in range(3)]
    found = predict(graph(tmp_path, steps, {"many": 8000.0}), some, tmp_path / "work")
    assert not found.survives
    assert [h.node for h in found.hazards if h.kind == "lost"] == ["Softmax /softmax"]


def test_an_exp_that_overflows_is_named(tmp_path: Path) -> None:
    steps = [("Exp", "/exp", ["obs"], "grown"), ("Log", "/log", ["grown"], "action")]
    some = [("nominal-0000", {"obs": np.asarray([[1.0, 2.0, 3.0, 12.0]], np.float32)})]
    found = predict(graph(tmp_path, steps), some, tmp_path / "work")
    assert [(h.kind, h.node) for h in found.hazards] == [("overflow", "Exp /exp")]
    assert found.endings[0].broken == 1
