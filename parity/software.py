"""What computed a result: interpreter, platform, parity and the libraries that numbers depend on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def software(libraries: Sequence[str]) -> dict[str, Any]:
    """Return versions and platform, JSON-able; libraries that are not installed are left out."""
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "parity": version("policy-parity"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "implementation": sys.implementation.name,
        "libraries": found,
    }
