"""Safetensors files written by hand, so that tests need no other package to make them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def save_tensors(path: Path, arrays: Mapping[str, Any]) -> Path:
    """Write float32 tensors into a safetensors file and return its path."""
    header, body = {}, b""
    for name, value in arrays.items():
        raw = np.asarray(value, dtype="<f4")
        header[name] = {
            "dtype": "F32",
            "shape": list(raw.shape),
            "data_offsets": [len(body), len(body) + raw.nbytes],
        }
        body += raw.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path
