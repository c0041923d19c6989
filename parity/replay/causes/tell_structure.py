"""Findings about faults of structure: what was seen, the numbers, where to look, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.finding import Finding
from parity.replay.causes.affine import DEGREES, Fit, Pair
from parity.replay.causes.structural import Suspect, What
from parity.replay.model import Context, State
from parity.replay.said import LISTED, SMALLEST, amount, called, look_at, several

CODES: Mapping[What, tuple[str, str]] = {
    "sign": ("REPLAY020", "compare the joints' directions on both sides; look for a minus in export and deployment"),
    "units": ("REPLAY021", "find out whether dataset, policy and driver speak degrees or radians, and convert once"),
    "offset": ("REPLAY022", "compare the default positions (default_pos), or the statistics' means, of both sides"),
    "gain": ("REPLAY023", "compare the action scale, default positions and normalization statistics of both sides"),
    "normalization": ("REPLAY024", "apply the un-normalization of the action once, with the statistics of training"),
    "order": ("REPLAY025", "compare the order of joints that both sides declare; map by name instead of by position"),
    "rotation": ("REPLAY026", "convert rotations at the boundary: order, sign and layout as in training"),
    "range": ("REPLAY027", "compare what open and closed, or the ends of the range, are on both sides"),
}


def told(suspect: Suspect, context: Context, place: State, pair: Pair) -> Finding:
    """Return the finding; it is an error where the reference moves, for then the difference is over a limit."""
    code, remedy = CODES[suspect.what]
    dims = list(suspect.dims)
    unit = {d: max(float(context.limits[d]), SMALLEST) ** 2 for d in dims}
    whole = sum(float(pair.apart[d]) / unit[d] for d in dims)
    left = sum(suspect.left[d] / unit[d] for d in dims)
    explained = 1.0 - left / whole if whole > 0 else 0.0
    detail = f"This explains {100 * explained:.2f} % of the difference; {look_at(context, place, dims)}."
    if suspect.still:
        detail += " The reference does not move there, so that these dimensions are not covered."
    return Finding(
        code,
        "warning" if suspect.still else "error",
        _title(suspect, context),
        where=called(context, dims[0]) if len(dims) == 1 else context.output,
        detail=detail,
        evidence=_evidence(suspect, explained, context),
        remedy=remedy,
    )


def _evidence(suspect: Suspect, explained: float, context: Context) -> dict[str, Any]:
    fits = suspect.fits
    numbers: dict[str, Any] = {"dimensions": list(suspect.dims), "explained": explained}
    if fits:
        numbers["gain"] = [fits[d].gain for d in suspect.dims]
        numbers["offset"] = [fits[d].offset for d in suspect.dims]
        numbers["source"] = [fits[d].source for d in suspect.dims]
    numbers["units"] = [context.units[d] for d in suspect.dims]
    return numbers


def _title(suspect: Suspect, context: Context) -> str:
    dims = list(suspect.dims)
    where = several(context, dims)
    if suspect.what == "normalization":
        return f"{suspect.text}: {_listed(suspect, context, _gain)}"
    if suspect.what == "order" or (suspect.what == "rotation" and suspect.fits):
        return _ordered(suspect, context)
    if suspect.what == "offset":
        flipped = f"{suspect.text} and " if suspect.text else ""
        return f"{flipped}a constant offset is added: {_listed(suspect, context, _offset)}"
    if suspect.what == "gain":
        gains = [suspect.fits[d].gain for d in dims]
        same = f"; the same gain in {len(dims)} dimensions: an action scale" if _alike(gains) else ""
        return f"it is scaled: {_listed(suspect, context, _gain)}{same}"
    return f"{suspect.text} in {where}"


def _ordered(suspect: Suspect, context: Context) -> str:
    known = f"{suspect.text}: " if suspect.text else "dimensions stand in another order: "
    told = []
    for d in suspect.dims[:LISTED]:
        f = suspect.fits[d]
        more = "" if f.gain == 1 and f.offset == 0 else f" ({_gain(context, d, f)})"
        told.append(f"{called(context, d)} holds {called(context, f.source)}{more}")
    left = len(suspect.dims) - LISTED
    return known + ", ".join(told) + (f" and {left} more" if left > 0 else "")


def _alike(gains: list[float]) -> bool:
    return len(gains) > 1 and max(gains) - min(gains) <= 0.01 * abs(gains[0])


def _listed(suspect: Suspect, context: Context, tell: Any) -> str:
    told = [f"{tell(context, d, suspect.fits[d])} in {called(context, d)}" for d in suspect.dims[:LISTED]]
    left = len(suspect.dims) - LISTED
    return ", ".join(told) + (f" and {left} more" if left > 0 else "")


def _offset(context: Context, d: int, f: Fit) -> str:
    return ("+" if f.offset > 0 else "") + amount(context, d, f.offset)


def _gain(context: Context, d: int, f: Fit) -> str:
    text = f"gain {f.gain:.3g}"
    if abs(abs(f.gain) / DEGREES - 1) < 0.01 or abs(abs(f.gain) * DEGREES - 1) < 0.01:
        text += " (degrees against radians)"
    if f.gain < 0:
        text += " (sign flipped)"
    return text + (f" and offset {f.offset:+.3g}" if f.offset else "")
