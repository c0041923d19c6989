"""Results that a bundle's script brought back: every claim of theirs checked before it is believed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.bundle.asked import Source
from parity.bundle.findings import (
    OTHER_ARTIFACT,
    OTHER_BUNDLE,
    OTHER_CASE,
    OTHER_OUTPUT,
    OTHER_SCRIPT,
    STRAY,
    TAMPERED,
    TWICE,
    Refused,
    error,
)
from parity.bundle.manifest import NAME, SCRIPT, AnswerTold, OutputTold, results_manifest
from parity.bundle.npy import MAX_HEADER, decoded, size_of
from parity.bundle.zips import ZipReader
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Array

_SHOWN = 20  # entries that get a finding of their own
_TEXT = 200  # characters of what a device says of itself
_TOLD = (
    "runtime",
    "device",
    "soc",
    "cann",
    "driver",
    "provider",
    "machine",
    "platform",
    "python",
    "numpy",
    "device_id",
)


class ZipAnswers:
    """A zip of results. A context manager.

    ``wrong`` are findings about the whole: nothing of it is imported where there are any.
    """

    tool = "parity bundle"
    verified = True

    def __init__(self, path: Path, source: Source) -> None:
        """Open the zip and compare what it says of itself with what was asked.

        Raises:
            ArtifactError: it cannot be read, or is none.
        """
        self.path, self._source = path, source
        self._zip = ZipReader(path)
        self.wrong: list[Finding] = []
        try:
            self._manifest = results_manifest(self._zip.document(NAME), str(path))
        except ArtifactError:
            self._zip.__exit__()
            raise
        self._answers: dict[str, AnswerTold] = {}
        for answer in self._manifest.cases:
            if answer.id in self._answers:
                self.wrong.append(error(TWICE, f"{path.name} answers case {answer.id} twice.", answer.id))
            self._answers[answer.id] = answer
        self.wrong += [*self._whole(), *self._strays()]

    @property
    def ids(self) -> list[str]:
        """The cases that are answered."""
        return list(self._answers)

    @property
    def origin(self) -> dict[str, Any]:
        """What the device said of itself, as plain and short text."""
        said = self._manifest.environment
        told = {k: str(said[k])[:_TEXT] for k in _TOLD if said.get(k) not in (None, "")}
        stand_in = {"stand_in": True} if self._manifest.stand_in or said.get("stand_in") else {}
        unchecked = [str(t)[:_TEXT] for t in _listed(said.get("unchecked"))][:_SHOWN]
        return {**told, **stand_in, **({"unchecked": unchecked} if unchecked else {})}

    @property
    def recorded(self) -> str:
        """When it ran, by the device's clock."""
        return self._manifest.started[:_TEXT]

    @property
    def repeated(self) -> Mapping[str, float]:
        """Outputs that changed when one case ran twice, by how much."""
        return {n[:_TEXT]: float(g) for n, g in self._manifest.repeated.differs.items()}

    @property
    def seconds(self) -> list[float]:
        """What each call took, by the device's clock."""
        return [a.seconds for a in self._manifest.cases]

    def outputs(self, case_id: str) -> dict[str, Array]:
        """Return what the device gave for a case, by the artifact's names.

        Raises:
            Refused: it answers another case, or an output is missing, not declared, or not what the manifest says.
        """
        answer = self._answers[case_id]
        if answer.sha256 != self._source.cases[case_id].sha256:
            text = f"Case {case_id} was answered for other inputs than the release asks."
            asked = self._source.cases[case_id].sha256
            raise Refused(error(OTHER_CASE, text, case_id, asked=asked, answered=answer.sha256))
        declared = [t.name for t in self._source.about.outputs if t.name not in self._source.about.state.values()]
        missing, more = sorted(set(declared) - set(answer.outputs)), sorted(set(answer.outputs) - set(declared))
        if missing or more:
            said = [f"lacks {', '.join(missing)}"] if missing else []
            said += [f"has {', '.join(more)[:_TEXT]}, which the policy does not declare"] if more else []
            raise Refused(error(OTHER_OUTPUT, f"The answer to case {case_id} {' and '.join(said)}.", case_id))
        return {name: self._output(case_id, name, answer.outputs[name]) for name in declared}

    def __enter__(self) -> ZipAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.__exit__()

    def _output(self, case_id: str, name: str, told: OutputTold) -> Array:
        where = f"{case_id}/{name}"
        size = self._zip.size(told.file)
        if size is None:
            raise Refused(
                error(TAMPERED, f"{told.file[:_TEXT]}, output {name} of case {case_id}, is not there.", where)
            )
        try:
            due = size_of(told.dtype, tuple(told.shape))
            if size != told.bytes or not due <= size <= due + MAX_HEADER:
                raise ArtifactError(f"{size:,} bytes are not those of {told.dtype} {tuple(told.shape)}")
            data = self._zip.read(told.file, size)
            array = decoded(data, told.file)
        except ArtifactError as e:
            text = f"Output {name} of case {case_id} is not what the results' manifest says: {e.message}."
            raise Refused(error(TAMPERED, text, where)) from None
        if hashlib.sha256(data).hexdigest() != told.sha256:
            text = f"Output {name} of case {case_id} was changed after it was written: its SHA-256 is another."
            raise Refused(error(TAMPERED, text, where, file=told.file))
        if array.dtype.name != told.dtype or list(array.shape) != told.shape:
            text = f"Output {name} of case {case_id} holds {array.dtype} {array.shape}, told is another."
            raise Refused(error(TAMPERED, text, where))
        return array

    def _whole(self) -> list[Finding]:
        """Return what tells that these are results of something else."""
        told, about, found = self._manifest, self._source.about, []
        pairs = (
            ("release", told.release.name, about.release),
            ("seed", told.release.seed, about.seed),
            ("candidate", told.candidate.name, about.candidate),
            ("bundle", told.bundle_sha256, about.bundle_sha256 or told.bundle_sha256),
        )
        for what, came, asked in pairs:
            if came != asked:
                text = f"{self.path.name} holds results of another {what}: {str(came)[:_TEXT]}, not {asked}."
                found.append(error(OTHER_BUNDLE, text, what, found=str(came)[:_TEXT], expected=asked))
        if about.script_sha256 not in (None, told.script_sha256):
            text = f"{self.path.name} was written by a script that was changed after it was bundled."
            found.append(error(OTHER_SCRIPT, text, SCRIPT, found=told.script_sha256, expected=about.script_sha256))
        if [(f.sha256, f.bytes) for f in told.artifact_files] != list(about.files):
            text = f"{self.path.name} was computed with another artifact than {about.artifact['path']}."
            evidence = {"found": [f.sha256 for f in told.artifact_files][:8], "expected": [s for s, _ in about.files]}
            found.append(error(OTHER_ARTIFACT, text, str(about.artifact["path"]), **evidence))
        return found

    def _strays(self) -> list[Finding]:
        """Return what lies in the zip and is not named by its manifest, or is no plain entry."""
        files = [o.file for a in self._manifest.cases for o in a.outputs.values()]
        files += [f.path for f in self._manifest.dumps]
        named = {NAME, *files}
        strays = [(n, "is not named by its manifest") for n in self._zip.names if n not in named]
        strays += [(n, "stands for several outputs") for n, count in Counter(files).items() if count > 1]
        strays += self._zip.odd
        for told in self._manifest.dumps:
            if self._zip.size(told.path) is None or not self._same(told.path, told.sha256):
                strays.append((told.path, "is not what the manifest says"))
        found = [error(STRAY, f"{self.path.name}: {n!r:.120} {what}.", n[:_TEXT]) for n, what in strays[:_SHOWN]]
        if len(strays) > _SHOWN:
            found.append(error(STRAY, f"{self.path.name}: {len(strays) - _SHOWN} further entries do not belong."))
        return found

    def _same(self, name: str, sha256: str) -> bool:
        sha = hashlib.sha256()
        try:
            for piece in self._zip.pieces(name):
                sha.update(piece)
        except ArtifactError:
            return False
        return sha.hexdigest() == sha256


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
