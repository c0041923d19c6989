"""A recurrent policy's state: kept inside between calls, or going in and out of a graph as tensors of its own.

The same policy may be exported in both ways: rsl_rl's TorchScript keeps ``hidden_state`` in a buffer, its ONNX takes
``h_in`` and gives ``h_out``. Which output is the next value of which input is told here, where that is certain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from parity.contract.matching import canonical, dims_agree
from parity.contract.model import Contract
from parity.contract.roles import output_roles
from parity.tensor import TensorSpec

_STATE = {"h", "c", "hidden", "cell", "state", "states", "memory", "rnn", "lstm", "gru", "recurrent", "carry"}
_SAME = {"hx": "h", "hidden": "h", "hiddens": "h", "cx": "c", "cell": "c", "cells": "c"}
_BEFORE = {"in", "input", "0", "init", "initial", "prev", "previous", "last", "old"}
_AFTER = {"out", "output", "n", "next", "new", "final", "updated"}
# One word of state and one of direction, written together: h0, hn, statein.
_GLUED = re.compile(rf"([hc]|hidden|cell|state|memory)({'|'.join(sorted(_BEFORE | _AFTER))})")


def keeps_state(contract: Contract) -> bool:
    """Whether the policy itself keeps state between calls: as its program says, or as its recording tells."""
    facts = contract.metadata.get("facts")
    recorded = facts.get("stateful") if isinstance(facts, Mapping) else None
    return bool(contract.metadata.get("stateful") or recorded)


def state_pairs(contract: Contract) -> dict[str, str]:
    """Return the inputs that hold the graph's state, each with the output that is its next value.

    Names pair where they are the same but for direction (``h_in`` and ``h_out``, ``h0`` and ``hn``, ``hidden_state``
    and ``hidden_state_out``), and shapes and element types must agree. Empty unless all is certain: every input and
    output whose role is ``hidden_state`` has exactly one partner, and other inputs and outputs are left.
    """
    ins, outs = _by_stem(contract.inputs, _AFTER), _by_stem(contract.outputs, _BEFORE)
    pairs: dict[str, str] = {}
    for stem, before in ins.items():
        after = outs.get(stem, [])
        if len(before) == len(after) == 1 and _same_state(before[0], after[0], stem):
            pairs[before[0].name] = after[0].name
    hidden_in = {t.name for t in contract.inputs if t.role == "hidden_state"}
    hidden_out = {t.name for t in contract.outputs if t.role == "hidden_state"}
    whole = hidden_in <= set(pairs) and hidden_out <= set(pairs.values())
    return pairs if whole and 0 < len(pairs) < min(len(contract.inputs), len(contract.outputs)) else {}


def without_state(contract: Contract, pairs: Mapping[str, str]) -> Contract:
    """Return the contract of the same policy with its state kept for it: ``pairs`` are no inputs and outputs of it.

    ``metadata["stateful"]`` names the state, and ``metadata["state_batch"]`` tells whether its size follows the batch.
    """
    if not pairs:
        return contract
    states = [t for t in contract.inputs if t.name in pairs]
    gone = set(pairs.values())
    free = all(t.shape is None or any(not isinstance(d, int) for d in t.shape) for t in states)
    return replace(
        contract,
        inputs=tuple(t for t in contract.inputs if t.name not in pairs),
        outputs=output_roles([t for t in contract.outputs if t.name not in gone]),
        metadata={**contract.metadata, "stateful": sorted(pairs), "state_batch": free},
    )


def one_state(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether an output can be the next value of an input: the same element type, and shapes that do not disagree."""
    if a.shape is None or b.shape is None or a.dtype != b.dtype or len(a.shape) != len(b.shape):
        return False
    return all(dims_agree(x, y) for x, y in zip(a.shape, b.shape, strict=True))


def _by_stem(specs: Sequence[TensorSpec], wrong: set[str]) -> dict[tuple[str, ...], list[TensorSpec]]:
    found: dict[tuple[str, ...], list[TensorSpec]] = {}
    for t in specs:
        words = _words(t.name)
        stem = _stem(words)
        if stem and not wrong & _directions(words):
            found.setdefault(stem, []).append(t)
    return found


def _words(name: str) -> list[str]:
    words: list[str] = []
    for word in canonical(name).split("_"):
        glued = _GLUED.fullmatch(word)
        words += glued.groups() if glued else (word,)
    return words


def _directions(words: Sequence[str]) -> set[str]:
    """Return the words of direction; 0 and n are some only where no other is (``h0``, but the layer of ``h_0_in``)."""
    found = set(words) & (_BEFORE | _AFTER)
    return found - {"0", "n"} or found


def _stem(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a name without those of direction; ``hidden_state``, ``hx`` and ``h`` are one."""
    directions = _directions(words)
    left = [_SAME.get(w, w) for w in words if w not in directions]
    plain = [w for w in left if w not in ("state", "states")]
    return tuple(plain or left)


def _same_state(before: TensorSpec, after: TensorSpec, stem: Sequence[str]) -> bool:
    """Whether both are one state. A name that may as well be an observation's counts with a direction on both sides."""
    told = all(_directions(_words(t.name)) for t in (before, after)) and bool(set(stem) & _STATE)
    return (told or before.role == "hidden_state") and after.role != "action" and one_state(before, after)
