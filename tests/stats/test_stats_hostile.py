"""Sources made to run something, to lead elsewhere or to break a reader: refused in words, and nothing runs."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from damage import damaged
from malicious import CONTAINERS, MARKS, MODULE, bodies, disguised, gadget, register
from parity.errors import ArtifactError, ParityError
from parity.stats.registry import read_stats


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose module would leave a mark if anything imported it."""
    folder = tmp_path / "trap"
    folder.mkdir()
    gadget(folder)
    monkeypatch.syspath_prepend(str(folder))
    register()
    return folder


@pytest.mark.parametrize("container", sorted(CONTAINERS))
@pytest.mark.parametrize("name", ["stats.pth", "model_1.pt"])
def test_reading_runs_nothing(trap: Path, tmp_path: Path, container: str, name: str) -> None:
    path = tmp_path / name
    for body in {**bodies(trap), **disguised(trap)}.values():
        path.write_bytes(CONTAINERS[container](body))
        with contextlib.suppress(ParityError):
            read_stats(path)
        assert [m for m in MARKS if (trap / m).exists()] == []
    assert MODULE not in sys.modules


SOURCES = (
    "made/rsl-rl/model_rsl551.pt",
    "made/rsl-rl/policy_rsl551_jit.pt",
    "made/checkpoints/dp_workspace.ckpt",
    "lerobot_stats/636985fd_stats.pth",
    "norm_stats_openpi/52fff58b_norm_stats.json",
    "lerobot_episodes_stats/c242116b_episodes_stats.jsonl",
    "made/lerobot-0.4.4/act_envstate/policy_preprocessor.json",
    "gr00t_modality/64661b05_modality.json",
)


@pytest.mark.parametrize("source", SOURCES)
def test_damaged_files_of_the_corpus_are_read_or_refused(corpus: Path, tmp_path: Path, source: str) -> None:
    whole = corpus / source
    path = tmp_path / whole.name
    for state in whole.parent.glob("policy_preprocessor_step_*") if whole.suffix == ".json" else ():
        shutil.copy(state, tmp_path / state.name)
    assert read_stats(whole)
    rng = random.Random(7)
    for content in damaged(whole.read_bytes(), rng, 60):
        path.write_bytes(content)
        with contextlib.suppress(ParityError):
            for stats in read_stats(path):
                for one in (*stats.features.values(), *stats.outputs.values()):
                    assert all(v.dtype == np.float64 for v in one.values.values())


@pytest.mark.parametrize("state", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..\\x", ""])
def test_a_state_file_outside_of_its_folder_is_refused(tmp_path: Path, state: str) -> None:
    steps = [{"registry_name": "normalizer_processor", "config": {}, "state_file": state}]
    path = tmp_path / "policy_preprocessor.json"
    path.write_text(json.dumps({"name": "x", "steps": steps}))
    with pytest.raises(ArtifactError, match="same folder"):
        read_stats(path)


@pytest.mark.parametrize("eps", ["1" * 400, "NaN", "-1", "true", '"x"', "[]"])
def test_an_eps_that_is_no_small_number_is_refused(tmp_path: Path, eps: str) -> None:
    step = f'{{"registry_name": "normalizer_processor", "config": {{"eps": {eps}}}, "state_file": "a.safetensors"}}'
    path = tmp_path / "policy_preprocessor.json"
    path.write_text(f'{{"name": "x", "steps": [{step}]}}')
    with pytest.raises(ArtifactError, match="eps"):
        read_stats(path)
