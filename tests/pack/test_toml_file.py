"""What is written as TOML parses to the same data."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.pack.toml_file import dump

NAMES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=0, max_size=6)
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | NAMES | st.dates()
VALUES: Any = st.recursive(
    PLAIN, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3), max_leaves=12
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_written_data_reads_as_it_was(data: dict[str, Any]) -> None:
    assert tomllib.loads(dump(data)) == data


def test_a_release() -> None:
    data = {
        "release": {"name": "a", "seed": 1},
        "candidate": [{"name": "x", "options": {"state": {"h": "h2"}}}, {"name": "y"}],
        "budgets": {"default": {"action": {"max_abs": [0.5, 1e-9]}}},
        "waiver": [{"until": dt.date(2026, 12, 31)}],
    }
    assert tomllib.loads(dump(data)) == data
    with pytest.raises(TypeError):
        dump({"a": None})
