"""What is wrong with files that an index names: one kind of fault each, and many files of one fault as one finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from parity.errors import ArtifactError
from parity.finding import Finding

MISSING = "DATA001"
EMPTY = "DATA002"
LFS = "DATA003"
CORRUPT = "DATA004"

SHOWN = 16  # files that a finding names

_WORDS = {
    MISSING: ("is missing", "are missing"),
    EMPTY: ("is empty (0 bytes)", "are empty (0 bytes)"),
    LFS: ("is a Git LFS pointer, not the file itself", "are Git LFS pointers, not the files themselves"),
    CORRUPT: ("cannot be read", "cannot be read"),
}
_REMEDIES = {
    MISSING: "fetch the whole dataset again",
    EMPTY: "fetch it again: its writing or its download was cut short",
    LFS: "run `git lfs pull` in the dataset's repository, or download the dataset with `hf download`",
    CORRUPT: "fetch it again: it is still being written, its writing was cut short, or it is damaged",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file cannot be read: a code, and what was found in it where that says more than the code."""

    code: str
    found: str = ""
    expected: str = "a Parquet file"


def error_of(path: Path, fault: Fault, detail: str = "") -> ArtifactError:
    """Return the error that says what is wrong with one file."""
    what = _WORDS[fault.code][0]
    return ArtifactError(
        f"{path}: the file {what}" + (f": {fault.found}" if fault.found else "") + (f" ({detail})" if detail else ""),
        expected=fault.expected,
        remedy=_REMEDIES[fault.code],
    )


def findings_of(faults: Mapping[str, Fault], total: int) -> list[Finding]:
    """Return a finding for each kind of fault among ``total`` files, by their paths in the dataset."""
    by_code: dict[str, list[str]] = {}
    for name, fault in faults.items():
        by_code.setdefault(fault.code, []).append(name)
    found = []
    for code, names in sorted(by_code.items()):
        first = faults[names[0]]
        one = len(names) == 1
        which = f"{names[0]} " if one else f"{len(names):,} of {total:,} files, {names[0]} first, "
        found.append(
            Finding(
                code,
                "error",
                which + _WORDS[code][0 if one else 1] + (f": {first.found}" if first.found else ""),
                where=names[0],
                detail="Frames of these files are left out." if total else "",
                evidence={"files": names[:SHOWN], "count": len(names), "expected": first.expected},
                remedy=_REMEDIES[code],
            )
        )
    return found


def look(path: Path) -> Fault | None:
    """Return what is wrong with a file that ought to be Parquet, from its size, first and last bytes; None if nothing.

    Source of the magic numbers: apache/parquet-format, README, "File format".
    """
    found = ends_of(path, "a Parquet file")
    if isinstance(found, Fault):
        return found
    head, tail, size = found
    if head[:4] != b"PAR1":
        zeros = "only zero bytes, space that was reserved and never filled" if not head.strip(b"\0") else ""
        return Fault(CORRUPT, f"it begins with {zeros or head[:4].hex(' ')}", "the four bytes PAR1 of Parquet")
    if tail != b"PAR1":
        return Fault(CORRUPT, f"half-written: its {size:,} bytes end without Parquet's footer")
    return None


def ends_of(path: Path, expected: str) -> tuple[bytes, bytes, int] | Fault:
    """Return a file's first 48 and last four bytes and its size; what is wrong with it where it is none to be read."""
    try:
        if path.exists() and not path.is_file():
            return Fault(CORRUPT, "it is no file", expected)
        with path.open("rb", buffering=0) as f:
            head = f.read(48)
            size = f.seek(0, 2)
            f.seek(max(0, size - 4))
            tail = f.read(4)
    except FileNotFoundError:
        return Fault(MISSING, expected=expected)
    except OSError as e:
        return Fault(CORRUPT, e.strerror or type(e).__name__, expected)
    if not size:
        return Fault(EMPTY, expected=expected)
    if head.startswith(b"version https://git-lfs"):
        return Fault(LFS, expected=expected)
    return head, tail, size


def empty_metadata(root: Path, names: Iterable[str]) -> list[Finding]:
    """Return findings of files of metadata that reading frames does not need, and that hold nothing."""
    found: dict[str, Fault] = {}
    for name in names:
        path = root / name
        if path.is_file():
            with path.open("rb") as f:
                head = f.read(48)
            if not head:
                found[name] = Fault(EMPTY, expected="JSON")
            elif head.startswith(b"version https://git-lfs"):
                found[name] = Fault(LFS, expected="JSON")
    return findings_of(found, 0)
