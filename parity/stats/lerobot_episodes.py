"""Per-episode statistics of a LeRobot dataset, pooled into those of the whole, in one pass and constant memory.

The weighted mean, and the standard deviation by the parallel algorithm, as LeRobot pools them; a quantile as the mean
of the episodes' quantiles, weighted by their lengths, which is no quantile of the whole, as the facts say.
Source: ``aggregate_feature_stats`` of lerobot/datasets/compute_stats.py (0.4.4; 0.3.3 without quantiles).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.artifact import recognize
from parity.contract.ranges import Statistics, as_array, is_statistic
from parity.contract.text import parse_json
from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_LINE_BYTES = 8 << 20
HEAD_BYTES = 1 << 16
_NEEDED = ("mean", "std", "min", "max", "count")


@dataclass(slots=True)
class _Pool:
    """The pooled statistics of one feature so far; ``count`` broadcasts against them."""

    count: Array
    mean: Array
    squares: Array  # sum of squared deviations from the mean
    low: Array
    high: Array
    quantiles: dict[str, Array]  # sums, weighted by count


@dataclass(slots=True)
class Pooling:
    """Pools episodes, feature by feature; ``where`` names their file in messages."""

    where: str
    pools: dict[str, _Pool] = field(default_factory=dict)
    episodes: int = 0

    def add(self, feature: str, values: Mapping[str, Array]) -> None:
        """Add the statistics of ``(N, ...)`` episodes of one feature.

        Raises:
            ArtifactError: one that is needed is not there, or the shapes do not fit each other.
        """
        import numpy as np

        missing = [name for name in _NEEDED if name not in values]
        if missing:
            raise ArtifactError(f"{self.where}: {feature} has no {', '.join(missing)}", expected=", ".join(_NEEDED))
        try:
            with np.errstate(all="ignore"):
                pool = _pool(values)
                old = self.pools.get(feature)
                self.pools[feature] = pool if old is None else _merged(old, pool)
        except ValueError:
            shapes = {name: list(values[name].shape[1:]) for name in values}
            raise ArtifactError(f"{self.where}: the statistics of {feature} do not fit each other: {shapes}") from None

    def result(self) -> tuple[dict[str, Statistics], dict[str, Any]]:
        """Return the pooled statistics by feature, and as facts how many episodes and what is no true quantile."""
        import numpy as np

        found = {}
        for feature, pool in self.pools.items():
            with np.errstate(all="ignore"):
                values = {
                    "min": pool.low,
                    "max": pool.high,
                    "mean": pool.mean,
                    "std": np.sqrt(pool.squares / pool.count),
                    **{name: total / pool.count for name, total in pool.quantiles.items()},
                    "count": pool.count,
                }
            found[feature] = Statistics(feature, values, f"{self.where}: {feature}, pooled over episodes")
        quantiles = sorted({name for pool in self.pools.values() for name in pool.quantiles})
        facts: dict[str, Any] = {"pooled_episodes": self.episodes}
        return found, {**facts, **({"averaged_quantiles": quantiles} if quantiles else {})}


def _pool(values: Mapping[str, Array]) -> _Pool:
    import numpy as np

    mean = values["mean"]
    counts = values["count"]
    while counts.ndim < mean.ndim:
        counts = counts[..., np.newaxis]
    total = counts.sum(axis=0)
    center = (mean * counts).sum(axis=0) / total
    squares = ((values["std"] ** 2 + (mean - center) ** 2) * counts).sum(axis=0)
    quantiles = {n: (a * counts).sum(axis=0) for n, a in values.items() if n not in _NEEDED and a.shape == mean.shape}
    low, high = values["min"].min(axis=0), values["max"].max(axis=0)
    if not low.shape == high.shape == center.shape == squares.shape:
        raise ValueError("shapes")
    return _Pool(total, center, squares, low, high, quantiles)


def _merged(a: _Pool, b: _Pool) -> _Pool:
    import numpy as np

    if a.mean.shape != b.mean.shape:
        raise ValueError("shapes")
    count = a.count + b.count
    delta = b.mean - a.mean
    return _Pool(
        count,
        a.mean + delta * (b.count / count),
        a.squares + b.squares + delta**2 * (a.count * b.count / count),
        np.minimum(a.low, b.low),
        np.maximum(a.high, b.high),
        {name: a.quantiles[name] + b.quantiles[name] for name in a.quantiles if name in b.quantiles},
    )


def is_episodes_stats(path: Path) -> bool:
    """Whether the first line of a file is the statistics of an episode."""
    try:
        with path.open("rb") as f:
            if b'"stats"' not in f.read(HEAD_BYTES):
                return False
        return "stats" in next(_lines(path), {})
    except (ArtifactError, OSError):
        return False


def pooled_lines(path: Path) -> tuple[dict[str, Statistics], dict[str, Any]]:
    """Return the pooled statistics of ``episodes_stats.jsonl`` by feature, and facts.

    Raises:
        ArtifactError: empty, a Git LFS pointer, a line that is no episode's statistics, or an episode stands twice.
    """
    pooling = Pooling(path.name)
    seen: set[int] = set()
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}: line {number}"
        index, stats = line.get("episode_index"), line.get("stats")
        if type(index) is not int or not isinstance(stats, dict):
            raise ArtifactError(f"{where}: no episode's statistics", expected='{"episode_index": 0, "stats": {...}}')
        if index in seen:
            raise ArtifactError(f"{where}: the episode {index} appears twice, so it would count twice")
        seen.add(index)
        for feature, entries in stats.items():
            if isinstance(entries, dict):
                told = {k: as_array(v, f"{where}: {feature}.{k}")[None] for k, v in entries.items() if is_statistic(k)}
                pooling.add(str(feature), told)
    pooling.episodes = len(seen)
    return pooling.result()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each line that is not empty."""
    recognize(path)  # raises where the file is empty, a Git LFS pointer or not there
    with path.open("rb") as f:
        number = 0
        while line := f.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{path}: line {number}"
            if len(line) > MAX_LINE_BYTES:
                raise ArtifactError(f"{where}: longer than {MAX_LINE_BYTES} bytes", expected="one episode")
            try:
                text = line.decode("utf-8").strip()
            except UnicodeDecodeError:
                raise ArtifactError(f"{where}: not UTF-8 text", expected="UTF-8") from None
            if not text:
                continue
            data = parse_json(text, where)
            if not isinstance(data, dict):
                raise ArtifactError(f"{where}: no JSON object", expected='{"episode_index": 0, "stats": {...}}')
            yield data


def pooled_tables(folder: Path) -> tuple[dict[str, Statistics], dict[str, Any]]:
    """Return the pooled statistics of the tables ``**/*.parquet`` in ``meta/episodes`` by feature, and facts.

    Nothing where the tables hold none.

    Raises:
        ArtifactError: a table is empty, a Git LFS pointer or corrupt, or an episode stands twice.
        UsageError: pyarrow is not installed.
    """
    from parity.stats.parquet_episodes import tables

    pooling = Pooling(folder.name)
    seen: set[int] = set()
    for path, episodes, columns in tables(folder):
        twice = seen & set(episodes)
        if twice or len(set(episodes)) != len(episodes):
            raise ArtifactError(f"{path}: the episode {min(twice, default=0)} appears twice, so it would count twice")
        seen |= set(episodes)
        for feature, values in columns.items():
            pooling.add(feature, values)
    pooling.episodes = len(seen)
    return pooling.result()
