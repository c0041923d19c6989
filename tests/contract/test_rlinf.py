"""RLinf's configurations: the policy's chunk, sampler and statistics, and steps that are no multiple of the chunk."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.artifact import Artifact
from parity.contract import read_contract
from parity.contract.rlinf import READER
from parity.errors import ArtifactError

STACK_CUBE: dict[str, Any] = {
    "defaults": ["env/isaaclab_stack_cube@env.eval", "model/pi0@actor.model", "_self_"],
    "runner": {"task_type": "embodied", "only_eval": True},
    "env": {
        "train": {"env_type": "isaaclab", "max_episode_steps": 350, "max_steps_per_rollout_epoch": 350},
        "eval": {"env_type": "isaaclab", "max_episode_steps": 450, "max_steps_per_rollout_epoch": 450},
    },
    "rollout": {"model": {"model_path": "/path/to/model"}},
    "actor": {
        "model": {
            "model_type": "openpi",
            "model_path": "/path/to/model",
            "num_action_chunks": 10,
            "action_dim": 7,
            "num_steps": 4,
            "openpi": {"config_name": "pi0_isaaclab", "action_chunk": "${actor.model.num_action_chunks}"},
        }
    },
}


def written(folder: Path, edit: Any = None) -> Path:
    data = deepcopy(STACK_CUBE)
    if edit is not None:
        edit(data)
    path = folder / "eval.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_what_it_says_of_the_policy(tmp_path: Path) -> None:
    c = read_contract(written(tmp_path))
    assert (c.kind, c.policy, c.window.n_action_steps, c.findings) == ("rlinf", "openpi", 10, ())
    assert c.sampler is not None
    assert (c.sampler.scheduler, c.sampler.inference_steps) == ("flow_matching", 4)
    assert c.normalization.stats == ("/path/to/model",)
    assert c.metadata["environment_action_dim"] == 7
    assert c.metadata["environments"]["eval"]["max_episode_steps"] == 450


def test_named_statistics_come_before_the_models_own(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["actor"]["model"]["openpi_data"] = {"norm_stats_path": "${actor.model.model_path}/x/norm_stats.json"}

    named = "${actor.model.model_path}/x/norm_stats.json"  # text around a reference stays as it is written
    assert read_contract(written(tmp_path, edit)).normalization.stats == (named,)


def test_a_rollout_alone_is_enough(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["rollout"]["model"] = data.pop("actor")["model"]
        data["rollout"]["model"]["openpi"] = {}
        data["runner"]["task_type"] = "embodied_eval"

    assert read_contract(written(tmp_path, edit)).window.n_action_steps == 10


@pytest.mark.parametrize(("steps", "multiples"), [(448, "440 or 450"), (3, "10 or 10"), (451, "450 or 460")])
def test_an_episode_that_ends_inside_a_chunk(tmp_path: Path, steps: int, multiples: str) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["env"]["eval"]["max_episode_steps"] = steps

    (finding,) = read_contract(written(tmp_path, edit)).findings
    assert (finding.code, finding.severity, finding.where) == ("CONTRACT014", "error", "env.eval.max_episode_steps")
    assert str(steps) in finding.title
    assert multiples in finding.remedy


def test_an_environment_that_does_not_run_is_a_warning(tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        data["env"]["train"]["max_steps_per_rollout_epoch"] = 256

    (finding,) = read_contract(written(tmp_path, edit)).findings
    assert (finding.severity, finding.where) == ("warning", "env.train.max_steps_per_rollout_epoch")

    def trained(data: dict[str, Any]) -> None:
        edit(data)
        data["runner"]["only_eval"] = False

    (finding,) = read_contract(written(tmp_path, trained)).findings
    assert finding.severity == "error"


@pytest.mark.parametrize("wrong", [-1, 2.5, "many", True, [10]])
def test_numbers_of_steps_that_are_none_are_refused(tmp_path: Path, wrong: Any) -> None:
    def chunk(data: dict[str, Any]) -> None:
        data["actor"]["model"]["num_action_chunks"] = wrong

    def steps(data: dict[str, Any]) -> None:
        data["env"]["eval"]["max_episode_steps"] = wrong

    for edit, name in ((chunk, "num_action_chunks"), (steps, "max_episode_steps")):
        with pytest.raises(ArtifactError, match=name):
            read_contract(written(tmp_path, edit))


@pytest.mark.parametrize("missing", ["env", "runner", "both models"])
def test_other_yaml_is_left_alone(tmp_path: Path, missing: str) -> None:
    def edit(data: dict[str, Any]) -> None:
        if missing == "both models":
            del data["actor"], data["rollout"]
        else:
            del data[missing]

    assert not READER.matches(Artifact(written(tmp_path, edit), "yaml"))


def test_a_chunk_of_zero_or_unknown_divides_nothing(tmp_path: Path) -> None:
    for chunk in (0, None, "${oc.env:CHUNK}"):

        def edit(data: dict[str, Any], chunk: Any = chunk) -> None:
            data["actor"]["model"]["num_action_chunks"] = chunk

        assert read_contract(written(tmp_path, edit)).findings == ()
