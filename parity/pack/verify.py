"""Whether a packed folder is still what was packed: every file by size and SHA-256, none missing, none added.

Nothing is loaded or run. Links and special files are refused where they lie, and no path of the manifest is followed
out of the folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from parity.artifact import file_digest
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.pack.manifest import MAX_BYTES, NAME, Entry, digest_of, entries, is_inside, manifest_path, parse
from parity.verdict import Verdict

ALTERED, MISSING, ADDED = "PACK010", "PACK011", "PACK012"
NO_MANIFEST, EDITED, LINK, OUTSIDE = "PACK013", "PACK014", "PACK015", "PACK016"
UNSIGNABLE = "PACK017"
AGAIN = "fetch the packed folder again from where it was released"


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome: PASS where nothing changed. ``manifest_sha256`` is None where there is no manifest."""

    folder: Path
    verdict: Verdict
    findings: tuple[Finding, ...]
    manifest_sha256: str | None
    manifest: Mapping[str, Any] | None
    checked: int

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `parity verify`."""
        about = self.manifest or {}
        return {
            "schema": 1,
            "verdict": str(self.verdict),
            "reasons": [f.title for f in self.findings if f.severity == "error"],
            "folder": str(self.folder),
            "manifest_sha256": self.manifest_sha256,
            "release": about.get("release"),
            "code": about.get("code"),
            "signable": about.get("signable"),
            "checked": self.checked,
            "findings": [f.as_json() for f in self.findings],
        }


def verify(folder: Path, expected_sha256: str | None = None) -> Verified:
    """Return what changed in a packed folder since it was packed.

    Args:
        expected_sha256: of the manifest, as `parity pack` printed it; without it an edit of files and manifest
            together cannot be told.

    Raises:
        ArtifactError: no such folder, or something in it cannot be read.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder", expected="a folder that `parity pack` made")
    if not (folder / NAME).exists():  # of a folder that was never packed nothing else is to be said
        _, sha256, wrong = _manifest(folder, False, expected_sha256)
        return Verified(folder, Verdict.FAIL, tuple(wrong), sha256, None, 0)
    there, odd = _listing(folder)
    findings = [_finding(LINK, p, "is a link or special file, which no packed folder has") for p in odd]
    manifest, sha256, wrong = _manifest(folder, NAME in there, expected_sha256)
    findings += wrong
    listed: list[Entry] = []
    for entry in entries(manifest) if manifest else []:
        if is_inside(entry.path):
            listed.append(entry)
        else:
            findings.append(_finding(OUTSIDE, entry.path, "the manifest names a path out of the folder"))
    names = {e.path for e in listed}
    for entry in listed:
        findings += _check(folder, entry, entry.path in there, entry.path in odd)
    if manifest:
        findings += [
            _finding(ADDED, p, "was added: it is not in the manifest") for p in there if p not in {*names, NAME}
        ]
        if manifest.get("signable") is not True:
            findings.append(_unsignable(manifest))
    failed = any(f.severity == "error" for f in findings)
    return Verified(folder, Verdict.FAIL if failed else Verdict.PASS, tuple(findings), sha256, manifest, len(listed))


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths of regular files, and of links and special files, sorted; links are not followed."""
    files, odd = [], []

    def refuse(error: OSError) -> NoReturn:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror or error}") from None

    for place, folders, names in os.walk(folder, onerror=refuse):
        for name in (*folders, *names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            try:
                mode = path.lstat().st_mode
            except OSError as e:
                refuse(e)
            if stat.S_ISREG(mode):
                files.append(relative)
            elif not stat.S_ISDIR(mode):
                odd.append(relative)
    return sorted(files), sorted(odd)


def _manifest(
    folder: Path, there: bool, expected: str | None
) -> tuple[dict[str, Any] | None, str | None, list[Finding]]:
    if not there:
        return None, None, [_finding(NO_MANIFEST, NAME, "is missing: nothing says what was packed")]
    path = manifest_path(folder)
    sha256, size = file_digest(path)
    wrong = []
    if expected is not None and sha256 != expected.lower():
        wrong.append(_finding(EDITED, NAME, f"is another than expected: its SHA-256 is {sha256}"))
    try:
        if size > MAX_BYTES:
            raise ValueError(f"it has {size} bytes")
        document = parse(path.read_bytes())
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
    except ValueError as e:
        return None, sha256, [*wrong, _finding(NO_MANIFEST, NAME, f"is no manifest of a packed folder: {str(e)[:200]}")]
    if document.get("digest") != digest_of(document):
        wrong.append(_finding(EDITED, NAME, "was edited: it does not have the digest that it states"))
    return document, sha256, wrong


def _check(folder: Path, entry: Entry, there: bool, odd: bool) -> list[Finding]:
    if odd:
        return []  # said already
    if not there:
        return [_finding(MISSING, entry.path, "is missing")]
    path = folder / entry.path
    size = path.lstat().st_size
    if size != entry.bytes:
        return [_finding(ALTERED, entry.path, f"was altered: {size} bytes instead of {entry.bytes}")]
    sha256, _ = file_digest(path)
    if sha256 != entry.sha256:
        return [_finding(ALTERED, entry.path, "was altered: same size, other bytes")]
    return []


def _finding(code: str, path: str, words: str) -> Finding:
    return Finding(code, "error", f"{path} {words}" if path else words, where=path, remedy=AGAIN)


def _unsignable(manifest: Mapping[str, Any]) -> Finding:
    listed = manifest.get("not_signable")
    reasons = [str(r)[:300] for r in listed[:10]] if isinstance(listed, list) else []
    return Finding(
        UNSIGNABLE,
        "warning",
        "it was packed as not for sign-off" + (f": {'; '.join(reasons)}" if reasons else ""),
        where=NAME,
        remedy="pack a release that passed, from committed code",
    )
