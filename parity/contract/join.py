"""Several artifacts of one policy, joined into the contract that they share.

The first is the reference: what it says stays. What it does not say is taken from the next that does, and
``metadata["told_by"]`` says for every such field who told it. Contradictions are not settled here; see `disagree`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from parity.contract.disagreement import SIBLINGS_DISAGREE, Disagreement
from parity.contract.matching import align, is_generated, match_tensors
from parity.contract.model import Contract, Normalization, Sampler, Window
from parity.contract.siblings import read_siblings, siblings
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Dim, Shape, TensorSpec

__all__ = ["join", "read_siblings", "siblings", "with_siblings"]

ToldBy = dict[str, str]


def join(contracts: Sequence[Contract]) -> Contract:
    """Return the contract that all of ``contracts`` describe together; its path and kind are the first one's.

    Names and order of inputs and outputs are the first one's; where that cannot know (TorchScript, ``complete`` False)
    a name is taken from the partner that was matched. Shapes: the one with a batch axis, with a number rather than a
    symbol, a symbol rather than nothing. A range found in any of them becomes the input's. Metadata of the others is
    kept under keys that the first does not use. ``complete`` once inputs and outputs are known with shapes.

    Raises:
        UsageError: there is nothing to join.
    """
    if not contracts:
        raise UsageError("no artifact to take a contract from")
    joined, told = contracts[0], _said_by_first(contracts[0])
    for other in contracts[1:]:
        joined = _take(joined, other, told)
    known = bool(joined.inputs and joined.outputs) and all(t.shape for t in (*joined.inputs, *joined.outputs))
    metadata = {**joined.metadata, "told_by": told}
    return replace(joined, complete=joined.complete or known, metadata=metadata)


def with_siblings(contract: Contract) -> Contract:
    """Return the contract completed by the configurations beside its artifact, with a finding for each contradiction.

    What the siblings say of inputs and outputs fills in what the artifact cannot know and never adds a tensor to a
    graph whose tensors are known. From one that contradicts the artifact's shapes or kind of policy nothing is taken:
    it belongs to something else.
    """
    from parity.contract.disagree import disagreements

    found, findings = read_siblings(contract.path)
    fitting = []
    for sibling in found:
        against = [d for d in disagreements(contract, sibling) if d.severity == "error"]
        foreign = any(d.kind in ("shape", "policy") for d in against)
        findings += [_contradicts(contract, sibling, d, foreign) for d in against]
        if not foreign:
            fitting.append(sibling)
    joined = join([contract, *fitting]) if fitting else contract
    return replace(joined, findings=(*contract.findings, *findings))


def _contradicts(contract: Contract, sibling: Contract, d: Disagreement, foreign: bool) -> Finding:
    note = "; nothing is taken from that file" if foreign else ""
    return Finding(
        code=SIBLINGS_DISAGREE,
        severity="warning",
        title=f"{sibling.path.name}, beside {contract.path.name}, contradicts it: {d.sentence}{note}",
        where=d.where,
        evidence={"kind": d.kind, d.a: d.a_value, d.b: d.b_value},
        remedy="check that the file belongs to this artifact",
    )


def _said_by_first(first: Contract) -> ToldBy:
    """Return who told each field that the first contract fills; it may be the result of an earlier join."""
    told: ToldBy = {}
    for side, specs in (("inputs", first.inputs), ("outputs", first.outputs)):
        for t in specs:
            for part in ("shape", "dtype", "role", "units", "elements", "range"):
                if getattr(t, part) is not None:
                    told[f"{side}.{t.name}.{part}"] = _source(first, t, part)
    told.update(
        {f"window.{f.name}": str(first.path) for f in fields(Window) if getattr(first.window, f.name) is not None}
    )
    return {**told, **first.metadata.get("told_by", {})}


def _source(contract: Contract, spec: TensorSpec, part: str) -> str:
    return spec.range.source if part == "range" and spec.range is not None else str(contract.path)


def _take(mine: Contract, other: Contract, told: ToldBy) -> Contract:
    """Return ``mine`` with what only ``other`` says, noting it in ``told``."""
    inputs = _tensors(mine, other, mine.inputs, other.inputs, "inputs", told)
    outputs = _tensors(mine, other, mine.outputs, other.outputs, "outputs", told)
    modes = dict(mine.normalization.modes)
    for name, word in other.normalization.modes.items():
        if name not in modes:
            modes[name] = word
            told[f"normalization.{name}"] = str(other.path)
    stats = tuple(dict.fromkeys((*mine.normalization.stats, *other.normalization.stats)))
    if mine.policy is None and other.policy is not None:
        told["policy"] = str(other.path)
    return replace(
        mine,
        policy=mine.policy if mine.policy is not None else other.policy,
        inputs=inputs,
        outputs=outputs,
        window=_fill(mine.window, other.window, "window", other, told) or mine.window,
        normalization=Normalization(modes, stats),
        sampler=_fill(mine.sampler, other.sampler, "sampler", other, told),
        precision=mine.precision,
        metadata=_metadata(mine.metadata, other, told),
    )


def _fill(mine: Any, theirs: Any, prefix: str, other: Contract, told: ToldBy) -> Any:
    """Return the window or sampler ``mine`` with the fields that only ``theirs`` has (``${...}`` says nothing)."""
    if theirs is None:
        return mine
    base = mine if mine is not None else (Sampler() if isinstance(theirs, Sampler) else Window())
    new: dict[str, Any] = {}
    for f in fields(theirs):
        old, value = getattr(base, f.name), getattr(theirs, f.name)
        unresolved = isinstance(old, str) and old.startswith("${") and value is not None and value != old
        if (old is None or unresolved) and value is not None:
            new[f.name] = value
            told[f"{prefix}.{f.name}"] = str(other.path)
    return replace(base, **new)


def _metadata(mine: Mapping[str, Any], other: Contract, told: ToldBy) -> dict[str, Any]:
    found = dict(mine)
    for key, value in other.metadata.items():
        if key not in found and key != "told_by":
            found[key] = value
            told[f"metadata.{key}"] = str(other.path)
    return found


def _tensors(
    mine: Contract,
    other: Contract,
    ours: tuple[TensorSpec, ...],
    theirs: tuple[TensorSpec, ...],
    side: str,
    told: ToldBy,
) -> tuple[TensorSpec, ...]:
    """Return our tensors with what the partner knows of them; all of the partner's where we know none."""
    if not ours:
        if not mine.complete:  # a graph that knows nothing of its tensors: a feature's bare shape gets its batch axis
            theirs = tuple(replace(t, **_shape_of(TensorSpec(t.name, role=t.role), t, mine.window)) for t in theirs)
        for t in theirs:
            told.update({f"{side}.{t.name}.{p}": _source(other, t, p) for p in _parts(t)})
        return theirs
    partner = {id(m.a): m.b for m in match_tensors(ours, theirs).pairs}
    taken = {t.name for t in ours}
    joined = []
    for t in ours:
        mate = partner.get(id(t))
        if mate is None:
            joined.append(t)
            continue
        better = _spec(t, mate, other, mine.window, side, told)
        if not mine.complete and mate.name not in taken - {t.name} and is_generated(t.name):
            better = _renamed(better, mate, other, side, told)
        joined.append(better)
    return tuple(joined)


