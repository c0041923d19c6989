"""Made-up exhibits of a report: any number of time steps and dimensions, over the limit or not."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np


def png(width: int = 24, height: int = 16) -> str:
    """Return a small PNG of a gradient, base64."""
    from PIL import Image

    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, format="png")
    return base64.b64encode(out.getvalue()).decode()


def exhibit(
    steps: int = 1,
    dimensions: int = 3,
    *,
    over: bool = False,
    names: list[str] | None = None,
    candidate: str = "ort",
    output: str = "action",
    **changes: Any,
) -> dict[str, Any]:
    """Return one entry of ``exhibits``; with ``over`` its last dimension is far off from half the chunk on."""
    rng = np.random.default_rng(7)
    limit = 1e-5 * (1 + np.arange(dimensions) / dimensions)
    ratio = 10 ** rng.uniform(-3, -0.4, (steps, dimensions))
    if over:
        ratio[steps // 2 :, -1] = 3e4
    error = ratio * limit
    edges = np.linspace(-9, 1, 41)
    counts = {
        "error": np.histogram(np.log10(error.max(0)), edges)[0].tolist(),
        "floor": np.histogram(np.log10(limit / 32), edges)[0].tolist(),
        "limit": np.histogram(np.log10(limit), edges)[0].tolist(),
    }
    reference = np.sin(np.arange(steps)[:, None] / 5 + np.arange(dimensions))
    entry: dict[str, Any] = {
        "candidate": candidate,
        "level": "graph",
        "stage": None,
        "output": output,
        "units": None,
        "steps": steps,
        "dimensions": dimensions,
        "elements": names,
        "cases": 18,
        "by_step": {"max_abs": error.tolist(), "ratio": ratio.tolist(), "step_stride": 1, "dimension_stride": 1},
        "distribution": {"edges": edges.tolist(), **counts, "zero": 2},
        "worst": [
            {
                "comparison": f"{candidate}/graph/edge-000{i}/{output}",
                "case": f"edge-000{i}",
                "note": "obs[3] at its upper end",
                "verdict": "FAIL" if over else "PASS",
                "reference": reference.tolist(),
                "candidate": (reference + error * rng.choice([-1, 1], error.shape)).tolist(),
                "limit": limit.tolist(),
                "inputs": inputs(),
            }
            for i in range(3)
        ],
        "sensitivity": None if over else sensitivity(dimensions, names),
    }
    return {**entry, **changes}


def inputs() -> list[dict[str, Any]]:
    label = "observation.images.top, step 0"
    picture = {"png": png(), "width": 24, "height": 16, "label": label}
    image = {"name": "observation.images.top", "role": "image", "shape": [1, 3, 16, 24], "dtype": "float32"}
    state = {"name": "obs", "role": "state", "shape": [1, 9], "dtype": "float32", "minimum": -1.5, "maximum": 2.25}
    return [
        {**image, "minimum": 0.0, "maximum": 1.0, "constant": False, "values": None, "pictures": [picture]},
        {**state, "constant": False, "values": [-1.5, 2.25, *[0.1] * 7], "pictures": []},
    ]


def sensitivity(dimensions: int, names: list[str] | None) -> dict[str, Any]:
    rows = [
        {
            "dimension": d,
            "name": names[d] if names else None,
            "informative": d != 1,
            "offset": None if d == 1 else 1.2e-5 * (d + 1),
            "gain": None if d == 1 else 1.4e-5,
            "sign": {"caught": d != 1, "ratio": 0.0 if d == 1 else 5e4},
            "swap": {"caught": d != 1, "with": (d + 1) % dimensions, "ratio": 3e4, "missed": [1] if d == 1 else []},
            "shift": {"caught": True, "steps": 1, "ratio": 900.0},
        }
        for d in range(dimensions)
    ]
    said = "An offset of 1.2e-05 in any of the informative dimensions would have failed."
    return {
        "dimensions": rows,
        "sentences": [said, "Dimension 1 was constant: nothing was shown there."],
        "not_computed": None,
    }


def nothing(steps: int = 4, dimensions: int = 2) -> dict[str, Any]:
    """Return an entry that has no number at all: every value NaN or absent."""
    empty = [[None] * dimensions for _ in range(steps)]
    by_step = {"max_abs": empty, "ratio": None, "step_stride": 1, "dimension_stride": 1}
    none = [["NaN"] * dimensions for _ in range(steps)]
    made = exhibit(steps, dimensions, by_step=by_step, distribution=None, sensitivity=None)
    for w in made["worst"]:
        w.update(reference=none, candidate=none, limit=None, inputs=[])
    return made
