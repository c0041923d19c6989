"""Faults planted in the outputs of policies that real robots ran: every one is named, and nothing else is."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_index import corpus_index
from parity.diagnose.structure import fit_structure

pytestmark = pytest.mark.corpus
PAIRS = [e for e in corpus_index() if e["kind"] == "pair"]
RIGHT = [e for e in PAIRS if e["expected"]["verdict"] == "PASS"]
WRONG = [e for e in PAIRS if e["expected"]["verdict"] != "PASS"]
_cache: dict[str, tuple[np.ndarray, np.ndarray]] = {}


def run_pair(corpus: Path, entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the TorchScript and the ONNX file on 64 rows of N(0, 1), batch 1."""
    if entry["id"] not in _cache:
        import onnxruntime as ort

        torch = pytest.importorskip("torch")
        files = [corpus / f["file"] for f in entry["files"]]
        session = ort.InferenceSession(str(next(f for f in files if f.suffix == ".onnx")))
        module = torch.jit.load(str(next(f for f in files if f.suffix == ".pt")), map_location="cpu").eval()
        feed = session.get_inputs()[0]
        x = np.random.default_rng(0).standard_normal((64, 1, feed.shape[-1])).astype(np.float32)
        with torch.no_grad():
            reference = np.concatenate([module(torch.from_numpy(row)).numpy() for row in x])
        _cache[entry["id"]] = reference, np.concatenate([session.run(None, {feed.name: row})[0] for row in x])
    reference, candidate = _cache[entry["id"]]
    return reference, candidate.copy()


def named(reference: np.ndarray, candidate: np.ndarray) -> list[tuple[str, tuple[int, ...]]]:
    return [(e.kind, e.where) for e in fit_structure(reference, candidate)]


@pytest.mark.parametrize("entry", RIGHT, ids=lambda e: e["id"])
class TestRightPairs:
    def test_the_pair_itself_has_no_cause(self, corpus: Path, entry: dict[str, Any]) -> None:
        reference, candidate = run_pair(corpus, entry)
        assert named(reference, candidate) == []
        assert named(reference, candidate.astype(np.float16).astype(np.float32)) == []
        noise = np.random.default_rng(1).standard_normal(candidate.shape) * candidate.std(axis=0)
        assert named(reference, (candidate + 0.05 * noise).astype(np.float32)) == []

    @pytest.mark.parametrize("fault", ["sign", "offset", "gain", "units", "constant"])
    def test_a_fault_of_each_joint_is_named(self, corpus: Path, entry: dict[str, Any], fault: str) -> None:
        reference, candidate = run_pair(corpus, entry)
        change = {
            "sign": lambda x: -x,
            "offset": lambda x: x + np.float32(0.15),
            "gain": lambda x: x * np.float32(0.25),
            "units": lambda x: x * np.float32(180 / np.pi),
            "constant": lambda x: np.full_like(x, x[0]),
        }[fault]
        for joint in range(reference.shape[1]):
            faulty = candidate.copy()
            faulty[:, joint] = change(faulty[:, joint])
            assert named(reference, faulty) == [(fault, (joint,))]

    def test_every_swap_of_two_joints_is_named(self, corpus: Path, entry: dict[str, Any]) -> None:
        reference, candidate = run_pair(corpus, entry)
        for a, b in itertools.combinations(range(reference.shape[1]), 2):
            faulty = candidate.copy()
            faulty[:, [a, b]] = faulty[:, [b, a]]
            assert named(reference, faulty) == [("swap", (a, b))]

    def test_a_constant_output_and_a_new_order_are_named(self, corpus: Path, entry: dict[str, Any]) -> None:
        reference, candidate = run_pair(corpus, entry)
        joints = tuple(range(reference.shape[1]))
        assert named(reference, np.repeat(candidate[:1], len(candidate), axis=0)) == [("constant", ())]
        assert named(reference, -candidate) == [("sign", joints)]
        assert named(reference, np.roll(candidate, 1, axis=1)) == [("permutation", joints)]

    def test_a_flipped_sign_is_named_through_float16(self, corpus: Path, entry: dict[str, Any]) -> None:
        reference, candidate = run_pair(corpus, entry)
        for joint in range(reference.shape[1]):
            faulty = candidate.astype(np.float16).astype(np.float32)
            faulty[:, joint] *= -1
            assert named(reference, faulty) == [("sign", (joint,))]


@pytest.mark.parametrize("entry", WRONG, ids=lambda e: e["id"])
def test_another_checkpoint_has_no_structural_cause(corpus: Path, entry: dict[str, Any]) -> None:
    reference, candidate = run_pair(corpus, entry)
    assert named(reference, candidate) == []


def _recorded_chunks(corpus: Path) -> dict[str, np.ndarray]:
    """Action chunks of LeRobot's own backward-compatibility recordings, ``(N, T, D)``."""
    load = pytest.importorskip("safetensors.numpy").load_file
    aloha = load(sorted((corpus / "golden_actions" / "aloha_act").glob("10_*.safetensors"))[0])
    xarm = load(sorted((corpus / "golden_actions" / "xarm_tdmpc").glob("00_*.safetensors"))[0])
    aloha_rows = np.stack([aloha[str(i)] for i in range(len(aloha))]).swapaxes(0, 1)
    xarm_rows = xarm["0"][:240].reshape(15, 16, -1)
    return {"aloha": aloha_rows.astype(np.float32), "xarm": xarm_rows.astype(np.float32)}


@pytest.mark.parametrize("name", ["aloha", "xarm"])
@pytest.mark.parametrize("shift", [1, 2, 7, -1, -2])
def test_shifted_chunks_of_recorded_policies_are_named(corpus: Path, name: str, shift: int) -> None:
    chunks = _recorded_chunks(corpus)[name]
    steps = chunks.shape[1]
    noise = np.random.default_rng(0).standard_normal(chunks.shape) * 1e-7 * np.abs(chunks).max(axis=(0, 1))
    shifted = (chunks + noise).astype(np.float32)[:, np.clip(np.arange(steps) + shift, 0, steps - 1)]
    found = fit_structure(chunks, shifted, chunked=True)
    assert [(e.kind, e.parameters["steps"]) for e in found] == [("lag", shift)]


@pytest.mark.parametrize("name", ["aloha", "xarm"])
def test_successive_recordings_have_no_structural_cause(corpus: Path, name: str) -> None:
    """Authors re-baselined deliberately: the policy changed, nothing was swapped or shifted."""
    load = pytest.importorskip("safetensors.numpy").load_file
    folder = corpus / "golden_actions" / {"aloha": "aloha_act", "xarm": "xarm_tdmpc"}[name]
    for a, b in itertools.pairwise(sorted(folder.glob("*.safetensors"))):
        one, two = load(a), load(b)
        for key in one.keys() & two.keys():
            if one[key].shape == two[key].shape:
                assert fit_structure(one[key], two[key]) == []
