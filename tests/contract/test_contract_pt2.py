"""Contracts of programs of torch.export, read without torch."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.artifact import Artifact
from parity.checkpoint.weights import read_weights
from parity.contract import Contract, read_contract
from parity.contract.pt2 import READER
from parity.errors import ArtifactError

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


class Policy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 4)
        self.register_buffer("offset", torch.arange(6.0))

    def forward(self, obs: torch.Tensor, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"action": self.layer(obs - self.offset) + image.mean((1, 2, 3))[:, None], "value": obs.sum(-1)}


class Stateful(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.obs_normalizer = torch.nn.Module()
        self.obs_normalizer.register_buffer("_mean", torch.arange(3.0)[None])
        self.obs_normalizer.register_buffer("_std", torch.arange(1.0, 4.0)[None])
        self.register_buffer("hidden", torch.zeros(1, 3))
        self.layer = torch.nn.Linear(3, 3).half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (x - self.obs_normalizer._mean) / (self.obs_normalizer._std + 0.01) + torch.randn_like(x)
        self.hidden.add_(y)
        return self.layer(self.hidden.half()).float()


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "policy.pt2"
    batch = torch.export.Dim("batch", min=1, max=64)
    example = torch.randn(2, 6), torch.randn(2, 3, 8, 8)
    shapes = {"obs": {0: batch}, "image": {0: batch}}
    torch.export.save(torch.export.export(Policy().eval(), example, dynamic_shapes=shapes), path)
    return path


@pytest.fixture
def policy(policy_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(policy_file, tmp_path / "policy.pt2"))


def test_inputs_outputs_shapes_and_roles(policy: Path) -> None:
    c = read_contract(policy)
    json.dumps(c.as_json())
    assert [(t.name, t.dtype, t.role) for t in c.inputs] == [("obs", "float32", "state"), ("image", "float32", "image")]
    assert [(t.name, t.role) for t in c.outputs] == [("action", "action"), ("value", None)]
    obs, image = (t.shape for t in c.inputs)
    assert obs is not None
    assert image is not None
    assert isinstance(obs[0], str)
    assert (obs[0], obs[1:], image[1:]) == (image[0], (6,), (3, 8, 8))
    assert (c.complete, c.precision, c.findings) == (True, "float32", ())
    assert c.metadata["range_constraints"] == {obs[0]: {"min_val": 1, "max_val": 64}}


def test_weights_are_those_of_the_module(policy: Path) -> None:
    found = read_weights(policy)
    assert sorted(found) == ["layer.bias", "layer.weight", "offset"]
    state = torch.export.load(policy).state_dict
    for name, tensor in state.items():
        assert np.array_equal(found[name].array, tensor.detach().numpy())


def test_state_randomness_precision_and_normalizer(tmp_path: Path) -> None:
    path = tmp_path / "p.pt2"
    torch.export.save(torch.export.export(Stateful().eval(), (torch.randn(1, 3),)), path)
    c = read_contract(path)
    assert c.metadata["stateful"] == ["hidden"]
    assert [f.code for f in c.findings] == ["TORCH002", "TORCH003"]
    assert c.precision == "float16"
    assert c.inputs[0].range is not None
    assert np.allclose(c.inputs[0].range.second, [1.01, 2.01, 3.01])
    assert [t.name for t in c.outputs] == ["output_0"]


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Rewrite the entries of an archive; None leaves one out."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename.split("/", 1)[1], old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    return target


def test_missing_and_foreign_parts_are_refused(policy: Path) -> None:
    without = rewritten(policy, lambda n, d: None if n.startswith("models/") else d)
    with pytest.raises(ArtifactError, match="no exported programs"):
        READER.read(Artifact(without, "pt2"))
    for text in (b"{}", b"[]", b"not json", b'{"graph_module": {"graph": 3}}', b"[" * 100_000):
        changed = rewritten(policy, lambda n, d, text=text: text if n == "models/model.json" else d)
        with pytest.raises(ArtifactError):
            READER.read(Artifact(changed, "pt2"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("sizes", [{"as_int": 2**60}, {"as_int": 6}]), ("dtype", 99), ("storage_offset", {"as_int": 10}), ("strides", [])],
)
def test_weights_that_do_not_fit_their_bytes_are_refused(policy: Path, key: str, value: Any) -> None:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("model_weights_config.json"):
            return data
        config = json.loads(data)
        config["config"]["layer.weight"]["tensor_meta"][key] = value
        return json.dumps(config).encode()

    with pytest.raises(ArtifactError):
        read_weights(Artifact(rewritten(policy, change), "pt2"))


def test_a_place_outside_of_the_archive_is_no_place(policy: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return (
            data.replace(b'"weight_0"', b'"../../../../etc/passwd"') if name.endswith("weights_config.json") else data
        )

    with pytest.raises(ArtifactError, match="no entry"):
        read_weights(Artifact(rewritten(policy, change), "pt2"))


def test_damage_is_refused_or_harmless(policy: Path) -> None:
    whole = policy.read_bytes()
    rng = random.Random(5)
    for i in range(150):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(rng.choice((1, 1, 5))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        policy.write_bytes(data)
        with contextlib.suppress(ArtifactError):
            contract: Contract = READER.read(Artifact(policy, "pt2"))
            json.dumps(contract.as_json())
