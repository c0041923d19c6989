"""Where an OM's inputs contradict those of the model it should be, in ways that the device does not complain about.

What any two artifacts may disagree in (names, shapes, dtypes, order) is told by `disagree`; here is what is peculiar to
compiled models: sizes that were frozen, gears, pictures instead of tensors, and what the runtime lets through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parity.contract.disagree_tensors import show
from parity.contract.matching import Match, match_tensors
from parity.contract.model import Contract
from parity.contract.om_sizes import (
    at_size_of,
    bytes_of,
    model_spec,
    policy_inputs,
    sizes_in_words,
    spec_of,
    taken,
    wanted_bytes,
)
from parity.finding import Finding
from parity.om.model import OmModel, OmTensor
from parity.tensor import TensorSpec

FROZEN, GEARS, PICTURE, SILENT, POSITION, LAYOUT = "OM030", "OM032", "OM033", "OM037", "OM039", "OM040"
CHANNELS = (1, 3, 4)
WORDS = {"exact": "has as many bytes", "large": "has more bytes", "short": "lacks at most 64 bytes"}


@dataclass(frozen=True, slots=True)
class Paired:
    """An input of the reference and the one of the OM that is the same."""

    spec: TensorSpec
    tensor: OmTensor


def paired_inputs(model: OmModel, inputs: Sequence[TensorSpec]) -> list[Paired]:
    """Return which of the reference's inputs is which of the OM's, in the reference's order."""
    tensors = policy_inputs(model)
    specs = [model_spec(t) for t in tensors]
    by_id = {id(s): t for s, t in zip(specs, tensors, strict=True)}
    return [Paired(m.a, by_id[id(m.b)]) for m in _matches(inputs, specs)]


def _matches(inputs: Sequence[TensorSpec], specs: Sequence[TensorSpec]) -> Sequence[Match]:
    return match_tensors(inputs, specs).pairs


def against(model: OmModel, other: Contract) -> list[Finding]:
    """Return in what an OM and the contract of another artifact contradict each other, beyond `disagreements`."""
    pairs = paired_inputs(model, other.inputs)
    found = [*_frozen(model, pairs, other), *_gears(model, pairs, other), *_order(model, pairs, other.inputs)]
    for pair in pairs:
        found += _picture(pair) if pair.tensor.aipp else [*_silent(pair), *_layout(pair)]
    return found


def _frozen(model: OmModel, pairs: Sequence[Paired], other: Contract) -> Iterator[Finding]:
    """Yield a finding where axes other than the batch, free in the source, have one size in the OM."""
    axes = []
    for p in pairs:
        fixed = model_spec(p.tensor).shape
        if p.spec.shape is None or fixed is None or len(p.spec.shape) != len(fixed):
            continue
        both = list(enumerate(zip(p.spec.shape, fixed, strict=True)))[1 if p.spec.batched else 0 :]
        axes += [(p.spec.name, i, a, b) for i, (a, b) in both if not isinstance(a, int) and isinstance(b, int)]
    if axes and model.gears is None:
        told = "; ".join(f"{name}: axis {i}{f' ({a})' if a else ''} is {b}" for name, i, a, b in axes[:4])
        yield Finding(
            FROZEN,
            "warning",
            f"Sizes that are free in {other.path.name} are fixed in the OM: {told}.",
            where=axes[0][0],
            evidence={"axes": [{"input": n, "axis": i, "free": a, "fixed": b} for n, i, a, b in axes]},
            remedy="make sure that the host pads to this size, and masks what it padded; or compile with gears",
        )


def _gears(model: OmModel, pairs: Sequence[Paired], other: Contract) -> Iterator[Finding]:
    free = any(not isinstance(n, int) for p in pairs for n in p.spec.shape or ())
    if model.gears is not None and free:
        yield Finding(
            GEARS,
            "info",
            f"The OM runs at {sizes_in_words(model)}; {other.path.name} at any.",
            where=pairs[0].spec.name,
            evidence={"kind": model.gears.kind, "values": [list(v) for v in model.gears.values]},
            remedy="compile with the sizes that the robot and the release need",
        )


