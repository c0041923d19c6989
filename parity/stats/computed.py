"""The statistics of a dataset's frames, as one more source beside those that are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.dataset.registry import open_dataset
from parity.errors import UsageError
from parity.finding import Finding
from parity.stats.agree import Agreement, is_metadata
from parity.stats.choose import Given
from parity.stats.names import canonical, names_of
from parity.stats.recompute import Recomputed, recompute
from parity.stats.stored import rows

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Computed:
    """A dataset's statistics, computed from its frames, and what is wrong with its index."""

    recomputed: Recomputed
    findings: tuple[Finding, ...]

    def rows(self, found: Agreement) -> list[dict[str, Any]]:
        """Return what each other source stores beside what the data gives, as JSON."""
        data = next(s for s in found.sources if s.stats is self.recomputed.stats)
        names = names_of(self.recomputed.stats)
        shares = {names[n]: s for n, s in self.recomputed.summaries.items()}
        return list(rows([s for s in found.sources if s is not data], data, shares))


def computed(dataset: str, given: Sequence[Given], report: Report | None = None) -> Computed:
    """Return the statistics of a dataset's frames, of those features that a source has too, or of all.

    Raises:
        ArtifactError: the dataset cannot be read.
        UsageError: it has no feature that can be read.
    """
    opened = open_dataset(Path(dataset))
    known = {n for g in given for s in g.sets for n in names_of(s).values()}
    arrays = [n for n in opened.arrays if not is_metadata(canonical(n))]
    arrays = [n for n in arrays if canonical(n) in known] or arrays
    if not arrays:
        raise UsageError(f"{dataset}: it has no feature that is kept as an array", expected="observation.state or so")
    if report:
        report("frames", 0, opened.episodes.frames)
    found = recompute(opened, arrays)
    if report:
        report("frames", opened.episodes.frames, opened.episodes.frames)
    return Computed(found, opened.findings)
