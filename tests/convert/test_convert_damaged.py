"""Damaged checkpoints given to `parity convert`: an exit code that means something, no traceback, no half file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from damage import damaged, formats
from parity.checkpoint.weights import read_weights
from parity.cli.shell import run

FORMATS = ("zip.pt", "dp.ckpt", "legacy.pt", "plain.pkl", "a.safetensors", "stored.npz")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return formats(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_or_what_was_read_is_written(
    sound: dict[str, Path], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name not in sound:
        pytest.skip("torch is not installed")
    source, target = tmp_path / sound[name].name, tmp_path / "out" / "o.safetensors"
    seen = set()
    for data in damaged(sound[name].read_bytes(), random.Random(name), 40):
        source.write_bytes(data)
        code = run(["convert", str(source), "-o", str(target)])
        seen.add(code)
        told = capsys.readouterr().err
        assert "Traceback" not in told
        assert "internal error" not in told
        left = [p.name for p in target.parent.iterdir()] if target.parent.exists() else []
        assert left == (["o.safetensors"] if code == 0 else [])
        if code == 0:
            assert read_weights(target)
            target.unlink()
    assert seen == {0, 2}
