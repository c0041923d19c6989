"""What the static checks look at: the features of one source as its policy uses them, and a finding about some of them.

A fault in a statistic that the policy's mode reads is an error; in one that nothing reads it is a warning. Where the
mode is not known (a file that only describes data) every statistic may be read, and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.finding import Finding, Severity
from parity.stats import names
from parity.stats.model import Declared, FeatureStats, NormStats

if TYPE_CHECKING:
    from parity.tensor import Array

EPS32 = 2.0**-23  # the spacing of float32 at 1
LISTED = 16  # how many dimensions a finding lists

READ: Mapping[str, tuple[str, ...]] = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
    "LINEAR": ("scale", "offset"),
    "IDENTITY": (),
}
"""Which statistics a mode reads. A mode that is not here is not known."""

METADATA = names.METADATA | {"discount", "annotation"}
_METADATA_PREFIX = ("next.", "annotation.")
_ACTION = re.compile(r"(^|[./_])actions?($|[./])")
_IMAGE = re.compile(r"(^|[./_])(images?|rgb|depth|cam|camera|video)\d*($|[./_])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One feature with its statistics, as one way of the policy uses it.

    Attributes:
        name: the name under which reports speak of it: the policy's own where one is declared.
        stats: the stored statistics.
        mode: what is applied; None where it is not known.
        output: whether it is undone on the way out (an action) rather than applied on the way in.
        declared: the policy's feature, None where nothing is declared.
        era: see `NormStats.era`.
    """

    name: str
    stats: FeatureStats
    mode: str | None
    output: bool
    declared: Declared | None
    era: str | None

    def values(self, *names: str) -> tuple[Array, ...] | None:
        """Return the named statistics, None unless all are there and of one shape."""
        found = [self.stats.values.get(n) for n in names]
        arrays = tuple(np.asarray(a, np.float64) for a in found if a is not None)
        return arrays if len(arrays) == len(names) and len({a.shape for a in arrays}) == 1 else None

    def severity(self, *names: str) -> Severity:
        """Return how much a fault in these statistics weighs: an error where the mode reads one or is not known."""
        if self.mode is None or self.mode not in READ:
            return "error"
        return "error" if set(READ[self.mode]) & set(names) else "warning"

    @property
    def framework(self) -> str:
        """The framework of its era: ``lerobot``, ``openpi`` (RLinf is the same), …; nothing where none is known."""
        name = (self.era or "").partition("-")[0]
        return "openpi" if name == "rlinf" else name

    @property
    def is_metadata(self) -> bool:
        """Whether this is a column that counts rows or episodes, or tells of the reward, and no policy takes."""
        return is_metadata(self.name) or is_metadata(self.stats.name)

    @property
    def is_image(self) -> bool:
        """Whether this is a camera: declared as one, or kept per channel under a camera's name."""
        if self.declared is not None and self.declared.type is not None:
            return self.declared.type == "VISUAL"
        channels = {np.shape(a)[:1] for k, a in self.stats.values.items() if k != "count" and np.ndim(a) == 3}
        return bool(_IMAGE.search(self.stats.name)) and bool(channels & {(1,), (3,), (4,)})


def is_metadata(name: str) -> bool:
    """Whether a column of this name counts rows, or tells of the episode, and is never a policy's feature."""
    tail = names.canonical(name).removeprefix("observation.").lower()
    return tail in METADATA or tail.startswith(_METADATA_PREFIX)


def is_action(name: str) -> bool:
    """Whether a feature of this name is an action."""
    return bool(_ACTION.search(name.lower()))


