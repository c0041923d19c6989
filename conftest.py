"""Fixtures shared by all tests: where the corpus of real policies lies, and how workers start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nursery
from corpus_index import corpus_dir, corpus_index
from nursery import Nurseries

__all__ = ["corpus_index"]


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


@pytest.fixture(scope="session", autouse=True)
def forked_workers() -> Iterator[Nurseries]:
    """Workers are forked from a process that has loaded their runtime; see `nursery`."""
    with nursery.forked_workers() as nurseries:
        yield nurseries


@pytest.fixture
def started_workers() -> Iterator[None]:
    """Workers start as they do for a user: for tests of that start."""
    with nursery.fresh_workers():
        yield
