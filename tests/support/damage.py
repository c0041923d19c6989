"""Files of every format that holds weights, and ways to damage them: cut off, bits flipped, sizes made to lie."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

EXTREMES = (0, 1, 0x7F, 0xFF, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**64 - 1)


def arrays(seed: int = 0) -> dict[str, Any]:
    """Return weights of about 100 KB: enough that a reader's own objects are small against the file."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {"0.weight": rng.standard_normal((128, 96), dtype=np.float32)}
    found["0.bias"] = rng.standard_normal(128, dtype=np.float32)
    found["normalizer.mean"] = rng.standard_normal(96).astype(np.float16)
    found["1.weight"] = rng.standard_normal((64, 128), dtype=np.float32)
    found["count"] = np.array(7, dtype=np.int64)
    return found


def formats(folder: Path) -> dict[str, Path]:
    """Write one sound file of every format into ``folder``; those of torch only where it is installed."""
    from safetensors.numpy import save_file

    weights = arrays()
    made = {name: folder / name for name in ("plain.pkl", "a.safetensors", "stored.npz", "deflated.npz", "a.onnx")}
    made["plain.pkl"].write_bytes(pickle.dumps({"state_dict": weights, "epoch": 3}, 4))
    save_file(weights, made["a.safetensors"], metadata={"format": "pt"})
    np.savez(made["stored.npz"], **weights)
    np.savez_compressed(made["deflated.npz"], **weights)
    made["a.onnx"].write_bytes(_onnx(weights))
    shards = folder / "shards"
    shards.mkdir()
    save_file({"0.weight": weights["0.weight"]}, shards / "model-1.safetensors")
    save_file({"1.weight": weights["1.weight"]}, shards / "model-2.safetensors")
    made["index"] = shards / "model.safetensors.index.json"
    weight_map = {"0.weight": "model-1.safetensors", "1.weight": "model-2.safetensors"}
    made["index"].write_text(json.dumps({"metadata": {"total_size": 81920}, "weight_map": weight_map}))
    return {**made, **_of_torch(folder, weights)}


def _onnx(weights: dict[str, Any]) -> bytes:
    node = helper.make_node("Gemm", ["x", "0.weight", "0.bias"], ["y"], transB=1)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 96])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 128])
    stored = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph([node], "g", [x], [y], initializer=stored)
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return data


def _of_torch(folder: Path, weights: dict[str, Any]) -> dict[str, Path]:
    try:
        import torch
    except ImportError:
        return {}
    made = {name: folder / name for name in ("zip.pt", "legacy.pt", "module.pt", "script.pt", "program.pt2", "dp.ckpt")}
    state = {k: torch.from_numpy(np.array(v)) for k, v in weights.items()}
    torch.save({"model_state_dict": state, "iter": 5, "infos": None}, made["zip.pt"])
    torch.save({"state_dict": state}, made["legacy.pt"], _use_new_zipfile_serialization=False)
    module = torch.nn.Sequential(torch.nn.Linear(96, 128), torch.nn.ELU(), torch.nn.Linear(128, 64))
    torch.save(module, made["module.pt"])
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 96)), buffer)
    made["script.pt"].write_bytes(buffer.getvalue())
    torch.export.save(torch.export.export(module, (torch.zeros(1, 96),)), made["program.pt2"])
    pickles = {"global_step": pickle.dumps(1234), "epoch": pickle.dumps(5)}
    cfg = {"training": {"use_ema": True}, "shape_meta": {"action": {"shape": [2]}}}
    sets = {"model": state, "ema_model": state}
    torch.save({"cfg": cfg, "state_dicts": sets, "pickles": pickles}, made["dp.ckpt"])
    return made


def damaged(whole: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Yield ``count`` damaged copies of a file. Most of the damage is done where a format describes itself."""
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            _damage(data, rng)
        yield bytes(data)


def _damage(data: bytearray, rng: random.Random) -> None:
    damage_somewhere(data, rng, lambda: _where(len(data), rng))


def damage_somewhere(data: bytearray, rng: random.Random, where: Callable[[], int]) -> None:
    """Cut, flip, overwrite, zero or repeat bytes at a place that ``where`` chooses."""
    if not data:
        return
    how = rng.randrange(8)
    at = where()
    if how == 0:
        del data[rng.choice((at, rng.randrange(len(data) + 1))) :]
    elif how <= 3:
        data[at] ^= 1 << rng.randrange(8)
    elif how == 4:
        data[at] = rng.randrange(256)
    elif how == 5:
        size = rng.choice((2, 4, 8))
        data[at : at + size] = struct.pack("<Q", rng.choice(EXTREMES))[:size]
    elif how == 6:
        end = min(len(data), at + rng.choice((1, 16, 4096)))
        data[at:end] = bytes(end - at)
    else:
        end = at + rng.choice((1, 8, 64))
        data[at:end] = data[at:end] * rng.choice((0, 2, 3))


def _where(size: int, rng: random.Random) -> int:
    part = rng.randrange(10)
    if part < 5:
        return rng.randrange(min(size, 2048))
    if part < 9:
        return size - 1 - rng.randrange(min(size, 2048))
    return rng.randrange(size)
