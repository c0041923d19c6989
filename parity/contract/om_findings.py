"""What is suspicious in an OM file itself, told without running it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from parity.checkpoint.finite import not_finite
from parity.checkpoint.weight import Weight
from parity.contract.om_graph import node_dtypes, node_modes, precision, random_ops, unused_inputs, working
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.om.enums import NUMPY
from parity.om.layouts import KNOWN, primary
from parity.om.model import OmConstant, OmModel
from parity.om.reading import atc_options
from parity.tensor import Array

MAX_CHECKED = 32 << 20  # bytes of constants that are looked through; the smallest first, where NaN shows as well
_BITS = {"float16": ("<u2", 0x7C00), "float32": ("<u4", 0x7F800000), "float64": ("<u8", 0x7FF << 52)}
_BITS["bfloat16"] = ("<u2", 0x7F80)


@dataclass(frozen=True, slots=True)
class Checked:
    """The constants, how many of them were looked through, and what was seen.

    Attributes:
        special: (name, NaNs, Infs) of each that holds any.
        unreadable: (name, why) of each whose bytes could not be had.
    """

    count: int = 0
    bytes: int = 0
    read: int = 0
    special: tuple[tuple[str, int, int], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


def checked_constants(weights: Iterable[Weight]) -> Checked:
    """Look through constants for NaN and Inf, the smallest first, up to `MAX_CHECKED` bytes."""
    sized = sorted(((_size(w), w) for w in weights), key=lambda pair: pair[0])
    special: list[tuple[str, int, int]] = []
    unreadable: list[tuple[str, str]] = []
    taken = read = 0
    for size, weight in sized:
        taken += size
        if taken > MAX_CHECKED:
            break
        read += 1
        try:
            if _suspicious(weight.array, weight.dtype):
                special += not_finite([weight])
        except ArtifactError as e:
            unreadable.append((weight.name, e.message))
    return Checked(len(sized), sum(size for size, _ in sized), read, tuple(special), tuple(unreadable))


def _size(weight: Weight) -> int:
    return max(weight.size, 0) * int(NUMPY.get(weight.dtype, "|u1")[2:])


def _suspicious(array: Array, dtype: str) -> bool:
    """Whether any element's exponent is all ones, told by its bits: NumPy's float16 is slow."""
    import numpy as np

    if dtype not in _BITS or not array.size:
        return False
    kind, mask = _BITS[dtype]
    bits = array.reshape(-1).view(kind)
    exponent = np.array(mask, bits.dtype)
    step = 1 << 20
    return any(bool(np.any((bits[i : i + step] & exponent) == exponent)) for i in range(0, bits.size, step))


def om_findings(model: OmModel, checked: Checked) -> Iterator[Finding]:
    """Yield what the file tells about how far its outputs can be trusted or compared."""
    yield from _not_finite(checked)
    yield from _precision(model)
    yield from _random(model)
    yield from _host_side(model)
    yield from _modes(model)
    yield from _tools(model)
    yield from _constants(model, checked)


def _not_finite(checked: Checked) -> Iterator[Finding]:
    if checked.special:
        nans, infs = sum(n for _, n, _ in checked.special), sum(i for _, _, i in checked.special)
        names = ", ".join(name for name, _, _ in checked.special[:3])
        yield Finding(
            "OM001",
            "error",
            f"Constants hold {nans} NaN and {infs} Inf: {names}.",
            where=checked.special[0][0],
            detail="float16 ends at 65504: a larger weight becomes Inf when it is compiled.",
            evidence={"tensors": [{"name": n, "nan": a, "inf": b} for n, a, b in checked.special]},
            remedy="check the checkpoint; if it is sound, compile with --precision_mode_v2=origin",
        )


def _precision(model: OmModel) -> Iterator[Finding]:
    lowest, came_in_by = precision(model)
    if lowest == "float32":
        return
    counts = node_dtypes(working(model))
    line = model.toolkit.get("atc_cmdline")
    options = atc_options(line or "")
    evidence = {"classes": came_in_by, "node_dtypes": counts, "precision_mode": model.precision_mode}
    low = counts.get("float16", 0)
    if line is not None and not {"precision_mode", "precision_mode_v2"} & set(options) and "float16" in came_in_by:
        yield Finding(
            "OM002",
            "warning",
            f"float16 by default: atc was told no precision mode; {low} of {sum(counts.values())} nodes give it.",
            where=came_in_by["float16"],
            evidence=evidence,
            remedy="compile with --precision_mode_v2=origin, or declare float16 if it is meant",
        )
        return
    for name, where in came_in_by.items():
        yield Finding(
            "OM003",
            "info",
            f"Values pass through {name}, first at {where}.",
            where=where,
            evidence={**evidence, "class": name},
            remedy=f'declare precision = "{name}" if it is meant',
        )


def _random(model: OmModel) -> Iterator[Finding]:
    drawn = random_ops(model)
    if drawn:
        yield Finding(
            "OM004",
            "warning",
            f"The graph draws random numbers ({', '.join(drawn[:3])}): the same input gives different outputs.",
            evidence={"ops": drawn},
            remedy="export with the noise as an input, and compile again",
        )


def _host_side(model: OmModel) -> Iterator[Finding]:
    for tensor in model.inputs:
        if tensor.aipp:
            yield Finding(
                "OM005",
                "warning",
                f"AIPP prepares {tensor.name!r} on the device: the host gives {tensor.dtype} {list(tensor.shape)}.",
                where=tensor.name,
                detail="Scaling, mean and color order are applied there: doing them on the host too does them twice.",
                evidence={"shape": list(tensor.shape), "dtype": tensor.dtype, "source": dict(tensor.source)},
                remedy="give the raw picture, or compile without --insert_op_conf and prepare it on the host",
            )
    if model.gears is not None:
        values = [list(v) for v in model.gears.values]
        yield Finding(
            "OM006",
            "info",
            f"It runs in {len(values)} sizes only ({model.gears.kind} gears).",
            evidence={"kind": model.gears.kind, "values": values},
            remedy="give one of these sizes, or compile with those that the robot uses",
        )
    for name in unused_inputs(model):
        yield Finding(
            "OM009",
            "warning",
            f"No node reads the input {name!r}.",
            where=name,
            remedy="check that the export traced the path that uses it",
        )


def _modes(model: OmModel) -> Iterator[Finding]:
    modes = node_modes(working(model))
    fast = {m: n for m, n in modes.items() if m in ("high_performance", "super_performance", "hf32_execution")}
    if fast:
        counted = ", ".join(f"{n} in {m}" for m, n in fast.items())
        yield Finding(
            "OM007",
            "info",
            f"Nodes are implemented by faster approximations: {counted}.",
            evidence={"modes": modes},
            remedy="compile with --op_select_implmode=high_precision if outputs differ more than they may",
        )


def _tools(model: OmModel) -> Iterator[Finding]:
    if model.soc is None:
        yield Finding(
            "OM008",
            "info",
            "The file does not name the chip that it was compiled for; another chip refuses it, or fails when it runs.",
            evidence={"toolkit": dict(model.toolkit)},
            remedy="compile again with a newer atc, which writes it down",
        )
    line = model.toolkit.get("atc_cmdline", "")
    paths = [value for value in atc_options(line).values() if value.startswith("/")]
    if paths:
        yield Finding(
            "OM010",
            "info",
            "The file carries the command line of atc, with paths of the machine that compiled it.",
            evidence={"paths": paths},
            remedy="compile with relative paths before the model leaves the house",
        )


def _constants(model: OmModel, checked: Checked) -> Iterator[Finding]:
    strange = {c.name: why for c in model.constants.values() if (why := _why_not(c)) is not None}
    strange |= {name: why for name, why in checked.unreadable if name not in strange}
    if strange:
        name = next(iter(strange))
        yield Finding(
            "OM011",
            "warning",
            f"{len(strange)} of {len(model.constants)} constants cannot be read: {name} ({strange[name]}).",
            where=name,
            evidence={"constants": strange},
            remedy="compare by outputs: where these weights come from cannot be told",
        )
    told, there = model.sizes.get("weight_size"), model.sizes.get("weights", 0)
    if told is not None and told > there and not any(n.type == "FileConstant" for n in model.nodes):
        yield Finding(
            "OM012",
            "error",
            f"The model tells of {told} bytes of weights; the file holds {there}.",
            evidence={"weight_size": told, "weights": there},
            remedy="it was put together from parts of two files, or damaged: compile or fetch it again",
        )


def _why_not(constant: OmConstant) -> str | None:
    if primary(constant.format)[0] not in KNOWN:
        return f"its layout {constant.format or 'without a name'} is not known"
    return None if constant.dtype in NUMPY or constant.dtype == "str" else f"it is of type {constant.dtype}"