@dataclass(frozen=True, slots=True)
class Subject:
    """One source of statistics under check.

    Attributes:
        stats: the source.
        declared: the policy's features, from the source itself or from its contract; empty where none is known.
        chunk: length of the action chunk, None where it is not known.
    """

    stats: NormStats
    declared: tuple[Declared, ...] = ()
    chunk: int | None = None

    def entries(self) -> Iterator[Entry]:
        """Yield every stored feature: the way in first, then the way out where it is stored apart.

        On the way out only what the policy gives counts: a postprocessor carries all statistics and undoes actions.
        Statistics that none of the declared features takes are as if their mode were the identity.
        """
        for output, side in ((False, self.stats.features), (True, self.stats.outputs)):
            for key, stats in side.items():
                declared = self.declared_for(key)
                acts = declared.output if declared is not None else is_action(key)
                if output and not acts:
                    continue
                mode = stats.mode or (declared.mode if declared is not None else "IDENTITY" if self.declared else None)
                name = key if declared is None else declared.name
                yield Entry(name, stats, mode, output or acts, declared, self.stats.era)

    def distinct(self) -> Iterator[Entry]:
        """Yield the stored features, one that is stored on both ways with the same values only once."""
        seen: dict[str, Entry] = {}
        for entry in self.entries():
            before = seen.setdefault(entry.name, entry)
            if before is entry or not same_values(before.stats, entry.stats):
                yield entry

    def declared_for(self, key: str) -> Declared | None:
        """Return the policy's feature that is looked up under this key, None where there is none."""
        return next((d for d in self.declared if d.key == key), None)


def same_values(a: FeatureStats, b: FeatureStats) -> bool:
    """Whether two features hold the same statistics, bit by bit."""
    return a.values.keys() == b.values.keys() and all(
        np.array_equal(a.values[k], b.values[k], equal_nan=True) for k in a.values
    )


def about(
    code: str,
    severity: Severity,
    entry: Entry,
    bad: Array,
    says: str,
    *,
    remedy: str,
    worst: Array | None = None,
    shown: Mapping[str, Array] | None = None,
    detail: str = "",
) -> Finding:
    """Return a finding about the dimensions of a feature for which ``bad`` is true, at least one.

    Args:
        code: the finding's code.
        severity: how much it weighs.
        entry: the feature.
        bad: which elements are concerned, in the shape of its statistics.
        says: what is wrong, following the feature's name in the title; ``{name}`` stands for a value of ``shown``.
        remedy: what to do.
        worst: larger is worse: the element whose values the title shows; the first one where None.
        shown: arrays of the same shape, whose values become evidence.
        detail: more sentences.
    """
    flat = np.flatnonzero(bad)
    if worst is not None:
        flat = flat[np.argsort(-np.asarray(worst).reshape(-1)[flat], kind="stable")]
    index = [_index(int(i), bad.shape) for i in flat[:LISTED]]
    values = {k: [number(np.asarray(v).reshape(-1)[i]) for i in flat[:LISTED]] for k, v in (shown or {}).items()}
    where = f"{entry.name}{index[0]}"
    more = f", and {len(flat) - 1} more of its {bad.size} elements" if len(flat) > 1 else ""
    title = f"{where}: {says.format_map({k: spelled(v[0]) for k, v in values.items()})}{more}"
    evidence: dict[str, Any] = {
        "named": entry.name,
        "feature": entry.stats.name,
        "elements": index,
        "count": len(flat),
        **values,
    }
    if entry.mode is not None:
        evidence["mode"] = entry.mode
    sources = sorted(set(entry.stats.sources.values()))
    if sources:
        evidence["sources"] = sources[:LISTED]
    return Finding(code, severity, title, where if len(flat) == 1 else entry.name, detail, evidence, remedy)


def _index(flat: int, shape: tuple[int, ...]) -> str:
    """Return where an element stands, as in ``[6]`` or ``[2, 0, 0]``; nothing for a scalar."""
    if not shape:
        return ""
    return "[" + ", ".join(str(int(i)) for i in np.unravel_index(flat, shape)) + "]"


def number(value: Any) -> float | str:
    """Return a number as JSON holds it: not finite ones are words."""
    x = float(value)
    if np.isfinite(x):
        return x
    return "NaN" if np.isnan(x) else ("Infinity" if x > 0 else "-Infinity")


def spelled(value: float | str) -> str:
    """Return a number as a title shows it: six digits."""
    return value if isinstance(value, str) else f"{value:.6g}"
