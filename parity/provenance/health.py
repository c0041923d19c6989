"""What is wrong with a file of weights: adapters never merged, buffers that a newer loader drops, tensors never set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from parity.checkpoint.finite import finite_finding
from parity.checkpoint.weight import Weight
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.provenance.compare_weights import is_weight_like
from parity.provenance.find import Found
from parity.provenance.folds import adapters
from parity.provenance.pool import numbers_of
from parity.provenance.source import Source
from parity.provenance.words import LISTED, finding_on, listed

PICKLED, ADAPTER, BUFFERS, ZERO, UNTOUCHED = "PROV012", "PROV013", "PROV014", "PROV015", "PROV016"
MAX_LOOKED_AT = 1 << 26  # elements of a tensor that is looked at
_ADAPTER = re.compile(r"(^|\.)lora_(A|B|embedding_[AB])(\.|$)")
# LeRobot before 0.4 kept its statistics inside the weights; later classes have no such buffers.
_BUFFERS = re.compile(r"(^|\.)(un)?normalize_(inputs|targets|outputs)\.buffer_")


def health(source: Source) -> list[Finding]:
    """Return what is wrong with the weights of a file.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    weights = source.checkpoint.weights
    if source.checkpoint.artifact.kind == "om":  # its matrices of zeros are the compiler's pads
        return [f for f in [finite_finding(_readable(weights))] if f is not None]
    told = [_pickled(source), _adapters(source.name, weights), _buffers(source, weights)]
    told += [_zero(source, weights), _untouched(source, weights), finite_finding(weights.values())]
    return [f for f in told if f is not None]


def _readable(weights: Mapping[str, Weight]) -> Iterator[Weight]:
    """Yield the tensors whose values can be had: a compiler may store one in a way that is not known."""
    for weight in weights.values():
        try:
            array = weight.load()
        except ArtifactError:
            continue
        yield replace(weight, load=partial(np.asarray, array))


def _pickled(source: Source) -> Finding | None:
    if source.checkpoint.layout != "module":
        return None
    classes = source.checkpoint.classes
    return Finding(
        PICKLED,
        "warning",
        f"{source.name} is a module that was pickled whole: loading it imports and runs code ({listed(classes)}). "
        "parity did not.",
        where=source.name,
        evidence={"classes": list(classes[:LISTED])},
        remedy="save its state dict, or safetensors",
    )


def _adapters(where: str, weights: Mapping[str, Weight]) -> Finding | None:
    names = [n for n in weights if _ADAPTER.search(n)]
    return finding_on(
        ADAPTER,
        names,
        f"{where} holds {len(names)} tensors of adapters (LoRA) that are not merged: {listed(names)}. Without them it "
        "is the base policy.",
        "merge them (merge_and_unload) before the export, or make sure that the loader applies them",
        key="adapters",
    )


def left_out_adapters(found: Sequence[Found], weights: Mapping[str, Weight]) -> Finding | None:
    """Return a finding that an export holds base weights into which the checkpoint's adapters were not merged.

    Args:
        found: the exported tensors and what of the checkpoint they are.
        weights: those of the checkpoint.
    """
    moving = {base.name for _, base, _, b in adapters(weights) if b.size and np.any(numbers_of(b))}
    bare = [f.exported for f in found if f.how in ("exact", "rounded") and f.source in moving]
    return finding_on(
        ADAPTER,
        bare,
        f"The adapters (LoRA) of the checkpoint were not merged into {len(bare)} exported tensors: {listed(bare)}.",
        "merge them (merge_and_unload) and export again",
        key="not_merged",
        severity="error",
    )


def _buffers(source: Source, weights: Mapping[str, Weight]) -> Finding | None:
    names = [n for n in weights if _BUFFERS.search(n)]
    return finding_on(
        BUFFERS,
        names,
        f"{source.name} keeps {len(names)} statistics among its weights ({listed(names)}), as LeRobot did before 0.4: "
        "newer classes have no such buffers and drop them.",
        "migrate the folder with LeRobot's own script, and check that every feature is still normalized",
        key="buffers",
    )


def _zero(source: Source, weights: Mapping[str, Weight]) -> Finding | None:
    names = [n for n, w in weights.items() if _is_matrix(w) and _all_equal(w) == 0.0]
    return finding_on(
        ZERO,
        names,
        f"{len(names)} matrices of {source.name} are all zero: {listed(names)}. What comes in there stops there.",
        "nothing, if they begin at zero by design and were frozen; else look at which weights were loaded",
        key="zero",
    )


def _untouched(source: Source, weights: Mapping[str, Weight]) -> Finding | None:
    """BatchNorm whose statistics are those it was made with: it never saw a batch."""
    names = sorted(_unseen(weights))
    return finding_on(
        UNTOUCHED,
        names,
        f"{len(names)} BatchNorm layers of {source.name} have never seen data (mean 0, variance 1): {listed(names)}.",
        "look at whether this part was trained, and in which mode",
        key="untouched",
    )


def _unseen(weights: Mapping[str, Weight]) -> Iterator[str]:
    for name, mean in weights.items():
        prefix = name.removesuffix("running_mean")
        var = weights.get(f"{prefix}running_var")
        if prefix != name and var is not None and _all_equal(mean) == 0.0 and _all_equal(var) == 1.0:
            yield prefix.rstrip(".") or name


def _is_matrix(weight: Weight) -> bool:
    return is_weight_like(weight) and sum(n > 1 for n in weight.shape) >= 2 and not weight.statistics


def _all_equal(weight: Weight) -> float | None:
    """Return the value of all elements; None where they differ, or there are none or very many."""
    if not 0 < weight.size <= MAX_LOOKED_AT or "float8" in weight.dtype:
        return None
    array = weight.array
    first = array[(0,) * array.ndim]
    if not (array[..., :1] == first).all() or not (array == first).all():
        return None
    return float(numbers_of(weight).reshape(-1)[0]) if weight.size < 1 << 16 or first == 0 else None
