"""Writes a bundle: the cases of a release, a candidate's artifact, and the script that runs the one on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from parity.artifact import files_of
from parity.bundle.artifact import artifact_told
from parity.bundle.manifest import ARTIFACT, INPUTS, NAME, SCHEMA, SCRIPT
from parity.bundle.npy import encoded
from parity.bundle.question import Question, fed_sha256, specs_json
from parity.bundle.script import script_for
from parity.bundle.zips import MAX_JSON, ZipWriter, as_json
from parity.cases import fingerprint
from parity.errors import ArtifactError, UsageError
from parity.runner.exchange import file_names
from parity.runner.onnxruntime import PROVIDERS
from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle that was written. ``manifest_sha256`` is what results name it by."""

    path: Path
    candidate: str
    cases: int
    bytes: int
    manifest_sha256: str
    left_out: tuple[str, ...]
    manifest: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `parity bundle`."""
        told = {k: self.manifest[k] for k in ("release", "candidate", "artifact", "inputs", "outputs")}
        return {
            "schema": 1,
            "verdict": "PASS",
            "findings": [],
            "bundle": str(self.path),
            "bytes": self.bytes,
            "manifest_sha256": self.manifest_sha256,
            "cases": self.cases,
            "left_out": list(self.left_out),
            **told,
        }


def write_bundle(question: Question, path: Path) -> Written:
    """Write the bundle, whole or not at all. The same release gives the same bytes.

    Raises:
        ParityError: an adapter does not fit, the artifact changed meanwhile, or the disk is full.
    """
    import hashlib

    side = question.side
    assert side.artifact is not None
    artifact = artifact_told(question)
    if any(path.resolve() == f.resolve() for f in files_of(side.artifact)):
        raise UsageError(f"-o {path}: that is the artifact itself; it is left as it is", remedy="give another name")
    with ZipWriter(path) as out:
        script = script_for(side.artifact.kind)
        out.add(SCRIPT, [script], len(script))
        for told, file in zip(artifact["files"], files_of(side.artifact), strict=True):
            if out.add_file(f"{ARTIFACT}/{told['path']}", file) != told["sha256"]:
                raise ArtifactError(f"{file}: changed while it was bundled", remedy="bundle it again")
        cases = list(_cases(question, out))
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "kind": "parity-bundle",
            "parity": version("policy-parity"),
            "release": {"name": question.prepared.plan.release, "seed": question.prepared.plan.seed},
            "candidate": _candidate(question),
            "artifact": artifact,
            "adapted": question.adapted,
            "inputs": specs_json(question.inputs),
            "outputs": specs_json(question.outputs),
            "contract": {
                "inputs": specs_json(question.prepared.contract.inputs),
                "outputs": specs_json(question.prepared.contract.outputs),
            },
            "state": dict(question.state),
            "left_out": list(question.left_out),
            "cases": cases,
        }
        data = as_json(manifest)
        if len(data) > MAX_JSON:
            text = f"{len(cases):,} cases are too many for one bundle: its manifest takes {len(data) >> 20} MiB"
            raise UsageError(text, remedy="ask for fewer cases, or make several releases of them")
        out.add(NAME, [data], len(data))
    sha = hashlib.sha256(data).hexdigest()
    return Written(path, side.name, len(cases), path.stat().st_size, sha, question.left_out, manifest)


def _candidate(question: Question) -> dict[str, Any]:
    spec = question.side.spec
    provider = PROVIDERS.get((spec.provider or "cpu").lower(), spec.provider) if spec.runner == "onnxruntime" else None
    return {"name": spec.name, "runner": spec.runner, "provider": provider, "precision": question.side.declared}


def _cases(question: Question, out: ZipWriter) -> Iterator[dict[str, Any]]:
    """Write the arrays of each case, one case in memory at a time, and yield what the manifest says of it.

    One folder for each input, one file for each case: so `ais_bench --input inputs/obs,inputs/image` takes them too.
    """
    files = file_names([c.id for c in question.cases])
    folders: dict[str, str] = {}
    for case in question.cases:
        asked = question.asked(case)
        folders = folders or file_names(list(asked))
        told = {n: _input(out, f"{INPUTS}/{folders[n]}/{files[case.id]}.npy", a) for n, a in asked.items()}
        yield {
            "id": case.id,
            "profile": case.profile,
            "seed": case.seed,
            "note": case.note,
            "sha256": fed_sha256(asked),
            "planned": fingerprint(case),
            "reset": question.resets(case),
            "inputs": told,
        }


def _input(out: ZipWriter, name: str, array: Array) -> dict[str, Any]:
    header, values = encoded(array)
    sha = out.add(name, (header, values), len(header) + len(values))
    return {"file": name, "sha256": sha, "dtype": array.dtype.name, "shape": list(array.shape)}
