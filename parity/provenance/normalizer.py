"""A normalizer that one of two artifacts has and the other has not: the export forgot it, or it was applied twice."""

from __future__ import annotations

from dataclasses import dataclass

from parity.artifact import recognize
from parity.checkpoint.weights import read_weights
from parity.contract.model import Contract
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.tensor import Range


@dataclass(frozen=True, slots=True)
class NormalizerSides:
    """Where each of two contracts has a normalizer in its graph: the input's name, and the range's source or None."""

    input: str
    a: str | None
    b: str | None


def normalizer_on_one_side(a: Contract, b: Contract) -> NormalizerSides | None:
    """Return where the normalizer of one artifact is, when the other has none; None where both or neither have one.

    Only a ``mean_std`` range counts that the artifact itself holds (``Range.source`` begins with its path): statistics
    that a sibling or the user told are applied outside of both graphs.
    """
    ours, theirs = _own(a), _own(b)
    if (ours is None) == (theirs is None):
        return None
    name, found = ours or theirs or ("", None)
    source = None if found is None else found.source
    return NormalizerSides(name, source if ours else None, source if theirs else None)


def _own(contract: Contract) -> tuple[str, Range] | None:
    for spec in contract.inputs:
        if (
            spec.range is not None
            and spec.range.kind == "mean_std"
            and spec.range.source.startswith(str(contract.path))
        ):
            return spec.name, spec.range
    return None


def _holds(contract: Contract, normalizer: tuple[str, Range] | None) -> bool:
    """Whether an artifact has a tensor with the normalizer's mean, or whether it has one cannot be told.

    A graph is read through; of a torch file only names tell what a tensor is for, and those are the author's.
    """
    import numpy as np

    try:
        weights = read_weights(recognize(contract.path))
    except ArtifactError:
        return True
    mean = np.asarray(normalizer[1].first if normalizer else (), np.float64)
    near = (w.as_float().reshape(-1) for w in weights.values() if w.size == mean.size and w.dtype.startswith("float"))
    return any(bool(np.allclose(x, mean, rtol=1e-5, atol=1e-6)) for x in near)


def normalizer_finding(a: Contract, b: Contract) -> Finding | None:
    """Return a finding that names the artifact without the normalizer; None where both or neither have one.

    A recording holds what went in and came out: that it shows no normalizer says nothing of the policy behind it.
    """
    sides = normalizer_on_one_side(a, b)
    if sides is None or "trace" in (a.kind, b.kind):
        return None
    have, lack = (a, b) if sides.a else (b, a)
    if lack.kind != "onnx" and _holds(lack, _own(have)):
        return None
    what = {"onnx": "the ONNX graph", "torchscript": "the TorchScript file"}.get(lack.kind, f"the {lack.kind} file")
    return Finding(
        "WEIGHT004",
        "error",
        f"The normalizer is missing in {what}: {have.path.name} normalizes {sides.input!r}, {lack.path.name} does not.",
        where=sides.input,
        evidence={"found": sides.a or sides.b, "missing": str(lack.path)},
        remedy=f"export with the normalizer, or apply it before {lack.path.name} and say so in its pipeline",
    )
