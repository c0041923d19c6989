"""Precision findings: what this machine's own arithmetic adds to a class."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

import parity.runner
from judged import judge_pair

X86 = "processor : 0\nflags\t\t: fpu avx2 {}\n"


@pytest.fixture
def saturates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """The worker's own function: the script stands alone and is imported as its neighbours import each other."""
    monkeypatch.syspath_prepend(str(Path(parity.runner.__file__).parent / "worker"))
    return importlib.import_module("run_onnxruntime").saturates


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", X86.format("bmi2"), True),
        ("AMD64", X86.format("avx512f"), True),
        ("x86_64", X86.format("avx512_vnni"), False),
        ("x86_64", X86.format("avx_vnni"), False),
        ("aarch64", "Features : asimddp", False),
        ("x86_64", "", False),
    ],
)
def test_saturation_follows_from_the_cpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saturates: Callable[..., bool],
    machine: str,
    cpuinfo: str,
    expected: bool,
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert saturates(str(tmp_path / "cpuinfo")) is expected


def test_no_cpuinfo_is_no_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saturates: Callable[..., bool]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert saturates(str(tmp_path / "none")) is False


@pytest.mark.corpus
def test_an_int8_candidate_is_told_of_this_cpu(corpus: Path, tmp_path: Path, saturates: Callable[..., bool]) -> None:
    from faults import to_int8

    pair = corpus / "pairs" / "kscale_standing_pass"
    quantized = to_int8(pair / "policy.onnx", tmp_path / "int8.onnx")
    report = judge_pair(
        pair / "policy.pt", {"int8": (quantized, "int8"), "f32": (pair / "policy.onnx", None)}, tmp_path
    )
    told = [f["candidate"] for f in report["findings"] if f["code"] == "PREC004"]
    assert told == (["int8"] if saturates() else [])
