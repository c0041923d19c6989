"""Which tensor of one contract is which tensor of another, and how surely.

Names first, then spellings, then what is left where only one pairing is possible. What stays ambiguous is not matched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from parity.tensor import Dim, Shape, TensorSpec

How = Literal["name", "spelling", "single", "role", "shape", "position"]

_PREFIX = re.compile(r"^(observations?|obs)_(?=.)")
_CAMERA = re.compile(r"^(images?|rgb|cameras?|cam)_(?=.)")
_GENERATED = re.compile(
    r"^(\d+|onnx::\w+|x|input|inputs|output|outputs|result|out|tensor|(input|output|out|arg|args|argument|x|t)[._]?\d+(\.\d+)?"
    r"|getitem(_\d+)?|linear(_\d+)?|addmm(_\d+)?)$"
)


@dataclass(frozen=True, slots=True)
class Match:
    """One tensor in two contracts, and by what it was recognized."""

    a: TensorSpec
    b: TensorSpec
    how: How


@dataclass(frozen=True, slots=True)
class Matching:
    """All pairs in the order of the first contract, and what has no partner on either side."""

    pairs: tuple[Match, ...]
    only_a: tuple[TensorSpec, ...]
    only_b: tuple[TensorSpec, ...]


def is_generated(name: str) -> bool:
    """Whether a tensor's name was made up by an exporter (``onnx::Gemm_0``, ``15``, ``x``) and means nothing."""
    return not name or bool(_GENERATED.match(name))


def canonical(name: str) -> str:
    """Return the name in lower case with all punctuation as single underscores: ``a.b/c:0`` is ``a_b_c``."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r":\d+$", "", name).lower()).strip("_")


def _tail(name: str) -> str:
    return _PREFIX.sub("", canonical(name))


def _core(name: str) -> str:
    return _CAMERA.sub("", _tail(name)).removesuffix("s")


SPELLINGS: tuple[tuple[How, Callable[[str], str]], ...] = (
    ("name", str),
    ("spelling", canonical),
    ("spelling", _tail),
    ("spelling", _core),
)


def match_tensors(a: Sequence[TensorSpec], b: Sequence[TensorSpec]) -> Matching:
    """Return which tensors of ``a`` are which of ``b``.

    In turn, each only where it is unambiguous: the same name; the same name but for case and punctuation; but for a
    leading ``observation.`` or ``images.``; the only tensor of either side; the only one of its role; the only one of
    its shape; and the same position, where as many are left and every pair fits.
    """
    found: dict[int, tuple[int, How]] = {}
    for how, spell in SPELLINGS:
        _by_key(a, b, found, how, lambda t, spell=spell: spell(t.name))  # type: ignore[misc]
    if len(a) == len(b) == 1 and not found:
        found[0] = (0, "single")
    _by_key(a, b, found, "role", lambda t: t.role)
    _by_shape(a, b, found)
    _by_position(a, b, found)
    taken = {j for j, _ in found.values()}
    return Matching(
        pairs=tuple(Match(a[i], b[found[i][0]], found[i][1]) for i in sorted(found)),
        only_a=tuple(t for i, t in enumerate(a) if i not in found),
        only_b=tuple(t for j, t in enumerate(b) if j not in taken),
    )


def _left(n: int, taken: Iterable[int]) -> list[int]:
    gone = set(taken)
    return [i for i in range(n) if i not in gone]


def _by_key(
    a: Sequence[TensorSpec],
    b: Sequence[TensorSpec],
    found: dict[int, tuple[int, How]],
    how: How,
    key: Callable[[TensorSpec], str | None],
) -> None:
    """Pair the tensors that alone on their side have a key, if one of the other side alone has it too."""
    sides: list[dict[str, list[int]]] = [{}, {}]
    for side, specs, taken in ((0, a, list(found)), (1, b, [j for j, _ in found.values()])):
        for i in _left(len(specs), taken):
            if (k := key(specs[i])) is not None:
                sides[side].setdefault(k, []).append(i)
    for k, ours in sides[0].items():
        theirs = sides[1].get(k, [])
        if len(ours) == len(theirs) == 1 and (how in ("name", "spelling") or _could_be(a[ours[0]], b[theirs[0]])):
            found[ours[0]] = (theirs[0], how)


def _by_shape(a: Sequence[TensorSpec], b: Sequence[TensorSpec], found: dict[int, tuple[int, How]]) -> None:
    """Pair what fits one tensor only, on both sides, among those whose shapes are known."""
    ours, theirs = _left(len(a), found), _left(len(b), [j for j, _ in found.values()])
    options = {i: [j for j in theirs if _could_be(a[i], b[j])] for i in ours}
    for i, fitting in options.items():
        if len(fitting) == 1 and a[i].shape is not None and b[fitting[0]].shape is not None:
            j = fitting[0]
            if all(j not in other for k, other in options.items() if k != i):
                found[i] = (j, "shape")


def _by_position(a: Sequence[TensorSpec], b: Sequence[TensorSpec], found: dict[int, tuple[int, How]]) -> None:
    """Pair what is left in order, if as many are left on both sides, names mean nothing on one, and every pair fits."""
    ours, theirs = _left(len(a), found), _left(len(b), [j for j, _ in found.values()])
    if len(ours) != len(theirs) or not all(fits(a[i], b[j]) for i, j in zip(ours, theirs, strict=True)):
        return
    nameless = all(is_generated(a[i].name) for i in ours) or all(is_generated(b[j].name) for j in theirs)
    shapeless = all(a[i].shape is None for i in ours) or all(b[j].shape is None for j in theirs)
    if nameless or shapeless:
        found.update({i: (j, "position") for i, j in zip(ours, theirs, strict=True)})


def _could_be(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether two tensors of other names may be the same: two configurations that name features mean those names."""
    named = not is_generated(a.name) and not is_generated(b.name)
    return fits(a, b) and not (named and not a.batched and not b.batched)


