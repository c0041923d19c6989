"""Which wrong policies pass at the default limits of Ascend's comparison: real policies, a fault in each, two verdicts.

A policy of the corpus gives a chunk of 16 steps while its observation fades in. Ascend's metrics are computed by
`mindstudio-probe` where it is installed, else by `ascend_gates`, which a test holds against it. They are the medians
over 64 observations; the gates pass where all five pass on one. parity's verdict is that of `parity run` at its
defaults.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ascend_gates
import faults
import mindstudio
from judged import judge_pair, verdict_of

CORPUS = Path(os.environ.get("PARITY_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
POLICIES = {"ur10_reach_pass": "an arm", "kscale_standing_pass": "a humanoid", "riekf_go2_pass": "a quadruped"}
STEPS, SHIFT, OBSERVATIONS = 16, 4, 64


def run(path: Path) -> np.ndarray:
    """Return the chunks `(N, T, D)` of a policy on N(0, 1) observations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    rows = np.random.default_rng(7).standard_normal((OBSERVATIONS, taken.shape[-1]), dtype=np.float32)
    return np.concatenate([session.run(None, {taken.name: row[None]})[0] for row in rows])


def planted(right: Path, folder: Path, golden: np.ndarray) -> dict[str, Path]:
    """Write the policy with each fault into ``folder``; joints are chosen by how much they move."""
    moves = np.abs(golden).max(axis=(0, 1))
    small = int(np.argmin(np.where(moves > 0.02 * moves.max(), moves, np.inf)))
    chunk = faults.chunked(right, folder / "right.onnx", steps=STEPS)
    nan = np.full(len(moves), np.nan, dtype=np.float32)
    edits: Mapping[str, faults.Edit] = {
        "every value NaN": lambda m: faults.after(m, "Mul", nan),
        f"sign of one small joint flipped ({small})": faults.sign(small),
        f"8.6° added to one joint ({small})": faults.bias(small),
        "constant output": faults.constant,
    }
    made = {"none": chunk}
    made |= {what: faults.write(chunk, folder / f"fault{i}.onnx", e) for i, (what, e) in enumerate(edits.items())}
    late = f"chunk shifted by {SHIFT} steps"
    return {**made, late: faults.chunked(right, folder / "late.onnx", steps=STEPS, shift=SHIFT)}


def metrics() -> Mapping[str, mindstudio.Metric]:
    """Return Ascend's metrics: its own code where it is installed."""
    return mindstudio.metrics() if mindstudio.folder() else {n: m for n, (m, _) in ascend_gates.GATES.items()}


def judged(reference: Path, candidates: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """Return parity's verdict on each candidate, with the cause where it names one."""
    names = {f"c{i}": what for i, what in enumerate(candidates)}
    tables: dict[str, tuple[Path, str | None]] = {n: (candidates[what], None) for n, what in names.items()}
    report = judge_pair(reference, tables, folder, cases={"nominal": 16, "edge": False})
    return {what: verdict_of(report, n)[0] for n, what in names.items()}


def row(device: np.ndarray, golden: np.ndarray, computed: Mapping[str, mindstudio.Metric]) -> dict[str, str]:
    """Return the medians of the metrics over the observations, and how often all five gates pass."""
    pairs = [(d.astype(np.float32).ravel(), g.astype(np.float32).ravel()) for d, g in zip(device, golden, strict=True)]
    with np.errstate(all="ignore"):
        values = {name: [metric(d, g) for d, g in pairs] for name, metric in computed.items()}
    flags = {name: [bool(ascend_gates.GATES[name][1](v)) for v in some] for name, some in values.items()}
    passed = sum(not any(flags[name][i] for name in flags) for i in range(len(pairs)))
    told = {name: f"{np.median(some):.4g}" for name, some in values.items()}
    return {**told, "five gates pass": f"{passed} of {len(pairs)}"}


def measure() -> list[dict[str, str]]:
    """Return one row for each policy and fault."""
    rows: list[dict[str, str]] = []
    computed = metrics()
    for name, what in POLICIES.items():
        pair = CORPUS / "pairs" / name
        if not pair.is_dir():
            continue
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            rows += _of_policy(f"{what} ({name})", pair / "policy.onnx", folder, computed)
    return rows


def _of_policy(label: str, right: Path, folder: Path, computed: Mapping[str, Any]) -> list[dict[str, str]]:
    reference = faults.chunked(right, folder / "reference.onnx", steps=STEPS)
    golden = run(reference)
    candidates = planted(right, folder, golden)
    candidates["none"] = _again(reference, folder / "again.onnx")
    verdicts = judged(reference, candidates, folder)
    return [
        {"policy": label, "fault": fault, **row(run(path), golden, computed), "parity": verdicts[fault]}
        for fault, path in candidates.items()
    ]


def _again(source: Path, target: Path) -> Path:
    """Write the policy once more with another name inside: the same bytes would compare nothing."""
    import onnx

    model = onnx.load(str(source))
    model.producer_name = "again"
    onnx.save(model, str(target))
    return target
