"""Joins two artifacts that name, order or split one vector differently.

``[adapter.<candidate>]`` in parity.toml, every key optional; names on the left are the candidate's, but for outputs:

    rename = {obs = "observation.state"}       the candidate's name -> the contract's, for inputs and outputs alike
    permute = {obs = [2, 0, 1]}                element i of what is built is element permute[i] of what it is built from
    constant = {mask = 1}                      an input that the contract does not have; {value, shape, dtype} in full
    cast = {obs = "float16"}                   an input that the candidate takes in another element type
    unused = ["observation.state[7:9]"]        what is left out on purpose

    [adapter.<candidate>.inputs]               the candidate's input, from slices of the contract's inputs in this order
    obs = ["observation.state[0:7]", "observation.environment_state"]
    [adapter.<candidate>.outputs]              the contract's output, from slices of the candidate's outputs
    action = ["arm", "gripper[0]"]

Slices, concatenation and permutation are along the last axis. Nothing broadcasts, nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.contract.adapter_arrays import Used, assemble, cast, filled, permuted
from parity.contract.adapter_table import Part, Rules, check_candidate, check_reference, nearest, parse_rules
from parity.contract.disagreement import ADAPTER_AMBIGUOUS, ADAPTER_BY_POSITION, CODES
from parity.contract.matching import Match, Matching, kind_of, match_tensors
from parity.contract.model import Contract
from parity.contract.toml_text import toml_key, toml_string
from parity.errors import UsageError
from parity.finding import Finding
from parity.tensor import Array

__all__ = ["Adapter", "infer_adapter"]


@dataclass(frozen=True, slots=True)
class Adapter:
    """Turns the contract's inputs into a candidate's, and the candidate's outputs into the contract's.

    ``candidate`` is the candidate's own contract where it is known: then every one of its inputs must be built and
    every name is checked before anything runs.
    """

    rules: Rules = field(default_factory=Rules)
    candidate: Contract | None = None

    @classmethod
    def from_table(
        cls, table: Mapping[str, Any], candidate: Contract | None = None, reference: Contract | None = None
    ) -> Adapter:
        """Return the adapter that ``[adapter.<candidate>]`` describes.

        Names are checked against ``candidate`` and ``reference`` (the contract) where those are given.

        Raises:
            UsageError: an unknown key, a value that cannot be understood, a list that is no permutation, or an unknown
                name, with the nearest known one.
        """
        rules = parse_rules(table)
        adapter = cls(rules, candidate if candidate is not None and candidate.inputs else None)
        if adapter.candidate is not None:
            check_candidate(rules, adapter.candidate)
        if reference is not None and reference.inputs:
            check_reference(rules, reference)
        return adapter

    @property
    def identity(self) -> bool:
        """Whether nothing is changed on the way."""
        return self.rules == Rules()

    def inputs(self, arrays: Mapping[str, Array], leading: int = 2) -> dict[str, Array]:
        """Return the candidate's inputs, by its names, from the contract's.

        Arrays are ``(N, B, ...)``, or ``(B, ...)`` with ``leading`` 1: the number of axes before a constant's own.

        Raises:
            UsageError: an unknown name, an index out of range, parts that do not fit together, or elements of an input
                that nothing uses.
        """
        rules = self.rules
        back = {ours: theirs for theirs, ours in rules.rename.items()}
        used = Used(arrays, "the contract's inputs")
        built: dict[str, Array] = {}
        for name, parts in rules.inputs.items():
            built[name] = assemble(f"inputs.{name}", parts, arrays, used)
        for name, array in sorted(arrays.items(), key=lambda item: item[0] not in back):  # what is told goes first
            target = back.get(name, name)
            if target not in built and not used.touched(name) and not _is_unused(name, rules):
                built[target] = array
                used.whole(name)
        for name, order in rules.permute.items():
            if name in built:
                built[name] = permuted(name, built[name], order)
        for name, constant in rules.constants.items():
            if name in built:
                raise UsageError(f"adapter: the constant {name!r} is also built from the contract's inputs")
            spec = self.candidate.input(name) if self.candidate else None
            lead = next((a.shape[:leading] for a in arrays.values()), (1,) * leading)
            built[name] = filled(name, constant, spec, lead)
        used.check(rules.unused)
        self._complete(built, arrays)
        names = [t.name for t in self.candidate.inputs] if self.candidate else list(built)
        return {name: cast(name, built[name], rules.cast.get(name)) for name in names}

    def outputs(self, arrays: Mapping[str, Array | list[Array]]) -> dict[str, Any]:
        """Return the contract's outputs, by its names, from the candidate's.

        A list of arrays, one per case, is turned into a list. Outputs that the adapter does not mention keep name and
        values.

        Raises:
            UsageError: as `inputs`.
        """
        if any(isinstance(a, list) for a in arrays.values()):
            n = min((len(a) for a in arrays.values()), default=0)
            rows = [self._outputs({name: a[i] for name, a in arrays.items()}) for i in range(n)]
            return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        return self._outputs({name: a for name, a in arrays.items() if not isinstance(a, list)})

    def _outputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        rules = self.rules
        turned = {n: permuted(n, a, rules.permute[n]) if n in rules.permute else a for n, a in arrays.items()}
        used = Used(turned, "the candidate's outputs")
        built: dict[str, Array] = {}
        for name, parts in rules.outputs.items():
            built[name] = assemble(f"outputs.{name}", parts, turned, used)
        for name, array in turned.items():
            target = rules.rename.get(name, name)
            if used.touched(name) or _is_unused(name, rules):
                continue
            if target in built:
                remedy = f"rename {name!r}, or name it in `unused`"
                raise UsageError(f"adapter: the output {target!r} is built twice", remedy=remedy)
            built[target] = array
            used.whole(name)
        used.check(rules.unused)
        return built

    def _complete(self, built: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
        """Check that the candidate's inputs, where they are known, are those that were built."""
        if self.candidate is None:
            return
        wanted = [t.name for t in self.candidate.inputs]
        missing, extra = [n for n in wanted if n not in built], [n for n in built if n not in wanted]
        if missing or extra:
            parts = [f"the candidate's input {n!r} is built from nothing" for n in missing]
            parts += [f"the candidate has no input {n!r}{nearest(n, wanted)}" for n in extra]
            raise UsageError(
                "adapter: " + "; ".join(parts),
                expected=f"the candidate's inputs {', '.join(map(repr, wanted))} from {', '.join(map(repr, arrays))}",
                remedy="name each in `rename`, `inputs`, `constant` or `unused` of [adapter.<candidate>]",
            )


