"""The worst cases of an output: both sides next to each other, and the inputs that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.contract.roles import input_role
from parity.release.exhibit_pairs import Pair, number
from parity.release.judge import severity_of
from parity.release.measure import Evidence
from parity.release.pictures import pictures_of
from parity.release.prepare import Prepared
from parity.tensor import Array

ROWS, COLUMNS = 256, 32
VALUES = 64  # of an input that are shown
INPUTS = 64
_BROKEN = ("nan", "inf")


def severity(row: Mapping[str, Any]) -> tuple[int, bool, float]:
    """Return how bad a comparison is, to find the worst: by verdict, then what is not finite, then by its limit."""
    how = severity_of(dict(row))
    rank = {"FAIL": 2, "NOT_JUDGED": 1}.get(row["verdict"], 0)
    return rank, row.get("fault") in _BROKEN, float("inf") if np.isnan(how) else how


def side_by_side(row: Mapping[str, Any], pair: Pair) -> dict[str, Any]:
    """Return both sides of a comparison, and its limits; of a batch, the observation that is furthest off."""
    gap = np.nan_to_num(pair.gap(), nan=np.inf, posinf=np.inf, neginf=0.0)
    ratio = gap if pair.limit is None else gap / pair.limit
    at = int(np.argmax(ratio.max(axis=(1, 2))))
    strides = -(-pair.steps // ROWS), -(-pair.dimensions // COLUMNS)
    shown = {
        "reference": _table(pair.reference[at, :: strides[0], :: strides[1]]),
        "candidate": _table(pair.candidate[at, :: strides[0], :: strides[1]]),
        "limit": None if pair.limit is None else [number(v) for v in pair.limit[:: strides[1]].tolist()],
    }
    return {
        "comparison": row["id"],
        "case": row["case"],
        "verdict": row["verdict"],
        "observation": at if pair.reference.shape[0] > 1 else None,
        "step_stride": strides[0],
        "dimension_stride": strides[1],
        **shown,
    }


def _table(values: Array) -> list[list[Any]]:
    return [[number(v) for v in row] for row in values.tolist()]


def inputs_of(evidence: Evidence, prepared: Prepared, candidate: str, case: str) -> list[dict[str, Any]]:
    """Return what a case fed to the policy, as the reference's trace holds it; empty where none does.

    Raises:
        ParityError: a trace cannot be read.
    """
    given = dict(list(evidence.inputs(case).items())[:INPUTS])
    specs = {t.name: t for t in prepared.contract.inputs}
    roles = {
        n: specs[n].role if n in specs and specs[n].role else input_role(n, a.shape, a.dtype.name)
        for n, a in given.items()
    }
    pictures = pictures_of({n: a for n, a in given.items() if roles[n] == "image"})
    return [_input(n, roles[n], a, pictures.get(n, [])) for n, a in given.items()]


def _input(name: str, role: str | None, values: Array, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = values.dtype.kind in "fiub" and values.size > 0
    finite = values[np.isfinite(values)] if numbers and values.dtype.kind == "f" else values
    ends = [_plain(v) for v in (finite.min(), finite.max())] if numbers and finite.size else [None, None]
    return {
        "name": name,
        "role": role,
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "minimum": ends[0],
        "maximum": ends[1],
        "constant": bool(numbers and (values == values.flat[0]).all()),
        "values": [_plain(v) for v in values.reshape(-1)[:VALUES]] if numbers and not pictures else None,
        "pictures": pictures,
    }


def _plain(value: Any) -> Any:
    """Return a NumPy number as the report writes it; booleans as 0 and 1."""
    plain = value.item()
    return number(plain) if isinstance(plain, float) else int(plain)
