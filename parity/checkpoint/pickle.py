"""A pickle read as data. A pickle is a program; nothing that it asks for is imported, called or built here.

The opcodes (CPython's `pickletools` documents them) are interpreted over a handful of plain containers. Everything that
a pickle asks to be imported becomes a `Global`, everything it asks to be called or built a `Record` of the request.
The C unpickler is not used at all: its memo can be made to take gigabytes by a file of ten bytes.
"""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, cast

from parity.artifact import UNFINISHED
from parity.errors import ArtifactError

MAX_OPCODES = 10_000_000
MAX_COPIED = 20_000_000  # elements copied from one container into another, which a memo could repeat without end
MAX_LINE = 1 << 24
MAX_KEY_DEPTH = 4
_SHORT = re.compile(r"^(pickle exhausted|not enough data|expected \d+ bytes)")  # pickletools' words for a file cut off
REMEDY = "it is truncated or corrupt: save or fetch it again"


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A name that the pickle wanted imported, such as ``torch.FloatStorage``. It was not."""

    name: str


@dataclass(slots=True, eq=False)
class Record:
    """An object that the pickle wanted built: what by, from which arguments, and what was put into it."""

    name: str
    args: Any = ()
    state: Any = None
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    elements: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """A reference to something outside of the pickle (torch: a storage)."""

    id: Any


_DICTS = {"collections.OrderedDict", "builtins.dict", "__builtin__.dict", "collections.Counter"}
_LISTS = {"builtins.list", "__builtin__.list", "builtins.set", "__builtin__.set", "collections.deque"}
_TUPLES = {"builtins.tuple", "__builtin__.tuple", "torch.Size", "builtins.frozenset", "__builtin__.frozenset"}


class _Bounded:
    """The part of a file that a pickle may read; a length that lies is cut to what is there, before memory is taken."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def tell(self) -> int:
        return self._file.tell()

    def read(self, n: int) -> bytes:
        return self._file.read(max(0, min(n, self._size - self._file.tell())))

    def readline(self) -> bytes:
        return self._file.readline(max(0, min(MAX_LINE, self._size - self._file.tell())))


def read_pickle(file: BinaryIO, size: int, where: str, imports: set[str] | None = None) -> Any:
    """Return the data of the pickle that starts where ``file`` stands, and leave ``file`` behind it.

    Containers come as dict, list and tuple (a set as a list), all else as `Global`, `Record` or `Persistent`. The
    result may share and nest without end, as pickles can: walk it with a limit.

    Args:
        size: where the readable part of the file ends, in bytes.
        where: what to call it in messages.
        imports: gets the names of all that the pickle wanted imported.

    Raises:
        ArtifactError: truncated, corrupt, above 10 million opcodes, or asking for something that no checkpoint has.
    """
    machine = _Machine(set() if imports is None else imports)
    with warnings.catch_warnings():  # a text with an escape that Python does not know is a warning of `codecs`
        warnings.simplefilter("ignore")
        return _run(machine, file, size, where)


def _run(machine: _Machine, file: BinaryIO, size: int, where: str) -> Any:
    position: int | None = 0
    try:
        bounded = cast(Any, file if isinstance(file, BytesIO) else _Bounded(file, size))  # memory bounds itself
        for count, (opcode, arg, position) in enumerate(pickletools.genops(bounded)):  # noqa: B007
            if count > MAX_OPCODES:
                raise ValueError(f"more than {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, arg)
        raise ValueError("pickle exhausted before seeing STOP")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError) as e:
        reason = str(e)[:200] or type(e).__name__
        if _SHORT.search(reason):
            raise ArtifactError(
                f"{where}: half-written: its pickle ends too early, at byte {position} ({reason})", remedy=UNFINISHED
            ) from None
        raise ArtifactError(f"{where}: not a readable pickle at byte {position}: {reason}", remedy=REMEDY) from None


