"""`docs/findings.md` lists every finding code of the code, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"[A-Z]{2,8}\d{3}")
ROW = re.compile(r"^\| `([A-Z]{2,8}\d{3})` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$")
NO_CODES = {"SHA256", "SHA512", "SHA384"}  # they look like codes, but are names of something else
SEVERITIES = {"error", "warning", "info"}


def codes_in(source: str) -> set[str]:
    """Return the codes that a module's string literals hold.

    Every literal that looks like a code counts, not only a first argument of ``Finding``: many modules keep their codes
    in constants or tables. A code that no finding is made from is not worth keeping either.
    """
    found = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {text for text in found if CODE.fullmatch(text)} - NO_CODES


def codes_of_the_tree() -> dict[str, list[str]]:
    """Return every code with the modules that hold it."""
    found: dict[str, list[str]] = {}
    for folder in ("parity", "suites"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code in codes_in(path.read_text(encoding="utf-8")):
                found.setdefault(code, []).append(path.relative_to(ROOT).as_posix())
    return found


def table() -> list[tuple[str, str, str, str]]:
    """Return the rows of the table: code, severity, what it says, what to do."""
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    matches = [(line, ROW.match(line)) for line in rows]
    assert all(m for _, m in matches), [line for line, m in matches if m is None]
    return [(m[1], m[2].strip(), m[3].strip(), m[4].strip()) for _, m in matches if m]


def test_every_code_is_in_the_table() -> None:
    known = {row[0] for row in table()}
    missing = {code: where for code, where in codes_of_the_tree().items() if code not in known}
    assert not missing, f"add to docs/findings.md: {missing}"


def test_every_row_is_of_a_code_that_exists() -> None:
    gone = {row[0] for row in table()} - set(codes_of_the_tree())
    assert not gone, f"no finding has these codes: {sorted(gone)}"


def test_the_table_is_sorted_complete_and_free_of_duplicates() -> None:
    codes = [row[0] for row in table()]
    assert codes == sorted(set(codes))
    for code, severity, says, remedy in table():
        assert set(severity.split(" or ")) <= SEVERITIES, code
        assert says.endswith("."), code
        assert remedy.endswith("."), code


def test_codes_are_found_wherever_they_stand() -> None:
    source = (
        'Finding("AB001", "error")\nX = "CD002"\nY = {"k": ("EF003", "words")}\nZ = "see GH004", f"IJ005 {X}", "SHA256"'
    )
    assert codes_in(source) == {"AB001", "CD002", "EF003"}
