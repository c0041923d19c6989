"""Where the values of one input lie: centre, ends and how `nominal` draws between them, from a range or by role.

The ends are mean ± 4 std where mean and std are known (`nominal` is cut there), min and max, or q01 and q99.
Without a range: N(0, 1) for vectors, [0, 1] or the integer's 0…255 for images; noise is N(0, 1) by definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from parity.cases.dtypes import FLOATS
from parity.cases.layout import Layout
from parity.cases.make_normal_table import LIMIT
from parity.contract.model import Contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Range

Floats = npt.NDArray[np.float64]
Kind = Literal["normal", "uniform", "integers", "mask", "zeros"]

DEFAULT_VOCABULARY = 10  # small enough for the embedding table of any policy
DEFAULT_TRAIN_STEPS = 100
_HUGE = 1e300  # so that ends can be computed without overflow; NaN is not below it


@dataclass(frozen=True, slots=True)
class Spread:
    """Values of one input, each array broadcasting against its row (the shape without the batch axis).

    ``kind`` is how `nominal` draws: ``normal`` (cut at the ends), ``uniform``, ``integers`` (both ends included),
    ``mask`` (a valid prefix) or ``zeros``. ``known`` is False where nothing but the role was there to go by.
    """

    kind: Kind
    centre: Floats
    low: Floats
    high: Floats
    std: Floats
    source: str
    known: bool

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Where the ends are one value, so that `nominal` never varies it."""
        return np.asarray(self.low == self.high)


def spread_of(layout: Layout, given: Range | None, contract: Contract | None) -> tuple[Spread, list[Finding]]:
    """Return the spread of one input and what had to be assumed. ``given`` goes before the contract's own range.

    Raises:
        UsageError: ``given`` does not fit the input.
    """
    declared = given or layout.spec.range
    problem = None if declared is None else _misfit(declared, layout)
    if problem and given is not None:
        raise UsageError(problem, expected=f"a range that fits a row of {layout.row_shape}")
    findings = []
    if problem:
        findings.append(_ignored(layout, problem))
    elif declared is not None and layout.role != "mask" and layout.dtype != "bool":
        spread, invalid = _from_range(declared, layout)
        return spread, [*findings, *invalid, *_constants(spread, layout)]
    spread, assumed = _by_role(layout, contract)
    return spread, findings + assumed


def _misfit(declared: Range, layout: Layout) -> str | None:
    where = f"the range of {layout.name!r} from {declared.source}"
    size = int(np.prod(declared.shape, dtype=np.int64))
    if len(declared.first) != size or len(declared.second) != size:
        return f"{where} says shape {declared.shape} and holds {len(declared.first)} and {len(declared.second)} numbers"
    row = layout.row_shape
    trailing = row[len(row) - len(declared.shape) :] if len(declared.shape) <= len(row) else None
    if trailing is None or any(a not in (1, b) for a, b in zip(declared.shape, trailing, strict=True)):
        return f"{where} has shape {declared.shape}, which does not fit the input's {layout.shape}"
    return None


def _ignored(layout: Layout, problem: str) -> Finding:
    remedy = "the statistics belong to another policy or feature: `parity stats` tells which"
    return Finding("CASE005", "warning", f"{problem}; it is not used", where=layout.name, remedy=remedy)


def _from_range(declared: Range, layout: Layout) -> tuple[Spread, list[Finding]]:
    first = np.array(declared.first, dtype=np.float64).reshape(declared.shape)
    second = np.array(declared.second, dtype=np.float64).reshape(declared.shape)
    normal = declared.kind == "mean_std"
    with np.errstate(invalid="ignore"):
        good = (abs(first) < _HUGE) & (abs(second) < _HUGE) & ((second >= 0) if normal else (second >= first))
    findings = []
    if not good.all():
        bad = np.argwhere(~good)
        at = f"{layout.name}[{', '.join(map(str, bad[0]))}]" if bad.shape[1] else layout.name
        words = "a mean or std is not finite, or a std negative" if normal else "an end is not finite, or min > max"
        title = f"{layout.name}: {words} in {declared.source} ({len(bad)} of {good.size} elements, first {at})"
        findings.append(Finding("CASE005", "warning", title, where=at, evidence={"elements": len(bad)}))
    image = layout.role == "image"
    first = np.where(good, first, 0.0)
    second = np.where(good, second, 1.0)
    if normal:
        low, high = first - LIMIT * second, first + LIMIT * second
        if image:
            floor, ceiling = _pixel_limits(float(first.min()), float(first.max()))
            low, high = np.maximum(low, floor), np.minimum(high, ceiling)
        words = f"mean ± std of {declared.source}, cut at {LIMIT:g} std"
        kind: Kind = "normal"
        centre, std = first, second
    else:
        low, high, centre, std = first, second, first + 0.5 * (second - first), 0.5 * (second - first)
        words = f"{'q01 … q99' if declared.kind == 'quantiles' else 'min … max'} of {declared.source}"
        kind = "uniform"
    if layout.dtype not in FLOATS:
        kind, low, high, centre = "integers", np.ceil(low), np.floor(high), np.rint(centre)
        high = np.maximum(low, high)
    return Spread(kind, np.asarray(centre), np.asarray(low), np.asarray(high), std, words, True), findings


