"""What a mode divides by: nothing, or so little that rounding or sensor noise fills the normalized range.

What really happens depends on the era, see `docs/formats.md`: LeRobot 0.4 replaces a divisor of 0 by eps (1e-8),
LeRobot 0.3 and openpi add eps (1e-8, 1e-6), rsl_rl adds 1e-2, diffusion_policy and GR00T leave constant dimensions out.
A constant dimension is harmless as long as it stays constant. On the way out nothing is divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from parity.finding import Finding, Severity
from parity.stats.check_shape import padding
from parity.stats.subject import EPS32, Entry, Subject, about

if TYPE_CHECKING:
    from parity.tensor import Array

ZERO = "STATS020"
TINY = "STATS021"

EPS = {"lerobot": 1e-8, "openpi": 1e-6, "rsl_rl": 1e-2}
"""What is added to the divisor, or takes its place, where the source does not say."""
LEAVES_OUT = frozenset({"diffusion_policy", "gr00t"})  # a constant dimension is not divided at all
HARMLESS = 1e-3  # an eps from here on keeps a constant dimension within a thousand times what it moves

_PAIRS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}
_NOTHING = 0.5  # steps of float32 at the values' size: less than this is what rounding leaves of 0
_NOISE = 64.0  # steps of float32 that a range must have


def divisor_findings(subject: Subject) -> Iterator[Finding]:
    """Yield features of which a mode divides by zero or nearly zero, one finding for each kind."""
    for entry in subject.distinct():
        if entry.is_metadata or entry.framework in LEAVES_OUT or entry.mode in ("IDENTITY", "LINEAR"):
            continue
        for mode in (entry.mode,) if entry.mode is not None else ("MEAN_STD", "MIN_MAX", "QUANTILES"):
            found = divisor(entry, mode)
            if found is not None:
                findings = list(_judge(entry, mode, *found))
                yield from findings
                if findings:
                    break  # one mode is enough to say that a dimension is constant


def divisor(entry: Entry, mode: str) -> tuple[Array, Array] | None:
    """Return what a mode divides by, without eps, and how large the values are; None where that is not stored."""
    if mode == "MEAN_STD":
        found = entry.values("mean", "std")
        return None if found is None else (found[1], np.abs(found[0]))
    if mode not in _PAIRS or (found := entry.values(*_PAIRS[mode])) is None:
        return None
    with np.errstate(invalid="ignore"):  # both may be infinite
        width = found[1] - found[0]
    return width, np.maximum(np.abs(found[0]), np.abs(found[1]))


def _judge(entry: Entry, mode: str, by: Array, size: Array) -> Iterator[Finding]:
    real = np.isfinite(by)
    if pad := padding(entry):
        real = real & (np.arange(by.size) < by.size - pad)
    eps = entry.stats.eps if entry.stats.eps is not None else EPS.get(entry.framework)
    zero = real & (np.abs(by) <= _NOTHING * EPS32 * size)
    if zero.any():
        yield _zero(entry, mode, zero, size, eps)
    tiny = real & ~zero & (by > 0) & (by < _NOISE * EPS32 * size)
    if tiny.any() and not zero.any():
        yield about(
            TINY,
            "info" if entry.output or entry.mode is None else "warning",
            entry,
            tiny,
            "{divisor} is divided by, where values are {size}: rounding alone moves the normalized value",
            worst=-by,
            shown={"divisor": by, "size": size},
            detail="A joint that was parked while data was recorded looks like this.",
            remedy="leave the dimension out, or give it a range that it really has, before the next training",
        )


def _zero(entry: Entry, mode: str, zero: Array, size: Array, eps: float | None) -> Finding:
    moves = _moves(entry, mode)
    gone = zero & moves if moves is not None else np.zeros_like(zero)
    what = " and ".join(_PAIRS.get(mode, ("std",)))
    says = f"{what} leave a range of 0" if mode in _PAIRS else "std is {std}"
    if eps == 0:
        happens = "Dividing by it gives NaN, or infinity."
    elif eps is None:
        happens = "What happens then depends on who normalizes."
    else:
        gain = (1.0 if mode == "MEAN_STD" else 2.0) / eps
        happens = f"Divided by {eps:g} instead, a movement of 0.001 becomes {0.001 * gain:g}."
    if gone.any():
        happens += " The other statistics say that it does move."
    return about(
        ZERO,
        _weight(entry, eps, moved=bool(gone.any())),
        entry,
        gone if gone.any() else zero,
        f"constant in the data ({says})" if not gone.any() else f"{says}, but it moves",
        shown={"value": size, **({"std": entry.stats.values["std"]} if mode == "MEAN_STD" else {})},
        detail=happens,
        remedy="leave the dimension out or give it a range that it really has; else do not let it move on the robot",
    )


def _weight(entry: Entry, eps: float | None, *, moved: bool) -> Severity:
    if entry.mode is None:
        return "warning" if moved else "info"
    if eps == 0 and not entry.output:
        return "error"
    if moved:
        return "error" if not entry.output else "warning"
    return "info" if entry.output or (eps is not None and eps >= HARMLESS) else "warning"


def _moves(entry: Entry, mode: str) -> Array | None:
    """Return where other statistics than those of the mode say that a dimension is not constant."""
    spreads = [entry.values("min", "max")] if mode != "MIN_MAX" else []
    found = [s[1] - s[0] for s in spreads if s is not None]
    if mode != "MEAN_STD" and (s := entry.values("mean", "std")) is not None:
        found.append(np.where(s[1] > np.sqrt(1024 * EPS32) * np.abs(s[0]), s[1], 0.0))  # std may be rounding
    here = divisor(entry, mode)
    fitting = [f for f in found if here is not None and f.shape == here[0].shape]
    return np.any([f > 0 for f in fitting], axis=0) if fitting else None