def fits(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether two specs could describe one tensor: nothing that both know contradicts."""
    if a.role and b.role and a.role != b.role:
        return False
    if a.dtype and b.dtype and kind_of(a.dtype) != kind_of(b.dtype):
        return False
    if a.shape is None or b.shape is None:
        return True
    la, lb, trailing = align(a, b)
    if a.batched == b.batched and len(la) != len(lb):
        return False
    return all(dims_agree(x, y) for x, y in trailing)


def kind_of(dtype: str) -> str:
    """Return ``float``, ``int`` or ``bool`` for NumPy's name of a dtype, or ``bfloat16``."""
    if "float" in dtype:
        return "float"
    return "bool" if dtype.startswith("bool") else "int"


def dims_agree(x: Dim, y: Dim) -> bool:
    """Whether two dimensions can be the same: unknown and symbolic ones can be anything."""
    return not (isinstance(x, int) and isinstance(y, int)) or x == y


def align(a: TensorSpec, b: TensorSpec) -> tuple[Shape, Shape, tuple[tuple[Dim, Dim], ...]]:
    """Return the leading axes of each (batch, time, ...) and the pairs of axes that must agree, from the right.

    A bare shape (``batched`` False) has no leading axes: all of it is compared with the other's last axes. Between two
    batched ones the first axis is the leading one; where ranks differ the surplus axes of the longer one are, too.
    """
    sa, sb = a.shape or (), b.shape or ()
    keep_a, keep_b = len(sa) - (1 if a.batched and sa else 0), len(sb) - (1 if b.batched and sb else 0)
    n = min(keep_a, keep_b)
    if a.batched != b.batched:
        n = min(len(sb) if a.batched else len(sa), len(sa), len(sb))
    return sa[: len(sa) - n], sb[: len(sb) - n], tuple(zip(sa[len(sa) - n :], sb[len(sb) - n :], strict=True))
