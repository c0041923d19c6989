"""How the names of two sets of weights line up: which prefixes to strip, what is missing, unexpected, of another shape.

Strict: every name of both sides is in the answer exactly once, none is dropped. Wrappers put their own part before the
names of what they wrap: `torch.nn.DataParallel` and `AveragedModel` ``module.``, `torch.compile` ``_orig_mod.``,
Lightning ``model.``, others ``policy.``, ``ema_model.``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parity.checkpoint.weight import Weight
from parity.provenance.parts import fitted
from parity.provenance.pool import held

WRAPPERS = (
    *("model", "module", "_orig_mod", "policy", "ema_model", "ema", "online_model", "averaged_model", "net", "network"),
    *("actor", "student", "agent", "state_dict", "model_state_dict", "diffusion"),
)
MAX_DEPTH = 4  # wrappers around wrappers
_COMPILED = re.compile(r"(^|\.)_orig_mod\.")
MAX_RENAMED = 2000  # names left over that a rename is looked for


@dataclass(frozen=True, slots=True)
class Alignment:
    """Names of two sets of weights, lined up.

    Attributes:
        strip: prefixes to strip from the first side's names and from the second's, "" for none.
        pairs: (name, name) of the tensors that line up and have the same shape.
        missing: names of the second side without a partner, in full.
        unexpected: names of the first side without a partner, in full.
        conflicts: (name, name) of tensors that line up but differ in shape.
        renames: (old, new) beginnings of names that would give partners to missing and unexpected ones, with how many.
    """

    strip: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    conflicts: tuple[tuple[str, str], ...]
    renames: tuple[tuple[str, str, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every name of both sides has its partner of the same shape."""
        return not (self.missing or self.unexpected or self.conflicts)


def align(first: Mapping[str, Weight], second: Mapping[str, Weight]) -> Alignment:
    """Return how the names of two sets of weights line up, with the prefixes that give the most partners stripped."""
    best = max(
        ((a, b) for a in prefixes_of(first) for b in prefixes_of(second)),
        key=lambda p: (_common(first, second, p), -len(p[0]) - len(p[1])),
    )
    return _aligned(first, second, best)


def prefixes_of(names: Mapping[str, Weight]) -> list[str]:
    """Return the prefixes that may be stripped: none, and the chains of wrappers that some names begin with."""
    found = [""]
    for prefix in found:
        if prefix.count(".") >= MAX_DEPTH:
            continue
        heads = {n[len(prefix) :].partition(".")[0] for n in names if n.startswith(prefix)}
        found += [f"{prefix}{w}." for w in WRAPPERS if w in heads]
    return found


def stripped(name: str, prefix: str) -> str:
    """Return a name without a prefix, and without the parts that `torch.compile` puts into its middle."""
    return _COMPILED.sub(r"\1", name.removeprefix(prefix))


def _short_names(names: Mapping[str, Weight], prefix: str) -> dict[str, str]:
    """Return the full names by short ones. Where two become one, each keeps its full name."""
    found: dict[str, str] = {}
    count = Counter(stripped(n, prefix) for n in names)
    for name in names:
        short = stripped(name, prefix)
        found[short if count[short] == 1 else name] = name
    return found


def _common(first: Mapping[str, Weight], second: Mapping[str, Weight], strip: tuple[str, str]) -> int:
    a, b = _short_names(first, strip[0]), _short_names(second, strip[1])
    same = a.keys() & b.keys()
    return 2 * sum(_same_shape(first[a[n]], second[b[n]]) for n in same) + len(same)


def _same_shape(a: Weight, b: Weight) -> bool:
    return a.shape == b.shape


def _aligned(first: Mapping[str, Weight], second: Mapping[str, Weight], strip: tuple[str, str]) -> Alignment:
    a, b = _short_names(first, strip[0]), _short_names(second, strip[1])
    both = [n for n in a if n in b]
    fitting = [n for n in both if _same_shape(first[a[n]], second[b[n]])]
    unexpected, missing = [n for n in a if n not in b], [n for n in b if n not in a]
    return Alignment(
        strip,
        tuple((a[n], b[n]) for n in fitting),
        tuple(b[n] for n in missing),
        tuple(a[n] for n in unexpected),
        tuple((a[n], b[n]) for n in both if n not in set(fitting)),
        tuple(_renames({n: first[a[n]] for n in unexpected}, {n: second[b[n]] for n in missing})),
    )


def _renames(unexpected: Mapping[str, Weight], missing: Mapping[str, Weight]) -> list[tuple[str, str, int]]:
    """Return (old, new, count): beginnings of names whose exchange gives tensors of the same shape their partners.

    Only a rename that is true of every name that begins so is offered.
    """
    left, offered = dict(list(unexpected.items())[:MAX_RENAMED]), []
    gone = dict(list(missing.items())[:MAX_RENAMED])
    tails: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, weight in gone.items():
        tails.setdefault((name.rpartition(".")[2], weight.shape), []).append(name)
    counts: Counter[tuple[str, str]] = Counter()
    for name, weight in left.items():
        for other in tails.get((name.rpartition(".")[2], weight.shape), [])[:20]:
            old, new = _beginnings(name, other)
            # Statistics of all features look alike: action's are no partner of the state's.
            if not weight.statistics or old.endswith(new) or new.endswith(old):
                counts[old, new] += 1
    for (old, new), _ in counts.most_common(50):
        begins = [n for n in left if n.startswith(old)]
        moved = {n: new + n.removeprefix(old) for n in begins}
        if begins and all(m in gone and left[n].shape == gone[m].shape for n, m in moved.items()):
            offered.append((old, new, len(moved)))
            for name, other in moved.items():
                del left[name], gone[other]
    return offered


def _beginnings(name: str, other: str) -> tuple[str, str]:
    """Return how two names begin before the parts that they have in common at their ends."""
    a, b = name.split("."), other.split(".")
    n = 0
    while n < min(len(a), len(b)) and a[-1 - n] == b[-1 - n]:
        n += 1
    return tuple("".join(f"{part}." for part in parts[: len(parts) - n]) for parts in (a, b))  # type: ignore[return-value]


def renamed_by_value(unexpected: Sequence[Weight], missing: Sequence[Weight]) -> list[tuple[str, str]]:
    """Return (name, name) of tensors that have no partner by name and hold the same values, each partner once.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    found, free = [], [held(w) for w in missing[:MAX_RENAMED]]
    for weight in map(held, unexpected[:MAX_RENAMED]):
        other = next((w for w in free if w.shape == weight.shape and weight.size > 1 and fitted(weight, w)), None)
        if other is not None:
            free.remove(other)
            found.append((weight.name, other.name))
    return found
