"""How soon `parity provenance` says from which checkpoint an OM of 100 MB was compiled, folded BatchNorms included."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LAYERS, WIDTH, CONVOLUTIONS = 4, 1024, 3


def measure() -> list[dict[str, str]]:
    """Return one row per checkpoint: the right one, the next epoch, another run, and all of them."""
    with tempfile.TemporaryDirectory() as folder:
        om, checkpoints = _made(Path(folder))
        asked = [*((name, [path]) for name, path in checkpoints.items()), ("all three", list(checkpoints.values()))]
        return [_row(om, name, paths) for name, paths in asked]


def _row(om: Path, name: str, paths: list[Path]) -> dict[str, str]:
    begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "parity", "provenance", str(om), *map(str, paths)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return {
        "OM": f"{om.stat().st_size / 1e6:.0f} MB",
        "checkpoint": f"{name}, {sum(p.stat().st_size for p in paths) / 1e6:.0f} MB",
        "relation": said.partition(":")[0],
        "time": f"{time.perf_counter() - begin:.1f} s",
        "processor": f"{processor:.1f} s",
    }


def _made(folder: Path) -> tuple[Path, dict[str, Path]]:
    from compiled_om import compiled
    from tensor_files import save_tensors

    weights = _weights(np.random.default_rng(0))
    plain = {n: a for n, a in weights.items() if not n.startswith("conv")}
    om = compiled(folder / "policy.om", plain, ready=_folded(weights))
    rng = np.random.default_rng(1)
    epoch = {n: a * (1 + 1e-4 * rng.standard_normal(a.shape, dtype=np.float32)) for n, a in weights.items()}
    given = {"the right one": weights, "the next epoch": epoch, "another run": _weights(rng)}
    return om, {n: save_tensors(folder / f"{i}.safetensors", w) for i, (n, w) in enumerate(given.items())}


def _weights(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return layers of attention and feed-forward, and convolutions with a BatchNorm behind each."""

    def new(*shape: int) -> np.ndarray:
        return 0.02 * rng.standard_normal(shape, dtype=np.float32)

    found: dict[str, np.ndarray] = {}
    for i in range(LAYERS):
        for name, rows, columns in (*((n, 1, 1) for n in "qkvo"), ("up", 4, 1), ("down", 1, 4)):
            found[f"layer{i}.{name}.weight"] = new(rows * WIDTH, columns * WIDTH)
            found[f"layer{i}.{name}.bias"] = new(rows * WIDTH)
    for i in range(CONVOLUTIONS):
        found[f"conv{i}.weight"] = new(256, 256, 3, 3)
        found |= {f"conv{i}.bn.{n}": new(256) for n in ("bias", "running_mean")}
        found |= {f"conv{i}.bn.{n}": 1 + np.abs(new(256)) for n in ("weight", "running_var")}
    return found


def _folded(w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the convolutions as Ascend's compiler leaves them: folded in float32, then cast."""
    found: dict[str, np.ndarray] = {}
    for i in range(CONVOLUTIONS):
        scale = w[f"conv{i}.bn.weight"] / np.sqrt(w[f"conv{i}.bn.running_var"] + np.float32(1e-5))
        found[f"conv{i}_filter_host"] = (w[f"conv{i}.weight"] * scale[:, None, None, None]).astype(np.float16)
        bias = w[f"conv{i}.bn.bias"] - w[f"conv{i}.bn.running_mean"] * scale
        found[f"conv{i}_bias_host"] = bias.astype(np.float16)
    return found