def _is_unused(name: str, rules: Rules) -> bool:
    """Whether all of a tensor is listed as unused."""
    return any(p.name == name and p.start is None for p in rules.unused)


def infer_adapter(reference: Contract, candidate: Contract) -> tuple[Adapter, list[Finding]]:
    """Return the adapter that follows from the two contracts alone, and what was assumed on the way.

    Only what is certain is done: the same tensor under another name, in another float type, or left out by the
    candidate. How one vector was put together from several is never guessed.

    Raises:
        UsageError: the candidate takes an input that is none of the reference's; the message shows the lines for
            ``[adapter.<candidate>]`` in which the user decides.
    """
    ins, outs = match_tensors(reference.inputs, candidate.inputs), match_tensors(reference.outputs, candidate.outputs)
    if ins.only_b:
        raise _undecided(ins)
    rename = {m.b.name: m.a.name for m in ins.pairs if m.a.name != m.b.name}
    outputs: dict[str, tuple[Part, ...]] = {}
    inputs_named = {t.name for t in candidate.inputs}
    for m in outs.pairs:
        if m.a.name != m.b.name:
            if m.b.name in inputs_named:  # an input of the same name: `rename` would mean both
                outputs[m.a.name] = (Part(m.b.name),)
            else:
                rename[m.b.name] = m.a.name
    casts = {m.b.name: m.b.dtype for m in ins.pairs if m.b.dtype and _needs_cast(m)}
    unused = tuple(Part(t.name) for t in ins.only_a)
    rules = Rules(rename=rename, cast=casts, unused=unused, outputs=outputs)
    return Adapter(rules, candidate), [*_assumed(ins.pairs, outs.pairs), *_ignored(ins)]


