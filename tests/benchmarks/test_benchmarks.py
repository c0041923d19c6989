"""`pytest -m bench -s tests/benchmarks` measures every section, as `run.py` does. Nothing here asserts on time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import table


@pytest.mark.bench
@pytest.mark.parametrize("section", table.sections())
def test_measure(section: str) -> None:
    text = table.markdown(table.measure(section))
    print(f"\n{section}\n\n{text}")
    table.write(section, f"Measured on {table.machine()}.\n\n{text}")


def test_the_page_has_a_place_for_every_section() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    for section in table.sections():
        assert page.count(f"<!-- bench:{section} -->") == page.count(f"<!-- /bench:{section} -->") == 1, section


def test_a_table_replaces_what_stood_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before <!-- bench:x -->old<!-- /bench:x --> after")
    table.write("x", table.markdown([{"what": "a|b", "ms": "1"}]), page)
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "| a\\|b | 1 |" in text
    with pytest.raises(ValueError, match="no place"):
        table.write("y", "", page)
