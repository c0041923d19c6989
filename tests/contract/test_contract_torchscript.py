"""Contracts of TorchScript files, read without torch."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.artifact import Artifact, recognize
from parity.contract import Contract, read_contract
from parity.contract.torchscript import READER
from parity.contract.torchscript_code import signature
from parity.errors import ArtifactError

torch: Any = pytest.importorskip("torch")


def saved(module: Any, path: Path) -> Contract:
    torch.jit.script(module).save(str(path))
    contract = read_contract(path)
    json.dumps(contract.as_json())
    return contract


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 3)

    def forward(self, obs: torch.Tensor, noise: torch.Tensor, k: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(obs) + noise, noise * k


class Renamed(torch.nn.Module):
    """Its author calls the module ``this``, and an argument ``self``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 3)

    def forward(this, self: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return this.layer(self) + noise


class Normalized(torch.nn.Module):
    def __init__(self, n: int = 5) -> None:
        super().__init__()
        self.normalizer = torch.nn.BatchNorm1d(n)
        with torch.no_grad():
            self.normalizer.running_mean.copy_(torch.arange(float(n)))
            self.normalizer.running_var.copy_(torch.arange(1.0, n + 1) ** 2)
        self.layer = torch.nn.Linear(5, 3)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.layer((x - self.normalizer.running_mean[:5]) / 2))


class Noisy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)

    @torch.jit.export
    def sample(self, x: torch.Tensor) -> torch.Tensor:
        return torch.bernoulli(x)


def test_arguments_and_results(tmp_path: Path) -> None:
    c = saved(Two().eval(), tmp_path / "p.pt")
    assert [(t.name, t.role, t.shape) for t in c.inputs] == [
        ("obs", "state", None),
        ("noise", "noise", None),
        ("k", None, None),
    ]
    assert [t.name for t in c.outputs] == ["output_0", "output_1"]
    assert (c.complete, c.precision) == (False, "float32")
    assert c.metadata["first_layer"] == {"name": "layer.weight", "shape": [3, 5], "in_features": 5}
    assert c.findings == ()


def test_the_module_is_no_input_whatever_it_is_called(tmp_path: Path) -> None:
    assert [t.name for t in saved(Renamed().eval(), tmp_path / "p.pt").inputs] == ["self", "noise"]


def test_train_mode_matters_only_where_a_layer_heeds_it(tmp_path: Path) -> None:
    assert [f.code for f in saved(Normalized(), tmp_path / "train.pt").findings] == ["TORCH001"]
    assert saved(Normalized().eval(), tmp_path / "eval.pt").findings == ()
    assert saved(Two(), tmp_path / "plain.pt").findings == ()


def test_a_normalizer_whose_length_fits_gives_the_range(tmp_path: Path) -> None:
    found = saved(Normalized().eval(), tmp_path / "p.pt").inputs[0].range
    assert found is not None
    assert found.first == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert np.allclose(found.second, [1, 2, 3, 4, 5], rtol=1e-5)
    assert found.source == f"{tmp_path / 'p.pt'}: normalizer.running_mean, normalizer.running_var"
    assert saved(Normalized(7).eval(), tmp_path / "q.pt").inputs[0].range is None


def test_random_functions_of_forward_are_named(tmp_path: Path) -> None:
    c = saved(Noisy(), tmp_path / "p.pt")
    assert c.metadata["random_ops"] == ["randn_like"]
    assert [f.code for f in c.findings] == ["TORCH003"]


def test_half_precision_and_weights_that_are_no_numbers(tmp_path: Path) -> None:
    broken = Two().half().eval()
    with torch.no_grad():
        broken.layer.bias[1] = float("nan")
    c = saved(broken, tmp_path / "p.pt")
    assert c.precision == "float16"
    assert [(f.code, f.where) for f in c.findings] == [("WEIGHT002", "layer.bias")]


@pytest.mark.corpus
def test_a_recurrent_policy_keeps_state_and_can_be_reset(corpus: Path) -> None:
    c = read_contract(corpus / "stateful_jit/g1/motion.pt")
    assert c.metadata["stateful"] == ["cell_state", "hidden_state"]
    assert c.metadata["reset"] == ["reset_memory"]
    assert c.metadata["first_layer"]["in_features"] == 47
    assert [(f.code, f.severity) for f in c.findings] == [("TORCH002", "info")]


@pytest.mark.corpus
def test_all_scripts_of_the_corpus(corpus: Path) -> None:
    read = 0
    for path in sorted(corpus.rglob("*.pt")):
        artifact = recognize(path)
        if artifact.kind != "torchscript":
            assert not READER.matches(artifact)
            continue
        c = READER.read(artifact)
        assert [len(c.inputs), len(c.outputs), c.outputs[0].role] == [1, 1, "action"]
        assert c.inputs[0].name in ("x", "input", "input_1")
        assert c.metadata["random_ops"] == []
        assert not [f for f in c.findings if f.severity != "info"]
        read += 1
    assert read == 19


@pytest.mark.corpus
def test_neither_torch_nor_onnx_is_imported(corpus: Path) -> None:
    path = str(corpus / "stateful_jit/g1/motion.pt")
    code = (
        "import sys; from parity.contract.torchscript import READER; from parity.artifact import Artifact; "
        f"from pathlib import Path; READER.read(Artifact(Path({path!r}), 'torchscript')); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_checkpoint_in_the_place_of_a_script(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "p.pt")
    with pytest.raises(ArtifactError, match="no TorchScript module"):
        READER.read(Artifact(tmp_path / "p.pt", "torchscript"))


@pytest.mark.parametrize(
    ("text", "arguments", "returned"),
    [
        ("  def forward(self: A,\n    x: Tensor) -> Tensor:\n", [("x", "Tensor")], ("Tensor",)),
        ("  def forward(self: A, x: Dict[str, Tensor], y: Optional[Tensor]=None) -> Tuple[Tensor, Tuple[int, int]]:\n",
         [("x", "Dict[str, Tensor]"), ("y", "Optional[Tensor]")], ("Tensor", "Tuple[int, int]")),
        ("  def forward(self: A) -> NoneType:\n", [], ("NoneType",)),
        ("  def forward(m: A,\n    x: Tensor) -> Tensor:\n", [("x", "Tensor")], ("Tensor",)),
    ],
)  # fmt: skip
def test_signatures(text: str, arguments: Any, returned: Any) -> None:
    found = signature(text, "forward")
    assert found is not None
    assert (list(found.arguments), found.returned) == (arguments, returned)
    assert signature(text[:20], "forward") is None
    assert signature(text, "reset") is None


@pytest.mark.corpus
def test_damage_is_refused_or_harmless(corpus: Path, tmp_path: Path) -> None:
    whole = (corpus / "stateful_jit/g1/motion.pt").read_bytes()
    rng = random.Random(4)
    places = [whole.find(b"data.pkl"), whole.find(b"helpers.py"), len(whole) - 6000]
    path = tmp_path / "p.pt"
    for i in range(150):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(rng.choice((1, 1, 5))):
                data[min(len(data) - 1, rng.choice(places) + rng.randrange(2500))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(ArtifactError):
            json.dumps(READER.read(Artifact(path, "torchscript")).as_json())


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("observation_images_top", "image"),
        ("observation_state", "state"),
        ("obs", "state"),
        ("x", None),
        ("mask", "mask"),
    ],
)
def test_a_name_alone_tells_a_role_or_nothing(name: str, role: str | None) -> None:
    """Called a state by mistake, a camera would be drawn from N(0, 1)."""
    from parity.contract.roles import input_role

    assert input_role(name, None, None) == role
