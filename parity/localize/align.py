"""Finds which value of one graph is which value of another: by name, by structure, by module, then by order.

Each step only adds pairs for values that are still free, and never two for one value:

1. *name*: the same name and a shape that fits; left out where structure contradicts names (counted-up numbers).
2. *structure*: the same operations from the inputs on (weights' values aside), so that renaming does not matter.
3. *module*: the last value made in the same module, where the module ran as often on both sides.
4. *order*: the longest common subsequence of (operation, shape).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from parity.localize.graph import Graph, Shape, Value

CONTRADICTED = 0.1  # share of names that structure contradicts, above which names are not used
MODULE = "Module"  # the op of a torch module that holds others


@dataclass(frozen=True, slots=True)
class Match:
    """One value on both sides, and how it was found."""

    reference: Value
    candidate: Value
    how: str


def align(reference: Graph, candidate: Graph) -> tuple[Match, ...]:
    """Return the matched values in the reference's order."""
    links = _Links()
    steps: tuple[tuple[str, Callable[[Graph, Graph, _Links], None]], ...] = (
        ("name", _by_name),
        ("structure", _by_structure),
        ("module", _by_module),
        ("order", _by_order),
    )
    for how, step in steps:
        links.how = how
        step(reference, candidate, links)
    keys_r, keys_c = structure_keys(reference), structure_keys(candidate)
    matches = []
    for v in reference.values:
        if v.name in links.found:
            name, how = links.found[v.name]
            confirmed = how != "structure" and keys_r[v.name] == keys_c[name] and bool(v.inputs)
            matches.append(Match(v, candidate.by_name[name], f"{how} and structure" if confirmed else how))
    return tuple(matches)


def fits(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes may be the same; unknown dims fit any."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(x is None or y is None or x == y for x, y in zip(a, b, strict=True))


class _Links:
    """Pairs found so far, by name."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {}
        self.taken: set[str] = set()
        self.how = ""

    def add(self, a: Value, b: Value) -> None:
        if a.name not in self.found and b.name not in self.taken and fits(a.shape, b.shape):
            self.found[a.name] = (b.name, self.how)
            self.taken.add(b.name)

    def free(self, a: Graph, b: Graph) -> tuple[list[Value], list[Value]]:
        return [v for v in a.values if v.name not in self.found], [v for v in b.values if v.name not in self.taken]


def _by_name(a: Graph, b: Graph, links: _Links) -> None:
    common = [(v, b.by_name[v.name]) for v in a.values if v.name in b.by_name]
    if not common or _contradicted(a, b, common):
        return
    for v, w in common:
        links.add(v, w)


def _contradicted(a: Graph, b: Graph, common: Sequence[tuple[Value, Value]]) -> bool:
    """Whether structure says that many values with the same name are not the same."""
    keys_a, keys_b = structure_keys(a), structure_keys(b)
    unique = _unique(keys_a) & _unique(keys_b)
    of_key = {k: name for name, k in keys_b.items()}
    judged = [(v.name, of_key[keys_a[v.name]]) for v, _ in common if keys_a[v.name] in unique]
    wrong_ops = sum(v.op != w.op for v, w in common)
    wrong = sum(mine != other for mine, other in judged)
    return wrong > CONTRADICTED * len(judged) or wrong_ops > len(common) / 2


def _unique(keys: dict[str, Hashable]) -> set[Hashable]:
    seen: defaultdict[Hashable, int] = defaultdict(int)
    for key in keys.values():
        seen[key] += 1
    return {k for k, n in seen.items() if n == 1}


def structure_keys(graph: Graph) -> dict[str, Hashable]:
    """Return, for every value, a key of how it is made: operations and number of weights, from the inputs on."""
    keys: dict[str, Hashable] = {name: hash(("input", i)) for i, name in enumerate(graph.inputs)}
    for v in graph.values:
        keys[v.name] = hash((v.op, tuple(keys.get(n, "?") for n in v.inputs), len(v.weights)))
    return {v.name: keys[v.name] for v in graph.values}


def _by_structure(a: Graph, b: Graph, links: _Links) -> None:
    if any(not v.inputs for v in (*a.values, *b.values)):
        return  # an eager trace does not say what was made from what
    free_a, free_b = links.free(a, b)
    keys_a, keys_b = structure_keys(a), structure_keys(b)
    groups: defaultdict[Hashable, tuple[list[Value], list[Value]]] = defaultdict(lambda: ([], []))
    for v in free_a:
        groups[keys_a[v.name]][0].append(v)
    for w in free_b:
        groups[keys_b[w.name]][1].append(w)
    for mine, other in groups.values():
        if len(mine) == len(other):
            for v, w in zip(mine, other, strict=True):
                links.add(v, w)


def _by_module(a: Graph, b: Graph, links: _Links) -> None:
    last_a, last_b = _last_of_modules(a), _last_of_modules(b)
    for path, mine in last_a.items():
        other = last_b.get(path, [])
        if len(mine) == len(other):
            for v, w in zip(mine, other, strict=True):
                if v.op == w.op or _hooked(v) or _hooked(w):  # a hook sees what comes out, whatever operation it is
                    links.add(v, w)


def _last_of_modules(graph: Graph) -> dict[str, list[Value]]:
    """Return the last value of each unbroken run of values that belong to a module."""
    runs: dict[str, list[Value]] = {}
    before: frozenset[str] = frozenset()
    for v in graph.values:
        if v.op == "LinearPart":
            continue
        here = frozenset(v.scopes)
        for path in here:
            run = runs.setdefault(path, [])
            if path in before and run and not (_hooked(v) and v.scopes[-1] == path):
                run[-1] = v
            else:
                run.append(v)
        before = here
    return runs


def _hooked(value: Value) -> bool:
    """Whether the value was recorded by a hook on a module: each is one call of that module."""
    return not value.inputs


def _by_order(a: Graph, b: Graph, links: _Links) -> None:
    free_a = [v for v in links.free(a, b)[0] if v.op != MODULE]
    free_b = [v for v in links.free(a, b)[1] if v.op != MODULE]
    hooked = any(_hooked(v) for v in (*free_a, *free_b))
    signs_a, signs_b = [_sign(v, hooked) for v in free_a], [_sign(v, hooked) for v in free_b]
    for i, j, n in SequenceMatcher(None, signs_a, signs_b, autojunk=False).get_matching_blocks():
        for k in range(n):
            links.add(free_a[i + k], free_b[j + k])


def _sign(value: Value, hooked: bool) -> Hashable:
    """Return what two values must share to be matched by order: operation, last dim, and how many values it takes."""
    return value.op, value.shape[-1] if value.shape else None, None if hooked else len(value.inputs)
