"""A normalizer on one side only is named; one that is there under names of its own is not said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.contract import read_contract
from parity.provenance.normalizer import normalizer_finding

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the TorchScript exporter


class Bare(torch.nn.Module):
    """A policy whose normalizer is two buffers of its own; ``names`` may say nothing."""

    def __init__(self, names: tuple[str, str]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.names = torch.nn.Linear(6, 3), names
        self.register_buffer(names[0], torch.linspace(-1, 1, 6))
        self.register_buffer(names[1], torch.linspace(0.5, 2, 6))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.net((obs - getattr(self, self.names[0])) / getattr(self, self.names[1]))


@pytest.mark.parametrize("names", [("mean", "std"), ("obs_mean", "obs_std"), ("a", "b")])
def test_a_normalizer_under_names_of_its_own_is_not_said_to_be_missing(tmp_path: Path, names: tuple[str, str]) -> None:
    policy = Bare(names).eval()
    torch.jit.trace(policy, torch.zeros(1, 6)).save(str(tmp_path / "p.pt"))
    options = {"input_names": ["obs"], "dynamo": False}
    torch.onnx.export(policy, (torch.zeros(1, 6),), str(tmp_path / "p.onnx"), **options)
    torch.onnx.export(policy.net, (torch.zeros(1, 6),), str(tmp_path / "bare.onnx"), **options)
    script = read_contract(tmp_path / "p.pt")
    assert normalizer_finding(script, read_contract(tmp_path / "p.onnx")) is None
    missing = normalizer_finding(script, read_contract(tmp_path / "bare.onnx"))
    if names == ("a", "b"):
        assert missing is None  # nothing tells that these normalize
    else:
        assert missing is not None
        assert missing.title.startswith("The normalizer is missing in the ONNX graph")


def test_a_torch_file_without_the_graphs_normalizer_is_said_to_lack_it(tmp_path: Path) -> None:
    policy = Bare(("mean", "std")).eval()
    torch.jit.trace(policy.net, torch.zeros(1, 6)).save(str(tmp_path / "bare.pt"))
    torch.onnx.export(policy, (torch.zeros(1, 6),), str(tmp_path / "p.onnx"), input_names=["obs"], dynamo=False)
    found = normalizer_finding(read_contract(tmp_path / "p.onnx"), read_contract(tmp_path / "bare.pt"))
    assert found is not None
    assert found.title.startswith("The normalizer is missing in the TorchScript file")
