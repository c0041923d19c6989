"""Demonstrations in an HDF5 file: ``data/demo_0``, ``data/demo_1`` and on, of robomimic and Isaac Lab Mimic.

Source: robomimic, docs/datasets/overview.md, "Dataset Structure"; Isaac Lab's recorder (isaaclab/utils/datasets/
hdf5_dataset_file_handler.py) writes the same with groups in ``states`` and an ``initial_state``, which is no feature.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import Artifact
from parity.contract.text import parse_json
from parity.dataset.faults import SHOWN
from parity.dataset.gather import gathered
from parity.dataset.hdf5 import READER as ARRAYS
from parity.dataset.hdf5_file import arrays_of, checked, opened, opened_file
from parity.dataset.model import Dataset, Episodes, Feature, block_rows
from parity.dataset.plain import Stored
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

COUNTS, LEFT_OUT = "DATA014", "DATA015"
ACTIONS = "actions"
NO_FEATURES = "initial_state/"  # where a demonstration began: one row, whatever its length
MAX_DEMOS = 1 << 20
_DEMO = re.compile(r"demo_(\d{1,9})")
_REMEDY = "record or convert the demonstrations again"


@dataclass(frozen=True, slots=True)
class _Demo:
    """A demonstration: its number, how many frames ``num_samples`` claims, all its arrays, and how many actions."""

    number: int
    claimed: int | None
    arrays: Mapping[str, Stored]

    @property
    def name(self) -> str:
        return f"demo_{self.number}"

    @property
    def frames(self) -> int | None:
        """How many frames it has; None where it has no actions."""
        actions = self.arrays.get(ACTIONS)
        return actions.shape[0] if actions is not None and actions.shape else None

    def by_frame(self) -> frozenset[tuple[str, tuple[int, ...], str]]:
        """Return name, shape and dtype of the arrays that have a row for every frame."""
        plain = {n: s for n, s in self.arrays.items() if s.dtype.kind in "biuf" and s.shape}
        return frozenset(
            (name, stored.shape[1:] or (1,), stored.dtype.name)
            for name, stored in plain.items()
            if stored.shape[0] == self.frames and not name.startswith(NO_FEATURES)
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 50

    def matches(self, artifact: Artifact) -> bool:
        if artifact.kind != "hdf5":
            return False
        with opened_file(artifact.path) as file:
            data = _group(file, "data")
            return data is not None and any(_DEMO.fullmatch(name) and _group(data, name) is not None for name in data)

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        path = artifact.path
        if columns and all(name.startswith("data/") for name in columns.values()):  # arrays by their paths in the file
            return ARRAYS.open(artifact, columns)
        with opened_file(path) as file:
            demos = sorted(_demos(path, file["data"]), key=lambda d: d.number)
            total, environment = _count(file["data"], "total"), _environment(path, file["data"])
            masks = _masks(file)
        usual = _usual(path, demos)
        kept = [d for d in demos if d.frames and d.by_frame() >= usual]
        features = {name: Feature(name, shape, dtype) for name, shape, dtype in sorted(usual)}
        if columns:
            features = _renamed(path, features, columns)
        arrays = dict(columns) if columns else {name: name for name in features}
        rows = tuple((d.name, d.frames or 0) for d in kept)
        other = sorted({n for d in kept for n in d.arrays} - {name for name, _, _ in usual})
        return Dataset(
            path=path,
            kind="robomimic",
            features=features,
            episodes=Episodes([n for _, n in rows], [d.number for d in kept]),
            source=DemoRows(path, rows, arrays, features),
            findings=(*_counts(path, demos, total), *_left_out(path, demos, kept, usual)),
            facts={
                "environment": environment,
                "episodes": len(kept),
                "frames": sum(n for _, n in rows),
                "masks": masks,
                "not_by_frame": [n for n in other if not n.startswith(NO_FEATURES)][:SHOWN],
            },
        )


@dataclass(frozen=True, slots=True)
class DemoRows:
    """A `Source` over demonstrations, ``demos`` with how many frames each has, of a file of ``arrays`` by feature."""

    path: Path
    demos: Sequence[tuple[str, int]]
    arrays: Mapping[str, str]
    features: Mapping[str, Feature]

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features; see `Source.rows`. Rows of short demonstrations come together."""
        at_once = block_rows([self.features[n] for n in names])
        yield from gathered(self._pieces(names, start, stop, at_once), at_once)

    def _pieces(self, names: Sequence[str], start: int, stop: int, at_once: int) -> Iterator[Mapping[str, Array]]:
        upto = np.cumsum([n for _, n in self.demos])
        with opened(self.path) as read:
            for i in range(int(np.searchsorted(upto, start, side="right")), len(self.demos)):
                demo, length = self.demos[i]
                begin = int(upto[i]) - length
                for low in range(max(start - begin, 0), min(stop - begin, length), at_once):
                    high = min(low + at_once, stop - begin, length)
                    yield {
                        n: read(f"data/{demo}/{self.arrays[n]}", low, high).reshape(high - low, *self.features[n].shape)
                        for n in names
                    }
                if begin + length >= stop:
                    return


def _group(parent: Any, name: str) -> Any | None:
    """Return a group that lies in another, None where there is none or a link leads to it."""
    import h5py

    if name not in parent or not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        return None
    return parent[name] if parent.get(name, getclass=True) is h5py.Group else None


