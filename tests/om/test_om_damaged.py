"""Damaged copies of real OM files: read as something or refused in words, without a crash, a hang or a memory bomb."""

from __future__ import annotations

import random
import resource
import signal
import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damage import damage_somewhere
from om_writer import Constant, Node, Om, Port, write
from parity.cli.inspecting import facts
from parity.contract.om import contract_of
from parity.errors import ArtifactError
from parity.om.attributes import Attributes
from parity.om.model import OmModel
from parity.om.reading import open_om
from parity.report.json_file import encode

HANG_S = 30
TIMES = 4  # what the reader may take at its peak, in sizes of the file
LEAST = 256 << 10  # the file counts as at least this much: a reader's own objects do not shrink with it
SAMPLE, SOAK, PARTS, BITS = 300, 100_000, 4, 120
FILES = {
    "a3c_pong_v1.om": 45,
    "a3c_pong_v2.om": 45,
    "vae_hh.om": 8,
    "ddnet_out.om": 2,
}  # and how often each, in percent


@pytest.fixture(autouse=True)
def _guard() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise TimeoutError("the reader hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    yield
    signal.alarm(0)
    tracemalloc.stop()
    signal.signal(signal.SIGALRM, before)


def read_all(path: Path) -> bool:
    """Read all that a file says, as the contract, the command and a comparison of weights do; whether it could be."""
    try:
        model = open_om(path)
        contract = contract_of(model)
        assert all(isinstance(line, str) for line in facts(contract))
        encode({"schema": 1, **contract.as_json(), "findings": [f.as_json() for f in contract.findings]})
        _everything(model)
    except ArtifactError as e:
        return _named(e, path)
    return True


def _named(error: ArtifactError, path: Path) -> bool:
    """Return False, after making sure that the error says which file it is about."""
    assert str(path) in str(error)
    return False


def _everything(model: OmModel) -> None:
    for constant in model.constants.values():
        try:
            array = constant.read()
            assert array.shape == constant.shape
        except ArtifactError as e:
            _named(e, model.path)
    for node in model.nodes:
        _decoded(node.attributes)
        for desc in (*node.input_descs, *node.output_descs):
            _decoded(desc.attributes)


def _decoded(attributes: Any) -> None:
    assert isinstance(attributes, Attributes)
    for name in attributes:
        try:
            attributes[name]
        except ArtifactError:
            return


def guarded(path: Path) -> bool:
    signal.alarm(HANG_S)
    could = read_all(path)
    signal.alarm(0)
    return could


def peak_of(path: Path) -> tuple[bool, int]:
    """Return whether a file could be read, and the most memory that it took, where memory is traced."""
    if not tracemalloc.is_tracing():
        return guarded(path), 0
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    could = guarded(path)
    return could, tracemalloc.get_traced_memory()[1] - before


def peak_kb() -> int:
    """Return the most memory that this process ever held, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy. Most of the damage is done where the file describes itself, and half of what is longer or
    shorter than before says so in its header, so that more than the header is tried.
    """
    data = bytearray(whole)
    definition = 308 + struct.unpack_from("<I", whole, 268)[0]  # small table of four; its first is the definition
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        _damage(data, rng, definition)
    if len(data) != len(whole) and len(data) > 256 and rng.random() < 0.5:
        struct.pack_into("<I", data, 76, len(data) - 256)
    return bytes(data)


def _damage(data: bytearray, rng: random.Random, definition: int) -> None:
    damage_somewhere(data, rng, lambda: _where(len(data), rng, definition))


def _where(size: int, rng: random.Random, definition: int) -> int:
    part = rng.randrange(20)
    if part < 2:
        return rng.randrange(min(size, 308))  # header and table
    if part < 18:
        return rng.randrange(min(size, definition))
    return rng.randrange(size)


def attack(corpus: Path, folder: Path, count: int, seed: int) -> dict[str, tuple[int, int]]:
    """Read ``count`` damaged copies; return for each file how many were read and refused."""
    found = {}
    for name, percent in FILES.items():
        rng = random.Random(f"{seed} {name}")
        whole, path = (corpus / "om" / name).read_bytes(), folder / name
        read = refused = 0
        for i in range(-(-count * percent // 100)):
            data = damaged(whole, rng)
            path.write_bytes(data)
            try:
                could, peak = peak_of(path)
            except BaseException as e:
                kept = folder / f"crash-{i}-{name}"
                kept.write_bytes(data)
                raise AssertionError(f"{name}, input {i} of seed {seed}, kept as {kept}: {e!r}") from e
            read, refused = read + could, refused + (not could)
            limit = TIMES * max(len(data), LEAST)
            assert peak <= limit, f"{name}, input {i} of seed {seed}: {peak} bytes for a file of {len(data)}"
        found[name] = (read, refused)
    return found


@pytest.mark.corpus
def test_a_sample_of_damaged_files(corpus: Path, tmp_path: Path) -> None:
    tracemalloc.start()
    found = attack(corpus, tmp_path, SAMPLE, seed=1)
    assert all(read + refused > 0 for read, refused in found.values())
    assert min(sum(n) for n in zip(*found.values(), strict=True)) > SAMPLE // 8, found  # both happen


@pytest.mark.soak
@pytest.mark.corpus
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_thousand_damaged_files(corpus: Path, tmp_path: Path, part: int) -> None:
    """Of a fifth the memory is measured to the byte, which takes six times as long; of the rest by the peak alone."""
    tracemalloc.start()
    attack(corpus, tmp_path, SOAK // PARTS // 5, seed=100 + part)
    tracemalloc.stop()
    before = peak_kb()
    attack(corpus, tmp_path, SOAK // PARTS * 4 // 5, seed=200 + part)
    assert peak_kb() - before < TIMES * max((corpus / "om" / name).stat().st_size for name in FILES) // 1024


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["a3c_pong_v1.om", "vae_hh.om"])
def test_every_truncation_is_refused(corpus: Path, tmp_path: Path, name: str) -> None:
    whole, path = (corpus / "om" / name).read_bytes(), tmp_path / name
    assert read_all(corpus / "om" / name)
    for n in [*range(1, 320), *range(320, len(whole), len(whole) // 50), len(whole) - 1]:
        path.write_bytes(whole[:n])
        assert not read_all(path), n


FORMS = [Om(interned=True), Om(info=False), Om(version=0x10000000, large=False), Om(models=2, interned=True)]


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_bits_of_every_form(tmp_path: Path, form: int) -> None:
    """Gears, AIPP and interning are in no real file here: bits of made ones are turned."""
    om = replace(
        FORMS[form],
        inputs=(
            Port("x", (-1, 3), ranges=((1, 8), (3, 3))),
            Port("i", (1, 8, 8, 3), "uint8", "NHWC", aipp=(1, 3, 8, 8)),
        ),
        gears=("dims", ((1,), (8,))),
        output_shapes=("0,0,1,2", "1,0,8,2"),
        nodes=(Node("out", "Exp", ("x:0",), mode=2, sources=("a", "b")),),
        constants=(Constant("w", np.ones((3, 5), np.float16), "FRACTAL_NZ", merged=True),),
    )
    whole = write(tmp_path / "m.om", om).read_bytes()
    assert read_all(tmp_path / "m.om")
    rng = random.Random(form)
    tracemalloc.start()
    for at in sorted(rng.sample(range(len(whole)), BITS)):
        data = bytearray(whole)
        data[at] ^= 1 << rng.randrange(8)
        (tmp_path / "m.om").write_bytes(data)
        _, peak = peak_of(tmp_path / "m.om")
        assert peak <= TIMES * LEAST, at
