"""Several sets of statistics in one source: which one is compared, and a better one than the one that is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parity.errors import UsageError
from parity.stats.choose import Given, choose, split
from parity.stats.model import FeatureStats, NormStats


def one(label: str, mean: float, asset: str | None = None, feature: str = "action") -> NormStats:
    values = {"mean": np.array([mean, 2.0]), "std": np.array([0.5, 0.25])}
    facts = {} if asset is None else {"asset": asset}
    return NormStats(Path(label), f"{label} [{asset}]", "openpi", {feature: FeatureStats(feature, values)}, facts=facts)


BASE = Given((one("base", 0.0, "droid"), one("base", 3.0, "aloha"), one("base", 9.0, "libero")))


def test_the_set_that_fits_best_is_compared_and_that_is_said() -> None:
    chosen, findings = choose([BASE, Given((one("data", 3.01),))])
    assert [s.label for s in chosen] == ["base [aloha]", "data [None]"]
    assert [(f.code, f.severity, f.evidence["best"]) for f in findings] == [("STATS079", "info", "aloha")]


def test_the_set_that_is_named_is_compared_and_a_better_one_is_an_error() -> None:
    chosen, findings = choose([Given(BASE.sets, "droid"), Given((one("data", 3.01),))])
    assert chosen[0].label == "base [droid]"
    assert [(f.code, f.severity, f.evidence["best"]) for f in findings] == [("STATS080", "error", "aloha")]
    assert choose([Given(BASE.sets, "aloha"), Given((one("data", 3.01),))])[1] == []


def test_where_none_fits_nothing_is_said_to_be_better() -> None:
    assert choose([Given(BASE.sets, "droid"), Given((one("data", 5.0),))])[1] == []


def test_a_name_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(UsageError, match="droid, aloha, libero"):
        choose([Given(BASE.sets, "widowx")])


def test_without_others_the_first_is_shown() -> None:
    chosen, findings = choose([BASE])
    assert [s.label for s in chosen] == ["base [droid]"]
    assert len(findings) == 1


def test_what_is_stored_beside_the_sets_stays() -> None:
    beside = one("base", 3.0)
    chosen, _ = choose([Given((*BASE.sets, beside)), Given((one("data", 3.0),))])
    assert beside in chosen


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a/b", ("a/b", None)), ("a::b", ("a", "b")), ("::b", ("::b", None)), ("a::", ("a::", None))],
)
def test_path_and_name(source: str, expected: tuple[str, str | None]) -> None:
    assert split(source) == expected
