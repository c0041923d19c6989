"""Loads a LeRobot folder through the user's own lerobot. Part of the stand-alone torch worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Refused
    from parity.runner.worker.torch_loaded import Loaded
else:
    from protocol import Refused
    from torch_loaded import Loaded


def load(request: dict[str, Any]) -> Loaded:
    raise Refused("absent", "lerobot cannot be imported here")
