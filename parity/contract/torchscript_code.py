"""The text of a TorchScript program, read for its signatures; never parsed as Python, never run.

A class ``__torch__.a.b.Name`` is written in ``code/__torch__/a/b.py`` (torch/csrc/jit/serialization, export_module).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from parity.checkpoint.archive import Archive
from parity.checkpoint.torch_file import archive_prefix
from parity.errors import ArtifactError

MAX_SOURCE = 64 << 20
MAX_SIGNATURE = 20_000
_RANDOM = re.compile(
    r"\b(?:torch|ops\.aten)\.(rand|randn|rand_like|randn_like|randint|randint_like|randperm|normal|normal_|uniform_"
    r"|bernoulli|bernoulli_|multinomial|poisson|exponential_|gumbel_softmax)\("
)
_METHOD = re.compile(r"^  def (\w+)\(", re.MULTILINE)
_FUNCTION = re.compile(r"^def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Signature:
    """A method's arguments as (name, type), without the module, and the types of what it returns."""

    arguments: tuple[tuple[str, str], ...]
    returned: tuple[str, ...]
    text: str


def class_source(archive: Archive, name: str) -> str:
    """Return the text of a class, from its ``class`` line to the next; "" where the archive has none.

    Raises:
        ArtifactError: the entry cannot be read.
    """
    prefix = archive_prefix(archive, "data.pkl")
    module, _, short = name.rpartition(".")
    entry = f"{prefix}code/{module.replace('.', '/')}.py"
    if entry not in archive:
        return ""
    text = archive.read(entry, MAX_SOURCE).decode("utf-8", "replace")
    start = re.search(rf"^class {re.escape(short)}\(", text, re.MULTILINE)
    if start is None:
        return ""
    rest = text[start.start() :]
    following = re.search(r"^(class|def) ", rest[1:], re.MULTILINE)
    return rest if following is None else rest[: following.start() + 1]


def signature(source: str, method: str) -> Signature | None:
    """Return the signature of a method of a class; None where it has no such method or it is cut short."""
    start = source.find(f"  def {method}(")
    if start < 0:
        return None
    text = source[start : start + MAX_SIGNATURE]
    opening = text.index("(")
    closing = _closing(text, opening)
    if closing is None:
        return None
    arguments = []
    for part in _split(text[opening + 1 : closing])[1:]:  # the first is the module, whatever its author calls it
        name, _, kind = part.partition(":")
        if name.strip():
            arguments.append((name.strip(), kind.partition("=")[0].strip()))
    arrow = re.match(r"\)\s*->\s*", text[closing:])
    returned: tuple[str, ...] = ()
    if arrow:
        rest = text[closing + arrow.end() :]
        kind = rest[: rest.index(":\n")] if ":\n" in rest else rest
        kind = " ".join(kind.split())
        inner = re.fullmatch(r"Tuple\[(.*)\]", kind)
        returned = tuple(p.strip() for p in _split(inner[1])) if inner else (kind,)
    listed = ", ".join(f"{n}: {t}" for n, t in arguments)
    return Signature(
        tuple(arguments), returned, f"forward({listed}) -> {', '.join(returned)}".replace("forward", method, 1)
    )


def _closing(text: str, opening: int) -> int | None:
    depth = 0
    for at in range(opening, len(text)):
        if text[at] in "([":
            depth += 1
        elif text[at] in ")]":
            depth -= 1
            if depth == 0:
                return at
    return None


def _split(text: str) -> list[str]:
    """Return the parts of a list that are separated by commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [p for p in (*parts, text[start:]) if p.strip()]


def draws_random_numbers(archive: Archive) -> list[str]:
    """Return the random functions that the program's ``forward`` methods and free functions call, sorted.

    Raises:
        ArtifactError: an entry cannot be read.
    """
    found: set[str] = set()
    for entry in archive.names:
        if "/code/" in entry and entry.endswith(".py"):
            text = archive.read(entry, MAX_SOURCE).decode("utf-8", "replace")
            for body in _bodies(text):
                found.update(m[1] for m in _RANDOM.finditer(body))
    if len(found) > 100:
        raise ArtifactError(f"{archive.path}: not a TorchScript program")
    return sorted(found)


def _bodies(text: str) -> list[str]:
    """Return the text of each method whose name begins with ``forward``, and of each free function."""
    starts = sorted([(m.start(), m[1], True) for m in _METHOD.finditer(text)])
    ends = sorted(
        [m.start() for m in _METHOD.finditer(text)] + [m.start() for m in re.finditer(r"^\S", text, re.MULTILINE)]
    )
    bodies = []
    for start, name, _ in starts:
        if name.startswith("forward"):
            bodies.append(text[start : next((e for e in ends if e > start), len(text))])
    for match in _FUNCTION.finditer(text):
        bodies.append(text[match.start() : next((e for e in ends if e > match.start()), len(text))])
    return bodies
