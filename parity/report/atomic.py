"""Files that are written complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from parity.errors import OutputError


def failed(path: Path, error: OSError) -> OutputError:
    """Return what to tell a person when ``path`` could not be written."""
    remedies = {
        errno.ENOSPC: "free space on the disk, or write elsewhere with --out DIR",
        errno.EDQUOT: "free space in your quota, or write elsewhere with --out DIR",
        errno.EROFS: "the file system is read-only: write elsewhere with --out DIR",
        errno.ENOTDIR: "a file stands where a folder is needed: write elsewhere with --out DIR",
        errno.EISDIR: "a folder stands where a file is needed: write elsewhere with --out DIR",
    }
    remedy = remedies.get(error.errno or 0, "make the folder writable, or write elsewhere with --out DIR")
    return OutputError(f"{path}: cannot be written: {error.strerror or error}", remedy=remedy)


def make_folder(path: Path) -> None:
    """Make the folder ``path`` and those above it.

    Raises:
        OutputError: it cannot be made, or a file stands in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(
            f"{path}: a file stands where a folder is needed", remedy="write elsewhere with --out DIR"
        ) from None
    except OSError as e:
        raise failed(path, e) from None


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, complete or not at all; what stood there before is replaced.

    Raises:
        OutputError: the folder cannot be written or the disk is full; ``path`` is as it was.
    """
    make_folder(path.parent)
    temporary = _write_beside(path, data)
    try:
        temporary.replace(path)
    except OSError as e:
        _remove(temporary)
        raise failed(path, e) from None


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all ``files`` (name to content) into ``folder`` in their order, all of them or none.

    Everything is on the disk under other names before the first name appears, so that a full disk leaves nothing.

    Raises:
        OutputError: the folder cannot be written or the disk is full; none of the files is there then.
    """
    make_folder(folder)
    waiting: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for name, data in files.items():
            waiting[folder / name] = _write_beside(folder / name, data)
        for path, temporary in waiting.items():
            try:
                temporary.replace(path)
            except OSError as e:
                raise failed(path, e) from None
            placed.append(path)
    except BaseException:  # Ctrl-C too: a report is there as a whole or not at all
        for path in (*waiting.values(), *placed):
            _remove(path)
        raise


def _write_beside(path: Path, data: bytes) -> Path:
    """Write ``data`` under a new name in the folder of ``path`` and return that name."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        # O_EXCL: never through a link that somebody else put there.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        _remove(temporary)
        raise failed(path, e) from None
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
