"""The means among what an actor's last layer gives, where the spread hangs on the observation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.contract.actor_config import read_actor
from parity.errors import ArtifactError, UsageError

torch = pytest.importorskip("torch")


def checkpoint(folder: Path, table: dict[str, Any] | None, gives: int = 6, **more: Any) -> Path:
    weights = {"mlp.0.weight": torch.ones(8, 5), "mlp.2.weight": torch.ones(gives, 8), **more}
    torch.save({"actor_state_dict": weights}, folder / "model_10.pt")
    if table is not None:
        (folder / "params").mkdir()
        agent = yaml.safe_dump({"actor": {"activation": "elu", "hidden_dims": [8], **table}})
        (folder / "params" / "agent.yaml").write_text(agent, encoding="utf-8")
    return folder / "model_10.pt"


HALVED = {"distribution_cfg": {"class_name": "rsl_rl.modules.distribution:HeteroscedasticGaussianDistribution"}}


@pytest.mark.parametrize(
    ("table", "actions"),
    [
        (None, 6),
        ({}, 6),
        ({"state_dependent_std": False}, 6),
        ({"state_dependent_std": True}, 3),
        ({"distribution_cfg": {"class_name": "GaussianDistribution"}}, 6),
        (HALVED, 3),
        ({"distribution_cfg": None}, 6),
        ({"distribution_cfg": {"class_name": 7}}, 6),
    ],
)
def test_what_the_configuration_tells(tmp_path: Path, table: dict[str, Any] | None, actions: int) -> None:
    actor = read_actor(checkpoint(tmp_path, table))
    assert actor.outputs[0].shape == ("batch", actions)
    assert ({"op": "slice", "from": 0, "to": 3} in actor.steps) == (actions == 3)


def test_weights_with_a_spread_of_their_own_are_all_means(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, HALVED, **{"distribution.std_param": torch.ones(6)})
    assert read_actor(path).outputs[0].shape == ("batch", 6)


def test_the_user_has_the_last_word(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, HALVED)
    assert read_actor(path, {"state_dependent_std": False}).outputs[0].shape == ("batch", 6)
    with pytest.raises(UsageError, match="true or false"):
        read_actor(path, {"state_dependent_std": "yes"})


@pytest.mark.parametrize(
    ("table", "gives", "said"),
    [
        ({"distribution_cfg": {"class_name": "BetaDistribution"}}, 6, "whose mean parity does not know"),
        ({"distribution_cfg": {"class_name": "mine.dist:Squashed"}}, 6, "mine.dist:Squashed"),
        (HALVED, 5, "5 numbers"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, table: dict[str, Any], gives: int, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read_actor(checkpoint(tmp_path, table, gives))