def _picture(pair: Paired) -> list[Finding]:
    spec, tensor = pair.spec, pair.tensor
    given = spec_of(tensor)
    if spec.dtype == tensor.dtype and spec.shape == given.shape:
        return []
    return [
        Finding(
            PICTURE,
            "warning",
            f"{spec.name}: AIPP prepares it on the device: the host gives a picture, {tensor.dtype} "
            f"{show(given.shape)}, not the {spec.dtype or 'tensor'} {show(spec.shape)} of the model.",
            where=spec.name,
            evidence={"picture": {"shape": list(tensor.shape), "dtype": tensor.dtype, "format": tensor.format}},
            remedy="give raw pixels, and compare mean, scale, channel order and crop in the AIPP file with the "
            "preprocessing of training",
        )
    ]


def _silent(pair: Paired) -> list[Finding]:
    """Return a finding where what the reference takes is not what the OM takes, and the runtime would take it."""
    spec, tensor = pair.spec, pair.tensor
    if not spec.batched:
        return []  # a feature without its axes of batch and time: its bytes are not known
    own = spec_of(tensor)
    shape, takes = at_size_of(spec, own), at_size_of(own, spec)
    given = bytes_of(shape, spec.dtype or tensor.dtype)
    wanted = wanted_bytes(tensor) if takes == own.shape else bytes_of(takes, tensor.dtype)
    if given is None or wanted is None or shape is None or takes is None:
        return []
    dtype, other = bool(spec.dtype and spec.dtype != tensor.dtype), _squeezed(shape) != _squeezed(takes)
    how = taken(given, wanted)
    if not (dtype or other) or how == "refused":
        return []
    return [
        Finding(
            SILENT,
            "warning",
            f"{spec.name}: {spec.dtype or tensor.dtype} {show(shape)}, which the reference takes, is not the "
            f"{tensor.dtype} {show(takes)} of the OM, and the runtime accepts it: it {WORDS[how]} "
            f"({given} for {wanted}).",
            where=spec.name,
            evidence={"given_bytes": given, "wanted_bytes": wanted, "taken": how, "dtype": dtype, "shape": other},
            remedy="convert it on the host, and check bytes, dtype and shape before every call; runner `om` does",
        )
    ]


def _squeezed(shape: Sequence[object]) -> tuple[object, ...]:
    return tuple(n for n in shape if n != 1)


def _layout(pair: Paired) -> list[Finding]:
    """Return a finding where a picture's axes are named in another order than its sizes suggest."""
    tensor, shape = pair.tensor, pair.tensor.shape
    if len(shape) != 4 or tensor.format not in ("NCHW", "NHWC") or pair.spec.shape is None:
        return []
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    other = {"NCHW": last and not first, "NHWC": first and not last}[tensor.format]
    if not other or len(pair.spec.shape) != 4:
        return []
    return [
        Finding(
            LAYOUT,
            "warning",
            f"{pair.spec.name}: the OM calls its axes {tensor.format}, but {show(spec_of(tensor).shape)} has the "
            f"channels {'last' if last else 'first'}.",
            where=pair.spec.name,
            evidence={"format": tensor.format, "shape": list(shape)},
            remedy="compile again with the --input_format that the model was exported in",
        )
    ]


def _order(model: OmModel, pairs: Sequence[Paired], inputs: Sequence[TensorSpec]) -> Iterator[Finding]:
    """Yield a finding where inputs stand in another order: pyACL feeds by position."""
    if not all(t.batched for t in inputs):
        return  # a configuration has no order
    position = {id(t): i for i, t in enumerate(policy_inputs(model))}
    order = [position[id(p.tensor)] for p in pairs]
    if order == sorted(order):
        return
    swapped = []
    for p, target in zip(pairs, sorted(pairs, key=lambda p: position[id(p.tensor)]), strict=True):
        given = bytes_of(at_size_of(p.spec, model_spec(p.tensor)), p.spec.dtype or p.tensor.dtype)
        wanted = wanted_bytes(target.tensor)
        if p is not target:
            unseen = given is not None and wanted is not None and taken(given, wanted) != "refused"
            swapped.append((p.spec.name, target.tensor.source_name, unseen))
    unnoticed = [f"{a} as {b}" for a, b, unseen in swapped if unseen]
    told = f"; fed in the reference's order it would take {', '.join(unnoticed[:4])}" if unnoticed else ""
    yield Finding(
        POSITION,
        "warning",
        f"The OM's inputs stand in another order, and are fed by position{told}.",
        where="inputs",
        evidence={"reference": [p.spec.name for p in pairs], "om": [t.source_name for t in policy_inputs(model)]},
        remedy="feed by name: map names to positions from the OM itself, as runner `om` does",
    )
