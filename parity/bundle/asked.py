"""What was asked, as known here: by the bundle that went out, or by the release that it was made from."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from parity.bundle.artifact import artifact_told
from parity.bundle.findings import OTHER_CASE, Refused, error
from parity.bundle.manifest import NAME, SCRIPT, BundleManifest, CaseTold, bundle_manifest
from parity.bundle.npy import MAX_HEADER, decoded, size_of
from parity.bundle.question import Question, fed_sha256
from parity.bundle.zips import ZipReader
from parity.errors import UsageError
from parity.runner.exchange import file_names
from parity.tensor import Array, Case, Profile, TensorSpec

_TOLD = ("kind", "sha256", "soc", "precision", "random_ops", "output_nodes")  # of the artifact, kept in the trace


@dataclass(frozen=True, slots=True)
class Asked:
    """One case that was asked: ``sha256`` is of what the artifact is fed, ``file`` what its arrays are called."""

    id: str
    profile: Profile
    seed: int
    note: str
    sha256: str
    file: str


@dataclass(frozen=True, slots=True)
class About:
    """Whose question it is. ``files``: SHA-256 and size of each file of the artifact, in order; ``count`` of cases."""

    release: str
    seed: int
    candidate: str
    artifact: Mapping[str, Any]
    files: tuple[tuple[str, int], ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: Mapping[str, str] = field(default_factory=dict)
    count: int = 0
    bundle_sha256: str | None = None
    script_sha256: str | None = None


class Source(Protocol):
    """Where questions are known from."""

    @property
    def about(self) -> About: ...

    @property
    def cases(self) -> Mapping[str, Asked]: ...

    def case(self, case_id: str) -> Case:
        """Return the case as the release has it; raises `Refused` where it is not what it was."""
        ...

    def answered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what is judged, from what the artifact gave, ``(B, ...)`` by name."""
        ...


class ByRelease:
    """Questions made again from `parity.toml`: deterministic, so that they have the hashes of those that went out."""

    def __init__(self, question: Question) -> None:
        side = question.side
        assert side.artifact is not None
        told = artifact_told(question)
        self._question = question
        self._cases = {c.id: c for c in question.cases}
        names = file_names(list(self._cases))
        self.cases = {
            c.id: Asked(c.id, c.profile, c.seed, c.note, question.key(c), names[c.id]) for c in question.cases
        }
        self.about = About(
            question.prepared.plan.release,
            question.prepared.plan.seed,
            side.name,
            {**{k: told[k] for k in _TOLD}, "path": side.given},
            tuple((f["sha256"], f["bytes"]) for f in told["files"]),
            question.inputs,
            question.outputs,
            question.state,
            len(self.cases),
        )

    def case(self, case_id: str) -> Case:
        """Return the case as the release has it."""
        return self._cases[case_id]

    def answered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what is judged, through the candidate's adapter or pipeline."""
        return self._question.answered(outputs)


class ByBundle:
    """Questions read from the bundle that went out, one case in memory at a time."""

    def __init__(self, bundle: ZipReader, manifest: BundleManifest, sha256: str) -> None:
        self._bundle = bundle
        self._told: dict[str, CaseTold] = {c.id: c for c in manifest.cases}
        names = file_names(list(self._told))
        self.cases = {c.id: Asked(c.id, c.profile, c.seed, c.note, c.sha256, names[c.id]) for c in manifest.cases}
        told = manifest.artifact
        self.about = About(
            manifest.release.name,
            manifest.release.seed,
            manifest.candidate.name,
            {**{k: getattr(told, k) for k in _TOLD}, "path": told.main},
            tuple((f.sha256, f.bytes) for f in told.files),
            tuple(TensorSpec(t.name, _shape(t.shape), t.dtype) for t in manifest.inputs),
            tuple(TensorSpec(t.name, _shape(t.shape), t.dtype) for t in manifest.outputs),
            manifest.state,
            len(self.cases),
            sha256,
            hashlib.sha256(b"".join(bundle.pieces(SCRIPT))).hexdigest() if SCRIPT in bundle.names else None,
        )

    def case(self, case_id: str) -> Case:
        """Return the case; it went out as the release has it, for no adapter changes anything on the way."""
        told = self._told[case_id]
        arrays: dict[str, Array] = {}
        for name, part in told.inputs.items():
            limit = size_of(part.dtype, tuple(part.shape)) + MAX_HEADER
            data = self._bundle.read(part.file, limit)
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise Refused(error(OTHER_CASE, f"{part.file} of the bundle is not what its manifest says.", part.file))
            arrays[name] = decoded(data, part.file, part.dtype)
        if fed_sha256(arrays) != told.sha256:
            raise Refused(error(OTHER_CASE, f"Case {case_id} of the bundle is not what its manifest says.", case_id))
        return Case(told.id, told.profile, told.seed, arrays, told.note)

    def answered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs as they are."""
        return dict(outputs)


class Only:
    """Some of the cases of a source, in an order of their own: what a tool that tells no names was run on."""

    def __init__(self, source: Source, ids: Sequence[str]) -> None:
        """Choose cases.

        Raises:
            UsageError: one that was not asked, or one twice.
        """
        odd = [i for i in ids if i not in source.cases] or [i for i in ids if ids.count(i) > 1]
        if odd:
            near = difflib.get_close_matches(odd[0], list(source.cases), 1)
            hint = f"; did you mean {near[0]!r}?" if near and near[0] != odd[0] else ""
            raise UsageError(f"--case {odd[0]}: no case of the release, or said twice{hint}")
        self._source = source
        self.about, self.cases = source.about, {i: source.cases[i] for i in ids}

    def case(self, case_id: str) -> Case:
        """Return the case as the release has it."""
        return self._source.case(case_id)

    def answered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return what is judged, from what the artifact gave."""
        return self._source.answered(outputs)


def _shape(told: list[int | str | None] | None) -> tuple[int | str | None, ...] | None:
    return None if told is None else tuple(told)


@contextmanager
def bundle_asked(path: Path) -> Iterator[ByBundle]:
    """Open a bundle as the source of the questions.

    Raises:
        ArtifactError: it cannot be read.
        UsageError: an adapter or pipeline stands between the release and what the device was fed.
    """
    with ZipReader(path) as bundle:
        manifest = bundle_manifest(bundle.document(NAME), str(path))
        if manifest.adapted:
            raise UsageError(
                f"{path}: {manifest.candidate.name} is fed by an adapter or a pipeline, which a bundle does not hold",
                remedy="say --config parity.toml: the release has both",
            )
        sha = hashlib.sha256(b"".join(bundle.pieces(NAME))).hexdigest()
        yield ByBundle(bundle, manifest, sha)
