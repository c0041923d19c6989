"""The corpus's index, for tests that are parametrized over its entries when they are collected."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def corpus_dir() -> Path:
    """Return the folder of the corpus, which may be absent."""
    here = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("PARITY_CORPUS") or here.parent / "shared" / "corpus")


def corpus_index() -> list[dict[str, Any]]:
    """Return the entries of the corpus's index; none where the corpus is absent."""
    index = corpus_dir() / "index.json"
    return json.loads(index.read_text(encoding="utf-8"))["entries"] if index.is_file() else []
