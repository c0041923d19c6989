"""The table ``[adapter.<candidate>]`` of parity.toml as checked plain data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.contract.model import Contract
from parity.errors import UsageError
from parity.tensor import TensorSpec

KEYS = ("rename", "permute", "constant", "cast", "unused", "inputs", "outputs")
CASTS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")

_PART = re.compile(r"^(?P<name>.+?)(?:\[(?P<start>\d*)(?P<colon>:)?(?P<stop>\d*)\])?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """Elements ``start:stop`` of a tensor's last axis; None stands for its ends."""

    name: str
    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        if self.start is None and self.stop is None:
            return self.name
        return f"{self.name}[{'' if self.start is None else self.start}:{'' if self.stop is None else self.stop}]"


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant input: a number, or nested lists; ``shape`` is what follows the batch axis."""

    value: Any
    shape: tuple[int, ...] | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole table."""

    rename: Mapping[str, str] = field(default_factory=dict)
    permute: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    cast: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[Part, ...] = ()
    inputs: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def parse_rules(table: Mapping[str, Any]) -> Rules:
    """Return the table as rules.

    Raises:
        UsageError: an unknown key, a value of another form, no permutation, or two tensors renamed to one.
    """
    for key in table:
        if key not in KEYS:
            raise UsageError(f"adapter: unknown key {key!r}{nearest(key, KEYS)}", expected=", ".join(KEYS))
    rename = {k: _text(f"rename.{k}", v) for k, v in _table(table, "rename").items()}
    targets = list(rename.values())
    for name in targets:
        if targets.count(name) > 1:
            both = ", ".join(repr(k) for k, v in rename.items() if v == name)
            raise UsageError(f"adapter: rename: {both} are both renamed to {name!r}")
    rules = Rules(
        rename=rename,
        permute={k: _order(k, v) for k, v in _table(table, "permute").items()},
        constants={k: _constant(k, v) for k, v in _table(table, "constant").items()},
        cast={k: _cast(k, v) for k, v in _table(table, "cast").items()},
        unused=_parts("unused", table.get("unused", [])),
        inputs={k: _parts(f"inputs.{k}", v, needed=True) for k, v in _table(table, "inputs").items()},
        outputs={k: _parts(f"outputs.{k}", v, needed=True) for k, v in _table(table, "outputs").items()},
    )
    for name in rules.inputs:
        if name in rename:
            raise UsageError(f"adapter: {name!r} stands in both `rename` and `inputs`", remedy="leave one of them out")
    for name in rules.outputs:
        if name in targets:
            raise UsageError(f"adapter: {name!r} stands in both `rename` and `outputs`", remedy="leave one of them out")
    return rules


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"adapter: {key} is {value!r:.60}", expected=f"a table, such as {key} = {{obs = ...}}")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"adapter: {where} is {value!r:.60}", expected="a name")
    return value


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _order(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(map(_is_index, value)):
        raise UsageError(f"adapter: permute.{name} is {value!r:.60}", expected="a list of indices from 0")
    if sorted(value) != list(range(len(value))):
        gone = sorted(set(range(len(value))) - set(value))
        raise UsageError(
            f"adapter: permute.{name} is no permutation of 0…{len(value) - 1}: {', '.join(map(str, gone[:5]))} missing"
        )
    return tuple(value)


def _constant(name: str, value: Any) -> Constant:
    shape, dtype = None, None
    if isinstance(value, Mapping):
        unknown = [k for k in value if k not in ("value", "shape", "dtype")]
        if unknown or "value" not in value:
            raise UsageError(
                f"adapter: constant.{name} is {dict(value)!r:.80}", expected="value, and if needed shape, dtype"
            )
        shape, dtype, value = value.get("shape"), value.get("dtype"), value["value"]
        if shape is not None and not (isinstance(shape, list) and all(map(_is_index, shape))):
            raise UsageError(f"adapter: constant.{name}.shape is {shape!r:.60}", expected="a list of sizes")
        dtype = None if dtype is None else _cast(name, dtype)
    if not _numeric(value):
        raise UsageError(
            f"adapter: constant.{name} is {value!r:.60}", expected="a number, or lists of them of equal length"
        )
    return Constant(value, None if shape is None else tuple(shape), dtype)


def _numeric(value: Any) -> bool:
    """Whether a value is a number or a rectangular nest of lists of numbers."""
    if not isinstance(value, list):
        return isinstance(value, bool | int | float)
    lengths = {len(v) if isinstance(v, list) else None for v in value}
    return bool(value) and len(lengths) == 1 and all(map(_numeric, value))


def _cast(name: str, value: Any) -> str:
    if value not in CASTS:
        raise UsageError(f"adapter: {name}: no element type {value!r:.40}", expected=", ".join(CASTS))
    return str(value)


def _parts(where: str, value: Any, needed: bool = False) -> tuple[Part, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or (needed and not listed):
        raise UsageError(f"adapter: {where} is {value!r:.60}", expected='a list such as ["observation.state[0:7]"]')
    return tuple(parse_part(where, v) for v in listed)


def parse_part(where: str, text: Any) -> Part:
    """Return ``name``, ``name[3]``, ``name[0:7]``, ``name[:7]`` or ``name[7:]`` as a part.

    Raises:
        UsageError: not of this form.
    """
    match = _PART.match(_text(where, text))
    if match is None or text.endswith("[]"):
        raise UsageError(
            f"adapter: {where}: {text!r:.60} is no part of a tensor", expected="name, name[3] or name[0:7]"
        )
    start, colon, stop = match["start"], match["colon"], match["stop"]
    if start is None:
        return Part(text)
    if not colon:
        return Part(match["name"], int(start), int(start) + 1)
    return Part(match["name"], int(start) if start else 0, int(stop) if stop else None)


def _known(what: str, names: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    known = [t.name for t in specs]
    for name in names:
        if name not in known:
            raise UsageError(f"adapter: {what} {name!r}{nearest(name, known)}", expected=", ".join(known) or "none")


def _in_range(where: str, parts: Sequence[Part], specs: Sequence[TensorSpec]) -> None:
    sizes = {t.name: t.shape[-1] for t in specs if t.shape}
    for p in parts:
        size, last = sizes.get(p.name), (p.stop or 0) if p.stop is not None else (p.start or 0) + 1
        if isinstance(size, int) and p.start is not None and (last > size or p.start >= last):
            raise UsageError(f"adapter: {where}: {p} is out of range: {p.name!r} has {size} elements")


def check_candidate(rules: Rules, candidate: Contract) -> None:
    """Raise `UsageError` where the table names a tensor that the candidate does not have."""
    inputs, outputs = candidate.inputs, candidate.outputs
    if outputs:
        both = (*inputs, *outputs)
        _known("rename: the candidate has no tensor", list(rules.rename), both)
        _known("permute: the candidate has no tensor", list(rules.permute), both)
        for name, parts in rules.outputs.items():
            _known(f"outputs.{name}: the candidate has no output", [p.name for p in parts], outputs)
            _in_range(f"outputs.{name}", parts, outputs)
    for key, named in (("inputs", rules.inputs), ("constant", rules.constants), ("cast", rules.cast)):
        _known(f"{key}: the candidate has no input", list(named), inputs)


def check_reference(rules: Rules, reference: Contract) -> None:
    """Raise `UsageError` where the table names a tensor that the contract does not have."""
    if reference.outputs:
        known = (*reference.inputs, *reference.outputs)
        _known("rename: the contract has no tensor", list(rules.rename.values()), known)
        _known("outputs: the contract has no output", list(rules.outputs), reference.outputs)
    for name, parts in rules.inputs.items():
        _known(f"inputs.{name}: the contract has no input", [p.name for p in parts], reference.inputs)
        _in_range(f"inputs.{name}", parts, reference.inputs)
