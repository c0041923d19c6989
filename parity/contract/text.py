"""JSON and YAML from untrusted files, as plain data. Nothing is executed; sizes and depths are limited.

Refused with a message that names the line: text cut short, duplicate keys (readers disagree about which one counts),
nesting deeper than any configuration, YAML aliases that multiply, tags that ask Python to build objects.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from parity.artifact import recognize
from parity.errors import ArtifactError

MAX_JSON_BYTES = 64 << 20
MAX_YAML_BYTES = 4 << 20  # about three seconds of parsing; the longest real configuration is a hundred times shorter
MAX_DEPTH = 100
MAX_ALIASED_NODES = 1_000_000  # nodes that aliases add beyond those that are written down
MAX_NUMBER_CHARS = 4300  # CPython's own limit for integers; beyond it conversion takes quadratic time

_CORE = "tag:yaml.org,2002:"
_PLAIN = {"null", "bool", "int", "float", "str"}
_REMEDY = "it is truncated or corrupt: fetch or export it again"


def load_json(path: str | Path) -> Any:
    """Return the content of a JSON file as plain data; ``NaN`` and ``Infinity`` become floats, as Python writes them.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, above 64 MiB, not UTF-8, truncated or corrupt (with line and
            column), a key that appears twice in one object, or nested deeper than 100.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES), str(path))


def load_yaml(path: str | Path) -> Any:
    """Return the content of a YAML file of one document as plain data.

    Numbers such as ``1e-4`` are floats (as OmegaConf and YAML 1.2 read them); dates stay strings; ``${...}`` stays
    text.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, above 4 MiB, not UTF-8, corrupt (with line and column), a key
            that appears twice in one mapping, aliases that multiply, nested deeper than 100, several documents, or a
            tag such as ``!!python/object`` that asks for objects.
    """
    return parse_yaml(read_text(path, MAX_YAML_BYTES), str(path))


def load_yaml_lenient(path: str | Path) -> Any:
    """Return a YAML file whose tags name Python objects (Isaac Lab's ``env.yaml``) as plain data, executing nothing.

    ``!!python/tuple`` becomes a list; any other tag that is not core YAML becomes ``{"tag": tag, "value": data}``,
    such as ``{"tag": "python/object/apply:builtins.slice", "value": [None, None, None]}``.

    Raises:
        ArtifactError: as `load_yaml`, but for tags.
    """
    return parse_yaml(read_text(path, MAX_YAML_BYTES), str(path), lenient=True)


def read_text(path: str | Path, max_bytes: int) -> str:
    """Return the text of a file of at most ``max_bytes``.

    Raises:
        ArtifactError: missing, a folder, empty, a Git LFS pointer, too large, or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise ArtifactError(f"{path}: a folder", expected="a text file")
    try:
        with path.open("rb") as f:
            raw = f.read(max_bytes + 1)
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}", remedy="check the path") from None
    if not raw or raw.startswith(b"version https://git-lfs"):
        recognize(path)  # raises, and says which of the two it is
    if len(raw) > max_bytes:
        size = path.stat().st_size
        raise ArtifactError(f"{path}: {size} bytes of text", expected=f"a configuration of at most {max_bytes} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise ArtifactError(
            f"{path}: not UTF-8 text (byte 0x{raw[e.start]:02x} in line {line})", expected="UTF-8", remedy=_REMEDY
        ) from None


def parse_json(text: str, where: str) -> Any:
    """Return JSON text as plain data; ``where`` names its origin in messages.

    Raises:
        ArtifactError: as `load_json`.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            twice = next(name for name, n in Counter(name for name, _ in items).items() if n > 1)
            raise ArtifactError(
                f"{where}: the key {_short(twice)} appears twice in one object, so its value is ambiguous",
                remedy="remove one of the two",
            )
        return found

    try:
        data = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as e:
        ends = " (the text ends here: it is cut short)" if e.pos >= len(text.rstrip()) else ""
        raise ArtifactError(
            f"{where}: not valid JSON in line {e.lineno}, column {e.colno}: {e.msg}{ends}", remedy=_REMEDY
        ) from None
    except RecursionError:
        raise ArtifactError(f"{where}: JSON nested deeper than {MAX_DEPTH}", remedy=_REMEDY) from None
    except ValueError:  # CPython refuses to convert integers of more than 4300 digits
        raise ArtifactError(
            f"{where}: JSON holds a number of more than {MAX_NUMBER_CHARS} digits", remedy=_REMEDY
        ) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(data, MAX_DEPTH):
        raise ArtifactError(f"{where}: JSON nested deeper than {MAX_DEPTH}", remedy=_REMEDY)
    return data


