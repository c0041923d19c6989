"""The torch runner on rsl_rl's actors that look at images: what they computed in training, to the last bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.errors import ArtifactError
from parity.runner.base import RunResult
from parity.runner.rebuilt import Chosen
from parity.tensor import Block
from runs import opened

torch = pytest.importorskip("torch")

from cnn_actor import PLAIN, SETUPS, observations, own_actor, rsl_rl_actor, rsl_rl_observation, saved  # noqa: E402


def ran(path: Path, folder: Path, inputs: Mapping[str, Any], kwargs: Mapping[str, Any] | None = None) -> RunResult:
    block = Block(("nominal-0000",), {k: v.numpy()[None] for k, v in inputs.items()})
    with opened("torch", path, folder, kwargs=dict(kwargs or {})) as session:
        return Chosen(session, 0, {}).run(block)


def actions(result: RunResult) -> Any:
    assert result.failure is None, result.failure
    return np.asarray(result.outputs["output_0"])[0]


@pytest.mark.parametrize("name", SETUPS)
def test_a_network_of_this_layout(tmp_path: Path, name: str) -> None:
    setup = SETUPS[name]
    actor, inputs = own_actor(setup), observations(setup, 4)
    with torch.no_grad():
        expected = actor(inputs.get("obs", torch.zeros(4, 0)), *(inputs[k] for k in setup.images)).numpy()
    size = {k: list(shape[1:]) for k, shape in setup.images.items()}
    path = saved(actor.state_dict(), tmp_path, setup.agent)
    np.testing.assert_allclose(actions(ran(path, tmp_path, inputs, {"image": size})), expected, rtol=0, atol=2e-7)
    assert expected.std(axis=0).min() > 1e-3


@pytest.mark.parametrize("name", SETUPS)
def test_rsl_rl_itself(tmp_path: Path, name: str) -> None:
    pytest.importorskip("rsl_rl.models", reason="rsl-rl-lib 4 or later is not installed")
    setup = SETUPS[name]
    if not setup.flat and version("rsl-rl-lib").startswith("4."):
        pytest.skip("rsl_rl 4 joins no observations where there are none, which torch refuses")
    actor, inputs = rsl_rl_actor(setup), observations(setup, 4)
    with torch.no_grad():
        expected = actor(rsl_rl_observation(inputs)).numpy()
    size = {k: list(shape[1:]) for k, shape in setup.images.items()}
    path = saved(actor.state_dict(), tmp_path, setup.agent)
    np.testing.assert_allclose(actions(ran(path, tmp_path, inputs, {"image": size})), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": [1, 2]},
        {"activation": "relu"},
        {"padding": "zeros"},
        {"padding": "replicate"},
        {"max_pool": [False, True]},
        {"dilation": [1, 2]},
        {"global_pool": "avg"},
    ],
)
def test_what_a_configuration_gets_wrong_is_refused_or_seen(tmp_path: Path, wrong: dict[str, Any]) -> None:
    actor, inputs = own_actor(PLAIN), observations(PLAIN, 4)
    with torch.no_grad():
        expected = actor(*inputs.values()).numpy()
    path = saved(actor.state_dict(), tmp_path, replace(PLAIN, cnn_cfg={**PLAIN.cnn_cfg, **wrong}).agent)
    if "global_pool" in wrong:  # how many features that makes is known before anything runs
        with pytest.raises(ArtifactError, match="but the MLP takes"):
            ran(path, tmp_path, inputs)
        return
    result = ran(path, tmp_path, inputs)
    if result.failure is not None:
        assert "but the MLP takes" in result.failure.message
    else:
        assert np.abs(actions(result) - expected).max() > 1e-3


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    path = saved(own_actor(PLAIN).state_dict(), tmp_path, PLAIN.agent)
    inputs = observations(replace(PLAIN, images={"depth": (1, 15, 19)}), 2)
    result = ran(path, tmp_path, inputs)
    assert result.failure is not None
    assert "features, but the MLP takes" in result.failure.message
