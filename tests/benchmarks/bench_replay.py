"""A replay beside the loops that one would write: all frames of the corpus's G1 set, and the memory that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench_stats import REAL
from lerobot_data import add_episode, finish
from parity.dataset.registry import open_dataset

HERE = Path(__file__).resolve().parent
WIDTH, STEPS, BATCH = 26, 16, 256
MLPS = {
    "MLP, 0.7 million weights": 512,
    "MLP, 9 million weights": 2048,
    "MLP, 35 million weights": 4096,
}
FLOWS = {"flow of ten steps with an MLP, 20 million weights": 4096}
TRANSFORMERS = {"transformer, 3 million weights": 256, "transformer, 13 million weights": 512}
ROUNDS = 2
ALONE = 500  # frames of the loop that goes one by one; its time is scaled to all


def measure() -> list[dict[str, str]]:
    """Return the times on the corpus's real set, and the peak memory on generated sets."""
    return [*_times(), *_memory()]


def _times() -> list[dict[str, str]]:
    if not REAL.is_dir():
        return [{"what": "no corpus: nothing was timed"}]
    rows = []
    for names, write in ((MLPS, write_mlp), (FLOWS, write_flow), (TRANSFORMERS, write_transformer)):
        for name, hidden in names.items():
            with tempfile.TemporaryDirectory() as folder:
                rows += _side_by_side(Path(folder), name, release(Path(folder), REAL, WIDTH, hidden, write))
    return rows


def _side_by_side(folder: Path, name: str, toml: Path) -> list[dict[str, str]]:
    frames = np.concatenate([b.columns["observation.state"] for b in open_dataset(REAL).blocks(["observation.state"])])
    sessions = [_session(folder / f"{side}.onnx") for side in ("reference", "ort")]
    bare, parity = [], []
    for _ in range(ROUNDS):
        bare.append(_timed(sessions, frames, BATCH))
        parity.append(replayed(toml))
    alone = _timed(sessions, frames[:ALONE], 1) * len(frames) / ALONE
    best, found = min(bare), min(parity, key=lambda f: f["seconds"])
    assert found["frames"] == len(frames), found
    assert found["verdict"] == "PASS", found
    own = found["seconds"]
    return [
        {"what": f"{name}: bare loop, batches of {BATCH}, both sides, arrays in memory", "time": f"{best:.1f} s"},
        {
            "what": f"{name}: parity, from files to verdict",
            "time": f"{own:.1f} s",
            "ratio": f"{own / best:.2f} × the bare loop",
            "peak memory": f"{found['peak_mb']:.0f} MB",
        },
        {
            "what": f"{name}: bare loop, frame by frame",
            "time": f"{alone:.1f} s",
            "ratio": f"{alone / own:.1f} × parity",
        },
    ]


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2  # as parity's runner
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _timed(sessions: list[onnxruntime.InferenceSession], frames: np.ndarray, batch: int) -> float:
    begin = time.perf_counter()
    for session in sessions:
        for start in range(0, len(frames), batch):
            session.run(None, {"observation.state": frames[start : start + batch]})
    return time.perf_counter() - begin


def release(folder: Path, dataset: Path, width: int, hidden: int, write: Callable[..., None] | None = None) -> Path:
    """Write a reference, a candidate of other bytes, and a `parity.toml` that replays every frame; return that."""
    for side in ("reference", "ort"):
        (write or write_mlp)(folder / f"{side}.onnx", width, hidden, side)
    toml = folder / "parity.toml"
    toml.write_text(
        f"""[release]
name = "bench"
[reference]
path = "reference.onnx"
[[candidate]]
name = "ort"
path = "ort.onnx"
[replay]
dataset = "{dataset}"
every = 1
n_action_steps = 8
"""
    )
    return toml