def _deeper_than(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        below: list[Any] = []
        for item in level:
            values = item.values() if isinstance(item, dict) else item
            below.extend(v for v in values if isinstance(v, dict | list)) if isinstance(item, dict | list) else None
        if not below:
            return False
        level = below
    return True


def parse_yaml(text: str, where: str, *, lenient: bool = False) -> Any:
    """Return YAML text of one document as plain data; ``where`` names its origin in messages.

    Raises:
        ArtifactError: as `load_yaml`, or `load_yaml_lenient` if ``lenient``.
    """
    try:
        return _Composer(text, where, lenient).document()
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        if "nesting depth" in str(e.problem):  # PyYAML 6.0.4 and libyaml have limits of their own, and read ahead
            raise ArtifactError(f"{where}: YAML nested deeper than {MAX_DEPTH}{place}", remedy=_REMEDY) from None
        raise ArtifactError(f"{where}: not valid YAML{place}: {e.problem or e.context}", remedy=_REMEDY) from None
    except yaml.YAMLError as e:
        raise ArtifactError(f"{where}: not valid YAML: {str(e).splitlines()[0]}", remedy=_REMEDY) from None


class _Scalars(yaml.constructor.SafeConstructor, yaml.resolver.Resolver):
    """PyYAML's own reading of plain scalars, and floats without a point, which YAML 1.2 and OmegaConf know."""

    def __init__(self) -> None:
        yaml.constructor.SafeConstructor.__init__(self)
        yaml.resolver.Resolver.__init__(self)


_FLOAT_WITHOUT_POINT = re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$")
_Scalars.add_implicit_resolver(_CORE + "float", _FLOAT_WITHOUT_POINT, list("-+0123456789"))


class _Composer:
    """Builds plain data from YAML events, which carry no objects; events come lazily, so a limit stops the parser."""

    def __init__(self, text: str, where: str, lenient: bool) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = yaml.parse(text, Loader=loader)
        self._where = where
        self._lenient = lenient
        self._scalars = _Scalars()
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    def document(self) -> Any:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None  # only comments
        value, _ = self._node(next(self._events), 0)
        next(self._events)  # end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second YAML document starts", expected="one document")
        return value

    def _refuse(self, event: Any, what: str, expected: str | None = None, remedy: str | None = None) -> NoReturn:
        mark = event.start_mark
        raise ArtifactError(
            f"{self._where}: line {mark.line + 1}, column {mark.column + 1}: {what}", expected=expected, remedy=remedy
        ) from None

    def _node(self, event: Any, depth: int) -> tuple[Any, int]:
        """Return the node that starts with ``event`` and the number of nodes it stands for."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth >= MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, f"YAML nested deeper than {MAX_DEPTH}", remedy=_REMEDY)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event), 1
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> tuple[Any, int]:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} refers to itself or to nothing")
        value, weight = self._anchors[event.anchor]
        self._aliased += weight
        if self._aliased > MAX_ALIASED_NODES:
            self._refuse(event, f"aliases multiply this YAML to more than {MAX_ALIASED_NODES} nodes")
        return value, weight

    def _tagged(self, event: Any, value: Any) -> Any:
        """Return the value, or what its tag makes of it: a list for a tuple, else inert data or a refusal."""
        tag = event.tag
        if tag in (None, "!", _CORE + "map", _CORE + "seq"):
            return value
        short = tag.removeprefix(_CORE)
        if not self._lenient:
            self._refuse(
                event,
                f"the tag {_short(short)} asks for an object; parity reads plain data and builds nothing",
                remedy="write the value without the tag",
            )
        return value if short in ("python/tuple", "python/list", "python/dict") else {"tag": short, "value": value}

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        if tag in (None, "!"):
            plain = event.implicit if tag is None else (False, True)
            tag = self._scalars.resolve(yaml.ScalarNode, event.value, plain)  # type: ignore[no-untyped-call]
            short = tag.removeprefix(_CORE)
            if short not in _PLAIN:  # dates, and "=" or "<<" where they are values
                return event.value
        else:
            short = tag.removeprefix(_CORE)
            if short.startswith("python/") and short[7:] in ("str", "unicode", "int", "long", "float", "bool", "none"):
                short = {"unicode": "str", "long": "int", "none": "null"}.get(short[7:], short[7:])
            if short not in _PLAIN:
                return self._tagged(event, event.value)
        if short == "str":
            return event.value
        if len(event.value) > MAX_NUMBER_CHARS:
            self._refuse(event, f"a number of {len(event.value)} characters", remedy=_REMEDY)
        try:
            return self._scalars.construct_object(yaml.ScalarNode(_CORE + short, event.value))
        except (ValueError, KeyError, IndexError, OverflowError):
            self._refuse(event, f"{_short(event.value)} is not a value of type {short}")

    def _sequence(self, event: Any, depth: int) -> tuple[Any, int]:
        values, weight = [], 1
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            value, w = self._node(item, depth + 1)
            values.append(value)
            weight += w
        return self._tagged(event, values), weight

    def _mapping(self, event: Any, depth: int) -> tuple[Any, int]:
        found: dict[Any, Any] = {}
        merged: list[Any] = []
        weight = 1
        while not isinstance(item := next(self._events), yaml.MappingEndEvent):
            is_merge = isinstance(item, yaml.ScalarEvent) and item.value == "<<" and item.implicit[0]
            key, _ = self._node(item, depth + 1)
            if isinstance(key, dict | list):
                self._refuse(item, "a mapping whose key is a list or a mapping", expected="keys of text or numbers")
            value, w = self._node(next(self._events), depth + 1)
            weight += w + 1
            if is_merge:
                merged.extend(value if isinstance(value, list) else [value])
            elif key in found:
                self._refuse(
                    item, f"the key {_short(str(key))} appears twice in one mapping", remedy="remove one of the two"
                )
            else:
                found[key] = value
        for other in merged:
            if not isinstance(other, dict):
                self._refuse(event, "'<<' merges something that is not a mapping")
            found = {**other, **found}
        return self._tagged(event, found), weight


def _short(text: str) -> str:
    """Return text from an artifact quoted and short enough for a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
