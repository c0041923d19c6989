"""Pictures as SVG inside the page: the same data gives the same bytes, colours follow the reader's theme.

matplotlib draws with stand-in colours, which are replaced by the page's own (`var(--ink)`), so that one picture is
right on light, on dark and on paper. Texts come from artifacts: they are made visible (`clean`) and cut before they are
drawn, never read as mathematics, and escaped by the serializer.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from parity.report.text import clean

if TYPE_CHECKING:
    from markupsafe import Markup

# Stand-ins for the colours of the page. None is black, which matplotlib leaves out of what it writes.
INK, SOFT, LINE, PAPER = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
REFERENCE, CANDIDATE, OVER, LIMIT, FILL = "#0a0b05", "#0a0b06", "#0a0b07", "#0a0b08", "#0a0b09"
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    REFERENCE: "var(--reference)",
    CANDIDATE: "var(--candidate)",
    OVER: "var(--fail)",
    LIMIT: "var(--limit)",
    FILL: "var(--fill)",
}
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "parity",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "hatch.linewidth": 0.8,
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COLOURS = re.compile("|".join(_VARIABLES))
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FAMILY = re.compile(r"'DejaVu Sans'(?:, [^;\"]+)?")


def label(text: Any, limit: int = 24) -> str:
    """Return ``text`` as one short visible line for a picture."""
    return clean(text, limit)


def draw(
    paint: Callable[[Any], None],
    width: float,
    height: float,
    *,
    key: str,
    title: str,
    words: str,
    compact: bool = False,
) -> Markup:
    """Return the picture that ``paint`` makes on an empty figure of ``width`` × ``height`` inches, as inline SVG.

    ``key`` makes its ids unique in the page, ``title`` and ``words`` are its text alternative. With ``compact`` lines
    are rounded to a tenth of a point, which makes those of many points several times shorter.
    """
    from matplotlib.figure import Figure

    with _settings():
        figure = Figure(figsize=(width, height))
        paint(figure)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return _inline(out.getvalue(), key, clean(title, 300), clean(words, 2_000), compact)


@contextmanager
def _settings() -> Iterator[None]:
    """Set this module's choices over matplotlib's own defaults: a user's matplotlibrc changes no byte of a report."""
    import matplotlib

    # A glyph that the measuring font lacks is drawn by the browser's fonts: nothing to warn of.
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def _inline(text: str, key: str, title: str, words: str, compact: bool) -> Markup:
    from markupsafe import Markup

    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):  # a style would hold for the whole page
                parent.remove(child)
    used = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            used |= set(_REFERENCE.findall(value))
            if name == f"{{{_LINK}}}href" and value.startswith("#"):
                used.add(value[1:])
    for element in root.iter():
        _adapt(element, key, used)
        if compact and "d" in element.attrib:
            element.attrib["d"] = _shorter(element.attrib["d"])
    _, _, width, height = (float(n) for n in root.attrib["viewBox"].split())
    root.attrib.pop("version", None)
    root.attrib.update({"width": f"{width * 4 / 3:.0f}", "height": f"{height * 4 / 3:.0f}", "role": "img"})
    root.attrib["aria-label"] = f"{title}. {words}"
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _shorter(path: str) -> str:
    """Return a path of straight lines in tenths of a point, each from the last one; any other path as it is."""
    pieces = path.split()
    if len(pieces) % 3 or any(p not in ("M", "L") for p in pieces[::3]):
        return path
    out, last = [], (0, 0)
    for command, x, y in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        here = round(10 * float(x)), round(10 * float(y))
        step = here[0] - last[0], here[1] - last[1]
        if command == "L" and step == (0, 0):
            continue
        # The first "m" of a path is absolute, which is the same: it starts from 0, 0.
        out.append(command.lower() + _tenths(step[0]) + (" " if step[1] >= 0 else "") + _tenths(step[1]))
        last = here
    return "".join(out)


def _tenths(value: int) -> str:
    return f"{value / 10:g}"


def _adapt(element: ElementTree.Element, key: str, used: set[str]) -> None:
    for name, value in list(element.attrib.items()):
        if name == "id":
            if value in used:
                element.attrib[name] = f"{key}-{value}"
            else:
                del element.attrib[name]
        elif name == f"{{{_LINK}}}href" and value.startswith("#"):
            element.attrib[name] = f"#{key}-{value[1:]}"
        else:
            value = _REFERENCE.sub(lambda m: f"url(#{key}-{m.group(1)})", value)
            value = _COLOURS.sub(lambda m: _VARIABLES[m.group()], value)
            element.attrib[name] = _FAMILY.sub("var(--font)", value)
