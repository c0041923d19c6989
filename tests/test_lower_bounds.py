"""Every lower bound of the base install, and of the extras that read data, is one that `make lowest` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_lower_bounds_are_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = project["dependencies"] + extras["data"] + extras["video"] + extras["zarr"]
    bounds = dict(re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", d).groups() for d in declared)  # type: ignore[union-attr]
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    assert bounds.keys() == tested.keys()
    for name, bound in bounds.items():
        assert tested[name].split(".")[: bound.count(".") + 1] == bound.split("."), name
