"""Hydra and OmegaConf configurations as plain data: the defaults list joined, ``${...}`` references looked up, no more.

What a reference names must be in the same file or in a sibling that the file's own defaults list names. Everything else
stays the text it is: nothing is taken from the environment and no resolver runs (but for sums of integers, which
diffusion_policy writes as ``${eval:'${n_action_steps}+${n_latency_steps}'}``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.contract.text import MAX_YAML_BYTES, load_yaml, read_text
from parity.errors import ArtifactError

MAX_NODES = 200_000
_LOOKUP = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_SUM = re.compile(r"\$\{eval:'([^']*)'\}")
_GLOBAL_PACKAGE = re.compile(r"^#\s*@package\s+_global_\s*$", re.MULTILINE)
_GROUP_NAME = re.compile(r"^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]*$")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration whose references are looked up as far as possible.

    ``references`` maps the dotted place of every value that is one reference to its own text, found or not;
    ``sources`` are the files that were joined.
    """

    data: Any
    references: dict[str, str] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()


def load_hydra(path: Path) -> Resolved:
    """Return the configuration at ``path`` with what its defaults list names beside it, references looked up.

    Raises:
        ArtifactError: a file cannot be read (see `load_yaml`), or references multiply beyond 200,000 values.
    """
    sources: list[Path] = []
    data = _compose(path, path.parent, sources, 0)
    if not isinstance(data, dict):
        return Resolved(data, {}, tuple(sources))
    return resolve(data, str(path), tuple(sources))


def resolve(data: dict[str, Any], where: str, sources: tuple[Path, ...] = ()) -> Resolved:
    """Return the configuration with its references looked up in itself; what is not there stays text.

    Raises:
        ArtifactError: references multiply beyond 200,000 values, or lead deeper than 100 levels.
    """
    lookup = _Lookup(data, where)
    return Resolved(lookup.value(data, "", ()), lookup.references, sources)


class _Lookup:
    def __init__(self, root: dict[str, Any], where: str) -> None:
        self._root = root
        self._where = where
        self._nodes = 0
        self.references: dict[str, str] = {}

    def value(self, value: Any, place: str, seen: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or place.count(".") > 100:
            raise ArtifactError(f"{self._where}: references multiply this configuration beyond {MAX_NODES} values")
        if isinstance(value, dict):
            return {k: self.value(v, f"{place}.{k}" if place else str(k), seen) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(v, f"{place}.{i}", seen) for i, v in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        if (match := _LOOKUP.fullmatch(value)) is not None:
            if not seen:
                self.references[place] = value
            return self._find(match[1], value, place, seen)
        if (match := _SUM.fullmatch(value)) is not None:
            self.references.setdefault(place, value)
            return self._sum(match[1], value, place, seen)
        return value

    def _find(self, name: str, raw: str, place: str, seen: tuple[str, ...]) -> Any:
        if name in seen or len(seen) > 20:
            return raw  # refers to itself
        found = _at(self._root, name)
        if found is _NOTHING and name.startswith("task.") and "task" not in self._root and "defaults" not in self._root:
            found = _at(self._root, name.removeprefix("task."))  # the file is the group `task` itself
        if found is _NOTHING:
            return raw
        return self.value(found, place, (*seen, name))

    def _sum(self, text: str, raw: str, place: str, seen: tuple[str, ...]) -> Any:
        def number(match: re.Match[str]) -> str:
            found = self._find(match[1], match[0], place, (*seen, raw))
            return str(found) if type(found) is int and abs(found) < 2**31 else match[0]

        terms = re.fullmatch(r"\s*(\d{1,10}(?:\s*[+-]\s*\d{1,10}){0,9})\s*", _LOOKUP.sub(number, text))
        if terms is None:
            return raw
        return sum(int(t) for t in re.findall(r"[+-]?\d+", terms[1].replace(" ", "")))


_NOTHING = object()


def _at(root: dict[str, Any], name: str) -> Any:
    value: Any = root
    for part in name.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part[:6]) < len(value):
            value = value[int(part[:6])]
        else:
            return _NOTHING
    return value


def _compose(path: Path, folder: Path, sources: list[Path], depth: int) -> Any:
    data = load_yaml(path)
    sources.append(path)
    defaults = data.get("defaults") if isinstance(data, dict) else None
    if not isinstance(defaults, list) or depth >= 3:
        return data
    own = {k: v for k, v in data.items() if k != "defaults"}
    joined: dict[str, Any] = {"defaults": defaults}
    for entry in defaults if "_self_" in defaults else [*defaults, "_self_"]:
        joined = _merge(joined, own if entry == "_self_" else _group(entry, path, folder, sources, depth))
    return joined


def _group(entry: Any, path: Path, folder: Path, sources: list[Path], depth: int) -> dict[str, Any]:
    """Return what one entry of a defaults list adds: nothing where the file is not there."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return {}
    group, name = next(iter(entry.items()))
    if not isinstance(group, str) or not isinstance(name, str) or len(sources) > 50:
        return {}
    group = group.removeprefix("override ").removeprefix("optional ").strip("/ ")
    if not _GROUP_NAME.match(group) or not _GROUP_NAME.match(name):
        return {}
    file = folder / group / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()) or file in sources:
        return {}
    data = _compose(file, folder, sources, depth + 1)
    if not isinstance(data, dict):
        raise ArtifactError(f"{file}: named by the defaults of {path.name}, but it is not a mapping")
    if _GLOBAL_PACKAGE.search(read_text(file, MAX_YAML_BYTES)[:2000]):
        return data
    for part in reversed(group.split("/")):
        data = {part: data}
    return data


def _merge(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in other.items():
        mine = merged.get(key)
        merged[key] = _merge(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged
