"""Attributes of a model, graph, node or descriptor: found by name at once, decoded when they are asked for.

AttrDef of ge_ir.proto (mindspore-ai/graphengine, Apache-2.0): one of list 1, text 2, int 3, float 4, bool 5, bytes 7,
named attributes 10, tensor descriptor 11, tensor 12, graph 13, list of lists of ints 14, type 15, list of lists of
floats 16. A map's entry is a message of key 1 and value 2.

Newer files intern them (``om_compress_version`` 1; EnumAttrUtils of CANN's public graph engine): a key is NUL and the
digits, least significant first and each plus one, of an index to base 127 into the model's ``attr_name_enum``; where
``attrs_use_string_value`` says so, a value's integers are indices into ``attr_value_enum``.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.errors import ArtifactError
from parity.om.wire import (
    BYTES,
    FIXED32,
    REMEDY,
    VARINT,
    DefinitionError,
    WireError,
    fields,
    floats,
    signed,
    text,
    varints,
)

LIST, TEXT, INT, FLOAT, BOOL, RAW, NAMED, DESCRIPTOR, TENSOR, INT_LISTS, TYPE, FLOAT_LISTS = (
    *(1, 2, 3, 4, 5, 7, 10, 11, 12, 14, 15, 16),
)
BASE = 127
SLACK = 32 << 20  # bytes that any graph may take
MAX_LIST = 4 << 20  # bytes of a list that is decoded; 80 MB of objects at worst


@dataclass(frozen=True, slots=True)
class Interned:
    """The model's tables of interned names and texts; empty where it does not intern."""

    names: Sequence[str] = ()
    texts: Sequence[str] = ()
    as_text: Sequence[bool] = ()

    def name(self, key: bytes) -> tuple[str, bool]:
        """Return the attribute's name, and whether its integers stand for texts.

        Raises:
            DefinitionError: the key stands for a name that the model does not list.
        """
        if not key.startswith(b"\0"):
            return key.decode("utf-8", "backslashreplace"), False
        index = 0
        for digit in reversed(key[1:][:8]):
            index = index * BASE + digit - 1
        if len(key) > 9 or not 0 <= index < min(len(self.names), len(self.as_text)):
            raise DefinitionError(
                f"an attribute is called by the number {index} of {len(self.names)} names", remedy=REMEDY
            )
        return self.names[index], self.as_text[index]

    def text(self, index: int) -> str:
        """Return the text that an integer stands for.

        Raises:
            DefinitionError: the model does not list it.
        """
        if not 0 <= index < len(self.texts):
            raise DefinitionError(f"an attribute's text is number {index} of {len(self.texts)} texts", remedy=REMEDY)
        return self.texts[index]


class Budget:
    """The memory that a file's graph may take: a hostile one of empty messages must not fill the machine's."""

    __slots__ = ("_left", "_whole")

    def __init__(self, file_bytes: int) -> None:
        self._whole = self._left = 3 * file_bytes + SLACK

    def spend(self, cost: int) -> None:
        """Take ``cost`` bytes, about what an object weighs.

        Raises:
            DefinitionError: nothing is left.
        """
        self._left -= cost
        if self._left < 0:
            raise DefinitionError(
                f"the graph would take more than {self._whole} bytes of memory",
                expected="a graph as compilers write it",
                remedy=REMEDY,
            )


@dataclass(frozen=True, slots=True)
class Definition:
    """A model definition's bytes with what is needed to read names in them."""

    path: Path
    data: memoryview
    budget: Budget
    interned: Interned = field(default_factory=Interned)

    def failed(self, error: DefinitionError) -> ArtifactError:
        """Return an error of the definition's bytes as one about the file."""
        return ArtifactError(f"{self.path}: {error.message}", expected=error.expected, remedy=error.remedy)


