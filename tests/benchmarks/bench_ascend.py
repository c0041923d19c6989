"""Small faults against Ascend's five gates and against `assert_close`, on a chunk and on real policies.

A fault passes the gates of Ascend where all five pass on one observation, which is what that tool compares; it passes
`assert_close` where all observations together do, at its default budget.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ascend_gates import flagged
from parity import assert_close
from planted import ON_OUTPUTS, with_foreign_weight, with_half_last_layer

CORPUS = Path(os.environ.get("PARITY_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
OBSERVATIONS = 64
CHUNKED = ("chunk shifted by 8 steps", "constant output")  # faults over time: a single observation has none
PAIRS = (
    "rl_sar_g1_dance_102", "rl_sar_go2w_pass", "ogre_15af4916_pass", "ogre_246bc727_pass", "kscale_standing_pass",
    "kscale_standing_micro_pass", "kscale_walking_micro_pass", "ur10_reach_pass", "merkoval_pass", "riekf_go2_pass",
    "kscale_policy1_885_pass",
)  # fmt: skip
TWINS = (  # two checkpoints of one architecture
    ("ogre_15af4916_pass", "ogre_246bc727_pass"),
    ("kscale_standing_micro_pass", "kscale_walking_micro_pass"),
)


def chunk() -> np.ndarray:
    """Return a chunk `(50, 7)` of joint angles in radians: an arm over a table that moves by about two degrees."""
    pose = np.asarray([0.05, -0.5, 0.3, -2.3, 0.2, 1.9, 0.9])
    reach = np.asarray([0.02, 0.03, 0.03, 0.04, 0.02, 0.03, 0.04])
    time = np.linspace(0, 1, 50)[:, None]
    return (pose + reach * np.sin(2 * np.pi * time + np.arange(7))).astype(np.float32)


def close(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Whether `assert_close` passes at its default budget."""
    try:
        assert_close(actual, expected)
    except AssertionError:
        return False
    return True


class Tally:
    """Counts how often a fault passed."""

    def __init__(self) -> None:
        self.gates, self.observations, self.close, self.faults = 0, 0, 0, 0

    def add(self, wrong: np.ndarray, right: np.ndarray, observations: Iterable[Any]) -> None:
        """Take in one fault, looked at by Ascend's gates in each of ``observations`` (indices)."""
        seen = [not flagged(wrong[i], right[i]) for i in observations]
        self.gates += sum(seen)
        self.observations += len(seen)
        self.close += close(wrong, right)
        self.faults += 1

    def cells(self, where: str) -> dict[str, str]:
        """Return the counts as cells of the table."""
        if not self.faults:
            return {f"{where}: five gates pass": "", f"{where}: assert_close passes": ""}
        return {
            f"{where}: five gates pass": f"{self.gates} of {self.observations}",
            f"{where}: assert_close passes": f"{self.close} of {self.faults}",
        }


def run(model: Any) -> np.ndarray:
    """Return the outputs `(N, D)` of a policy on N(0, 1) observations, one at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    rows = np.random.default_rng(7).standard_normal((OBSERVATIONS, taken.shape[-1]), dtype=np.float32)
    return np.concatenate([session.run(None, {taken.name: row[None]})[0] for row in rows])


def on_chunk(fault: str) -> Tally:
    """Return how a fault fares on the chunk, which is one observation."""
    tally, right = Tally(), chunk()
    for wrong in ON_OUTPUTS[fault](right) if fault in ON_OUTPUTS else ():
        tally.add(wrong, right, [slice(None)])
    return tally


def on_policies(fault: str, models: dict[str, Any], outputs: dict[str, np.ndarray]) -> Tally:
    """Return how a fault fares on the corpus's policies."""
    tally, every = Tally(), range(OBSERVATIONS)
    if fault in ON_OUTPUTS:
        for right in outputs.values() if fault not in CHUNKED else ():
            for wrong in ON_OUTPUTS[fault](right):
                tally.add(wrong, right, every)
    elif fault == "last layer in float16":
        for name, model in models.items():
            tally.add(run(with_half_last_layer(model)), outputs[name], every)
    else:
        for one, other in (*TWINS, *(t[::-1] for t in TWINS)):
            for wrong in with_foreign_weight(models[one], models[other]) if one in models else ():
                tally.add(run(wrong), outputs[one], every)
    return tally


def measure() -> list[dict[str, str]]:
    """Return one row per fault: how often Ascend's five gates pass it, and how often parity does."""
    models: dict[str, Any] = {}
    if (CORPUS / "index.json").is_file():
        import onnx

        models = {name: onnx.load(str(next((CORPUS / "pairs" / name).glob("*.onnx")))) for name in PAIRS}
    outputs = {name: run(model) for name, model in models.items()}
    faults = [*ON_OUTPUTS, "last layer in float16", "one weight tensor from another checkpoint"]
    return [
        {"fault": fault}
        | on_chunk(fault).cells("chunk (50, 7)")
        | on_policies(fault, models, outputs).cells(f"{len(models)} real policies")
        for fault in faults
    ]
