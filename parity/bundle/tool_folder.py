"""Outputs that ais_bench or msame wrote: `<input>_<i>.npy` (or `.bin`, `.txt`), `<input>_output_<i>.bin`.

`<input>` is the name of the first input's file, and the bundle calls that as its case: `ais_bench --model M.om --input
inputs/obs,inputs/image --output out --outfmt NPY` in the unpacked bundle. Sources: "Save Output Data" of Ascend's
benchmark tool; msame of Ascend's tools.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.bundle.asked import Source
from parity.bundle.findings import OTHER_OUTPUT, ROUNDED, UNTOLD, Refused, error, warning
from parity.bundle.npy import MAX_HEADER, decoded
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding
from parity.tensor import TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array

_FILE = re.compile(r"(?P<stem>.+)_(?P<index>\d{1,4})\.(?P<form>npy|bin|txt)", re.IGNORECASE)
_PURE = "pure_infer_data"
_MSAME = "_output"
_TEXT_BYTES = 64  # that one number takes at most in text


class ToolAnswers:
    """A folder of outputs as answers. A context manager. They say nothing of the inputs that they answer."""

    verified = False
    repeated: Mapping[str, float] = {}
    seconds: Sequence[float] = ()
    origin: Mapping[str, Any] = {}

    def __init__(self, path: Path, source: Source) -> None:
        """Match the files to the cases that were asked.

        Raises:
            UsageError: two files say that they are the same output, or which case one answers is ambiguous.
        """
        self.path, self._source = path, source
        self.recorded = f"folder {path.name}"
        self.wrong: list[Finding] = []
        self._files: dict[str, dict[int, Path]] = {}
        ids = {case.file: case_id for case_id, case in source.cases.items()}
        tools = set()
        for file in sorted(p for p in path.iterdir() if _is_output(p)):
            stem, index, tool = _read_name(file, ids)
            tools.add(tool)
            answer = self._files.setdefault(ids.get(stem, stem), {})
            if index in answer:
                raise UsageError(
                    f"{path}: {answer[index].name} and {file.name} are both output {index} of {stem}",
                    remedy="keep the one that counts",
                )
            answer[index] = file
        if len(tools) > 1:
            raise UsageError(f"{path}: outputs of {' and '.join(sorted(tools))} lie in one folder", remedy="part them")
        self.tool = next(iter(tools), "ais_bench")
        forms = {f.suffix.lower() for answer in self._files.values() for f in answer.values()}
        text = (
            f"{self.tool} wrote {path.name} without a word on its inputs: that they were those asked is not verified."
        )
        self.wrong.append(warning(UNTOLD, text, path.name))
        if ".txt" in forms:
            self.wrong.append(warning(ROUNDED, f"{path.name} holds numbers as text: they are rounded.", path.name))

    @property
    def ids(self) -> list[str]:
        """The cases that are answered."""
        return list(self._files)

    def outputs(self, case_id: str) -> dict[str, Array]:
        """Return what came out, by the artifact's names, in its order.

        Raises:
            Refused: outputs are missing or too many, or hold other bytes than declared.
        """
        declared, files = outputs_of(self._source), self._files[case_id]
        if sorted(files) != list(range(len(declared))):
            found = ", ".join(str(i) for i in sorted(files))
            text = f"Case {case_id} has outputs {found}; the policy gives {len(declared)}, numbered from 0."
            raise Refused(error(OTHER_OUTPUT, text, case_id))
        return {spec.name: self._output(case_id, spec, files[i]) for i, spec in enumerate(declared)}

    def __enter__(self) -> ToolAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""

    def _output(self, case_id: str, spec: TensorSpec, file: Path) -> Array:
        try:
            return {".npy": _npy, ".bin": _bin, ".txt": _txt}[file.suffix.lower()](file, spec)
        except (ArtifactError, OSError) as e:
            text = f"{file.name}, output {spec.name} of case {case_id}: {getattr(e, 'message', None) or e}."
            raise Refused(error(OTHER_OUTPUT, text, f"{case_id}/{spec.name}")) from None


def outputs_of(source: Source) -> list[TensorSpec]:
    """Return what the artifact gives, in order.

    Raises:
        UsageError: it is not known, or a state that only the script of a bundle carries over is among it.
    """
    about = source.about
    if about.state:
        raise UsageError("the policy keeps state, which other tools do not carry over: run the bundle on the device")
    if not about.outputs:
        raise UsageError("the outputs of the artifact are not known, so files without names cannot be told apart")
    return list(about.outputs)


def looks_like_outputs(folder: Path) -> bool:
    """Whether files lie in a folder that are called as these tools call outputs."""
    return any(_is_output(p) for p in folder.iterdir())


def _is_output(path: Path) -> bool:
    return _FILE.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def _read_name(file: Path, ids: Mapping[str, str]) -> tuple[str, int, str]:
    """Return whose output a file is, which, and of which tool.

    Raises:
        UsageError: the tool made up its own inputs, or the name can be read in two ways.
    """
    match = _FILE.fullmatch(file.name)
    assert match is not None
    stem, index = match["stem"], int(match["index"])
    if stem.startswith(_PURE):
        raise UsageError(
            f"{file}: ais_bench ran without inputs (pure inference): its outputs answer no case",
            remedy="say --input with the folders `inputs/<name>` of the bundle, in the order of the model's inputs",
        )
    short = stem.removesuffix(_MSAME)
    if short != stem and stem in ids and short in ids:
        raise UsageError(f"{file}: may be an output of {stem} or of {short}", remedy="rename the cases")
    return (short, index, "msame") if short != stem and stem not in ids else (stem, index, "ais_bench")


def _npy(file: Path, spec: TensorSpec) -> Array:
    due = _bytes_due(spec)
    size = file.stat().st_size
    if due is not None and not due <= size <= due + MAX_HEADER:
        raise ArtifactError(f"{size:,} bytes are not those of {spec.dtype} {spec.shape}")
    return decoded(file.read_bytes(), file.name)


def _bin(file: Path, spec: TensorSpec) -> Array:
    import numpy as np

    shape, dtype = _fixed(spec, file)
    size = file.stat().st_size
    if size != math.prod(shape) * dtype.itemsize:
        raise ArtifactError(f"{size:,} bytes are not those of {dtype} {shape}")
    values: Array = np.frombuffer(file.read_bytes(), dtype)
    return values.reshape(shape)


def _txt(file: Path, spec: TensorSpec) -> Array:
    import numpy as np

    shape, dtype = _fixed(spec, file)
    count, size = math.prod(shape), file.stat().st_size
    if size > _TEXT_BYTES * max(count, 1):
        raise ArtifactError(f"{size:,} bytes of text are too many for {count:,} numbers")
    words = file.read_text(encoding="ascii", errors="replace").split()
    try:
        values = np.array([float(w) for w in words])
    except ValueError as e:
        raise ArtifactError(f"it holds something that is no number ({e})") from None
    if len(values) != count:
        raise ArtifactError(f"{len(values):,} numbers, {dtype} {shape} has {count:,}")
    return values.astype(dtype).reshape(shape)


def _fixed(spec: TensorSpec, file: Path) -> tuple[tuple[int, ...], Any]:
    import numpy as np

    dims: Sequence[Any] = spec.shape if spec.shape is not None else (None,)
    if spec.dtype is None or spec.dtype == "bfloat16" or not all(isinstance(d, int) and d >= 0 for d in dims):
        raise ArtifactError(
            f"a {file.suffix} says neither shape nor element type, and the artifact leaves them open "
            f"({spec.dtype} {spec.shape})",
            remedy="let the tool write .npy",
        )
    return tuple(dims), np.dtype(spec.dtype)


def _bytes_due(spec: TensorSpec) -> int | None:
    try:
        shape, dtype = _fixed(spec, Path("x.npy"))
    except ArtifactError:
        return None
    return math.prod(shape) * int(dtype.itemsize)