@dataclass(frozen=True, slots=True)
class TensorDef:
    """A tensor inside an attribute: its descriptor's place in the definition, and that of the data kept inline."""

    definition: Definition
    descriptor: tuple[int, int]
    inline: tuple[int, int]


class Spans:
    """Places (start, stop) of entries, in little memory: a graph has a hundred thousand of them."""

    __slots__ = ("_flat",)

    def __init__(self, places: Iterable[tuple[int, int]] = ()) -> None:
        self._flat = array("Q")
        for start, stop in places:
            self.append(start, stop)

    def append(self, start: int, stop: int) -> None:
        """Add one."""
        self._flat.append(start)
        self._flat.append(stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        places = iter(self._flat)
        return zip(places, places, strict=True)

    def __len__(self) -> int:
        return len(self._flat) // 2


class Attributes(Mapping[str, Any]):
    """Attributes by name. A value is int, float, bool, str, bytes, a list of these, `TensorDef` or `Attributes`.

    A tensor descriptor stands as its place (start, stop); `parity.om.graph.descriptor` reads it. Of graphs inside of
    attributes only the number of bytes is kept. Any access raises `ArtifactError` where the bytes are corrupt.
    """

    __slots__ = ("_definition", "_index", "_spans")

    def __init__(self, definition: Definition, spans: Spans) -> None:
        self._definition, self._spans = definition, spans
        self._index: dict[str, tuple[int, int, bool]] | None = None  # kept for whoever asks for all of them

    def _entries(self) -> dict[str, tuple[int, int, bool]]:
        if self._index is None:
            try:
                self._index = dict(self._named())
            except DefinitionError as e:
                raise self._definition.failed(e) from None
        return self._index

    def _named(self) -> Iterator[tuple[str, tuple[int, int, bool]]]:
        data, interned = self._definition.data, self._definition.interned
        for at, end in self._spans:
            key, start, stop = b"", 0, 0
            for number, wire, value, after in fields(data, at, end):
                if wire == BYTES and number == 1:
                    key = bytes(data[value:after])
                elif wire == BYTES and number == 2:
                    start, stop = value, after
            name, as_text = interned.name(key)
            yield name, (start, stop, as_text)

    def picked(self, *names: str) -> dict[str, Any]:
        """Return those that are called so, found in one pass; nothing is kept."""
        try:
            return {name: _value(self._definition, *place) for name, place in self._named() if name in names}
        except DefinitionError as e:
            raise self._definition.failed(e) from None

    def __getitem__(self, name: str) -> Any:
        if self._index is None:
            return self.picked(name)[name]
        try:
            return _value(self._definition, *self._index[name])
        except DefinitionError as e:
            raise self._definition.failed(e) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in (self._index if self._index is not None else self.picked(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def __repr__(self) -> str:
        return f"Attributes of {len(self._spans)}"

    def text(self, name: str) -> str | None:
        """Return a text; None where it is not there or no text."""
        return as_text(self.get(name))

    def integer(self, name: str) -> int | None:
        """Return an int; None where it is not there or none."""
        return as_integer(self.get(name))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return a list of ints; None where it is not there or holds something else."""
        return as_integers(self.get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty where it is not there or holds something else."""
        return as_texts(self.get(name))


def as_text(found: Any) -> str | None:
    """Return a text; None for anything else."""
    return found if isinstance(found, str) else None


def as_integer(found: Any) -> int | None:
    """Return an int; None for anything else."""
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def as_integers(found: Any) -> tuple[int, ...] | None:
    """Return a list of ints; None for anything else."""
    return tuple(found) if isinstance(found, list) and all(isinstance(v, int) for v in found) else None


def as_texts(found: Any) -> tuple[str, ...]:
    """Return a list of texts; empty for anything else."""
    return tuple(found) if isinstance(found, list) and all(isinstance(v, str) for v in found) else ()


def _value(definition: Definition, at: int, end: int, textual: bool) -> Any:
    data = definition.data
    value: Any = None
    for number, wire, start, stop in fields(data, at, end):
        if number in (INT, TYPE, BOOL) and wire == VARINT:
            value = _number(definition.interned, number, start, textual)
        elif number == FLOAT and wire == FIXED32:
            value = struct.unpack_from("<f", data, start)[0]
        elif wire == BYTES:
            value = _content(definition, number, start, stop, textual)
    return value


def _number(interned: Interned, number: int, value: int, textual: bool) -> int | str:
    if number == BOOL:
        return bool(value)
    return interned.text(signed(value)) if textual and number == INT else signed(value)


def _content(definition: Definition, number: int, start: int, stop: int, textual: bool) -> Any:
    data = definition.data
    if number == TEXT:
        return text(data, start, stop)
    if number == LIST:
        return _list(definition, start, stop, textual)
    if number == RAW:
        return bytes(data[start:stop])
    if number == TENSOR:
        return tensor(definition, start, stop)
    if number == NAMED:
        return named_attributes(definition, start, stop)
    if number == DESCRIPTOR:
        return start, stop
    if number == INT_LISTS:
        return [_numbers(data, a, b) for n, w, a, b in fields(data, start, stop) if w == BYTES and n == 1]
    if number == FLOAT_LISTS:
        lists = [(a, b) for n, w, a, b in fields(data, start, stop) if w == BYTES and n == 1]
        return [[v for n, w, p, q in fields(data, a, b) if n == 1 for v in floats(data, w, p, q)] for a, b in lists]
    return stop - start


def _numbers(data: memoryview, at: int, end: int) -> list[int]:
    return [
        v for n, w, a, b in fields(data, at, end) if n == 1 and w in (VARINT, BYTES) for v in varints(data, w, a, b)
    ]


def _list(definition: Definition, at: int, end: int, textual: bool) -> list[Any]:
    """Return a ListValue: s 2, i 3, f 4, b 5, bt 7, td 8, t 9, g 10, na 11, dt 12; val_type 20 is not needed."""
    data, found = definition.data, []
    if end - at > MAX_LIST:
        raise WireError(at, f"a list of {end - at} bytes")
    for number, wire, start, stop in fields(data, at, end):
        if number in (3, 5, 12) and wire in (VARINT, BYTES):
            values: list[Any] = list(varints(data, wire, start, stop))
            if number == 5:
                values = [bool(v) for v in values]
            elif number == 3 and textual:
                values = [definition.interned.text(v) for v in values]
            found.extend(values)
        elif number == 4 and wire != VARINT:
            found.extend(floats(data, wire, start, stop))
        elif wire == BYTES and number == 2:
            found.append(text(data, start, stop))
        elif wire == BYTES and number == 7:
            found.append(bytes(data[start:stop]))
        elif wire == BYTES and number == 8:
            found.append((start, stop))
        elif wire == BYTES and number == 9:
            found.append(tensor(definition, start, stop))
        elif wire == BYTES and number == 11:
            found.append(named_attributes(definition, start, stop))
    return found


def tensor(definition: Definition, at: int, end: int) -> TensorDef:
    """Return a TensorDef: its descriptor 1 and data 2.

    Raises:
        WireError: it has no descriptor, or is no message.
    """
    descriptor: tuple[int, int] | None = None
    inline = (end, end)
    for number, wire, start, stop in fields(definition.data, at, end):
        if wire == BYTES and number == 1:
            descriptor = start, stop
        elif wire == BYTES and number == 2:
            inline = start, stop
    if descriptor is None:
        raise WireError(at, "a tensor without a descriptor")
    return TensorDef(definition, descriptor, inline)


def named_attributes(definition: Definition, at: int, end: int) -> Attributes:
    """Return NamedAttrs: name 1, attributes 2."""
    found = fields(definition.data, at, end)
    return Attributes(definition, Spans((a, b) for n, w, a, b in found if w == BYTES and n == 2))
