"""openpi's ``norm_stats.json``, also as RLinf writes it: ``{"norm_stats": {key: {mean, std, q01, q99}}}``.

Keys are as the pipeline that wrote the file spelled them: ``state`` and ``actions``, dotted (``observation.state``),
slashed (``observation/state``), and in files of RLinf a dataset's index columns too. A checkpoint keeps a file for each
asset, ``assets/<asset id>/norm_stats.json``; RLinf keeps it in ``<model>/<asset id>/``. Whether a model reads mean and
standard deviation (pi0) or quantiles (the others) stands in its code, not in the file; both with an eps of 1e-6.
Source: openpi/shared/normalize.py, openpi/training/checkpoints.py, openpi/transforms.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError
from parity.stats.feature import features_of
from parity.stats.json_features import statistics_in
from parity.stats.json_file import read_json
from parity.stats.model import NormStats

KIND, ERA, EPS = "openpi", "openpi", 1e-6
FILE, ASSETS, TOP = "norm_stats.json", "assets", "norm_stats"
MAX_DEPTH, MAX_ENTRIES, MAX_FILES = 4, 4000, 64


class _Reader:
    """Reads a file, an asset folder, or a checkpoint with several of them."""

    rank = 15

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind == "folder":
            return next(_files(artifact.path), None) is not None
        return artifact.kind == "json" and _is_norm_stats(artifact.path)

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        if artifact.kind == "json":
            return (_read(path, path, str(path), _config(path.parent), {}),)
        config = _config(path)
        found = []
        for file in _files(path):
            asset = file.parent.relative_to(path).as_posix().removeprefix(f"{ASSETS}/")
            named = asset not in (".", ASSETS)
            label = f"{path} [{asset}]" if named else str(path)
            found.append(_read(file, path, label, config, {"asset": asset} if named else {}))
        return tuple(found)


def _is_norm_stats(path: Path) -> bool:
    try:
        data = read_json(path)
    except ArtifactError:
        return path.name == FILE  # reading it says why it cannot be parsed
    return isinstance(data, dict) and isinstance(data.get(TOP), dict)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the ``norm_stats.json`` in a folder and at most four below it, links to folders not followed, in order."""
    left = [MAX_ENTRIES, MAX_FILES]
    pending = [(folder, 0)]
    while pending:
        here, depth = pending.pop(0)
        if (here / FILE).is_file():
            left[1] -= 1
            yield here / FILE
        try:
            entries = sorted(p for p, _ in zip(here.iterdir(), range(left[0]), strict=False))
        except OSError:
            continue
        left[0] -= len(entries)
        if depth < MAX_DEPTH and left[0] > 0 and left[1] > 0:
            pending += [(p, depth + 1) for p in entries if p.is_dir() and not p.is_symlink()]


def _config(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` of a converted PyTorch checkpoint, an empty one where it is not there."""
    path = folder / "config.json"
    data = read_json(path) if path.is_file() else None
    return data if isinstance(data, dict) else {}


def _read(file: Path, artifact: Path, label: str, config: dict[str, Any], facts: dict[str, Any]) -> NormStats:
    data = read_json(file)
    stats = data.get(TOP) if isinstance(data, dict) else None
    if not isinstance(stats, dict) or not stats:
        raise ArtifactError(
            f"{file}: no normalization statistics", expected='{"norm_stats": {"state": {"mean": ..., "std": ...}}}'
        )
    empty = [key for key, value in stats.items() if not isinstance(value, dict)]
    if empty:
        raise ArtifactError(f"{file}: the statistics of {empty[0]!r} are no mapping", expected='{"mean": ..., ...}')
    width, horizon = (config.get(name) for name in ("action_dim", "action_horizon"))
    if type(width) is int:
        facts = {**facts, "action_dim": width}
    features = features_of(statistics_in(stats, file.name), eps=EPS)
    lost = [key for key in stats if key not in features]
    if lost:
        raise ArtifactError(f"{file}: there is no statistic of {lost[0]!r}", expected='{"mean": ..., "std": ...}')
    chunk = horizon if type(horizon) is int else None
    return NormStats(artifact, label, KIND, features, ERA, chunk=chunk, facts={"file": file.name, **facts})


READER = _Reader()