def _pixel_limits(least: float, most: float) -> tuple[float, float]:
    """Return the ends of the scale that an image's means lie on: 0…1, 0…255, or none that is known."""
    if least >= 0.0 and most <= 1.0:
        return 0.0, 1.0
    return (0.0, 255.0) if least >= 0.0 and most <= 255.0 else (-np.inf, np.inf)


def _constants(spread: Spread, layout: Layout) -> list[Finding]:
    still = np.argwhere(spread.constant)
    if not len(still):
        return []
    at = f"{layout.name}[{', '.join(map(str, still[0]))}]" if still.shape[1] else layout.name
    title = f"{layout.name}: {len(still)} of {spread.constant.size} elements have no spread (first {at}): never varied"
    remedy = "cases with one feature at a time still move them by 1"
    evidence = {"elements": [list(map(int, i)) for i in still[:64]]}
    return [Finding("CASE004", "warning", title, where=at, evidence=evidence, remedy=remedy)]


def _plain(kind: Kind, low: float, high: float, source: str, known: bool = True, centre: float | None = None) -> Spread:
    middle = 0.5 * (low + high) if centre is None else centre
    std = high / LIMIT if kind == "normal" else 0.5 * (high - low)
    centre_, low_, high_, std_ = (np.array(v, dtype=np.float64) for v in (middle, low, high, std))
    return Spread(kind, centre_, low_, high_, std_, source, known)


def _by_role(layout: Layout, contract: Contract | None) -> tuple[Spread, list[Finding]]:
    role, floating = layout.role, layout.dtype in FLOATS
    if role == "mask":
        return _plain("mask", 0.0, 1.0, "a valid prefix; all valid in nominal-0000", centre=1.0), []
    if layout.dtype == "bool":
        return _plain("integers", 0.0, 1.0, "false or true", centre=0.0), []
    if role == "timestep":
        return _timestep(layout, contract)
    if role == "noise" and floating:
        return _plain("normal", -LIMIT, LIMIT, "N(0, 1), as a sampler draws it", centre=0.0), []
    if role == "hidden_state" and floating:
        return _plain("zeros", -1.0, 1.0, "zeros, as after a reset", centre=0.0), []
    if role == "image":
        top = 1.0 if floating else float(min(np.iinfo(layout.dtype).max, 255))
        source = "U[0, 1]: no range is known" if floating else f"0 … {top:g}"
        spread = _plain("uniform" if floating else "integers", 0.0, top, source, known=not floating)
        if not floating:
            spread = _plain("integers", 0.0, top, source, centre=float(int(top) // 2))
        return spread, _unknown(layout, "U[0, 1]") if floating else []
    if not floating:
        return _integers(layout)
    return _plain("normal", -LIMIT, LIMIT, "N(0, 1): no range is known", known=False), _unknown(layout, "N(0, 1)")


def _integers(layout: Layout) -> tuple[Spread, list[Finding]]:
    top = DEFAULT_VOCABULARY - 1 if layout.role == "tokens" else 1
    what = "size of the vocabulary" if layout.role == "tokens" else "range of these integers"
    title = f"the {what} of {layout.name} is not known: 0 … {top} is used"
    finding = Finding("CASE006", "warning", title, where=layout.name, remedy="give its range: 0 and the largest value")
    return _plain("integers", 0.0, float(top), f"0 … {top}: no range is known", False, centre=0.0), [finding]


def _timestep(layout: Layout, contract: Contract | None) -> tuple[Spread, list[Finding]]:
    sampler = None if contract is None else contract.sampler
    floating = layout.dtype in FLOATS
    if floating and (sampler is None or sampler.train_steps is None or "flow" in (sampler.scheduler or "").lower()):
        return _plain("uniform", 0.0, 1.0, "time in 0 … 1, as in flow matching"), []
    steps = sampler.train_steps if sampler is not None else None
    if steps is not None and steps > 0:
        top = float(steps - 1)
        return _plain("integers", 0.0, top, f"0 … {top:g}: the sampler's train steps", centre=float(steps // 2)), []
    top = float(DEFAULT_TRAIN_STEPS - 1)
    title = f"the number of train steps behind {layout.name} is not known: 0 … {top:g} is used"
    finding = Finding("CASE006", "warning", title, where=layout.name, remedy="give its range: 0 and train steps − 1")
    spread = _plain("integers", 0.0, top, f"0 … {top:g}: no sampler is known", False, centre=DEFAULT_TRAIN_STEPS // 2)
    return spread, [finding]


def _unknown(layout: Layout, drawn: str) -> list[Finding]:
    return [
        Finding(
            "CASE001",
            "warning",
            f"no range of {layout.name} is known: {drawn} is drawn, and real policies saturate where no robot ever is",
            where=layout.name,
            remedy="give the statistics of training, or observations of your own with --inputs FILE.npz",
        )
    ]


def check_names(ranges: Mapping[str, Range], names: tuple[str, ...]) -> None:
    """Refuse a range for an input that is not there.

    Raises:
        UsageError: with the nearest name.
    """
    import difflib

    for name in ranges:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"a range is given for {name!r}, which is no input{hint}", expected=", ".join(names))
