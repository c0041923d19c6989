"""Where a LeRobot dataset lies: its folder, found from a folder above it, or from one inside it.

Source: lerobot/datasets/utils.py: ``meta/info.json`` from v2.0 on, ``meta_data/info.json`` before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from parity.artifact import Artifact
from parity.contract.text import load_json
from parity.errors import ArtifactError

INFO = Path("meta", "info.json")
OLD_INFO = Path("meta_data", "info.json")
PARTS = ("meta", "meta_data", "data", "train", "videos", "images")  # folders of a dataset
DEEP = 4  # folders between a dataset and a file of it, at most
MAX_FOLDERS = 1000  # that are looked through for a dataset
NAMED = ("info.json", "episodes.jsonl", "stats.json", "episodes_stats.jsonl", "tasks.jsonl")  # files that lead to one


def find_roots(path: Path) -> list[Path]:
    """Return the dataset's folder, given it, a folder or file in it, or those in a folder of datasets."""
    at = path if path.is_dir() else path.parent
    if _is_root(at):
        return [at]
    above = _above(at)
    if above is not None or not path.is_dir():
        return [above] if above is not None else []
    children = _folders(path)
    found = [c for c in children if _is_root(c)]
    return found or [g for c in children for g in _folders(c) if _is_root(g)]


def is_dataset(artifact: Artifact) -> bool:
    """Whether it is a LeRobot dataset, a part of one, or a folder that holds some."""
    if artifact.kind == "folder" or artifact.path.name in NAMED:
        return bool(find_roots(artifact.path))
    return False


def root_of(artifact: Artifact) -> Path:
    """Return the folder of the one dataset there.

    Raises:
        ArtifactError: there are several.
    """
    roots = find_roots(artifact.path)
    if len(roots) != 1:
        names = [r.relative_to(artifact.path).as_posix() for r in roots[:8]]
        raise ArtifactError(
            f"{artifact.path}: {len(roots)} datasets lie here: {', '.join(names)}" + (", …" if len(roots) > 8 else ""),
            expected="one dataset, a folder with meta/info.json",
            remedy="give the folder of one of them",
        )
    return roots[0]


def version_of(root: Path) -> str:
    """Return ``v1``, ``v2`` or ``v3``: by what ``info.json`` says, else by what lies beside it."""
    if not (root / INFO).is_file():
        return "v1"
    try:
        said = load_json(root / INFO).get("codebase_version")
    except (ArtifactError, AttributeError):
        said = None
    if isinstance(said, str) and said[:2] in ("v2", "v3"):
        return said[:2]
    return "v3" if (root / "meta" / "episodes").is_dir() else "v2"


def _is_root(folder: Path) -> bool:
    return (folder / INFO).is_file() or (folder / OLD_INFO).is_file()


def _above(at: Path) -> Path | None:
    """Return the dataset that a folder is a part of."""
    parents = at.parents if len(at.parents) >= DEEP else at.absolute().parents
    below = at if len(at.parents) >= DEEP else at.absolute()
    for folder in parents[:DEEP]:
        if below.name in PARTS and _is_root(folder):
            return at.parent if folder.absolute() == at.parent.absolute() else folder
        below = folder
    return None


def _folders(path: Path) -> list[Path]:
    def entries() -> Iterator[Path]:
        for entry, _ in zip(path.iterdir(), range(MAX_FOLDERS), strict=False):
            if not entry.name.startswith(".") and entry.is_dir():
                yield entry

    try:
        return sorted(entries())
    except OSError:
        return []
