"""What a case costs: nominal cases of a UNet, eager torch against onnxruntime, beside the runner calls made."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
COUNTS = (64, 256)


def measure() -> list[dict[str, str]]:
    """Return one row per number of cases and one for the marginal cost."""
    with tempfile.TemporaryDirectory() as folder:
        exported = _export(Path(folder))
        found = {n: _judge(exported, n) for n in COUNTS}
    rows = [
        {
            "cases": str(n),
            "execute and judge": f"{wall:.1f} s",
            "runner calls": f"{number}",
            "time in them, busier side": f"{calls:.1f} s",
        }
        for n, (wall, calls, number) in found.items()
    ]
    (wall0, calls0, _), (wall1, calls1, _) = (found[n] for n in COUNTS)
    ratio = (wall1 - wall0) / (calls1 - calls0)
    more = COUNTS[1] - COUNTS[0]
    rows.append(
        {
            "cases": "each further one",
            "execute and judge": f"{(wall1 - wall0) / more * 1e3:.0f} ms",
            "runner calls": "",
            "time in them, busier side": f"{(calls1 - calls0) / more * 1e3:.0f} ms (× {ratio:.3f})",
        }
    )
    return rows


def _export(folder: Path) -> Path:
    """Export the UNet with the TorchScript exporter and return the ONNX file."""
    import sys
    import warnings

    import torch

    sys.path.insert(0, str(HERE))
    import unet

    model = unet.build()
    print(f"UNet: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")
    path = folder / "unet.onnx"
    inputs = (torch.zeros(1, 16, 2), torch.zeros(1, dtype=torch.int64), torch.zeros(1, 32))
    names = ["sample", "timestep", "observation"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, inputs, str(path), input_names=names, output_names=["noise_pred"], opset_version=17, dynamo=False
        )
    return path


def _judge(exported: Path, cases: int) -> tuple[float, float, int]:
    """Return seconds to execute and judge, seconds inside the busier side's runner calls, and the number of calls."""
    from parity.cli.judging import judge_now
    from parity.release.config import parse_config
    from parity.release.prepare import prepare

    config = parse_config(
        {
            "release": {"name": "unet"},
            "reference": {"path": "unet:build"},
            "candidate": [{"name": "ort", "path": str(exported)}],
            "cases": {"nominal": cases, "edge": False},
        },
        "bench",
    )
    with tempfile.TemporaryDirectory() as work:
        prepared = prepare(config, HERE, strict=True)
        start = time.perf_counter()
        outcome = judge_now(config, HERE, Path(work), strict=True, prepared=prepared)
        wall = time.perf_counter() - start
    if outcome.report["verdict"] != "PASS":
        raise RuntimeError(f"the UNet and its export differ: {outcome.report['reasons']}")
    sides = list(outcome.timings["sides"].values())
    return wall, max(s["calls"] for s in sides), sum(s["number"] for s in sides)
