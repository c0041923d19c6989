"""Actors that look at images, from weights and ``cnn_cfg``: what is known, what is asked for, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.artifact import recognize
from parity.contract.actor_config import read_actor
from parity.contract.checkpoint import READER, holds_actor
from parity.errors import ArtifactError, ParityError, UsageError

torch = pytest.importorskip("torch")

from cnn_actor import PLAIN, SETUPS, Setup, own_actor, saved  # noqa: E402


def checkpoint(folder: Path, setup: Setup = PLAIN, *, configured: bool = True, **changed: Any) -> Path:
    """Save the setup's actor; ``changed`` replaces keys of its ``cnn_cfg`` in the configuration, None removes one."""
    table = {k: v for k, v in {**setup.cnn_cfg, **changed}.items() if v is not None}
    agent = replace(setup, cnn_cfg=table).agent
    return saved(own_actor(setup).state_dict(), folder, agent if configured else None)


def test_what_it_takes_as_far_as_that_is_known(tmp_path: Path) -> None:
    actor = read_actor(checkpoint(tmp_path))
    assert [(t.name, t.shape, t.role) for t in actor.inputs] == [
        ("obs", ("batch", 5), "state"),
        ("depth", ("batch", 1, "depth_rows", "depth_columns"), "image"),
    ]
    assert actor.inputs[0].range is not None
    assert actor.told["encoder of depth"] == "agent.yaml"
    assert actor.open == {}
    actor = read_actor(checkpoint(tmp_path), {"image": [14, 17]})
    assert actor.inputs[1].shape == ("batch", 1, 14, 17)