def _parts(t: TensorSpec) -> list[str]:
    return [p for p in ("shape", "dtype", "role", "units", "elements", "range") if getattr(t, p) is not None]


def _renamed(t: TensorSpec, mate: TensorSpec, other: Contract, side: str, told: ToldBy) -> TensorSpec:
    """Return the tensor under its partner's name: the artifact's own means nothing, and it is called by position."""
    if t.name == mate.name or is_generated(mate.name):
        return t
    for key in [k for k in told if k.startswith(f"{side}.{t.name}.")]:
        told[f"{side}.{mate.name}.{key.rsplit('.', 1)[1]}"] = told.pop(key)
    told[f"{side}.{mate.name}.name"] = str(other.path)
    return replace(t, name=mate.name)


def _spec(mine: TensorSpec, mate: TensorSpec, other: Contract, window: Window, side: str, told: ToldBy) -> TensorSpec:
    """Return our spec with what only the partner says of the same tensor."""
    new: dict[str, Any] = {}
    for part in ("dtype", "role", "units", "elements", "range"):
        if getattr(mine, part) is None and (value := getattr(mate, part)) is not None:
            new[part] = value
            told[f"{side}.{mine.name}.{part}"] = _source(other, mate, part)
    found = _shape_of(mine, mate, window)
    if (found["shape"], found["batched"]) != (mine.shape, mine.batched):
        new |= found
        told[f"{side}.{mine.name}.shape"] = str(other.path)
    return replace(mine, **new)


def _shape_of(mine: TensorSpec, mate: TensorSpec, window: Window) -> dict[str, Any]:
    shape, batched = _shape(mine, mate, window)
    return {"shape": shape, "batched": batched}


def _shape(mine: TensorSpec, mate: TensorSpec, window: Window) -> tuple[Shape | None, bool]:
    """Return the more telling of two shapes of one tensor, and whether its first axis is the batch.

    A bare feature shape given for a graph's tensor of unknown shape gets a batch axis, and a time axis where the
    policy observes more than one step.
    """
    if mate.shape is None:
        return mine.shape, mine.batched
    if mine.shape is None:
        if mine.batched and not mate.batched:
            n_obs = window.n_obs_steps
            time = (n_obs,) if isinstance(n_obs, int) and n_obs > 1 and mine.role != "action" else ()
            return ("batch", *time, *mate.shape), True
        return mate.shape, mate.batched
    if mine.batched != mate.batched:
        graph, bare = (mine, mate) if mine.batched else (mate, mine)
        lead = align(graph, bare)[0]
        pairs = align(graph, bare)[2]
        return (*lead, *(_dim(x, y) for x, y in pairs)), True
    if len(mine.shape) != len(mate.shape):
        return mine.shape, mine.batched
    return tuple(_dim(x, y) for x, y in zip(mine.shape, mate.shape, strict=True)), mine.batched


def _dim(mine: Dim, theirs: Dim) -> Dim:
    """Return the more telling of two sizes: ours, unless only the other is a number, or known at all."""
    if isinstance(mine, int) or theirs is None:
        return mine
    return theirs if isinstance(theirs, int) or mine is None else mine
