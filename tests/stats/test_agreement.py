"""Several sources of statistics: who agrees with whom, where each was taken from, and the odd one out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.finding import Finding
from parity.stats.agree import Agreement, agree
from parity.stats.model import Declared, FeatureStats, NormStats
from parity.stats.survey import verdict_of
from parity.stats.tell import agreement_findings
from parity.verdict import Verdict

RNG = np.random.default_rng(5)
DATA = RNG.normal(size=(500, 4)) * [1.0, 3.0, 0.2, 50.0] + [0.1, -2.0, 7.0, 0.0]
OTHER = RNG.normal(size=(500, 4)) * [1.5, 3.0, 0.2, 40.0] + [0.4, -2.0, 7.5, 9.0]


def statistics(rows: Any, dtype: Any = np.float64) -> dict[str, Any]:
    found = {"mean": rows.mean(0), "std": rows.std(0), "q01": np.quantile(rows, 0.01, 0)}
    found["q99"] = np.quantile(rows, 0.99, 0)
    return {n: v.astype(dtype).astype(np.float64) for n, v in found.items()}


def source(label: str, kind: str = "openpi", mode: str | None = None, **features: Any) -> NormStats:
    named = {n.replace("__", "."): v for n, v in features.items()}
    return NormStats(Path(label), label, kind, {n: FeatureStats(n, v, mode=mode) for n, v in named.items()})


def codes(found: Agreement) -> list[str]:
    return [f.code for f in agreement_findings(found)]


def of(found: Agreement, code: str) -> Finding:
    return next(f for f in agreement_findings(found) if f.code == code)


def read(path: Path) -> NormStats:
    raw = json.loads(path.read_text())["norm_stats"]
    features = {k: FeatureStats(k, {s: np.array(v) for s, v in table.items()}) for k, table in raw.items()}
    return NormStats(path, path.name, "openpi", features)


@pytest.mark.parametrize(("pair", "verdict"), [("norm_conflict_zwbx", "CONFLICT"), ("norm_drift_robomme", "DRIFT")])
def test_the_real_conflict_in_quantiles_alone_and_the_real_drift(corpus: Path, pair: str, verdict: str) -> None:
    found = agree([read(p) for p in sorted((corpus / "norm_stats_conflicts" / pair).iterdir())])
    assert {p.feature: p.comparison.verdict for p in found.pairs} == {"action": verdict, "observation.state": verdict}
    worst = [p.comparison.worst for p in found.pairs]
    assert all(w is not None and w.statistic in ("q01", "q99") for w in worst)
    expected = Verdict.FAIL if verdict == "CONFLICT" else Verdict.PASS
    assert verdict_of(agreement_findings(found)) == expected


def test_names_of_other_spelling_are_matched() -> None:
    found = agree(
        [
            source("a", state=statistics(DATA), actions=statistics(OTHER)),
            source("b", observation__state=statistics(DATA), action=statistics(OTHER)),
        ]
    )
    assert [p.feature for p in found.pairs] == ["action", "observation.state"]
    assert {p.comparison.verdict for p in found.pairs} == {"SAME"}


def test_what_was_rounded_was_taken_from_the_dataset() -> None:
    found = agree(
        [
            source("policy", action=statistics(DATA, np.float32)),
            source("data", "lerobot_dataset", action=statistics(DATA), torque=statistics(OTHER)),
        ]
    )
    (taken,) = found.taken
    assert (taken.source, taken.origin, taken.equal) == (0, 1, "float32")
    assert "rounded to float32" in of(found, "STATS070").title
    assert of(found, "STATS074").evidence["features"] == ["torque"]
    assert verdict_of(agreement_findings(found)) is Verdict.PASS


def test_imagenet_says_nothing_about_where_statistics_come_from() -> None:
    camera = {"mean": np.array([0.485, 0.456, 0.406]), "std": np.array([0.229, 0.224, 0.225])}
    found = agree([source("a", camera=camera), source("b", camera=camera)])
    assert found.taken == ()


def test_the_odd_one_out_is_named() -> None:
    found = agree(
        [
            source("checkpoint", action=statistics(DATA, np.float32)),
            source("deployed", action=statistics(OTHER)),
            source("data", "lerobot_dataset", action=statistics(DATA)),
        ]
    )
    assert found.odd == {"action": 1}
    assert "deployed" in of(found, "STATS071").title
    assert of(found, "STATS073").where == "deployed"
    assert verdict_of(agreement_findings(found)) is Verdict.FAIL


def test_of_two_sources_none_is_odd() -> None:
    found = agree([source("a", action=statistics(DATA)), source("b", action=statistics(OTHER))])
    assert found.odd == {}
    assert codes(found) == ["STATS071"]


def test_of_three_that_all_differ_none_is_odd() -> None:
    rows = [DATA, OTHER, DATA * 3 + 1]
    assert agree([source(str(i), action=statistics(r)) for i, r in enumerate(rows)]).odd == {}


def test_no_feature_in_common_is_not_judged() -> None:
    found = agree([source("a", action=statistics(DATA)), source("b", wrist=statistics(DATA))])
    assert codes(found).count("STATS078") == 2
    assert verdict_of(agreement_findings(found)) is Verdict.NOT_JUDGED


def test_one_source_alone_is_compared_with_nothing_and_that_is_no_fault() -> None:
    found = agree([source("a", action=statistics(DATA))])
    assert agreement_findings(found) == []


def test_sets_of_one_file_are_not_compared_with_each_other() -> None:
    sets = [
        NormStats(Path("f"), f"f [{n}]", "gr00t", source(n, action=statistics(r)).features, facts={"embodiment": n})
        for n, r in (("aloha", DATA), ("droid", OTHER))
    ]
    assert agree(sets).pairs == ()


def test_two_records_of_one_folder_are_compared() -> None:
    whole, pooled = source("a", "lerobot_dataset", action=statistics(DATA)).features, statistics(OTHER)
    found = agree(
        [
            NormStats(Path("data"), "data", "lerobot_dataset", whole, facts={"file": "stats.json"}),
            NormStats(Path("data"), "data [episodes]", "lerobot_dataset", {"action": FeatureStats("action", pooled)}),
        ]
    )
    assert codes(found) == ["STATS071"]


def test_columns_that_count_rows_are_left_out() -> None:
    found = agree(
        [
            source("a", index=statistics(DATA), action=statistics(DATA)),
            source("b", index=statistics(OTHER), action=statistics(DATA), timestamp=statistics(DATA)),
        ]
    )
    assert [p.feature for p in found.pairs] == ["action"]
    assert codes(found) == ["STATS070"]


def test_relative_actions_are_not_compared_with_absolute_ones() -> None:
    found = agree([source("a", action=statistics(DATA)), source("b", "relative_actions", action=statistics(OTHER))])
    assert found.pairs == ()


def test_modes_that_differ_are_said_and_judged_by_what_they_map_to_one() -> None:
    found = agree(
        [
            source("a", mode="MEAN_STD", action=statistics(DATA)),
            source("b", mode="QUANTILES", action=statistics(DATA)),
        ]
    )
    assert of(found, "STATS076").severity == "error"


def test_a_mode_that_is_declared_only_counts() -> None:
    policy = source("a", action=statistics(DATA))
    declared = NormStats(
        policy.path, "a", "lerobot", policy.features, declared=(Declared("action", "action", mode="MEAN_STD"),)
    )
    other = source("b", action={**statistics(DATA), "q99": statistics(OTHER)["q99"]})
    assert agree([policy, other]).pairs[0].comparison.verdict == "CONFLICT"
    found = agree([declared, other])
    assert found.pairs[0].comparison.verdict == "SAME"
    assert of(found, "STATS077").severity == "info"


def test_a_stored_key_is_known_by_the_feature_that_it_is_declared_for() -> None:
    legacy = source("a", "lerobot_legacy", observation_state=statistics(DATA))
    declared = (Declared("observation.state", "observation_state", mode="MEAN_STD"),)
    found = agree(
        [
            NormStats(legacy.path, "a", "lerobot_legacy", legacy.features, declared=declared),
            source("b", observation__state=statistics(DATA)),
        ]
    )
    assert [p.feature for p in found.pairs] == ["observation.state"]


def test_an_action_is_compared_as_it_comes_out() -> None:
    way_in = source("a", action=statistics(OTHER), state=statistics(DATA))
    way_out = {n: FeatureStats(n, statistics(DATA)) for n in ("action", "state")}
    both = NormStats(Path("a"), "a", "lerobot", way_in.features, outputs=way_out)
    found = agree([both, source("b", action=statistics(DATA), state=statistics(DATA))])
    assert {p.comparison.verdict for p in found.pairs} == {"SAME"}
