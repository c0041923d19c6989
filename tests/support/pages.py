"""Pages of the documentation as something that runs: their files, and their commands with their exit codes."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^(?:`([\w./-]+)`:\n\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit (\d)$")


@dataclass(frozen=True, slots=True)
class Step:
    """A file to write (``path``) or a command to run (``words``, with the exit code that the page promises)."""

    path: str | None
    text: str
    words: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    code: int = 0


def steps_of(page: Path) -> list[Step]:
    """Return what a reader of ``page`` does, in order: named blocks become files, ``sh`` blocks commands."""
    found: list[Step] = []
    for name, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if name:
            found.append(Step(name, text))
        elif language == "sh":
            found += [_command(line) for line in text.splitlines() if line.strip()]
    return found


def _command(line: str) -> Step:
    promised = _EXIT.search(line)
    words = shlex.split(_EXIT.sub("", line))
    environment = []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        key, _, value = words.pop(0).partition("=")
        environment.append((key, value))
    return Step(None, line, tuple(words), tuple(environment), int(promised[1]) if promised else 0)
