"""A small flow-matching policy in two stages, as pi0 ships: a prefix that gives keys, values and a mask, an expert.

The prefix sees ``patches`` (1, 4, 8); the expert attends to it from ``x_t`` (1, 5, 3) at ``timestep``, gives ``v_t``.
All is exported by torch, each fault as a graph of its own.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import pytest

STEPS = 10
LOOP: dict[str, Any] = {
    "steps": STEPS,
    "state": {"x_t": "v_t"},
    "start": {"x_t": "noise"},
    "result": {"x_t": "action"},
    "time": "timestep",
}
EXPERT_INPUTS = ["k", "v", "pad_mask", "state", "x_t", "timestep"]


def _modules(seed: int) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Prefix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.key, self.value = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(16, 8)

        def forward(self, patches: Any) -> Any:
            h = torch.tanh(self.inside(patches))
            return self.key(h), self.value(h), patches[..., 0] > -0.2

    class Expert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.state, self.time = nn.Linear(3, 8), nn.Linear(6, 8), nn.Linear(1, 8)
            self.out, self.back = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, k: Any, v: Any, pad_mask: Any, state: Any, x_t: Any, timestep: Any) -> Any:
            q = self.query(x_t) + self.state(state)[:, None] + self.time(timestep[:, None])[:, None]
            scores = q @ k.transpose(1, 2) / 8**0.5 + (1.0 - pad_mask.float())[:, None] * -1e4
            return self.back(torch.tanh(self.out(torch.softmax(scores, -1) @ v + q))) + 0.3 * x_t

    torch.manual_seed(seed)
    return Prefix().eval(), Expert().eval()


def _export(module: Any, example: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str]) -> Path:
    torch = pytest.importorskip("torch")

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, example, str(path), input_names=inputs, output_names=outputs, opset_version=17, dynamo=False
        )
    return path


def _wrapped(run: Any, module: Any) -> Any:
    nn = pytest.importorskip("torch").nn

    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *args: Any) -> Any:
            return run(self.inner, *args)

    return Changed().eval()


def export_prefix(path: Path, *, seed: int = 0, outputs: tuple[str, ...] = ("k", "v", "pad_mask")) -> Path:
    """Write the prefix; other ``outputs`` call what it gives otherwise, in the order k, v, mask."""
    torch = pytest.importorskip("torch")

    torch.manual_seed(1)
    return _export(_modules(seed)[0], (torch.randn(1, 4, 8),), path, ["patches"], list(outputs))


def export_expert(path: Path, *, seed: int = 0, fault: str = "") -> Path:
    """Write the expert, right or with a ``fault``: ``inverted``, ``float_mask`` (right, but takes it as float32),
    ``inverted_float``, ``nan``, ``in_float64`` (gives v_t in float64), ``slope`` (v_t a little too large).
    """
    torch = pytest.importorskip("torch")

    expert = _modules(seed)[1]
    mask = torch.tensor([[True, True, False, True]])
    changes: dict[str, Any] = {
        "inverted": lambda m, k, v, p, *rest: m(k, v, ~p, *rest),
        "float_mask": lambda m, k, v, p, *rest: m(k, v, p > 0.5, *rest),
        "inverted_float": lambda m, k, v, p, *rest: m(k, v, p < 0.5, *rest),
        "nan": lambda m, *args: m(*args) * torch.where(args[4] > 0.4, float("nan"), 1.0),
        "slope": lambda m, *args: m(*args) * 1.0001,
        "in_float64": lambda m, *args: m(*args).double(),
    }
    if fault:
        expert = _wrapped(changes[fault], expert)
    if fault.endswith(("float_mask", "inverted_float")):
        mask = mask.float()
    example = (torch.randn(1, 4, 8), torch.randn(1, 4, 8), mask, torch.randn(1, 6), torch.randn(1, 5, 3), torch.ones(1))
    return _export(expert, example, path, EXPERT_INPUTS, ["v_t"])


def export_whole(path: Path, *, seed: int = 0, steps: int = STEPS) -> Path:
    """Write the whole policy as one graph: prefix, then the loop unrolled."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prefix, self.expert = _modules(seed)

        def forward(self, patches: Any, state: Any, noise: Any) -> Any:
            k, v, mask = self.prefix(patches)
            x = noise
            for i in range(steps):
                x = x - self.expert(k, v, mask, state, x, torch.full((1,), 1.0 - i / steps)) / steps
            return x

    example = (torch.randn(1, 4, 8), torch.randn(1, 6), torch.randn(1, 5, 3))
    return _export(Whole().eval(), example, path, ["patches", "state", "noise"], ["action"])


def stages(prefix: str = "prefix.onnx", expert: str = "expert.onnx", **more: Any) -> list[dict[str, Any]]:
    """Return the table of both stages; ``more`` is for the expert's."""
    return [{"name": "prefix", "path": prefix}, {"name": "expert", "path": expert, **more}]


def resaved(source: Path, target: Path) -> Path:
    """Write the same graph in other bytes: what is compared with itself is not judged."""
    import onnx

    model = onnx.load(str(source))
    model.doc_string = "exported again"
    onnx.save(model, str(target))
    return target


def made_in(folder: Path) -> Path:
    """Write the reference's stages (`prefix.onnx`, `expert.onnx`) and a right conversion of each, in 32 and 16 bits."""
    from faults import to_float16

    export_prefix(folder / "prefix.onnx")
    export_expert(folder / "expert.onnx")
    for name in ("prefix", "expert"):
        resaved(folder / f"{name}.onnx", folder / f"{name}32.onnx")
        to_float16(folder / f"{name}.onnx", folder / f"{name}16.onnx")
    return folder


def toml(
    folder: Path, candidate: str, *, name: str = "parity.toml", more: str = "", expert: str = "expert32.onnx"
) -> Path:
    """Write a release about the stages in ``folder``; ``candidate`` is added to its only candidate's table."""
    loop = (
        f'{{steps = {STEPS}, state = {{x_t = "v_t"}}, start = {{x_t = "noise"}}, result = {{x_t = "action"}}, '
        'time = "timestep"}'
    )
    text = f"""
[release]
name = "staged"

[reference]
stages = [{{name = "prefix", path = "prefix.onnx"}}, {{name = "expert", path = "expert.onnx"}}]
loop = {loop}

[[candidate]]
name = "board"
stages = [{{name = "prefix", path = "prefix32.onnx"}}, {{name = "expert", path = "{expert}"}}]
{candidate}

[cases]
nominal = 3
edge = false
{more}
"""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
