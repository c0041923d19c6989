"""How soon `parity provenance` names the checkpoint: 100 checkpoints of 10 MB each, of one run and of several."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNT = 100
WIDTH = 512


def measure() -> list[dict[str, str]]:
    """Return one row per kind of policy and of search."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("MLP", "transformer"):
            for twins in (False, True):
                exported, checkpoints = _made(Path(folder) / f"{kind}{twins}", kind, twins)
                size = sum(p.stat().st_size for p in checkpoints) / COUNT / 1e6
                begin, used = time.perf_counter(), _cpu()
                command = [sys.executable, "-m", "parity", "provenance", str(exported), *map(str, checkpoints)]
                code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
                took, used = time.perf_counter() - begin, _cpu() - used
                what = "independent runs" if twins else "steps of one run"
                rows.append(
                    {
                        "policy": kind,
                        "checkpoints": f"{COUNT} of {size:.1f} MB, {what}",
                        "verdict": "MATCH" if code == 0 else f"exit {code}",
                        "time": f"{took:.1f} s",
                        "processor": f"{used:.1f} s",
                    }
                )
                for path in (*checkpoints, exported):
                    path.unlink()
    return rows


def _cpu() -> float:
    """Return the seconds that child processes kept processors busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _made(folder: Path, kind: str, twins: bool) -> tuple[Path, list[Path]]:
    """Write ``COUNT`` checkpoints and, of the last but one, what an exporter makes of it; return their paths."""
    import torch

    folder.mkdir()
    torch.manual_seed(0)
    policy = _policy(kind)
    paths = []
    for i in range(COUNT):
        if twins:
            policy = _policy(kind)
        with torch.no_grad():
            for p in policy.parameters():  # what the steps between two checkpoints do
                p.add_(1e-3 * torch.randn_like(p))
        paths.append(folder / f"model_{i * 1000}.pt")
        torch.save({"model_state_dict": policy.state_dict(), "iter": i * 1000}, paths[-1])
        if i == COUNT - 2:
            exported = folder / "policy.pt"
            torch.save({k: _exported(v) for k, v in policy.state_dict().items()}, exported)
    return exported, paths


def _policy(kind: str):
    from torch import nn

    if kind == "MLP":
        return nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(10)))
    layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def _exported(weight):
    """Return a weight as exporters store it: matrices transposed for MatMul."""
    return weight.t().contiguous() if weight.dim() == 2 else weight
