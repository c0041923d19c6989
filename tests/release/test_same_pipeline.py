"""The same graph with the same pipeline compares nothing, however it is spelled; with another one it is judged."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judged import verdict_of
from models import ACTION, OBS, mlp
from parity.cli.judging import judge_now
from parity.release.config import parse_config
from policy_folder import policy_folder

SAME = ("NOT_JUDGED", ["GATE006"])
BASE: dict[str, Any] = {"path": "stats.json", "mode": "MEAN_STD"}
RNG = np.random.default_rng(21)


def statistics(size: int) -> dict[str, list[float]]:
    mean, std = RNG.normal(size=size) * 5, RNG.uniform(1, 3, size)
    return {k: v.tolist() for k, v in {"mean": mean, "std": std, "q01": mean - 2 * std, "q99": mean + 2 * std}.items()}


TABLE = {"state": statistics(OBS), "actions": statistics(ACTION)}


def write(path: Path, table: dict[str, Any], **how: Any) -> None:
    path.write_text(json.dumps({"norm_stats": table}, **how))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    mlp(tmp_path / "graph.onnx")
    write(tmp_path / "stats.json", TABLE)
    policy_folder(tmp_path / "folder")
    return tmp_path


def judged(
    root: Path, reference: Any, candidate: Any, export: str = "graph.onnx", **more: Any
) -> tuple[str, list[str]]:
    """Return verdict and codes of one graph with two pipelines around it; None: no pipeline."""
    sides = [{"path": "graph.onnx"} | ({} if p is None else {"pipeline": p}) for p in (reference, candidate)]
    sides[1] |= {"name": "ort", "path": export}
    tables = {"release": {"name": "same"}, "reference": sides[0], "candidate": [sides[1]]}
    with tempfile.TemporaryDirectory(dir=root) as work:
        config = parse_config({**tables, "cases": {"nominal": 3, "edge": False}, **more}, "test")
        return verdict_of(judge_now(config, root, Path(work), strict=True).report, "ort")


@pytest.mark.parametrize(
    "spelled",
    [
        {"era": "openpi"},
        {"era": "rlinf"},  # the same formulas
        {"inputs": {"state": "state"}, "outputs": {"actions": "actions"}},
        {"inputs": {"obs": "state"}, "outputs": {"action": "actions"}},  # as the graph calls them
        {"widths": {"state": OBS, "actions": ACTION}},
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_spelled_out_is_no_difference(made: Path, spelled: dict[str, Any], swapped: bool) -> None:
    pair = (BASE, {**BASE, **spelled})
    assert judged(made, *(pair[::-1] if swapped else pair)) == SAME


def test_the_same_statistics_in_another_file_are_no_difference(made: Path) -> None:
    write(made / "other.json", TABLE, indent=4, sort_keys=True)
    assert judged(made, BASE, {**BASE, "path": "other.json"}) == SAME
    unread = {k: {**v, "q01": [x - 1 for x in v["q01"]]} for k, v in TABLE.items()}
    write(made / "other.json", unread)  # MEAN_STD reads no quantile
    assert judged(made, BASE, {**BASE, "path": "other.json"}) == SAME
    nested = {k: {n: [x] for n, x in v.items()} for k, v in TABLE.items()}
    write(made / "other.json", nested)
    assert judged(made, BASE, {**BASE, "path": "other.json"}) == SAME


def test_a_folder_that_was_copied_and_annotated_is_no_difference(made: Path) -> None:
    shutil.copytree(made / "folder", made / "copy")
    (made / "copy" / "README.md").write_text("what this is")
    assert judged(made, "folder", {"path": "copy"}) == SAME

    def rewritten(before: list[Any], after: list[Any]) -> None:
        before[0]["config"] = {"rename_map": {"observation.never": "observation.there"}}
        before.insert(1, {"registry_name": "device_processor", "config": {"device": "cuda", "float_dtype": None}})

    policy_folder(made / "copy", edit=rewritten)
    assert judged(made, "folder", "copy") == SAME


def test_an_adapter_that_says_what_is_found_anyway_is_no_difference(made: Path) -> None:
    table = {"rename": {"obs": "state", "action": "actions"}, "permute": {"obs": list(range(OBS))}}
    assert judged(made, BASE, BASE, adapter={"ort": table}) == SAME


def test_a_pipeline_that_does_nothing_is_none(made: Path) -> None:
    def identity(before: list[Any], after: list[Any]) -> None:
        modes = {"STATE": "IDENTITY", "ACTION": "IDENTITY"}
        before[3]["config"] = after[0]["config"] = {**before[3]["config"], "norm_map": modes}

    policy_folder(made / "idle", edit=identity)
    assert judged(made, None, "idle") == SAME
    assert judged(made, None, "folder")[0] == "FAIL"


@pytest.mark.parametrize("of", ["state", "actions"])
@pytest.mark.parametrize(("name", "by"), [("mean", 0.5), ("std", 1.01), ("std", 2.0)])
def test_statistics_of_another_run_are_judged_and_fail(made: Path, of: str, name: str, by: float) -> None:
    moved = {**TABLE, of: {**TABLE[of], name: [x * by for x in TABLE[of][name]]}}
    write(made / "other.json", moved)
    assert judged(made, BASE, {**BASE, "path": "other.json"})[0] == "FAIL"


@pytest.mark.parametrize(
    "other",
    [
        {**BASE, "mode": "QUANTILES"},
        {**BASE, "outputs": {}},  # the action stays as the graph gives it
        {**BASE, "inputs": {}},
        "folder",
    ],
)
def test_another_pipeline_is_judged_and_fails(made: Path, other: Any) -> None:
    assert judged(made, BASE, other)[0] == "FAIL"


@pytest.mark.parametrize("spelled", [{"inputs": {"obs": "state"}}, {"inputs": {"obs": "state"}, "era": "openpi"}])
def test_arrays_that_are_called_otherwise_are_fed_to_another_export(made: Path, spelled: dict[str, Any]) -> None:
    mlp(made / "again.onnx", doc="another export")
    for pair in ((BASE, {**BASE, **spelled}), ({**BASE, **spelled}, BASE)):
        assert judged(made, *pair, export="again.onnx") == ("PASS", [])
    write(made / "other.json", {**TABLE, "state": statistics(OBS)})
    wrong = {**BASE, **spelled, "path": "other.json"}
    assert judged(made, BASE, wrong, export="again.onnx")[0] == "FAIL"


def test_elements_in_another_order_are_judged_and_fail(made: Path) -> None:
    for name in ("obs", "action"):
        size = OBS if name == "obs" else ACTION
        table = {"rename": {"obs": "state", "action": "actions"}, "permute": {name: [*range(1, size), 0]}}
        assert judged(made, BASE, BASE, adapter={"ort": table})[0] == "FAIL"
