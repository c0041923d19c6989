"""Fixtures shared by all tests: where the corpus of real policies lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def corpus_dir() -> Path:
    """Return the folder of the corpus, which may be absent."""
    return Path(os.environ.get("PARITY_CORPUS") or HERE.parent / "shared" / "corpus")


def corpus_index() -> list[dict[str, Any]]:
    """Return the entries of the corpus's index; none where the corpus is absent."""
    index = corpus_dir() / "index.json"
    return json.loads(index.read_text(encoding="utf-8"))["entries"] if index.is_file() else []


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus; without it the test is skipped, or fails where PARITY_REQUIRE_CORPUS=1."""
    path = corpus_dir()
    if (path / "index.json").is_file():
        return path
    if os.environ.get("PARITY_REQUIRE_CORPUS") == "1":
        pytest.fail(f"PARITY_REQUIRE_CORPUS=1, but there is no corpus at {path}: set PARITY_CORPUS")
    pytest.skip("no corpus here: set PARITY_CORPUS")


@pytest.fixture(scope="session")
def corpus_entries(corpus: Path) -> dict[str, dict[str, Any]]:
    """The corpus's index by id."""
    return {e["id"]: e for e in corpus_index()}
