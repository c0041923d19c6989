"""Names and strings as TOML 1.0 (toml.io) writes them: whatever an artifact calls its tensors, it stays text."""

from __future__ import annotations

import re

from parity.errors import UsageError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def toml_string(text: str) -> str:
    """Return ``text`` as a basic string with its quotes.

    Raises:
        UsageError: it holds bytes that are no text (a file name of another encoding).
    """
    out = []
    for c in text:
        if 0xD800 <= ord(c) <= 0xDFFF:
            raise UsageError(f"{text!r:.80} holds bytes that are no text", remedy="rename the file")
        if c in _SHORT:
            out.append(_SHORT[c])
        elif c.isprintable():
            out.append(c)
        else:
            out.append(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}")
    return '"' + "".join(out) + '"'


def toml_key(name: str) -> str:
    """Return ``name`` as a key: bare where TOML allows it, else quoted."""
    return name if _BARE.fullmatch(name) else toml_string(name)
