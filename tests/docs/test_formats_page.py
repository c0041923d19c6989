"""docs/formats.md tells the formulas of every era and where they come from."""

from __future__ import annotations

from pathlib import Path

from parity.stats.formula import FORMULAS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"


def test_every_era_and_every_mode_has_its_formula_and_source() -> None:
    rows: dict[str, str] = {}
    eras: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").partition("### The formula of each era")[2].splitlines():
        if not line.startswith("| "):
            continue
        named = [part.strip(" `") for part in line.split("|")[1].split(",")]
        eras = [n for n in named if n in FORMULAS] or eras
        for era in eras:
            rows[era] = rows.get(era, "") + line
    assert rows.keys() == FORMULAS.keys()
    for era, formula in FORMULAS.items():
        assert formula.upstream in rows[era]
        assert all(mode in rows[era] for mode in formula.modes - {"IDENTITY"}), era
