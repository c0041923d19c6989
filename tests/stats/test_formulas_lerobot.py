"""LeRobot's formulas against the real lerobot: the same bits, for every mode, with what is constant among the data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from lerobot_python import lerobot_interpreter
from parity.stats.formula import FORMULAS
from parity.stats.model import FeatureStats

NAMES = ("mean", "std", "min", "max", "q01", "q99", "q10", "q90")
SCRIPT = """
import sys, numpy as np, torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.processor.normalize_processor import NormalizerProcessorStep, UnnormalizerProcessorStep
given = dict(np.load(sys.argv[1]))
stats = {"a": {k: torch.from_numpy(v) for k, v in given.items() if k not in ("x", "y")}}
features = {"a": PolicyFeature(type=FeatureType.STATE, shape=(6,))}
out = {}
for mode in ("MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10"):
    for name, kind in (("x", NormalizerProcessorStep), ("y", UnnormalizerProcessorStep)):
        for dtype in (torch.float32, torch.float64, torch.float16):
            step = kind(features=features, norm_map={FeatureType.STATE: NormalizationMode(mode)}, stats=stats, eps=3e-7)
            data = torch.from_numpy(given[name]).to(dtype)
            found = step._normalize_observation({"a": data}, inverse=name == "y")["a"]
            out[f"{mode}/{name}/{str(dtype)[6:]}"] = found.numpy()
np.savez(sys.argv[2], **out)
"""


@pytest.fixture(scope="module")
def lerobot() -> str:
    return lerobot_interpreter()


def test_the_same_bits_as_lerobot(lerobot: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    values = {n: (rng.normal(size=6) * 50).astype(np.float32) for n in NAMES}
    values["std"] = np.abs(values["std"])
    values["std"][2] = 0
    for low, high in (("min", "max"), ("q01", "q99"), ("q10", "q90")):
        values[high] = np.maximum(values[low], values[high])  # some are equal: their range is 0
    given = {"x": (rng.normal(size=(5, 6)) * 60).astype(np.float32), "y": rng.normal(size=(5, 6)).astype(np.float32)}
    np.savez(tmp_path / "given.npz", **values, **given)
    command = [lerobot, "-c", SCRIPT, str(tmp_path / "given.npz"), str(tmp_path / "found.npz")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    stats = FeatureStats("a", {k: v.astype(np.float64) for k, v in values.items()}, eps=3e-7)
    found = np.load(tmp_path / "found.npz")
    assert len(found.files) == 24
    for name in found.files:
        mode, which, dtype = name.split("/")
        formula = FORMULAS["lerobot-0.4"]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            ours = (formula.forward if which == "x" else formula.backward)(given[which].astype(dtype), stats, mode)
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, found[name], err_msg=name)
