"""Damaged files of every format: read as something or refused in words, without a crash, a hang, or a memory bomb."""

from __future__ import annotations

import random
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from damage import damaged, formats
from parity.checkpoint.checkpoint import read_checkpoint
from parity.errors import ParityError

HANG_S = 30  # a guard: what takes so long for a file of 100 KB does not end
TIMES = 4  # what a reader may take at its peak, in sizes of the file
LEAST = 128 << 10  # the file counts as at least this much: a reader's own objects do not shrink with it
SAMPLE, SOAK = 400, 100_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return formats(tmp_path_factory.mktemp("sound"))


@pytest.fixture(autouse=True)
def _guard() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise TimeoutError("a reader hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def read_all(path: Path) -> bool:
    """Read every tensor of a file, one at a time; whether it could be read at all."""
    try:
        found = read_checkpoint(path)
        for weight in found.weights.values():
            assert weight.array.shape == weight.shape
        return True
    except ParityError:
        return False


def peak_of(path: Path) -> tuple[bool, int]:
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    signal.alarm(HANG_S)
    could = read_all(path)
    signal.alarm(0)
    return could, tracemalloc.get_traced_memory()[1] - before


def attack(sound: dict[str, Path], folder: Path, count: int, seed: int) -> dict[str, int]:
    """Read ``count`` damaged files, spread over the formats; return how many of each were refused."""
    refused = dict.fromkeys(sound, 0)
    for name, source in sound.items():
        assert read_all(source), name
        rng = random.Random(f"{seed} {name}")
        path = source if name == "index" else folder / source.name
        whole = source.read_bytes()
        reach = sum(p.stat().st_size for p in source.parent.iterdir()) if name == "index" else 0
        try:
            for i, data in enumerate(damaged(whole, rng, -(-count // len(sound)))):
                path.write_bytes(data)
                try:
                    could, peak = peak_of(path)
                except BaseException as e:
                    kept = folder / f"crash-{source.name}-{i}"
                    kept.write_bytes(data)
                    raise AssertionError(f"{name}, input {i} of seed {seed}, kept as {kept}: {e!r}") from e
                refused[name] += not could
                limit = TIMES * max(len(data) + reach, LEAST)
                assert peak <= limit, f"{name}, input {i} of seed {seed}: {peak} bytes for a file of {len(data)}"
        finally:
            source.write_bytes(whole)
    return refused


def test_a_sample_of_damaged_files(sound: dict[str, Path], tmp_path: Path) -> None:
    refused = attack(sound, tmp_path, SAMPLE, seed=1)
    assert all(n > 0 for n in refused.values()), refused


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_thousand_damaged_files(sound: dict[str, Path], tmp_path: Path, part: int) -> None:
    attack(sound, tmp_path, SOAK // 4, seed=100 + part)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "script.pt", "program.pt2", "a.safetensors", "deflated.npz"])
def test_every_short_truncation_is_refused(sound: dict[str, Path], tmp_path: Path, name: str) -> None:
    if name not in sound:
        pytest.skip("torch is not installed")
    whole = sound[name].read_bytes()
    path = tmp_path / sound[name].name
    for n in [*range(64), *range(64, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
        path.write_bytes(whole[:n])
        assert not read_all(path), n
