"""What a pipeline that is fitted to a graph does to each of the graph's inputs and outputs: two can be compared.

Raw arrays may be called differently on two sides, so what counts is where an array enters or leaves the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.contract.adapter_table import Part, Rules
from parity.runner.composed import Composition
from parity.stats.effect import Chain, Trail
from parity.tensor import TensorSpec

Effect = tuple[tuple[Any, ...], ...]


def effect_of(composition: Composition) -> Effect:
    """Return what is done before and after the graph, equal for two compositions that do the same around one graph.

    Empty where nothing is done. It tells less than everything: raw arrays that are mixed up while the same is done to
    them are not told apart.
    """
    graph = composition.graph
    taken, given = (graph.inputs, graph.outputs) if graph else ((), ())
    return (*_before(composition, taken), *_after(composition, given))


def _before(composition: Composition, taken: Sequence[TensorSpec]) -> Effect:
    rules = composition.adapter.rules
    raw = Trail()
    raw.follow(composition.pipeline.before)
    fed = Trail({spec.name: _built(spec, rules, raw) for spec in taken})
    fed.follow(composition.fit)
    return tuple(("before", name, fed[name]) for name in sorted(fed.names()) if fed[name])


def _built(spec: TensorSpec, rules: Rules, raw: Trail) -> Chain:
    """Return what was done to that of which an input of the graph is made."""
    name = spec.name
    if name in rules.constants:
        return (("constant", repr(rules.constants[name])),)
    if name in rules.inputs:
        parts = rules.inputs[name]
        chain: Chain = raw[parts[0].name] if _whole(parts) else (tuple((_slice(p), raw[p.name]) for p in parts),)
    else:
        chain = raw[rules.rename.get(name, name)]
    return (*chain, *_turned(name, rules), *_cast(spec, rules))


def _after(composition: Composition, given: Sequence[TensorSpec]) -> Effect:
    rules = composition.adapter.rules
    places: dict[str, Any] = {rules.rename.get(spec.name, spec.name): spec.name for spec in given}
    start: dict[str, Chain] = {name: _turned(place, rules) for name, place in places.items()}
    for name, parts in rules.outputs.items():
        places[name] = parts[0].name if _whole(parts) else tuple((p.name, _slice(p)) for p in parts)
        start[name] = tuple(t for p in parts for t in _turned(p.name, rules))
    trail = Trail(start)
    trail.follow((*composition.cut, *composition.pipeline.after))
    widths = {spec.name: spec.shape[-1] for spec in given if spec.shape}
    done = {}
    for name in trail.names():
        place = places.get(name, name)
        chain = tuple(e for e in trail[name] if e != ("Cut", widths.get(str(place))))  # keeps all there is
        if chain or isinstance(place, tuple):
            done[repr(place)] = ("after", place, chain)
    return tuple(done[key] for key in sorted(done))


def _whole(parts: Sequence[Part]) -> bool:
    """Whether it is one array as it is."""
    return len(parts) == 1 and _slice(parts[0]) == (None, None)


def _slice(part: Part) -> tuple[int | None, int | None]:
    return (part.start or None, part.stop)


def _turned(name: str, rules: Rules) -> Chain:
    """Return the order that an array's elements are put into; nothing where that is as they are."""
    order = rules.permute.get(name, ())
    return () if list(order) == list(range(len(order))) else (("permute", tuple(order)),)


def _cast(spec: TensorSpec, rules: Rules) -> Chain:
    """Return the type that an input is cast to; nothing where that is the one that the graph takes anyway."""
    asked = rules.cast.get(spec.name)
    return () if asked is None or asked == (spec.dtype or "float32") else (("cast", asked),)
