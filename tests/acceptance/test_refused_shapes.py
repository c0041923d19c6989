"""Two files of different policies, of which one does not say what it takes: told plainly, and never judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models import mlp
from parity.cli import main


class Five(torch.nn.Module):
    """Takes five numbers, where the policy of `mlp` takes six."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 3)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layer(obs))


class Broken(torch.nn.Module):
    """Fails whatever it is given."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        if obs.numel() > 0:
            raise RuntimeError("the motor is cold")
        return obs


def compare(folder: Path, *paths: Path) -> tuple[int, dict[str, Any]]:
    code = main(["compare", *map(str, paths), "--cases", "3", "--json", str(folder / "out.json")])
    return code, json.loads((folder / "out.json").read_text())


@pytest.fixture
def five(tmp_path: Path) -> Path:
    torch.jit.script(Five().eval()).save(str(tmp_path / "five.pt"))
    return tmp_path / "five.pt"


@pytest.mark.parametrize("reference_first", [True, False])
def test_the_shape_and_who_gave_it_are_named(tmp_path: Path, five: Path, reference_first: bool) -> None:
    six = mlp(tmp_path / "six.onnx")
    code, report = compare(tmp_path, *((five, six) if reference_first else (six, five)))
    assert code == 3
    (told,) = [f for f in report["findings"] if f["code"] == "GATE003"]
    who = "reference" if reference_first else "candidate 'candidate'"
    assert f"The {who} refused the shape that six.onnx gives, (1, 6) for 'obs'" in told["title"]
    assert "probably belong to different policies" in told["title"]
    assert "1x6 and 5x" in told["title"]
    assert told["evidence"]["shapes"] == {"obs": [1, 6]}
    assert report["reasons"][0] == told["title"]


def test_a_failure_of_another_kind_is_not_blamed_on_the_shape(tmp_path: Path) -> None:
    torch.jit.script(Broken().eval()).save(str(tmp_path / "broken.pt"))
    code, report = compare(tmp_path, tmp_path / "broken.pt", mlp(tmp_path / "six.onnx"))
    assert code == 3
    (told,) = [f for f in report["findings"] if f["code"] == "GATE003"]
    assert "the motor is cold" in told["detail"]
    assert "refused" not in told["title"]
    assert "different policies" not in told["title"]