def _demos(path: Path, data: Any) -> Iterator[_Demo]:
    if len(data) > MAX_DEMOS:
        raise ArtifactError(f"{path}: data holds {len(data):,} members", expected=f"at most {MAX_DEMOS:,}")
    for name in data:
        found, group = _DEMO.fullmatch(name), _group(data, name)
        if found and group is None:
            raise ArtifactError(f"{path}: data/{name} is no group, or a link", expected="a group", remedy=_REMEDY)
        if found:
            arrays = {n: checked(path, array) for n, array in arrays_of(path, group, "", 1)}
            yield _Demo(int(found[1]), _count(group, "num_samples"), arrays)


def _count(group: Any, name: str) -> int | None:
    value = group.attrs.get(name)
    return int(value) if isinstance(value, int | np.integer) else None


def _environment(path: Path, data: Any) -> str | None:
    said = data.attrs.get("env_args")
    try:
        name = parse_json(said, f"{path}: env_args").get("env_name") if isinstance(said, str) else None
    except (ArtifactError, AttributeError):
        return None
    return str(name)[:200] if name is not None else None


def _masks(file: Any) -> dict[str, int]:
    """Return the filter keys of the file, and how many demonstrations each lists."""
    import h5py

    group = _group(file, "mask")
    if group is None:
        return {}
    hard = [n for n in group if isinstance(group.get(n, getlink=True), h5py.HardLink)]
    return {n: int(group[n].shape[0]) for n in hard if isinstance(group[n], h5py.Dataset) and group[n].shape}


def _usual(path: Path, demos: Sequence[_Demo]) -> frozenset[tuple[str, tuple[int, ...], str]]:
    """Return the arrays with a row for every frame that most demonstrations have."""
    seen = Counter(d.by_frame() for d in demos if d.frames)
    if seen:
        return seen.most_common(1)[0][0]
    with_actions = [d for d in demos if d.frames is not None]
    raise ArtifactError(
        f"{path}: none of its {len(demos)} demonstrations has " + ("a frame" if with_actions else "actions"),
        expected="data/demo_0/actions, a row for every frame",
        remedy=_REMEDY,
    )


def _counts(path: Path, demos: Sequence[_Demo], total: int | None) -> Iterator[Finding]:
    """Find where ``num_samples`` and ``total`` are not what the arrays hold."""
    held = [d.frames or 0 for d in demos]
    wrong = {d.name: [d.claimed, n] for d, n in zip(demos, held, strict=True) if d.claimed not in (None, n)}
    if wrong:
        name, (claimed, rows) = next(iter(wrong.items()))
        many = f" ({len(wrong)} demonstrations are not as they say)" if len(wrong) > 1 else ""
        yield Finding(
            COUNTS,
            "error",
            f"{path.name}: {name} claims num_samples {claimed:,}, its actions have {rows:,} rows{many}",
            where=f"data/{name}",
            evidence={"demos": dict(list(wrong.items())[:SHOWN]), "count": len(wrong)},
            remedy=_REMEDY + ": it was cut short, or is not what was recorded",
        )
    if total not in (None, sum(held)):
        yield Finding(
            COUNTS,
            "error",
            f"{path.name} claims total {total:,}, its {len(demos)} demonstrations have {sum(held):,} frames",
            where="data",
            evidence={"claimed": total, "held": sum(held), "demos": len(demos)},
            remedy=_REMEDY + ": demonstrations were taken out, or are missing",
        )


def _left_out(
    path: Path, demos: Sequence[_Demo], kept: Sequence[_Demo], usual: frozenset[tuple[str, tuple[int, ...], str]]
) -> Iterator[Finding]:
    there = {d.number for d in kept}
    reasons = {d.name: _reason(d, usual) for d in demos if d.number not in there}
    if reasons:
        name, reason = next(iter(reasons.items()))
        many = f", and {len(reasons) - 1} more of {len(demos)}" if len(reasons) > 1 else ""
        yield Finding(
            LEFT_OUT,
            "error",
            f"{path.name}: {name} {reason}{many}: left out",
            where=f"data/{name}",
            evidence={"demos": dict(list(reasons.items())[:SHOWN]), "count": len(reasons)},
            remedy=_REMEDY + ", or take these out of the file",
        )


def _reason(demo: _Demo, usual: frozenset[tuple[str, tuple[int, ...], str]]) -> str:
    if demo.frames is None:
        return "has no actions"
    if not demo.frames:
        return "has no frames"
    name, shape, dtype = min(usual - demo.by_frame())
    is_ = demo.arrays.get(name)
    if is_ is None:
        return f"has no {name}, which the others have"
    if not is_.shape or is_.shape[0] != demo.frames:
        rows = is_.shape[0] if is_.shape else 0
        return f"has {rows:,} rows of {name}, but {demo.frames:,} actions"
    return f"has {name} of shape {list(is_.shape[1:])}, {is_.dtype.name}, where the others have {list(shape)}, {dtype}"


def _renamed(path: Path, features: Mapping[str, Feature], columns: Mapping[str, str]) -> dict[str, Feature]:
    """Return the chosen features, called as the user does."""
    for feature, name in columns.items():
        if name not in features:
            near = difflib.get_close_matches(name, features, 1)
            raise UsageError(
                f"{path}: the demonstrations have no array {name!r} for {feature!r}"
                + (f" (did you mean {near[0]!r}?)" if near else ""),
                expected=f"one of {', '.join(list(features)[:SHOWN])}",
            )
    return {f: Feature(f, features[n].shape, features[n].dtype) for f, n in columns.items()}


READER = _Reader()
