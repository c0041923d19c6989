"""Files made to fill the memory or the time: refused, in no more memory than the file's size allows."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from om_protobuf import chunk, number, varint
from om_writer import Om, header, table
from parity.contract.om import contract_of
from parity.errors import ArtifactError
from parity.om.attributes import SLACK
from parity.om.reading import open_om

MANY = 60_000
OUT = chunk(6, chunk(1, "out") + chunk(2, "NetOutput") + chunk(33, number(2, 1)))


def made(path: Path, graph: bytes, model: bytes = b"") -> Path:
    """Write a file of one graph, and attributes of the model."""
    definition = chunk(1, "m") + chunk(7, graph) + model
    body = table([(0, definition)], large=True) + definition
    path.write_bytes(header(Om(), len(body)) + body)
    return path


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_of(path: Path) -> tuple[bool, int]:
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        contract_of(open_om(path))
    except ArtifactError as e:
        could = str(path) not in str(e)
    else:
        could = True
    return could, tracemalloc.get_traced_memory()[1] - before


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("what", "graph"),
    [
        ("nodes", chunk(6, b"") * MANY),
        ("descriptors", chunk(6, chunk(33, b"") * MANY)),
        ("attributes of a node", chunk(6, chunk(10, b"") * MANY * 4)),
        ("attributes of a descriptor", chunk(6, chunk(33, chunk(5, b"") * MANY * 4))),
        ("attributes of a graph", chunk(11, b"") * MANY * 4),
        ("inputs", chunk(6, chunk(5, b"") * MANY * 5)),
        ("indices", chunk(6, chunk(25, b"\1" * MANY * 20))),
        ("indices one by one", chunk(6, number(25, 1) * MANY * 4)),
        ("axes", chunk(6, chunk(33, chunk(3, chunk(1, b"\1" * MANY))))),
        (
            "a list",
            chunk(6, chunk(33, chunk(5, chunk(1, "origin_shape") + chunk(2, chunk(1, chunk(3, b"\1" * (5 << 20))))))),
        ),
    ],
)
def test_small_messages_cannot_fill_the_memory(tmp_path: Path, what: str, graph: bytes) -> None:
    path = made(tmp_path / "m.om", graph + OUT)
    could, peak = peak_of(path)
    assert peak <= 4 * path.stat().st_size + SLACK, what
    if what in ("nodes", "descriptors", "inputs", "indices", "axes", "a list"):
        assert not could


@pytest.mark.usefixtures("traced")
def test_many_graphs_and_tables_cannot_fill_the_memory(tmp_path: Path) -> None:
    definition = chunk(7, OUT) + chunk(7, b"") * MANY
    body = table([(0, definition)], large=True) + definition
    (tmp_path / "m.om").write_bytes(header(Om(), len(body)) + body)
    could, peak = peak_of(tmp_path / "m.om")
    assert not could
    assert peak <= 4 * len(body) + SLACK
    names = chunk(11, chunk(1, "attr_name_enum") + chunk(2, chunk(1, chunk(2, "ab") * 200_000)))
    version = chunk(11, chunk(1, "om_compress_version") + chunk(2, number(3, 1)))
    could, peak = peak_of(made(tmp_path / "n.om", OUT, names + version))
    assert peak <= 24 << 20  # a list of 4 MB is read, a longer one is not


@pytest.mark.parametrize("count", [0xFFFFFFFF, 4097, 5000])
def test_counts_of_the_in_out_info_are_checked_before_anything_is_made(tmp_path: Path, count: int) -> None:
    for kind in (0, 2, 3, 5):
        block = struct.pack("<II", kind, 4) + struct.pack("<I", count)
        definition = chunk(1, "m") + chunk(7, OUT)
        parts = [(0, definition), (8, block)]
        body = table(parts, large=True) + definition + block
        (tmp_path / "m.om").write_bytes(header(Om(), len(body)) + body)
        with pytest.raises(ArtifactError, match="the in/out info claims"):
            open_om(tmp_path / "m.om")


@pytest.mark.parametrize(
    "field",
    [
        varint(6 << 3 | 2),  # no length
        varint(6 << 3 | 2) + b"\xff" * 11,  # a length without an end
        varint(6 << 3 | 2) + varint(1 << 40),  # far beyond the end
        varint(6 << 3 | 3),  # a group
        varint(0 << 3),  # no number
        varint(6 << 3 | 1) + b"1234",  # half of eight bytes
        b"\x80" * 20,
    ],
)
def test_what_is_no_protobuf_is_refused(tmp_path: Path, field: bytes) -> None:
    for graph in (
        OUT + field,
        OUT + chunk(6, field),
        OUT + chunk(6, chunk(33, field)),
        OUT + chunk(6, chunk(10, field)),
    ):
        with pytest.raises(ArtifactError, match=r"m\.om: byte \d+ of the model definition begins"):
            open_om(made(tmp_path / "m.om", graph))
