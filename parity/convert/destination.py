"""Where converted weights are put: written beside under another name, then renamed; nothing foreign is replaced."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parity.artifact import recognize
from parity.checkpoint.safetensors import open_safetensors
from parity.checkpoint.sharded import SUFFIX
from parity.checkpoint.torch_file import read_torch_file
from parity.convert.meta import MADE_BY
from parity.errors import ArtifactError, OutputError, UsageError

MAX_INDEX_BYTES = 64 << 20


def index_path(target: Path) -> Path:
    """Return the path of the index that stands for a sharded ``target``."""
    return target.with_name(target.name.removesuffix(".safetensors") + SUFFIX)


def refuse_foreign(target: Path, *, force: bool) -> list[Path]:
    """Return the files of an earlier conversion to ``target``, which the new one replaces.

    Raises:
        UsageError: something else is there, and ``force`` does not say to replace it.
    """
    found: list[Path] = []
    for path in (target, index_path(target)):
        if path.is_dir():
            raise UsageError(f"{path}: a folder stands where the file is to be written", remedy="give another name")
        if not (path.exists() or path.is_symlink()):
            continue
        if not force and (path.is_symlink() or not is_own(path)):
            raise UsageError(
                f"{path}: there is a file that `parity convert` did not write; it is left as it is",
                remedy="give another name, or --force to replace it",
            )
        found += [path, *(_shards(path) if path.name.endswith(SUFFIX) else [])]
    return found


def is_own(path: Path) -> bool:
    """Whether a file is one that a conversion wrote: its record says so."""
    try:
        if path.name.endswith(SUFFIX):
            meta = _index(path).get("metadata", {}).get("parity")
        elif recognize(path).kind == "safetensors":
            meta = json.loads(open_safetensors(path).metadata.get("parity", "null"))
        else:
            root = read_torch_file(path).root
            meta = root.get("meta") if isinstance(root, dict) else None
    except (ArtifactError, ValueError, AttributeError, OSError, RecursionError):
        return False
    return isinstance(meta, dict) and meta.get("made_by") == MADE_BY


def _index(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_INDEX_BYTES:
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    return data if isinstance(data, dict) else {}


def _shards(index: Path) -> list[Path]:
    """Return the shards that an earlier index names and that are conversions too."""
    try:
        names = _index(index).get("weight_map", {})
    except (OSError, ValueError, RecursionError):
        return []
    values = names.values() if isinstance(names, dict) else ()
    plain = sorted({n for n in values if isinstance(n, str) and Path(n).name == n})
    return [p for p in (index.parent / n for n in plain) if p.is_file() and not p.is_symlink() and is_own(p)]


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Give a new folder beside ``target`` to write into; whatever happens, it is gone afterwards.

    Raises:
        OutputError: the folder of ``target`` cannot be written, or the disk is full.
    """
    beside = target.parent / f".{target.name}.{secrets.token_hex(6)}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
    except OSError as e:
        raise OutputError(
            f"{target}: cannot be written: {e.strerror or e}", remedy="free space, or choose another -o"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(beside)


def put_in_place(beside: Path, names: list[str], target: Path, earlier: list[Path], *, force: bool) -> list[Path]:
    """Rename the files ``names`` of ``beside`` next to ``target``, in order, and return where they are.

    An index comes last in ``names`` and the one before it is removed first, so that no index ever names files of two
    conversions. A failure on the way takes back what was placed.

    Raises:
        UsageError: a file that is no conversion stands where a shard is to be, and ``force`` does not say so.
    """
    there = [p for p in (target.with_name(n) for n in names) if p not in earlier and p.exists()]
    clash = [p for p in there if not is_own(p)]
    if clash and not force:
        raise UsageError(
            f"{clash[0]}: there is a file that `parity convert` did not write; it is left as it is",
            remedy="give another -o, or --force to replace it",
        )
    if len(names) > 1 or len(earlier) > 1:
        index_path(target).unlink(missing_ok=True)
    placed: list[Path] = []
    try:
        for name in names:
            (beside / name).replace(target.with_name(name))
            placed.append(target.with_name(name))
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        raise
    for path in earlier:
        if path not in placed:
            path.unlink(missing_ok=True)
    return placed
