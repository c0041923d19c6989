"""`report.json`: written so that the same report gives the same bytes, read again for ``--from`` and ``--baseline``.

The keys keep the order of the public schema. Every comparison, finding and artifact has a line of its own, so that two
reports can be compared line by line and ten thousand comparisons are written by the standard library's fast encoder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path, PurePath
from typing import Any

from parity.errors import ArtifactError, UsageError
from parity.report.atomic import replace_file
from parity.report.view import excused, waived_outputs
from parity.verdict import Verdict, combine

SCHEMA_VERSION = 1
MAX_BYTES = 256 << 20  # a report of 10,000 comparisons takes about 12 MB
_RANK = {Verdict.PASS: 0, Verdict.NOT_JUDGED: 1, Verdict.FAIL: 2}


def plain(value: Any) -> Any:
    """Return ``value`` as plain JSON data: NumPy scalars and arrays as numbers and lists, numbers that are not finite
    as the strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"``, keys and paths as strings.

    Raises:
        TypeError: ``value`` holds something that has no form in JSON.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else nonfinite(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(v) for v in items]
    return plain(_default(value))


def nonfinite(value: float) -> str:
    """Return the string that stands for a number that is not finite."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _default(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing NumPy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in a report")


def _line(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_default)
    except (ValueError, TypeError):  # NaN or Inf, or a key that is no string: the slow way, for this line alone
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def encode(document: Mapping[str, Any]) -> bytes:
    """Return ``document`` as JSON text, keys in their order, one line for each element of a top-level list."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            body = "[\n" + ",\n".join("  " + _line(item) for item in value) + "\n ]"
        else:
            body = _line(value)
        parts.append(f" {json.dumps(str(key), ensure_ascii=False)}: {body}")
    # A lone surrogate (from an undecodable file name) has no UTF-8; its backslash escape is what JSON itself writes.
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("utf-8", errors="backslashreplace")


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Write ``report`` to ``path``, complete or not at all.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    replace_file(path, encode(report))


def read_json(path: Path) -> dict[str, Any]:
    """Return the report at ``path``, checked to be one and to have the verdict that its own entries give.

    Raises:
        ArtifactError: nothing is there, it is no JSON, too large, no report, or its verdict is better than its entries.
        UsageError: it was written for another schema version.
    """
    report = _parse(path, _read(path))
    version = report.get("schema")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
            raise UsageError(
                f"{path}: a report of schema version {version}",
                expected=f"schema version {SCHEMA_VERSION}",
                remedy="read it with the newer version of parity that wrote it",
            )
        raise ArtifactError(f"{path}: no report of parity (its `schema` is {version!r})", expected="report.json")
    _check_form(path, report)
    _check_verdict(path, report)
    return report


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ArtifactError(f"{path}: {size:,} bytes", expected=f"a report of at most {MAX_BYTES:,} bytes")
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file", remedy="give the report.json of an earlier run") from None
    except IsADirectoryError:
        raise ArtifactError(f"{path}: a folder", remedy=f"give {path / 'report.json'}") from None
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
    if len(data) > MAX_BYTES:
        raise ArtifactError(f"{path}: larger than {MAX_BYTES:,} bytes")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # two "verdict" keys would be read one way here and another way elsewhere
        raise ValueError("the same key appears twice in one object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    remedy = "give the report.json that parity wrote; an interrupted copy has to be made again"
    try:
        report = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as e:
        raise ArtifactError(f"{path}: not readable as JSON ({str(e)[:200]})", remedy=remedy) from None
    if not isinstance(report, dict):
        raise ArtifactError(f"{path}: no report of parity (it holds a {type(report).__name__})", remedy=remedy)
    return report


_LISTS = ("artifacts", "candidates", "comparisons", "measures", "findings")


def _check_form(path: Path, report: dict[str, Any]) -> None:
    remedy = "give the report.json of `parity run` or `parity compare`"
    missing = [k for k in ("verdict", "release", *_LISTS) if k not in report]
    if missing:
        raise ArtifactError(f"{path}: no complete report, without {', '.join(missing)}", remedy=remedy)
    if not isinstance(report["release"], dict):
        raise ArtifactError(f"{path}: no complete report, `release` is no object", remedy=remedy)
    for key in _LISTS:
        entries = report[key]
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise ArtifactError(f"{path}: no complete report, `{key}` is no list of objects", remedy=remedy)
    for key in ("candidates", "comparisons", "measures"):
        _verdicts(path, report[key], key)


def _verdicts(path: Path, entries: Iterable[Mapping[str, Any]], key: str) -> list[Verdict]:
    found = []
    for entry in entries:
        try:
            found.append(Verdict(entry.get("verdict", "")))
        except ValueError:
            raise ArtifactError(
                f"{path}: an entry of `{key}` has the verdict {entry.get('verdict')!r}", expected=", ".join(Verdict)
            ) from None
    return found


def evidence(report: Mapping[str, Any], path: Path) -> Verdict:
    """Return the best verdict that the entries of ``report`` allow: without any, or with an error finding, no PASS.

    Raises:
        ArtifactError: an entry's verdict is none of the three.
    """
    waived = waived_outputs(report)
    entries = [e for key in ("comparisons", "measures") for e in report[key]]
    counted = _verdicts(path, entries, "comparisons and measures")
    judged = [Verdict.PASS if excused(e, waived) else v for e, v in zip(entries, counted, strict=True)]
    errors = [f for f in report["findings"] if f.get("severity") == "error" and not f.get("waived")]
    worst = combine(judged)
    return Verdict.NOT_JUDGED if worst is Verdict.PASS and errors else worst


def _check_verdict(path: Path, report: dict[str, Any]) -> None:
    (stated,) = _verdicts(path, [report], "verdict")
    candidates = _verdicts(path, report["candidates"], "candidates")
    given = evidence(report, path)
    worst = max([given, *candidates], key=_RANK.__getitem__)
    if _RANK[stated] < _RANK[worst]:
        bad = sum(c["verdict"] == worst for c in report["comparisons"])
        raise ArtifactError(
            f"{path}: says {stated}, but its own entries say {worst} ({bad} of its comparisons do)",
            expected="a verdict that is no better than what it rests on",
            remedy="it was edited or damaged: judge the release again with `parity run`",
        )
