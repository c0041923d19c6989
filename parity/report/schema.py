"""The JSON Schemas that ship with parity, and the check of a document against them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

from parity.errors import ArtifactError, UsageError

Which = Literal["report", "inspect", "provenance", "stats"]


def load_schema(which: Which = "report") -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``report.json``, or of what a command's ``--json`` writes."""
    text = files("parity.report").joinpath("schema", f"{which}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def validate(document: Any, which: Which = "report") -> None:
    """Check ``document`` against the schema; return nothing where it fits.

    Raises:
        ArtifactError: it does not fit; the message names the place and what was found there.
        UsageError: the package `jsonschema`, which only this check needs, is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        raise UsageError("checking against a JSON Schema needs jsonschema", remedy="pip install jsonschema") from None

    from parity.report.text import clean

    errors = sorted(
        Draft202012Validator(load_schema(which)).iter_errors(document), key=lambda e: list(map(str, e.path))
    )
    if errors:
        lines = [f"{e.json_path}: {clean(e.message, 200)}" for e in errors[:5]]
        more = f"\n… and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ArtifactError(f"does not fit {which}.schema.json:\n" + "\n".join(lines) + more)
