"""Files of 2 GB that hold weights and take no space: all but their descriptions is a hole."""

from __future__ import annotations

import json
import struct
from pathlib import Path

TENSORS = 2000


def safetensors(path: Path, size: int) -> Path:
    """Write a safetensors file of 2,000 float32 tensors with ``size`` bytes."""
    each = size // TENSORS // 4 * 4
    header = {
        f"model.layers.{i}.weight": {"dtype": "F32", "shape": [each // 4], "data_offsets": [i * each, (i + 1) * each]}
        for i in range(TENSORS)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.truncate(8 + len(text) + TENSORS * each)
    return path


def om(path: Path, size: int) -> Path:
    """Write an OM of 2,000 float16 matrices with ``size`` bytes, each read by a node of its own."""
    import numpy as np

    from om_writer import Constant, Node, Om, write

    each = np.broadcast_to(np.float16(0), (size // TENSORS // 512 // 2, 512))
    constants = tuple(Constant(f"layers.{i}.weight", each, hole=True) for i in range(TENSORS))
    inputs = ["obs:0", *(f"layer_{i}:0" for i in range(TENSORS))]
    nodes = tuple(
        Node(f"layer_{i}", "MatMulV2", (inputs[i], f"layers.{i}.weight:0"), sources=(f"MatMul_{i}", f"Add_{i}"), mode=1)
        for i in range(TENSORS)
    )
    return write(path, Om(constants=constants, nodes=nodes))


def torch_zip(path: Path, size: int) -> Path:
    """Write what ``torch.save`` makes of a state dict of 2,000 float32 tensors with ``size`` bytes: a zip, stored."""
    each = size // TENSORS // 4 * 4
    directory = b""
    with path.open("wb") as f:
        entries = [("archive/data.pkl", _state_dict(each // 4)), ("archive/version", b"3\n")]
        for name, data in [*entries, *((f"archive/data/{i}", None) for i in range(TENSORS))]:
            at, length, raw = f.tell(), each if data is None else len(data), name.encode()
            common = struct.pack("<5H3I2H", 20, 0, 0, 0, 0, _crc(data), length, length, len(raw), 0)
            f.write(b"PK\x03\x04" + common + raw)
            if data is None:
                f.seek(length, 1)
            else:
                f.write(data)
            directory += b"PK\x01\x02\x14\x00" + common + struct.pack("<3H2I", 0, 0, 0, 0, at) + raw
        at = f.tell()
        count = TENSORS + 2
        f.write(directory + b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, count, count, len(directory), at, 0))
    return path


def _crc(data: bytes | None) -> int:
    import zlib

    return 0 if data is None else zlib.crc32(data)


def _state_dict(count: int) -> bytes:
    """Return the pickle of a state dict, with each tensor in a storage of its own."""
    out = b"\x80\x02}("
    for i in range(TENSORS):
        storage = (
            b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(i)) + _text("cpu") + _int(count) + b"tQ"
        )
        shape = _int(count) + b"\x85K\x01\x85"
        out += _text(f"layers.{i}.weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape
        out += b"\x89}tR"
    return out + b"u."


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
