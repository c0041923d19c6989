"""Stored statistics held against a dataset's frames: the real set is clean, and what is planted is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_data import episodes, write_v2
from parity.errors import ArtifactError
from parity.report.schema import validate
from parity.stats.agree import agree
from parity.stats.choose import Given
from parity.stats.computed import computed
from parity.stats.registry import read_stats
from parity.stats.survey import survey

pytest.importorskip("pyarrow")
LEVELS = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def of(values: Any) -> dict[str, Any]:
    ends = {"mean": values.mean(0), "std": values.std(0), "min": values.min(0), "max": values.max(0)}
    ends |= {name: np.quantile(values, level, axis=0) for name, level in LEVELS.items()}
    return {name: value.tolist() for name, value in ends.items()}


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, Any]]:
    """Episodes of one robot, a joint of which is parked at 152 and hardly moves."""
    found = episodes([300, 200, 250], seed=4)
    for episode in found:
        episode["observation.state"][:, 2] = 152 + 0.001 * episode["observation.state"][:, 2]
    write_v2(tmp_path / "set", found, version="v2.0")
    return found


def store(folder: Path, data: list[dict[str, Any]], **changes: Any) -> Path:
    """Write what the dataset stores of its frames, some statistics replaced."""
    table: dict[str, Any] = {}
    for name in data[0]:
        table[name] = of(np.concatenate([e[name] for e in data]).astype(np.float64))
        table[name] |= changes.get(name.replace(".", "_"), {})
    (folder / "meta/stats.json").write_text(json.dumps(table))
    return folder


def codes(document: dict[str, Any]) -> list[str]:
    return [f["code"] for f in document["findings"] if f["severity"] != "info"]


def test_the_real_set_is_clean(corpus: Path) -> None:
    document = survey([], str(corpus / "lerobot_datasets/v21_g1_inspire_100ep"), strict=True)
    validate(document, "stats")
    assert (document["verdict"], codes(document)) == ("PASS", [])
    assert {(p["feature"], p["verdict"]) for p in document["agreement"]} == {
        ("action", "SAME"),
        ("observation.state", "SAME"),
    }
    rows = document["recomputed"]
    assert [r["feature"] for r in rows] == ["action", "observation.state"]
    assert all(r["ends"] == ["min", "max"] and max(r["outside"]) == 0 for r in rows)


def test_what_is_stored_as_it_is_agrees(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    folder = store(tmp_path / "set", data)
    document = survey([str(folder)], str(folder))
    assert (document["verdict"], codes(document)) == ("PASS", [])
    assert len(document["sources"]) == 2
    assert document["recomputed"][0]["ends"] == ["q01", "q99"]
    assert max(document["recomputed"][0]["outside"]) == pytest.approx(0.02, abs=0.006)


def test_a_parked_joint_whose_std_is_eight_times_off(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    joint = np.concatenate([e["observation.state"] for e in data]).astype(np.float64)
    off = (joint.std(0) * [1, 1, 8]).tolist()
    document = survey([], str(store(tmp_path / "set", data, observation_state={"std": off})))
    assert document["verdict"] == "FAIL"
    assert [(p["feature"], p["verdict"]) for p in document["agreement"]][1] == ("observation.state", "CONFLICT")
    (finding,) = [f for f in document["findings"] if f["severity"] == "error"]
    assert (finding["where"], "the std" in finding["title"]) == ("observation.state[2]", True)
    assert finding["evidence"]["source"] == str(tmp_path / "set")


def test_a_range_that_is_wider_than_the_data_is_a_conflict_still(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    wide = {"min": [-50.0, -50.0], "max": [50.0, 50.0]}
    document = survey([], str(store(tmp_path / "set", data, action=wide)))
    assert {p["verdict"] for p in document["agreement"] if p["feature"] == "action"} == {"CONFLICT"}
    assert document["verdict"] == "FAIL"


def test_what_the_policy_does_not_use_is_told_and_decides_nothing(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    wide = {"q01": [-9.0, -9.0], "q99": [9.0, 9.0]}
    (dataset,) = read_stats(store(tmp_path / "set", data, action=wide))
    features = {n: replace(f, mode="MEAN_STD") for n, f in dataset.features.items()}
    policy = replace(dataset, label="policy", kind="lerobot_processor", features=features)
    again = computed(str(tmp_path / "set"), [Given((policy,))])
    for one, severities in ((policy, {"info"}), (dataset, {"error"})):
        told = again.against(agree([one, again.recomputed.stats]))
        assert {f.severity for f in told} == severities


def test_quantiles_that_are_means_of_quantiles(tmp_path: Path) -> None:
    found = episodes([100] * 8, seed=4)
    for i, episode in enumerate(found):
        episode["action"] += 10 * i
    write_v2(tmp_path / "set", found, version="v2.0")
    averaged = np.mean([np.quantile(e["action"], [0.01, 0.99], axis=0) for e in found], axis=0)
    store(tmp_path / "set", found, action={"q01": averaged[0].tolist(), "q99": averaged[1].tolist()})
    document = survey([], str(tmp_path / "set"))
    assert document["verdict"] == "FAIL"
    assert "STATS045" in codes(document)
    row = next(r for r in document["recomputed"] if r["feature"] == "action")
    assert min(row["outside"]) > 0.5


def test_a_dataset_that_stores_nothing_is_computed_all_the_same(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    document = survey([], str(tmp_path / "set"))
    assert [s["kind"] for s in document["sources"]] == ["recomputed"]


def test_a_folder_that_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        survey([], str(tmp_path))


def test_the_same_twice(tmp_path: Path, data: list[dict[str, Any]]) -> None:
    folder = store(tmp_path / "set", data)
    assert json.dumps(survey([str(folder)], str(folder))) == json.dumps(survey([str(folder)], str(folder)))
