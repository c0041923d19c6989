"""Recurrent state: whose the runner keeps, and the cases in which it is carried over.

The runner keeps a state that goes in and out of a graph where another side keeps its own inside, or the user says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from parity.contract import Contract
from parity.contract.adapter_table import nearest
from parity.contract.recurrent import keeps_state, one_state, state_pairs, without_state
from parity.errors import UsageError
from parity.finding import Finding
from parity.release.sides import Side
from parity.tensor import SEQUENCE as SEQUENCE
from parity.tensor import Case

KEEPERS = ("onnxruntime", "openvino")  # runners with the option `state`

STEPS = 8


def sequence(cases: Sequence[Case]) -> list[Case]:
    """Return the first cases once more, as steps that follow one another: state is carried over.

    Few cases are gone through again: a policy that forgets its state must differ whatever the cases are.
    """
    note = "step {} of a sequence: state is carried over from the step before"
    steps = [cases[i % len(cases)] for i in range(STEPS)] if cases else []
    return [replace(c, id=f"{SEQUENCE}{i:04d}", note=note.format(i)) for i, c in enumerate(steps)]


def not_carried(cases: Sequence[Case]) -> Iterator[Finding]:
    """Yield a finding where a policy keeps state and the recorded ``cases`` carry it over nowhere."""
    if not any(c.id.startswith(SEQUENCE) for c in cases):
        yield Finding(
            "GATE012",
            "error",
            "The policy keeps state, but the recording holds no sequence: whether it is carried over cannot be seen.",
            remedy="record again with `parity run --record`, which plans a sequence",
        )


def with_state_kept(sides: Sequence[Side]) -> list[Side]:
    """Return the sides; the state of some is hidden from their contracts, and their runners are told to keep it.

    That is done where the user says ``options = {state = {h_in = "h_out"}}``, and where some other side keeps its state
    itself and it is certain which outputs are fed back to which inputs. ``state = {}`` forbids it. Where every side
    takes and gives its state, nothing is hidden: inputs and outputs are compared as they are.

    Raises:
        UsageError: `state` names what there is not, or what cannot be fed back.
    """
    told = [_kept(s, _asked(s)) if s.spec.options.get("state") is not None else s for s in sides]
    if not any(s.contract is not None and keeps_state(s.contract) for s in told):
        return told
    return [_kept(s, state_pairs(s.contract)) if _may_be_kept(s) and s.contract is not None else s for s in told]


def _may_be_kept(side: Side) -> bool:
    return side.spec.runner in KEEPERS and "state" not in side.spec.options


def _kept(side: Side, pairs: Mapping[str, str]) -> Side:
    if not pairs:
        return side
    spec = replace(side.spec, options={**side.spec.options, "state": dict(sorted(pairs.items()))})
    contract = None if side.contract is None else without_state(side.contract, pairs)
    return replace(side, spec=spec, contract=contract)


def _asked(side: Side) -> dict[str, str]:
    """Return the pairs that the user gives, checked against the contract where it is known."""
    given: Any = side.spec.options["state"]
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise UsageError(
            f"{side.name}: options.state is {given!r:.80}",
            expected='the state\'s inputs with the outputs that are fed back to them: {h_in = "h_out"}',
        )
    pairs = {str(k): str(v) for k, v in given.items()}
    if len(set(pairs.values())) < len(pairs):
        raise UsageError(f"{side.name}: options.state feeds one output back to several inputs: {pairs}")
    if side.contract is not None and side.contract.inputs:
        for before, after in pairs.items():
            _check(side.name, side.contract, before, after)
    return pairs


def _check(name: str, contract: Contract, before: str, after: str) -> None:
    first, then = contract.input(before), contract.output(after)
    for found, what, wanted, known in (
        (first, "input", before, contract.inputs),
        (then, "output", after, contract.outputs),
    ):
        if found is None:
            names = [t.name for t in known]
            raise UsageError(
                f"{name}: options.state: there is no {what} {wanted!r}{nearest(wanted, names)}",
                expected=", ".join(names),
            )
    if first is not None and then is not None and not one_state(first, then):
        raise UsageError(
            f"{name}: options.state: {after!r} {then.shape} {then.dtype} cannot be fed back to "
            f"{before!r} {first.shape} {first.dtype}"
        )