class _Machine:
    """The pickle machine with every instruction that could run something replaced by a note of it."""

    def __init__(self, imports: set[str]) -> None:
        self.imports = imports
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self, name: str, arg: Any) -> None:
        if name in _VALUES:
            self.stack.append(arg)
        elif name in _PUTS:
            self.memo[arg] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[arg])
        else:
            operation = _OPERATIONS.get(name)
            if operation is None:
                raise ValueError(f"the opcode {name} is in no checkpoint")
            operation(self, arg)

    def pop(self) -> Any:
        return self.stack.pop()

    def imported(self, name: str) -> Global:
        self.imports.add(name)
        return Global(name)

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def discard(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def push(self, make: Callable[[list[Any]], Any]) -> None:
        items = self.pop_mark()
        self.stack.append(make(items))

    def tuple_of(self, n: int) -> None:
        if len(self.stack) < n:
            raise IndexError("stack underflow")
        self.stack[-n:] = [tuple(self.stack[-n:])]

    def put_pairs(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise ValueError("an odd number of keys and values")
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(target, Record):
                target.pairs.append((key, value))
            elif isinstance(target, dict):
                target[_key(key)] = value
            else:
                raise TypeError(f"items put into a {type(target).__name__}")

    def put_elements(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.elements.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise TypeError(f"elements put into a {type(target).__name__}")

    def call(self, what: Any, args: Any, kwargs: Any = None) -> None:
        if not isinstance(args, tuple):
            raise TypeError("called with something else than a tuple")
        name = what.name if isinstance(what, Global) else f"<{type(what).__name__}>"
        self.stack.append(self._container(name, args) if not kwargs else Record(name, args, kwargs))

    def _container(self, name: str, args: tuple[Any, ...]) -> Any:
        """Return the container that a call makes, if it makes one that is plain, else the record of the call."""
        if name == "collections.defaultdict":
            args = args[1:]
        elif name not in _DICTS and name not in _LISTS and name not in _TUPLES:
            return Record(name, args)
        if len(args) > 1 or (args and not isinstance(args[0], list | tuple | dict)):
            return Record(name, args)
        content = args[0] if args else ()
        self.copied += len(content)
        if self.copied > MAX_COPIED:
            raise ValueError("containers are copied without end")
        if name in _LISTS:
            return list(content)
        if name in _TUPLES:
            return tuple(content)
        return {_key(k): v for k, v in (content.items() if isinstance(content, dict) else content)}

    def build(self, _: Any) -> None:
        state = self.pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict | list | tuple):
            raise TypeError(f"a state put into a {type(target).__name__}")


def _key(key: Any, depth: int = 0) -> Any:
    """Return a key that is safe to hash: hashing a tuple recurses in C, so nesting is limited."""
    if isinstance(key, tuple):
        if depth >= MAX_KEY_DEPTH:
            raise ValueError("a key nested too deeply")
        return tuple(_key(k, depth + 1) for k in key)
    if isinstance(key, list | dict | bytearray):
        raise TypeError(f"a {type(key).__name__} as a key")
    return key


_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


def _global(machine: _Machine, arg: str) -> None:
    machine.stack.append(machine.imported(arg.replace(" ", ".", 1)))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise TypeError("an import by something else than names")
    machine.stack.append(machine.imported(f"{module}.{name}"))


def _reduce(machine: _Machine, _: Any) -> None:
    args = machine.pop()
    machine.call(machine.pop(), args)


def _newobj_ex(machine: _Machine, _: Any) -> None:
    kwargs, args = machine.pop(), machine.pop()
    machine.call(machine.pop(), args, kwargs)


def _instance(machine: _Machine, arg: str) -> None:
    machine.call(machine.imported(arg.replace(" ", ".", 1)), tuple(machine.pop_mark()))


def _object(machine: _Machine, _: Any) -> None:
    what, *args = machine.pop_mark()
    machine.call(what, tuple(args))


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.put_pairs([key, value])


def _append(machine: _Machine, _: Any) -> None:
    machine.put_elements([machine.pop()])


def _as_dict(items: list[Any]) -> dict[Any, Any]:
    return {_key(k): v for k, v in zip(items[::2], items[1::2], strict=True)}


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": _Machine.mark,
    "POP": _Machine.discard,
    "POP_MARK": lambda m, a: (m.pop_mark(), None)[1],
    "DUP": lambda m, a: m.stack.append(m.stack[-1]),
    "MEMOIZE": lambda m, a: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "NONE": lambda m, a: m.stack.append(None),
    "NEWTRUE": lambda m, a: m.stack.append(True),
    "NEWFALSE": lambda m, a: m.stack.append(False),
    "EMPTY_DICT": lambda m, a: m.stack.append({}),
    "EMPTY_LIST": lambda m, a: m.stack.append([]),
    "EMPTY_SET": lambda m, a: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, a: m.stack.append(()),
    "TUPLE": lambda m, a: m.push(tuple),
    "FROZENSET": lambda m, a: m.push(tuple),
    "LIST": lambda m, a: m.push(list),
    "DICT": lambda m, a: m.push(_as_dict),
    "TUPLE1": lambda m, a: m.tuple_of(1),
    "TUPLE2": lambda m, a: m.tuple_of(2),
    "TUPLE3": lambda m, a: m.tuple_of(3),
    "SETITEM": _set_item,
    "SETITEMS": lambda m, a: m.put_pairs(m.pop_mark()),
    "APPEND": _append,
    "APPENDS": lambda m, a: m.put_elements(m.pop_mark()),
    "ADDITEMS": lambda m, a: m.put_elements(m.pop_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _newobj_ex,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _Machine.build,
    "PERSID": lambda m, a: m.stack.append(Persistent(a)),
    "BINPERSID": lambda m, a: m.stack.append(Persistent(m.pop())),
}