def _needs_cast(m: Match) -> bool:
    """Whether the candidate takes another type of the same kind, in one that NumPy has."""
    a, b = m.a.dtype, m.b.dtype
    if not a or not b or a == b or "bfloat16" in (a, b):
        return False
    return kind_of(a) == kind_of(b)


def _assumed(ins: Sequence[Match], outs: Sequence[Match]) -> list[Finding]:
    """Return findings about pairs that names did not tell, and about elements that stand in another order."""
    found = []
    guessed = [m for m in (*ins, *outs) if m.how not in ("name", "spelling")]
    if guessed:
        listed = ", ".join(f"{m.b.name!r} as {m.a.name!r} ({m.how})" for m in guessed)
        found.append(
            Finding(
                code=ADAPTER_BY_POSITION,
                severity="info",
                title=f"recognized by what they are, not by name: {listed}",
                where=guessed[0].a.name,
                evidence={m.b.name: m.a.name for m in guessed},
                remedy="if that is wrong, name them in [adapter.<candidate>] rename",
            )
        )
    for m in ins:
        found.extend(_other_order(m, m.b.elements, m.a.elements))
    for m in outs:
        found.extend(_other_order(m, m.a.elements, m.b.elements))
    return found


def _other_order(m: Match, built: tuple[str, ...] | None, source: tuple[str, ...] | None) -> list[Finding]:
    """Return a finding where the elements of what is built are those of its source in another order."""
    if not built or not source or built == source or sorted(built) != sorted(source):
        return []
    order = [source.index(e) for e in built]
    return [
        Finding(
            code=ADAPTER_AMBIGUOUS,
            severity="warning",
            title=f"the elements of {m.a.name} stand in another order in the candidate; nothing reorders them",
            where=m.a.name,
            evidence={"reference": list(m.a.elements or ()), "candidate": list(m.b.elements or ())},
            remedy=f"if the candidate really orders them so: permute = {{{toml_key(m.b.name)} = {order}}}",
        )
    ]


def _ignored(ins: Matching) -> list[Finding]:
    return [
        Finding(
            code=CODES["input"][0],
            severity="warning",
            title=f"the candidate does not take {t.name!r}: whatever it holds cannot matter to it",
            where=t.name,
            remedy="export again if the policy is meant to see it",
        )
        for t in ins.only_a
    ]


def _undecided(ins: Matching) -> UsageError:
    """Return the error for candidate's inputs that cannot be told, with the lines to write."""
    names = ", ".join(f"{t.name!r} {t.shape or ''}".strip() for t in ins.only_b)
    states = [t for t in ins.only_b if t.role == "hidden_state"]
    if states:
        pairs = ", ".join(f"{toml_key(t.name)} = {toml_string('the output that is its next value')}" for t in states)
        return UsageError(
            f"the candidate takes {names}, which looks like recurrent state; the reference does not take it",
            remedy="if the reference keeps that state inside, have the candidate's kept, too, in its table:\n"
            f"options = {{state = {{{pairs}}}}}",
        )
    if not ins.only_a:
        lines = [f"constant = {{{', '.join(f'{toml_key(t.name)} = 1' for t in ins.only_b)}}}"]
        return UsageError(
            f"the candidate takes {names}, which the reference does not",
            remedy="say what it holds, in parity.toml:\n[adapter.<candidate>]\n" + "\n".join(lines),
        )
    parts = ", ".join(toml_string(t.name) for t in ins.only_a)
    lines = [f"{toml_key(t.name)} = [{parts}]" for t in ins.only_b]
    left = ", ".join(f"{t.name!r} {t.shape or ''}".strip() for t in ins.only_a)
    return UsageError(
        f"the candidate takes {names}; how it is made of the reference's {left}, in which order, cannot be told",
        remedy='decide it in parity.toml, parts in the order of the export (slices: "name[0:7]"):\n'
        "[adapter.<candidate>.inputs]\n" + "\n".join(lines),
    )
