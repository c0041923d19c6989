"""JSON files of statistics: as `parity.contract.text` reads them, and no larger than such files ever are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.contract.text import parse_json, read_text

MAX_BYTES = 8 << 20  # a hundred chunk steps of fifty dimensions, ten statistics each, are a megabyte


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of at most 8 MiB as plain data.

    Raises:
        ArtifactError: missing, empty, a Git LFS pointer, larger, or corrupt; see `parity.contract.text.load_json`.
    """
    return parse_json(read_text(path, MAX_BYTES), str(path))
