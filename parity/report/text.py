"""Text that came from artifacts, made safe to show: in a terminal, in Markdown, in XML, in a CI annotation, in a shell.

Names of tensors, files and joints are untrusted. They may hold escape sequences that repaint a terminal, markup,
mentions, line breaks that forge a second log line, or marks that turn the reading direction round.
"""

from __future__ import annotations

import re
from typing import Any

# Control characters, surrogates, marks of direction and width that cannot be seen, and what XML 1.0 forbids.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_BREAKS = re.compile(r"[\t\n\r ]+")
_MARKDOWN = re.compile(r"[\\`*_\[\]~#$]|^[-+=:](?= |$)|^\d+(?=[.)](?: |$))")
_PLAIN_CODE = re.compile(r"[A-Za-z0-9_./:+,=()\[\] -]*[A-Za-z0-9_./:+,=()\[\]-]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}


def clean(value: Any, limit: int | None = None) -> str:
    r"""Return ``value`` as one line in which every hidden character is spelled out (``\x1b``, ``\u202e``).

    With ``limit`` the line has at most that many characters, an ellipsis included.
    """
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if limit is not None and len(text) > 4 * limit:
        text = text[: 4 * limit]  # spelling out only makes it longer: there is no need to look at the rest
    text = _HIDDEN.sub(lambda m: spelled(m.group()), _BREAKS.sub(" ", text)).strip(" ")
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + "…"
    return text


def spelled(character: str) -> str:
    r"""Return one character as a visible escape, such as ``\x1b``."""
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def markdown(value: Any, limit: int = 300) -> str:
    """Return ``value`` as text that GitHub's Markdown shows as it is, inside a table cell too.

    No markup, no HTML, no link, no reference and no mention comes out of it. A mention is looked for after rendering,
    so that no escape of Markdown helps: an invisible space after the ``@`` and the ``#`` does.
    """
    text = _MARKDOWN.sub(_escaped, clean(value, limit))
    text = "".join(_ENTITIES.get(c, c) for c in text)
    text = text.replace("@", "@&#8203;").replace("\\#", "\\#&#8203;")
    text = re.sub(r"\b(https?|ftp)(:)", r"\1&#58;", text, flags=re.IGNORECASE)
    return re.sub(r"\b(www)\.", r"\1&#46;", text, flags=re.IGNORECASE)


def _escaped(match: re.Match[str]) -> str:
    found = match.group()
    return found + "\\" if found.isdigit() else "\\" + found  # "1." at the start would be a numbered list


def markdown_code(value: Any, limit: int = 200) -> str:
    """Return ``value`` as a code span where it is plain enough to be one, else as escaped text."""
    text = clean(value, limit)
    if text and _PLAIN_CODE.fullmatch(text):
        return f"`{text}`"
    return markdown(value, limit)


def annotation(value: Any, limit: int = 2000) -> str:
    """Return ``value`` as the message of a GitHub workflow command (``%``, CR and LF escaped)."""
    return clean(value, limit).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def annotation_property(value: Any, limit: int = 200) -> str:
    """Return ``value`` as a property of a GitHub workflow command (``:`` and ``,`` escaped too)."""
    return annotation(value, limit).replace(":", "%3A").replace(",", "%2C")


def log_line(line: str) -> str:
    """Return ``line`` so that no CI service takes it for a command (GitHub's ``::x::`` and ``##[x]``)."""
    line = line.replace("##[", "## [").replace("##vso[", "## vso[")
    return "· " + line.lstrip() if line.lstrip().startswith("::") else line
