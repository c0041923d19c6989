"""Where a command's words go: text for people, JSON for programs, and never the two on one stream.

``--json -`` takes the standard output for JSON alone; what is said to people then goes to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from parity.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def json_option() -> Decorator:
    """Return the decorator of the option ``--json FILE`` (parameter ``json_file``)."""
    return click.option("--json", "json_file", metavar="FILE", help="Write the result as JSON to FILE; - is stdout.")


def people(json_file: str | None) -> TextIO:
    """Return the stream for people: stderr where the standard output is taken for JSON."""
    return sys.stderr if json_file == "-" else sys.stdout


def terminal(stream: TextIO) -> Console | None:
    """Return a rich console where ``stream`` is a terminal, else None. NO_COLOR is honoured."""
    if not stream.isatty():
        return None
    from rich.console import Console

    # An empty NO_COLOR does not count (https://no-color.org). "No colour" is taken to mean no bold either.
    color = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, color_system=color, highlight=False, markup=False, emoji=False)  # type: ignore[arg-type]


def claim(json_file: str | None) -> None:
    """Make sure, before any work, that ``json_file`` may be replaced, and remove an earlier result there.

    A result of an earlier run must not be taken for this one's if this one fails; and a mistyped command line
    (``--json policy.onnx``) must not cost a policy.

    Raises:
        UsageError: a file is there that parity did not write.
    """
    if json_file is None or json_file == "-":
        return
    path = Path(json_file)
    if not path.is_file():
        return
    with path.open("rb") as f:
        head = f.read(256)
    if head and not head.replace(b" ", b"").replace(b"\n", b"").startswith(b'{"schema":1,'):
        raise UsageError(
            f"--json {path}: there is a file that parity did not write; it is left as it is",
            remedy="give another name, or remove it",
        )
    path.unlink()


def write_json(document: Mapping[str, Any], json_file: str | None) -> None:
    """Write the document to ``json_file``: nowhere if None, to stdout if ``-``, else to a file, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    if json_file is None:
        return
    from parity.report.json_file import encode
    from parity.report.json_file import write_json as write_file

    if json_file == "-":
        sys.stdout.write(encode(document).decode("utf-8"))
        sys.stdout.flush()
    else:
        write_file(document, Path(json_file))
