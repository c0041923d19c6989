"""One policy with all that exporters treat specially, through the exporters themselves: found whole, and told apart."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.provenance.origin import Trace, trace

torch = pytest.importorskip("torch")
nn = torch.nn


class TimeStep(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, t: Any) -> Any:
        waves = torch.exp(torch.arange(16) * -(math.log(10000) / 15))
        phase = t[:, None] * waves[None]
        return torch.cat([phase.sin(), phase.cos()], -1)


class Policy(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("std", torch.rand(3) + 0.5)
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.up, self.bn1 = nn.ConvTranspose1d(8, 8, 2), nn.BatchNorm1d(8)
        self.gn = nn.GroupNorm(2, 8)
        self.wn = nn.utils.parametrizations.weight_norm(nn.Linear(8, 32))
        self.time = TimeStep()
        self.attention = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.lstm, self.gru = nn.LSTM(32, 24, num_layers=2), nn.GRU(24, 12, bidirectional=True)
        self.head, self.critic = nn.Linear(24, 4), nn.Linear(9, 1)
        self.query = nn.Parameter(torch.randn(1, 5, 32))

    def forward(self, image: Any, t: Any) -> Any:
        x = (image - self.mean[None, :, None, None]) / (self.std[None, :, None, None] + 1e-6)
        y = torch.relu(self.gn(self.bn(self.conv(x)))).flatten(2)
        y = torch.relu(self.bn1(self.up(y)))
        y = self.attention((self.wn(y.mean(-1)) + self.time(t))[:, None] + self.query)
        y, _ = self.lstm(y.transpose(0, 1))
        y, _ = self.gru(y)
        return self.head(y[-1])


def policy(seed: int) -> Any:
    torch.manual_seed(seed)
    made = Policy()
    for _ in range(3):
        made(torch.randn(4, 3, 8, 8), torch.rand(4))  # the running statistics move
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.01 * torch.randn_like(p))
    return made.eval()


def save(made: Any, path: Path, step: int) -> Path:
    state = {f"policy.{n}": t for n, t in made.state_dict().items()}
    torch.save({"state_dict": state, "global_step": step}, path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    made = policy(0)
    save(made, folder / "right.ckpt", 5000)
    inputs = (torch.randn(1, 3, 8, 8), torch.rand(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(made, inputs, folder / "script.onnx", dynamo=False, opset_version=17)
        script = torch.jit.trace(made, inputs, check_trace=False)
        script.save(str(folder / "script.pt"))
        torch.jit.freeze(script).save(str(folder / "frozen.pt"))
        torch.export.save(torch.export.export(made, inputs), folder / "program.pt2")
    torch.save(made.half().state_dict(), folder / "half.pt")
    made.float()
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One step of an optimizer later, and a twin that was trained apart."""
    folder = tmp_path_factory.mktemp("others")
    later = policy(0)
    with torch.no_grad():
        for t in later.state_dict().values():
            if t.is_floating_point():
                t.add_(1e-4 * torch.sign(torch.randn_like(t)))
    return save(later, folder / "later.ckpt", 5001), save(policy(1), folder / "twin.ckpt", 5000)


def dynamo(run: Path) -> Path:
    pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(policy(0), (torch.randn(1, 3, 8, 8), torch.rand(1)), dynamo=True, verbose=False)
    program.save(run / "dynamo.onnx")
    return run / "dynamo.onnx"


def int8(run: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(run / "script.onnx", run / "int8.onnx")
    return run / "int8.onnx"


def float16(run: Path) -> Path:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(run / "script.onnx"))), str(run / "float16.onnx"))
    return run / "float16.onnx"


def optimized(run: Path) -> Path:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(run / "optimized.onnx")
    onnxruntime.InferenceSession(run / "script.onnx", options, providers=["CPUExecutionProvider"])
    return run / "optimized.onnx"


def file(name: str) -> Callable[[Path], Path]:
    return lambda run: run / name


EXPORTS = {
    **{n: file(n) for n in ("script.onnx", "script.pt", "frozen.pt", "program.pt2", "half.pt")},
    "dynamo": dynamo,
    "int8": int8,
    "float16": float16,
    "optimized": optimized,
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_found_whole_and_told_apart(run: Path, others: tuple[Path, Path], export: Callable[[Path], Path]) -> None:
    exported = export(run)
    found: Trace = trace(exported, [*others, run / "right.ckpt"])
    later, twin, right = found.candidates
    outcome = right.outcome
    assert outcome.relation == "MATCH", [(f.exported, f.source) for f in outcome.missing]
    assert outcome.total >= 30
    assert found.best is right
    assert right.source.step == 5000
    assert later.outcome.relation == "STALE"
    assert twin.outcome.relation == "FOREIGN"
    assert [(f.exported, f.source) for f in twin.outcome.found if f.how is not None] == []