def write_mlp(path: Path, width: int, hidden: int, producer: str) -> None:
    """Write an MLP of four layers that gives a chunk of 16 actions."""
    rng = np.random.default_rng(0)
    sizes = [width, hidden, hidden, hidden, STEPS * width]
    nodes, constants, at = [], [], "observation.state"
    for i, (inner, outer) in enumerate(pairwise(sizes)):
        constants.append(numpy_helper.from_array(rng.normal(size=(inner, outer)).astype("f4") / inner**0.5, f"w{i}"))
        constants.append(numpy_helper.from_array(rng.normal(size=outer).astype("f4") * 0.1, f"b{i}"))
        nodes.append(helper.make_node("Gemm", [at, f"w{i}", f"b{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Tanh", [f"y{i}"], [f"t{i}"]))
        at = f"t{i}" if i < 3 else f"y{i}"
    constants.append(numpy_helper.from_array(np.array([-1, STEPS, width]), "shape"))
    _save(path, [*nodes[:-1], helper.make_node("Reshape", [at, "shape"], ["action"])], constants, width, producer)


def write_flow(path: Path, width: int, hidden: int, producer: str) -> None:
    """Write a flow-matching policy with an MLP: ten Euler steps, unrolled in the graph, from a guess to 16 actions."""
    rng, name, chunk = np.random.default_rng(0), "observation.state", STEPS * width
    sizes = {"guess": (width, chunk), "w0": (width + chunk, hidden), "w1": (hidden, hidden), "w2": (hidden, chunk)}
    constants = [
        numpy_helper.from_array(rng.normal(size=(i, o)).astype("f4") / np.float32(i**0.5), n)
        for n, (i, o) in sizes.items()
    ]
    constants.append(numpy_helper.from_array(np.float32(0.1), "dt"))
    constants.append(numpy_helper.from_array(np.array([-1, STEPS, width]), "shape"))
    nodes = [helper.make_node("MatMul", [name, "guess"], ["x0"])]
    for k in range(10):
        made = [f"{n}{k}" for n in ("given", "a", "b", "c", "d", "v", "moved")]
        nodes += [
            helper.make_node("Concat", [name, f"x{k}"], made[:1], axis=1),
            helper.make_node("MatMul", [made[0], "w0"], made[1:2]),
            helper.make_node("Tanh", made[1:2], made[2:3]),
            helper.make_node("MatMul", [made[2], "w1"], made[3:4]),
            helper.make_node("Tanh", made[3:4], made[4:5]),
            helper.make_node("MatMul", [made[4], "w2"], made[5:6]),
            helper.make_node("Mul", [made[5], "dt"], made[6:7]),
            helper.make_node("Add", [f"x{k}", made[6]], [f"x{k + 1}"]),
        ]
    _save(path, [*nodes, helper.make_node("Reshape", ["x10", "shape"], ["action"])], constants, width, producer)


def _save(path: Path, nodes: list[Any], constants: list[Any], width: int, producer: str) -> None:
    given = helper.make_tensor_value_info("observation.state", TensorProto.FLOAT, ["batch", width])
    out = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", STEPS, width])
    graph = helper.make_graph(nodes, "policy", [given], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=producer)
    model.ir_version = 8
    onnx.save(model, path)


def write_transformer(path: Path, width: int, hidden: int, producer: str) -> None:
    """Write a transformer of four layers over the state and 16 queries, as ACT's decoder is, that gives 16 actions."""
    import torch

    class Policy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = torch.nn.Linear(width, hidden)
            self.queries = torch.nn.Parameter(torch.randn(STEPS, hidden))
            layer = torch.nn.TransformerEncoderLayer(hidden, 8, 4 * hidden, 0.0, batch_first=True, norm_first=True)
            self.body = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.out = torch.nn.Linear(hidden, width)

        def forward(self, state: torch.Tensor) -> torch.Tensor:
            token = self.into(state)[:, None]
            return self.out(self.body(torch.cat([token, self.queries[None] + token], 1))[:, 1:])

    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator cannot be exported
    names = {"input_names": ["observation.state"], "output_names": ["action"]}
    axes = {n: {0: "batch"} for n in ("observation.state", "action")}
    example = (torch.zeros(2, width),)
    torch.onnx.export(Policy().eval(), example, str(path), dynamic_axes=axes, opset_version=17, dynamo=False, **names)
    model = onnx.load(path)
    model.producer_name = producer
    onnx.save(model, path)


def _memory() -> list[dict[str, str]]:
    rows = []
    for frames in (10**4, 10**5, 10**6, 10**7):
        with tempfile.TemporaryDirectory() as folder:
            found = generated(Path(folder), frames)
        row = {"what": f"parity: {frames:,} generated frames of 8 numbers, an MLP of 5 thousand weights"}
        rows.append({**row, "time": f"{found['seconds']:.1f} s", "peak memory": f"{found['peak_mb']:.0f} MB"})
    return rows


def generated(folder: Path, frames: int) -> dict[str, Any]:
    """Replay that many generated frames, in episodes of at most 100,000."""
    shard = min(frames // 4, 100_000)
    rng, data, episode = np.random.default_rng(0), folder / "set", {}
    for start in range(0, frames, shard):
        drawn = rng.standard_normal((min(shard, frames - start), 8), dtype=np.float32)
        episode = {"observation.state": drawn, "action": drawn}
        add_episode(data, start // shard, episode)
    finish(data, episode, frames)
    return replayed(release(folder, data, 8, 32))


def replayed(toml: Path) -> dict[str, Any]:
    """Replay in a process of its own and return what it printed."""
    command = [sys.executable, str(HERE / "replay_once.py"), str(toml)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    for row in measure():
        print(row)
