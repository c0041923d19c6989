"""Recurrent actors from checkpoints of every era of rsl_rl, beside exports that keep their state outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged import judge_pair, verdict_of

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from recurrent import GruOutside, LstmOutside, exported, gru, lstm  # noqa: E402

NAMES = {  # where an era keeps the memory and the MLP, and under what
    "2.x and 3.x": ("model_state_dict", "memory_a.rnn", "actor"),
    "4.x and 5.x": ("actor_state_dict", "rnn.rnn", "mlp"),
}


def checkpoint(era: str, inside: torch.nn.Module, folder: Path) -> Path:
    tree, memory, actor = NAMES[era]
    weights = {f"{memory}.{k}": v for k, v in inside.memory.state_dict().items()}
    weights |= {f"{actor}.{k}": v for k, v in inside.actor.state_dict().items()}
    weights |= {"memory_c.rnn.weight_ih_l0": torch.ones(4, 2)} if tree == "model_state_dict" else {}
    torch.save({tree: weights}, folder / "model_10.pt")
    return folder / "model_10.pt"


@pytest.mark.parametrize(
    ("era", "kind", "layers", "fault"),
    [
        ("2.x and 3.x", "lstm", 2, ""),
        ("2.x and 3.x", "gru", 1, ""),
        ("4.x and 5.x", "lstm", 1, ""),
        ("4.x and 5.x", "gru", 1, ""),
        ("4.x and 5.x", "lstm", 1, "forgets"),
        ("2.x and 3.x", "gru", 1, "forgets"),
    ],
)
def test_against_an_export_whose_state_goes_in_and_out(
    tmp_path: Path, era: str, kind: str, layers: int, fault: str
) -> None:
    inside = lstm(layers) if kind == "lstm" else gru()
    outside = (LstmOutside if kind == "lstm" else GruOutside)(inside, fault)
    state = ["h_in", "c_in"] if kind == "lstm" else ["hidden_state"]
    given = ["h_out", "c_out"] if kind == "lstm" else ["hidden_state_out"]
    onnx = exported(outside, tmp_path / "policy.onnx", ["obs", *state], ["actions", *given])
    report = judge_pair(checkpoint(era, inside, tmp_path), {"ort": (onnx, None)}, tmp_path)
    verdict, codes = verdict_of(report, "ort")
    if not fault:
        assert (verdict, codes) == ("PASS", [])
        (rebuilt,) = [f for f in report["findings"] if f["code"] == "REBUILD001"]
        assert rebuilt["evidence"]["settled"]["activation"] == "elu"
    else:  # single cases begin with no state, so that only the sequence can tell
        assert verdict == "FAIL"
        failed = {c["case"] for c in report["comparisons"] if c["verdict"] == "FAIL"}
        assert failed == {f"nominal-s{i:04d}" for i in range(1, 8)}
