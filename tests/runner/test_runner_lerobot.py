"""A LeRobot folder runs through the lerobot of the user's interpreter; a stand-in for it shows what is asked of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from parity.errors import ArtifactError, RunnerError
from runs import block, opened

# The few names of lerobot that the worker uses, with a policy that keeps queues like its diffusion policy: the action
# is the newest state minus the oldest, plus the noise.
STAND_IN = {
    "__init__.py": "__version__ = '0.4.0'",
    "configs/__init__.py": "",
    "configs/policies.py": """
        import json
        from pathlib import Path
        from types import SimpleNamespace as Space
        class PreTrainedConfig:
            @staticmethod
            def from_pretrained(path, **kwargs):
                raw = json.loads((Path(path) / "config.json").read_text())
                features = {n: Space(shape=tuple(f["shape"])) for n, f in raw["input_features"].items()}
                return Space(type=raw["type"], input_features=features, image_features={}, n_obs_steps=2, device=None)
        """,
    "policies/__init__.py": "",
    "policies/utils.py": """
        def populate_queues(queues, batch):
            for name, value in batch.items():
                while len(queues[name]) < queues[name].maxlen - 1:
                    queues[name].append(value)
                queues[name].append(value)
            return queues
        """,
    "policies/factory.py": """
        from collections import deque
        import torch
        class Diffusion(torch.nn.Module):
            @classmethod
            def from_pretrained(cls, path, config, **kwargs):
                policy = cls()
                policy.config = config
                policy.reset()
                return policy
            def reset(self):
                self._queues = {"observation.state": deque(maxlen=2), "action": deque(maxlen=8)}
            def predict_action_chunk(self, batch, NOISE_ARGUMENT):
                batch = {k: torch.stack(list(self._queues[k]), dim=1) for k in batch if k in self._queues}
                state = batch["observation.state"]
                DRAW
                return noise[:, :4] + (state[:, 1] - state[:, 0])[:, None]
        def get_policy_class(name):
            return Diffusion
        PROCESSORS
        """,
}
PROCESSORS = """
        def make_pre_post_processors(config, pretrained_path, preprocessor_overrides):
            before = lambda batch: dict({n: t / 10 for n, t in batch.items()}, action=None)
            return before, lambda actions: actions * 10
"""


def stand_in(folder: Path, *, argument: bool = True, processors: bool = True) -> None:
    """Write the stand-in; without ``argument`` the noise cannot be passed, as in lerobot 0.3."""
    draw = "noise = torch.randn(1, 8, 3) if noise is None else noise" if argument else "noise = torch.randn(1, 8, 3)"
    for name, source in STAND_IN.items():
        path = folder / "lerobot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "policies/factory.py":
            source = source.replace(", NOISE_ARGUMENT", ", noise=None" if argument else "").replace("DRAW", draw)
            source = source.replace("PROCESSORS", PROCESSORS.strip() if processors else "")
        path.write_text(dedent(source), encoding="utf-8")


def policy(folder: Path, *, processors: bool = True) -> Path:
    path = folder / "policy"
    path.mkdir()
    features = {"observation.state": {"type": "STATE", "shape": [3]}}
    (path / "config.json").write_text(json.dumps({"type": "diffusion", "input_features": features}))
    if processors:
        (path / "policy_preprocessor.json").write_text("{}")
    return path


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the worker's import path."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


@pytest.mark.parametrize("argument", [True, False])
def test_observations_of_two_steps_and_given_noise(importable: Path, argument: bool) -> None:
    stand_in(importable, argument=argument)
    rng = np.random.default_rng(0)
    states = rng.standard_normal((3, 1, 2, 3)).astype(np.float32)
    noise = rng.standard_normal((3, 1, 8, 3)).astype(np.float32)
    with opened("torch", policy(importable), importable) as session:
        assert [t.name for t in session.info.inputs] == ["observation.state", "noise"]
        assert session.info.environment["lerobot"] == "0.4.0"
        result = session.run(block(3, **{"observation.state": states, "noise": noise}), repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        change = (states[:, :, 1] - states[:, :, 0])[:, :, None]
        expected = noise[:, :, :4] * 10 + change  # un-normalization multiplies the noise too
        np.testing.assert_allclose(np.asarray(result.outputs["action"]), expected, rtol=1e-4, atol=1e-5)


def test_one_observation_fills_the_queue(importable: Path) -> None:
    stand_in(importable)
    states = np.ones((2, 1, 3), np.float32)
    noise = np.ones((2, 1, 8, 3), np.float32)
    with opened("torch", policy(importable), importable) as session:
        result = session.run(block(2, **{"observation.state": states, "noise": noise}))
        np.testing.assert_allclose(np.asarray(result.outputs["action"]), np.full((2, 1, 4, 3), 10.0))


def test_noise_that_is_not_given_is_random_and_said_to_be(importable: Path) -> None:
    stand_in(importable)
    with opened("torch", policy(importable), importable) as session:
        assert session.info.environment["random_ops"]
        result = session.run(block(1, **{"observation.state": np.ones((1, 1, 3), np.float32)}), repeat=True)
        assert result.repeat_differs["action"] > 0


def test_noise_of_another_shape_is_refused(importable: Path) -> None:
    stand_in(importable, argument=False)
    inputs = {"observation.state": np.ones((1, 1, 3), np.float32), "noise": np.ones((1, 1, 9, 3), np.float32)}
    with opened("torch", policy(importable), importable) as session:
        failure = session.run(block(1, **inputs)).failure
        assert failure is not None
        assert failure.kind == "input"


def test_folder_before_migration_is_not_run_without_its_normalization(importable: Path) -> None:
    stand_in(importable)
    path = policy(importable, processors=False)
    with pytest.raises(RunnerError, match="migration"), opened("torch", path, importable):
        pass


def test_lerobot_of_the_buffers_era_needs_no_processor_files(importable: Path) -> None:
    stand_in(importable, processors=False)
    states, noise = np.ones((1, 1, 3), np.float32), np.ones((1, 1, 8, 3), np.float32)
    with opened("torch", policy(importable, processors=False), importable) as session:
        result = session.run(block(1, **{"observation.state": states, "noise": noise}))
        np.testing.assert_allclose(np.asarray(result.outputs["action"]), np.ones((1, 1, 4, 3)))


def test_missing_lerobot_names_the_way_out(importable: Path) -> None:
    (importable / "lerobot").mkdir()
    (importable / "lerobot" / "__init__.py").write_text("raise ImportError('No module named lerobot')\n")
    with pytest.raises(RunnerError, match="`python`"), opened("torch", policy(importable), importable):
        pass


def test_folder_without_a_config(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"config\.json"), opened("torch", tmp_path, tmp_path):
        pass
