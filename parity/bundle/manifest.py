"""What the two zips say of themselves: `manifest.json` of a bundle, and of the results that came back for one.

Both are parsed strictly: what is missing or of another type is an error; fields of later versions are not looked at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parity.bundle.zips import is_plain
from parity.errors import ArtifactError
from parity.tensor import Profile

SCHEMA = 1
NAME = "manifest.json"
SCRIPT = "run_on_device.py"
ARTIFACT = "artifact"
INPUTS = "inputs"

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=4096)]
Size = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class TensorTold(_Part):
    """A tensor as declared: ``shape`` is None, or holds names or None, where it is not known in numbers."""

    name: Text
    dtype: Text | None
    shape: list[int | str | None] | None


class FileTold(_Part):
    path: Text
    sha256: Sha
    bytes: Size


class ArtifactTold(_Part):
    """The artifact: ``sha256`` is parity's own hash of all of its files, ``main`` the file that is loaded."""

    kind: Literal["om", "onnx"]
    main: Text
    sha256: Sha
    files: list[FileTold]
    soc: Text | None = None
    precision: Text | None = None
    random_ops: list[Text] = []
    input_order: list[Text] = []
    output_nodes: list[Annotated[list[Text | int], Field(min_length=2, max_length=2)]] = []


class InputTold(_Part):
    """One array of a case: its file in the bundle, the file's hash, what its values are."""

    file: Text
    sha256: Sha
    dtype: Text
    shape: list[Size]


class CaseTold(_Part):
    """A case: ``sha256`` is of its inputs as the artifact takes them, ``planned`` as the release's plan has them."""

    id: Text
    profile: Profile
    seed: int
    note: Text
    sha256: Sha
    planned: Sha
    reset: bool = True
    inputs: dict[str, InputTold]


class NamedTold(_Part):
    name: Text
    seed: int = 0


class CandidateTold(_Part):
    name: Text
    runner: Text
    provider: Text | None = None
    precision: Text | None = None


class BundleManifest(_Part):
    """`manifest.json` of a bundle."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    kind: Literal["parity-bundle"]
    parity: Text
    release: NamedTold
    candidate: CandidateTold
    artifact: ArtifactTold
    adapted: bool
    inputs: list[TensorTold]
    outputs: list[TensorTold]
    state: dict[str, Text] = {}
    cases: list[CaseTold]


class OutputTold(_Part):
    """One output of a case: its file among the results, the file's hash, what its values are."""

    file: Text
    sha256: Sha
    bytes: Size
    dtype: Text
    shape: list[Size]


class AnswerTold(_Part):
    """What one case gave: ``sha256`` is of the inputs that were really fed, made on the device."""

    id: Text
    sha256: Sha
    seconds: Annotated[float, Field(ge=0)]
    outputs: dict[str, OutputTold]


class RepeatTold(_Part):
    cases: list[Text] = []
    differs: dict[str, float] = {}


class ResultsManifest(_Part):
    """`manifest.json` of results."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    kind: Literal["parity-results"]
    bundle_sha256: Sha
    script_sha256: Sha
    release: NamedTold
    candidate: CandidateTold
    artifact_files: list[FileTold]
    environment: dict[str, Any]
    stand_in: bool
    started: Text
    finished: Text
    repeated: RepeatTold
    dumps: list[FileTold] = []
    cases: list[AnswerTold]


Told = TypeVar("Told", bound=BaseModel)


def bundle_manifest(document: dict[str, Any], where: str) -> BundleManifest:
    """Return a bundle's manifest, checked.

    Raises:
        ArtifactError: it is none, or names a path out of the bundle.
    """
    found = _parsed(BundleManifest, document, where, "a bundle, as `parity bundle` writes it")
    paths = [f"{ARTIFACT}/{f.path}" for f in found.artifact.files]
    paths += [i.file for c in found.cases for i in c.inputs.values()]
    _check_paths(paths, where)
    if len({c.id for c in found.cases}) != len(found.cases):
        raise ArtifactError(f"{where}: a case is listed twice", remedy="write the bundle again")
    return found


def results_manifest(document: dict[str, Any], where: str) -> ResultsManifest:
    """Return the manifest of results, checked but for what `parity capture` tells as a finding.

    Raises:
        ArtifactError: it is none.
    """
    return _parsed(ResultsManifest, document, where, f"results, as {SCRIPT} of a bundle writes them")


def _parsed(model: type[Told], document: dict[str, Any], where: str, expected: str) -> Told:
    try:
        return model.model_validate(document)
    except ValidationError as e:
        wrong = [f"{'.'.join(map(str, x['loc'])) or 'the file'}: {x['msg']}" for x in e.errors()[:4]]
        text = f"{where}: {NAME} is not what it should be ({'; '.join(wrong)})"
        raise ArtifactError(text, expected=expected) from None


def _check_paths(paths: list[str], where: str) -> None:
    odd = next((p for p in paths if not is_plain(p)), None)
    if odd is not None:
        raise ArtifactError(f"{where}: {NAME} names {odd!r:.120}, a path out of the bundle")
