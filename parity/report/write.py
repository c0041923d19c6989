"""The folder that a run writes into: one run at a time, no verdict of an earlier run left in it, all files or none."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from parity.errors import OutputError, ParityError
from parity.report.atomic import failed, make_folder, replace_files
from parity.report.html import html
from parity.report.json_file import encode, plain, read_json
from parity.report.junit import junit
from parity.report.summary import summary

FILES = ("timings.json", "summary.md", "junit.xml", "report.html", "report.json")  # in the order they appear
PARTIAL = "partial"
_LOCK = ".parity.lock"


def write_all(report: Mapping[str, Any], timings: Mapping[str, Any], out_dir: Path) -> list[Path]:
    """Write all files of a report into ``out_dir`` and return their paths; ``report.json`` appears last.

    Everything is made and stored under other names first: where that fails, none of the files is there, so that no
    half of a report can be read as a pass.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    content = {
        "timings.json": json.dumps(plain(timings), indent=1, allow_nan=False).encode() + b"\n",
        "summary.md": summary(report).encode("utf-8"),
        "junit.xml": junit(report, timings),
        "report.html": html(report).encode("utf-8"),
        "report.json": encode(report),
    }
    replace_files(out_dir, {name: content[name] for name in FILES})
    return [out_dir / name for name in FILES]


def remove_stale(out_dir: Path) -> None:
    """Remove the report of an earlier run from ``out_dir``, so that nobody takes it for this run's.

    Raises:
        OutputError: one of its files is there and cannot be removed.
    """
    for name in reversed(FILES):
        path = out_dir / name
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            continue  # `make_folder` says what is wrong with it
        except OSError as e:
            raise OutputError(
                f"{path}: the report of an earlier run is there and cannot be removed: {e.strerror or e}",
                remedy="remove it, or write elsewhere with --out DIR",
            ) from None
    with contextlib.suppress(OSError):  # what a run that was killed left behind; never read by anyone
        for name in FILES:
            for path in out_dir.glob(f".{name}.*.tmp"):
                path.unlink(missing_ok=True)


def holds_full_report(out_dir: Path) -> bool:
    """Whether ``out_dir`` has a readable report of a whole release (``scope``: all that was planned was selected)."""
    try:
        scope = read_json(out_dir / "report.json")["release"].get("scope") or {}
    except ParityError:
        return False
    return isinstance(scope, dict) and scope.get("planned") == scope.get("selected") and bool(scope.get("planned"))


class OutputFolder:
    """The folder of a run, held while it runs: makes it, locks it, removes the report of an earlier run.

    ``path`` is where this run's files go: ``out_dir`` itself, or ``out_dir/partial`` for a filtered run where a full
    report stands, which is never overwritten.

    Raises (on entering):
        OutputError: it cannot be made, written or locked, or another run is writing there.
    """

    def __init__(self, out_dir: Path, *, partial: bool = False) -> None:
        self._out_dir = out_dir
        self._partial = partial
        self._lock: int | None = None
        self.path = out_dir

    def __enter__(self) -> Self:
        make_folder(self._out_dir)
        self._lock = _acquire(self._out_dir / _LOCK)
        try:
            if self._partial and holds_full_report(self._out_dir):
                self.path = self._out_dir / PARTIAL
                make_folder(self.path)
            remove_stale(self.path)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self._out_dir / _LOCK).unlink(missing_ok=True)  # while it is held: see `_acquire`
            os.close(self._lock)
            self._lock = None


def _acquire(path: Path) -> int:
    """Return the descriptor of the lock file ``path``, locked by this process until it is closed or the process ends.

    The file is removed by whoever holds it, so a lock counts only if the name still leads to the file that was locked.
    """
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as e:
            raise failed(path.parent, e) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(lock, path):
                return lock
        except OSError as e:
            os.close(lock)
            if e.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutputError(
                    f"{path.parent}: another run is writing here",
                    remedy="wait until it has ended, or write elsewhere with --out DIR",
                ) from None
            raise OutputError(
                f"{path.parent}: cannot be locked ({e.strerror or e})", remedy="write to a local disk with --out DIR"
            ) from None
        os.close(lock)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