@pytest.mark.parametrize("kwargs", [{}, {"image": {"rear": [18, 20], "front": [16, 17]}}])
def test_what_the_mlp_leaves_for_observations(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    setup = SETUPS["two images, pooled as a whole"]  # no normalizer, but the features do not hang on the images' size
    actor = read_actor(checkpoint(tmp_path, setup), kwargs)
    assert [t.name for t in actor.inputs] == ["obs", "rear", "front"]
    assert actor.inputs[0].shape == ("batch", 9)
    unknown = replace(PLAIN, normalized=False)
    assert read_actor(checkpoint(tmp_path, unknown)).inputs[0].shape == ("batch", "obs_size")
    assert read_actor(checkpoint(tmp_path, unknown), {"image": [14, 17]}).inputs[0].shape == ("batch", 5)


def test_images_alone(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, SETUPS["images alone"])
    assert [t.name for t in read_actor(path, {"image": [12, 14]}).inputs] == ["depth"]


def test_rsl_rl_3_calls_it_otherwise(tmp_path: Path) -> None:
    names = {"cnns": "actor_cnns", "mlp": "actor", "obs_normalizer": "actor_obs_normalizer"}
    weights = {}
    for name, weight in own_actor(PLAIN).state_dict().items():
        first, _, rest = name.partition(".")
        weights[f"{names[first]}.{rest}"] = weight
        weights |= {f"critic_cnns.{rest}": weight} if first == "cnns" else {}
    weights |= {"std": torch.ones(3), "critic.0.weight": torch.ones(1, 2)}
    path = tmp_path / "model_10.pt"
    torch.save({"model_state_dict": weights}, path)
    (tmp_path / "params").mkdir()
    policy = {"actor_hidden_dims": [16, 12], "activation": "elu", "actor_cnn_cfg": dict(PLAIN.cnn_cfg)}
    (tmp_path / "params" / "agent.yaml").write_text(yaml.safe_dump({"policy": policy}), encoding="utf-8")
    assert [t.name for t in read_actor(path).inputs] == ["obs", "depth"]


def test_a_tuple_as_isaac_lab_writes_it(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    text = (tmp_path / "params" / "agent.yaml").read_text(encoding="utf-8")
    assert "stride:\n" in text
    (tmp_path / "params" / "agent.yaml").write_text(text.replace("stride:\n", "stride: !!python/tuple\n"))
    assert read_actor(path).options == read_actor(checkpoint(tmp_path)).options


def test_nothing_is_guessed_where_nothing_tells(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, configured=False)
    with pytest.raises(ArtifactError, match="do not show strides") as e:
        READER.read(recognize(path))
    assert e.value.remedy is not None
    assert "cnn_cfg" in e.value.remedy
    assert not holds_actor(recognize(path))
    actor = read_actor(path, {"cnn_cfg": {"stride": [2, 1]}, "activation": "elu"})
    assert actor.told["encoder of depth"] == "`kwargs` in parity.toml"
    assert actor.open == {}


def test_a_configuration_of_another_network_does_not_count(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, replace(PLAIN, more={"hidden_dims": [64, 64]}))
    with pytest.raises(ArtifactError, match="do not show strides"):
        read_actor(path)


def test_the_user_goes_before_the_file(tmp_path: Path) -> None:
    actor = read_actor(checkpoint(tmp_path), {"cnn_cfg": {"stride": 1, "activation": "relu"}})
    assert actor.options["encoder of depth"] == ("strides 1, padding none, relu",)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"output_channels": [4, 8]}, "output_channels is .*weights show"),
        ({"output_channels": None}, "no output_channels"),
        ({"kernel_size": None}, "no kernel_size"),
        ({"kernel_size": 3}, "kernel_size is .*weights show"),
        ({"kernel_size": [5]}, "1 values for 2 layers"),
        ({"norm": "batch"}, "norm is .*weights show"),
        ({"max_pool": True}, "max_pool .*weights show"),
        ({"max_pool": "yes"}, "true or false|max_pool"),
        ({"stride": 0}, "stride is 0"),
        ({"stride": True}, "stride is True"),
        ({"stride": [2, "1"]}, "stride is '1'"),
        ({"dilation": 10**9}, "dilation is"),
        ({"padding": "same"}, "padding is 'same'"),
        ({"padding": [1, 1]}, "padding is"),
        ({"activation": "cube"}, "activation is 'cube'"),
        ({"activation": ["elu", "relu"]}, "activation is"),
        ({"global_pool": "sum"}, "global_pool is 'sum'"),
        ({"flatten": False}, "flatten is False"),
        ({"strides": 2}, "did you mean 'stride'"),
        ({"global_pool": "max"}, "but the MLP takes"),
    ],
)
def test_a_configuration_that_is_not_of_these_weights(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read_actor(checkpoint(tmp_path, **changed))


@pytest.mark.parametrize("table", [7, [], "elu", {"front": {"stride": 1}}, {"depth": {"stride": 2}, "front": {}}])
def test_a_table_that_is_none(tmp_path: Path, table: Any) -> None:
    with pytest.raises(UsageError, match="cnn_cfg"):
        read_actor(checkpoint(tmp_path), {"cnn_cfg": table})


@pytest.mark.parametrize(
    "image",
    [7, [14], [14, 17, 1], [0, 17], [14.0, 17], [True, 17], [14, 10**6], {"front": [14, 17]}, {"depth": 14}],
)
def test_sizes_that_are_none(tmp_path: Path, image: Any) -> None:
    with pytest.raises(UsageError, match="image is"):
        read_actor(checkpoint(tmp_path), {"image": image})


@pytest.mark.parametrize(
    ("name", "image", "said"),
    [
        ("plain", [14, 40], "more than the|but the MLP takes"),
        ("plain", [9, 9], "but the MLP takes"),
        ("plain", [2, 2], "nothing is left"),
        ("every setting", [40, 31], "norm cnns.depth.5 is of"),
        ("images alone", [24, 27], "more than the"),
    ],
)
def test_an_image_of_another_size(tmp_path: Path, name: str, image: Any, said: str) -> None:
    path = checkpoint(tmp_path, SETUPS[name])
    with pytest.raises(ArtifactError, match=said) as e:
        read_actor(path, {"image": image})
    assert "cnn_cfg" in str(e.value)


def test_a_padding_that_torch_refuses(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, padding="zeros", stride=[63, 1])
    with pytest.raises(ArtifactError, match="a padding of -"):
        read_actor(path, {"image": [14, 17]})


WEIGHTS = "cnns.depth."


@pytest.mark.parametrize(
    "changes",
    [
        {f"{WEIGHTS}2.weight": torch.ones(6, 3, 3, 3)},  # takes what the first does not give
        {f"{WEIGHTS}0.weight": torch.ones(4, 1, 5, 3)},  # rsl_rl's kernels are square
        {f"{WEIGHTS}6.weight": torch.ones(3, 6, 1, 1)},  # further on than one pooling
        {f"{WEIGHTS}1.weight": torch.ones(9)},  # a norm of other channels
        {f"{WEIGHTS}1.weight": torch.ones(4)},  # a batch norm without its statistics
        {f"{WEIGHTS}1.alpha": torch.ones(4)},
        {f"{WEIGHTS}2.weight": None, f"{WEIGHTS}2.bias": None, f"{WEIGHTS}0.weight": None},
        {"cnns.depth.extra.0.weight": torch.ones(2, 2)},
        {"estimator.0.weight": torch.ones(2, 2)},
        {"distribution.log_std_param": torch.ones(4)},
        {"obs_normalizer._std": torch.ones(1, 4)},
        {"obs_normalizer._mean": torch.ones(5, 1), "obs_normalizer._std": torch.ones(5, 1)},
    ],
)
def test_weights_of_something_else(tmp_path: Path, changes: dict[str, Any]) -> None:
    weights = {**own_actor(PLAIN).state_dict(), **changes}
    path = saved({k: v for k, v in weights.items() if v is not None}, tmp_path, PLAIN.agent)
    with pytest.raises(ArtifactError, match="cannot rebuild"):
        read_actor(path)


def test_an_image_called_as_the_flat_observation(tmp_path: Path) -> None:
    weights = {k.replace("depth", "obs"): v for k, v in own_actor(PLAIN).state_dict().items()}
    with pytest.raises(ArtifactError, match="called 'obs'"):
        read_actor(saved(weights, tmp_path, PLAIN.agent))


@pytest.mark.parametrize("kwargs", [{"encoder of depth": "x"}, {"strides": [2, 1]}, {"head": True}, {"eps": -1}])
def test_arguments_that_it_does_not_have(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ParityError):
        read_actor(checkpoint(tmp_path), kwargs)


def test_encoders_are_nothing_of_an_actor_without_images(tmp_path: Path) -> None:
    weights = {k: v for k, v in own_actor(PLAIN).state_dict().items() if k.startswith("mlp.")}
    with pytest.raises(UsageError, match="cnn_cfg"):
        read_actor(saved(weights, tmp_path), {"cnn_cfg": {"stride": 2}})
