"""A file whose weights are asked for or looked in: its weight sets, the normalizer beside them, its step, its run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from parity.artifact import Artifact, recognize
from parity.checkpoint.checkpoint import Checkpoint, read_checkpoint
from parity.checkpoint.safetensors import open_safetensors
from parity.checkpoint.weight import Weight, trees
from parity.checkpoint.weights import in_folder
from parity.errors import ArtifactError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_SUFFIXES = (".ckpt", ".pt", ".pth", ".safetensors", ".npz")
GRAPHS = ("onnx", "torchscript", "pt2", "om")
WHOLE = "+"  # joins the names of weight sets
# "model_9900", "25000", "iter-100"; a version such as "act_v2" is no step
_NUMBERED = re.compile(
    r"^(?:(?:model|ckpt|checkpoint|iter|iteration|step|weights|policy|actor|agent|nn)[_.=-]?)?(\d+)$", re.IGNORECASE
)
_STEP_IN_NAME = re.compile(r"(?:^|[^a-z])(?:steps?|iter(?:ation)?)[=_-]?(\d+)", re.IGNORECASE)
_EPOCH_IN_NAME = re.compile(r"(?:^|[^a-z])epoch[=_-]?(\d+)", re.IGNORECASE)
_INSIDE_RUN = re.compile(r"^(pretrained_model|checkpoints?|models?|weights|snapshots|\d+|last|best)$")
# Of another network than the one that acts: its statistics are not missed in an export.
_NOT_ACTING = re.compile(r"(^|[._])(critic|privileged|value|teacher)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """An artifact with weights.

    Attributes:
        name: its path as the user gave it.
        checkpoint: what is in it.
        sets: the tensors of each weight set, with the statistics of a normalizer that is kept beside it in the file
            or, for a LeRobot folder, in the processors' own files.
        step, epoch: as the file says, else as its name does; None where neither does.
        run: the folder of the training run, as far as the path tells.
    """

    name: str
    checkpoint: Checkpoint
    sets: Mapping[str, Mapping[str, Weight]]
    step: int | None
    epoch: int | None
    run: Path

    @property
    def when(self) -> str:
        """The step or epoch in words, "" where neither is known."""
        told = [f"step {self.step:,}"] if self.step is not None else []
        if self.epoch is not None and (not told or self.step == 0):
            told = [f"epoch {self.epoch:,}"]
        return told[0] if told else ""

    def statistics(self, tree: str) -> list[Weight]:
        """Return the statistics of the acting network's normalizer that belong to a weight set."""
        return [w for w in self.sets[tree].values() if w.statistics and not _NOT_ACTING.search(w.name)]


def read_source(path: str | Path | Artifact) -> Source:
    """Return an artifact's weight sets; no tensor is read yet.

    Raises:
        ArtifactError: it cannot be read, or holds no weights.
    """
    artifact = path if isinstance(path, Artifact) else recognize(path)
    checkpoint = read_checkpoint(artifact)
    if not checkpoint.weights:
        raise ArtifactError(
            f"{artifact.path}: it holds no weights",
            expected="a checkpoint, an exported graph or a file of weights",
            remedy="name the file that the training run saved",
        )
    return source_of(checkpoint)


def source_of(checkpoint: Checkpoint) -> Source:
    """Return what was read as an artifact with weights, though it may hold none."""
    path = checkpoint.artifact.path
    place = path.resolve()
    step, epoch = _progress(checkpoint, place)
    return Source(str(path), checkpoint, _sets(checkpoint), step, epoch, _run(place))


def expanded(paths: Sequence[str | Path]) -> list[str]:
    """Return paths in which a folder of checkpoints stands for what lies in it, in the order of the numbers in names.

    A folder with ``model.safetensors`` is a checkpoint itself; one in which nothing is found stays, to be refused.
    """
    found: list[str] = []
    for path in map(Path, paths):
        inside: list[Path] = []
        if path.is_dir() and not any((path / p / n).is_file() for p in ("", "pretrained_model") for n in _WEIGHTS):
            files = [p for p in path.iterdir() if p.suffix in _SUFFIXES and p.is_file()]
            folders = [p / "pretrained_model" for p in path.iterdir() if (p / "pretrained_model").is_dir()]
            inside = sorted([*files, *folders], key=_by_number)
        found += [str(p) for p in (inside or [path])]
    return found


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.parent.name + "/" + path.name if path.is_dir() else path.name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _sets(checkpoint: Checkpoint) -> dict[str, dict[str, Weight]]:
    found = {tree: dict(weights) for tree, weights in trees(checkpoint.weights).items()}
    beside = _processor_statistics(checkpoint.artifact)
    # What lies loose at the top of a file with named sets (a curriculum's state) is none itself.
    normalizers = {
        t: w
        for t, w in found.items()
        if (not t and len(found) > 1) or all(x.statistics or x.size <= 1 for x in w.values())
    }
    if len(normalizers) == len(found):
        return {t: {**w, **beside} for t, w in found.items()}
    loose = {n: w for weights in normalizers.values() for n, w in weights.items()} | beside
    kept = {t: w for t, w in found.items() if t not in normalizers}
    return {t: w if any(x.statistics for x in w.values()) and not beside else {**w, **loose} for t, w in kept.items()}


def _processor_statistics(artifact: Artifact) -> dict[str, Weight]:
    """Return the statistics that a LeRobot folder keeps in its processors' files (since 0.4)."""
    if artifact.kind != "folder":
        return {}
    found: dict[str, Weight] = {}
    for path in sorted(in_folder(artifact.path).parent.glob("policy_*normalizer_processor.safetensors")):
        try:
            file = open_safetensors(path)
        except ArtifactError:
            continue  # `parity inspect` names it; the weights can be judged without
        for key in file.names:
            dtype, shape = file.spec(key)
            name = f"{path.stem}.{key}"
            found[name] = Weight(name, shape, dtype, partial(file.read, key), statistics=True)
    return found


def only_names(weights: Mapping[str, Weight], tree: str) -> dict[str, Weight]:
    """Return weights by their names inside a weight set: without ``state_dicts.model.`` or ``model_state_dict.``."""
    found: dict[str, Weight] = {}
    for name, weight in weights.items():
        short = name
        for prefix in (f"state_dicts.{tree}.", f"{tree}."):
            if tree and name.startswith(prefix):
                short = name.removeprefix(prefix)
                break
        found[short if short not in found else name] = replace(weight, name=short if short not in found else name)
    return found


def _progress(checkpoint: Checkpoint, place: Path) -> tuple[int | None, int | None]:
    if checkpoint.artifact.kind not in ("checkpoint", "safetensors", "folder", "npz"):
        return None, None
    step, epoch = checkpoint.step, checkpoint.epoch
    if step is not None or epoch is not None:
        return step, epoch
    if checkpoint.artifact.kind == "folder":
        parts = [p for p in (place.name, place.parent.name) if p.isdigit()]
        return (int(parts[0][:18]) if parts else None), None
    stem = place.stem
    named, epochs = _STEP_IN_NAME.search(stem) or _NUMBERED.match(stem), _EPOCH_IN_NAME.search(stem)
    step = int(named[1][:18]) if named else None
    return step, int(epochs[1][:18]) if epochs else None


def _run(place: Path) -> Path:
    """Return the folder of the training run: above what trainers call the folders inside one."""
    folder = place if place.is_dir() else place.parent
    while _INSIDE_RUN.match(folder.name) and folder.parent != folder:
        folder = folder.parent
    return folder
