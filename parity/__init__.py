"""Is the policy about to be shipped still the policy that was trained, and if not, where did it part, and why?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.compare.assertion import assert_close

__version__ = "0.1.0"
__all__ = ["__version__", "assert_close"]


def __getattr__(name: str) -> Any:
    if name == "assert_close":
        from parity.compare.assertion import assert_close

        return assert_close
    raise AttributeError(f"module 'parity' has no attribute {name!r}")
