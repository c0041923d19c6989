"""Frames of videos by their timestamps, as LeRobot picks them, decoded by PyAV (the extra `video`).

Source: lerobot/datasets/video_utils.py, `decode_video_frames_torchvision` (0.4.4): of each timestamp the frame that is
nearest, which must not be farther than a tolerance; here half the time between two frames, so that a frame that is not
there is noticed and none is taken for another.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.faults import CORRUPT, MISSING, Fault, error_of
from parity.dataset.mp4 import EXPECTED
from parity.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

TOLERANCE = 1e-4  # seconds, where the dataset does not tell its rate: LeRobot's own
SLACK = 1e-6  # seconds that timestamps lose as float32
INSTALL = "pip install 'policy-parity[video]'"
_REMEDY = "fetch the videos and the data files again, both of one version of the dataset"


def has_decoder() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


@dataclass(frozen=True, slots=True)
class Clip:
    """Rows ``start`` and on, ``rows`` of them, whose frames lie in one file, ``offset`` seconds after their stamps."""

    path: Path
    start: int
    rows: int
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """The frames of one feature, as `parity.dataset.pictures.Pictures`.

    Attributes:
        name: of the feature.
        shape: of a frame, ``(H, W, 3)``.
        clips: in the order of the rows, all of them.
        stamps: returns the timestamps of rows ``start:stop``, in seconds, ``(N,)``.
        fps: frames per second, None where the dataset does not tell.
        faults: what is wrong with files.
    """

    name: str
    shape: tuple[int, int, int]
    clips: Sequence[Clip]
    stamps: Callable[[int, int], Array]
    fps: float | None
    faults: Mapping[Path, Fault] = field(default_factory=dict)

    def check(self) -> None:
        """Make sure that PyAV is there; see `Pictures.check`."""
        if not has_decoder():
            raise UsageError(f"{self.name}: kept as video, and PyAV is not installed, which decodes it", remedy=INSTALL)

    def frames(self, start: int, stop: int) -> Iterator[Array]:
        """Yield the frames of rows ``start:stop``; see `Pictures.frames`."""
        self.check()
        for clip in self.clips:
            low, high = max(start, clip.start), min(stop, clip.start + clip.rows)
            if low < high:
                if clip.path in self.faults:
                    raise error_of(clip.path, self.faults[clip.path], f"{self.name} of {high - low} frames")
                times = self.stamps(low, high).astype(np.float64).reshape(-1) + clip.offset
                yield from self._picked(clip.path, times)

    def _picked(self, path: Path, times: Array) -> Iterator[Array]:
        """Yield the frame that is nearest to each time."""
        if not np.isfinite(times).all() or any(b < a for a, b in pairwise(times.tolist())):
            raise ArtifactError(f"{path}: the timestamps of its frames do not rise", remedy=_REMEDY)
        tolerance = (0.5 / self.fps if self.fps else TOLERANCE) + SLACK
        decoded = _decoded(path, float(times[0]) - tolerance)
        before: tuple[float, Any] | None = None
        after = next(decoded, None)
        for time in times.tolist():
            while after is not None and after[0] < time:
                before, after = after, next(decoded, None)
            best = min((f for f in (before, after) if f is not None), key=lambda f: abs(f[0] - time), default=None)
            if best is None or abs(best[0] - time) > tolerance:
                raise ArtifactError(
                    f"{path}: it has no frame at {time:.4f} s"
                    + (f", the nearest is at {best[0]:.4f} s" if best else ""),
                    expected=f"a frame within {tolerance:.4f} s of every timestamp",
                    remedy=_REMEDY,
                )
            yield self._array(path, best[1])

    def _array(self, path: Path, frame: Any) -> Array:
        if (frame.height, frame.width) != self.shape[:2]:
            raise ArtifactError(
                f"{path}: a frame of {frame.width} x {frame.height}",
                expected=f"{self.shape[1]} x {self.shape[0]}, as all others",
                remedy=_REMEDY,
            )
        array: Array = frame.to_ndarray(format="rgb24")
        return array


def _decoded(path: Path, start: float) -> Iterator[tuple[float, Any]]:
    """Yield the frames of a video with their times, from the last key frame at or before ``start`` seconds.

    The file is handed over opened and said to be MP4, so that nothing in it leads the decoder to another file.
    """
    import av

    try:
        with path.open("rb") as file, av.open(file, format="mp4") as container:
            stream = container.streams.video[0]
            base = float(stream.time_base)
            if start > 0:
                container.seek(int(start / base), stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None:
                    yield frame.pts * base, frame
    except FileNotFoundError:
        raise error_of(path, Fault(MISSING, expected=EXPECTED)) from None
    except (av.FFmpegError, OSError, ValueError, IndexError) as e:
        raise error_of(path, Fault(CORRUPT, " ".join(str(e).split())[:200], EXPECTED)) from None
