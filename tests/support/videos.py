"""Small MP4 files whose frames can be told apart, written with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def pictures(count: int, first: int = 0, height: int = 32, width: int = 48) -> np.ndarray:
    """Return pictures ``(N, H, W, 3)``, each of one colour that no other of the first 64 has."""
    numbers = np.arange(first, first + count)
    colours = np.stack([numbers % 4, numbers // 4 % 4, numbers // 16 % 4], -1) * 70 + 20
    return np.broadcast_to(colours[:, None, None, :], (count, height, width, 3)).astype(np.uint8)


def number_of(picture: np.ndarray) -> int:
    """Return which of `pictures` a decoded one is."""
    levels = np.rint((picture.reshape(-1, 3).mean(0) - 20) / 70).astype(int)
    return int(levels @ [1, 4, 16])


def numbers_of(decoded: np.ndarray) -> list[int]:
    """Return which of `pictures` each of ``(N, H, W, 3)`` is."""
    return [number_of(picture) for picture in decoded]


def write_video(path: Path, frames: np.ndarray, fps: int, times: Sequence[float] | None = None, **options: Any) -> Path:
    """Write pictures as a video of ``fps``, or at ``times`` in seconds, and return its path."""
    from fractions import Fraction

    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4", **options) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.gop_size = 5
        stream.codec_context.time_base = Fraction(1, fps * 100)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = round((times[i] if times is not None else i / fps) * fps * 100)
            frame.time_base = Fraction(1, fps * 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
