"""The torch runner on actors rebuilt from checkpoints: golden outputs of rsl_rl, and networks made here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.runner.rebuilt import Chosen
from parity.tensor import Block
from runs import block, opened

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.numpy")

ERAS = {"2.x": "model_rsl233", "3.x": "model_rsl330", "5.x": "model_rsl551"}


@pytest.mark.corpus
@pytest.mark.parametrize("era", ERAS)
def test_golden_outputs_of_every_era(corpus: Path, tmp_path: Path, era: str) -> None:
    folder = corpus / "made" / "rsl-rl"
    golden = safetensors.load_file(folder / f"{ERAS[era]}_golden.safetensors")
    path = folder / f"{ERAS[era]}.pt"
    with opened("torch", path, tmp_path, kwargs={"activation": "elu"}) as session:
        sha = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True).stdout.split()[0]
        assert session.info.loaded_sha256 == sha
        result = Chosen(session, 0, {}).run(block(8, obs=golden["obs"][:, None]), repeat=True)
    assert result.failure is None
    assert result.repeat_differs == {}
    actions = np.asarray(result.outputs["output_0"])[:, 0]
    np.testing.assert_allclose(actions, golden["action"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_actors_keep_their_state_within_a_sequence(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    rnn = (torch.nn.LSTM if kind == "lstm" else torch.nn.GRU)(5, 8, 2)
    actor = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    held: dict[str, Any] = {f"memory_a.rnn.{k}": v for k, v in rnn.state_dict().items()}
    held |= {f"actor.{k}": v for k, v in actor.state_dict().items()} | {"std": torch.ones(3)}
    torch.save({"model_state_dict": held}, tmp_path / "model.pt")
    x = torch.randn(4, 1, 5)
    with torch.no_grad():
        whole = actor(rnn(x)[0]).numpy()
        alone = np.stack([actor(rnn(x[i : i + 1])[0])[0].numpy() for i in range(4)])
    ids = tuple(f"nominal-{i}" for i in range(4))
    with opened("torch", tmp_path / "model.pt", tmp_path, kwargs={"activation": "tanh"}) as session:
        chosen = Chosen(session, 0, {})
        steps = chosen.run(Block(ids, {"obs": x.numpy()}, sequence=True))
        single = chosen.run(Block(ids, {"obs": x.numpy()}))
        double = chosen.run(Block(ids, {"obs": x.numpy()}), "float64")
    assert double.failure is None
    np.testing.assert_allclose(np.asarray(steps.outputs["output_0"])[:, 0], whole[:, 0], atol=1e-6)
    np.testing.assert_allclose(np.asarray(single.outputs["output_0"])[:, 0], alone[:, 0], atol=1e-6)
    assert np.abs(whole - alone)[1:].max() > 1e-3


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_actors_of_rsl_rl_itself(tmp_path: Path, kind: str) -> None:
    models = pytest.importorskip("rsl_rl.models", reason="rsl-rl-lib 4 or later is not installed")
    from tensordict import TensorDict

    torch.manual_seed(0)
    x = torch.randn(6, 2, 5) * 3 + 1  # steps, robots, numbers
    seen = [TensorDict({"policy": step}, batch_size=[2]) for step in x]
    how = {"obs_normalization": True, "rnn_type": kind, "rnn_hidden_dim": 7, "rnn_num_layers": 2}
    model = models.RNNModel(seen[0], {"actor": ["policy"]}, "actor", 3, [6], "elu", **how)
    model.train()
    model.update_normalization(seen[0])
    model.eval()
    torch.save({"actor_state_dict": model.state_dict()}, tmp_path / "model.pt")
    with torch.no_grad():
        expected = np.stack([model(step).numpy() for step in seen])
    ids = tuple(f"nominal-{i}" for i in range(6))
    with opened("torch", tmp_path / "model.pt", tmp_path, kwargs={"activation": "elu"}) as session:
        steps = Chosen(session, 0, {}).run(Block(ids, {"obs": x.numpy()}, sequence=True))
    assert steps.failure is None
    np.testing.assert_allclose(np.asarray(steps.outputs["output_0"]), expected, rtol=0, atol=2e-7)
