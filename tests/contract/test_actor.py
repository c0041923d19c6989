"""Actors rebuilt from weights: what is recognized, what is left open, what settles it, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.artifact import recognize
from parity.contract.actor import ACTIVATIONS
from parity.contract.actor_config import read_actor
from parity.contract.checkpoint import READER, holds_actor
from parity.errors import ArtifactError, UsageError

torch = pytest.importorskip("torch")


def mlp(name: str, *sizes: int) -> dict[str, Any]:
    found = {}
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        found[f"{name}.{2 * i}.weight"] = torch.randn(b, a)
        found[f"{name}.{2 * i}.bias"] = torch.randn(b)
    return found


def normalizer(width: int) -> dict[str, Any]:
    mean, var = torch.randn(1, width), torch.rand(1, width) + 0.5
    return {"_mean": mean, "_var": var, "_std": var.sqrt(), "count": torch.tensor(5)}


def under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{k}": v for k, v in tensors.items()}


def actor_critic(**more: Any) -> dict[str, Any]:
    return {"model_state_dict": {**mlp("actor", 5, 8, 6, 3), **mlp("critic", 7, 8, 1), "std": torch.ones(3), **more}}


def saved(folder: Path, content: Any) -> Path:
    path = folder / "model_10.pt"
    torch.save(content, path)
    return path


def agent(folder: Path, text: str) -> None:
    (folder / "params").mkdir()
    (folder / "params" / "agent.yaml").write_text(text, encoding="utf-8")


def test_what_a_checkpoint_takes_and_gives(tmp_path: Path) -> None:
    contract = READER.read(recognize(saved(tmp_path, actor_critic())))
    assert [(t.name, t.shape, t.role) for t in contract.inputs] == [("obs", ("batch", 5), "state")]
    assert [(t.name, t.shape, t.role) for t in contract.outputs] == [("actions", ("batch", 3), "action")]
    assert contract.metadata["open"] == {"activation": list(ACTIVATIONS)}


@pytest.mark.parametrize("era", ["2", "3", "5"])
def test_the_normalizer_of_every_era(tmp_path: Path, era: str) -> None:
    norm = normalizer(5)
    content = {
        "2": {**actor_critic(), "obs_norm_state_dict": norm},
        "3": actor_critic(**under("actor_obs_normalizer", norm)),
        "5": {"actor_state_dict": {**mlp("mlp", 5, 8, 3), **under("obs_normalizer", norm)}},
    }[era]
    actor = read_actor(saved(tmp_path, content))
    assert actor.steps[0]["op"] == "normalize"
    assert actor.options["eps"] == (0.01,)
    seen = actor.inputs[0].range
    assert seen is not None
    np.testing.assert_allclose(seen.first, norm["_mean"][0])
    np.testing.assert_allclose(seen.second, norm["_std"][0].double() + 0.01)


def test_a_normalizer_that_does_not_fit_is_not_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, {**actor_critic(), "obs_norm_state_dict": normalizer(4)})
    assert not holds_actor(recognize(path))


def test_a_normalizer_that_the_configuration_promises_must_be_there(tmp_path: Path) -> None:
    agent(tmp_path, "empirical_normalization: true\npolicy: {activation: elu, actor_hidden_dims: [8, 6]}\n")
    with pytest.raises(ArtifactError, match="holds no normalizer"):
        read_actor(saved(tmp_path, actor_critic()))


@pytest.mark.parametrize(
    "extra",
    [
        {"encoder.0.weight": torch.ones(2, 2)},
        {"estimator.weight": torch.ones(2)},
        {"actor.5.weight": torch.ones(3, 3)},
    ],
)
def test_what_has_further_parts_is_not_rebuilt(tmp_path: Path, extra: dict[str, Any]) -> None:
    assert not holds_actor(recognize(saved(tmp_path, actor_critic(**extra))))


def test_an_actor_that_gives_more_than_means_is_not_rebuilt(tmp_path: Path) -> None:
    assert not holds_actor(recognize(saved(tmp_path, actor_critic(std=torch.ones(2)))))


@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3)])
def test_recurrent(tmp_path: Path, kind: str, gates: int) -> None:
    rnn = {"weight_ih_l0": (8 * gates, 5), "weight_hh_l0": (8 * gates, 8), "bias_ih_l0": (8 * gates,)}
    rnn |= {"bias_hh_l0": (8 * gates,)}
    memory = under("memory_a.rnn", {k: torch.randn(*s) for k, s in rnn.items()})
    actor = read_actor(saved(tmp_path, {"model_state_dict": {**mlp("actor", 8, 6, 3), **memory}}))
    assert next(s["op"] for s in actor.steps) == kind
    assert actor.inputs[0].shape == ("batch", 5)


def test_the_configuration_beside_it_settles_the_activation(tmp_path: Path) -> None:
    agent(tmp_path, "policy:\n  activation: silu\n  actor_hidden_dims: [8, 6]\n")
    actor = read_actor(saved(tmp_path, actor_critic()))
    assert actor.open == {}
    assert actor.options["activation"] == ("swish",)
    assert actor.told["activation"] == "agent.yaml"


def test_a_configuration_of_another_network_settles_nothing(tmp_path: Path) -> None:
    agent(tmp_path, "policy:\n  activation: tanh\n  actor_hidden_dims: [512, 256]\n")
    actor = read_actor(saved(tmp_path, actor_critic()))
    assert "activation" in actor.open
    assert "another network" in actor.notes[0]


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    agent(tmp_path, "policy:\n  activation: tanh\n  actor_hidden_dims: [8, 6]\n")
    actor = read_actor(saved(tmp_path, actor_critic()), {"activation": "relu"})
    assert actor.options["activation"] == ("relu",)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"activaton": "elu"}, "did you mean 'activation'"),
        ({"activation": "cube"}, "cube"),
        ({"eps": -1}, "eps"),
        ({"head": True}, "aux_decoder"),
        ({"strides": [2]}, "no.*convolutions|convolutions"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, kwargs: dict[str, Any], said: str) -> None:
    path = saved(tmp_path, {**actor_critic(), "obs_norm_state_dict": normalizer(5)})
    with pytest.raises(UsageError, match=said):
        read_actor(path, kwargs)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    path = saved(tmp_path, {**actor_critic(), "infos": Evil()})
    assert read_actor(path).inputs[0].shape == ("batch", 5)
    assert not marker.exists()
