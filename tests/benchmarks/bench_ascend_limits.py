"""Which wrong policies pass at the default limits of Ascend's comparison: real policies, a fault in each, two verdicts.

A policy of the corpus gives a chunk of 16 steps while its observation fades in; a humanoid's recorded actions are
chunks as a policy gives them on a robot. Ascend's metrics are computed by `mindstudio-probe` where it is installed,
else by `ascend_gates`, which a test holds against it. They are the medians over 64 observations; the gates pass where
all five pass on one. parity's verdict is that of `parity run` at its defaults.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import ascend_gates
import faults
import mindstudio
from judged import judge_pair, verdict_of

CORPUS = Path(os.environ.get("PARITY_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
POLICIES = {"ur10_reach_pass": "an arm", "kscale_standing_pass": "a humanoid", "riekf_go2_pass": "a quadruped"}
RECORDED = "lerobot_datasets/v21_g1_inspire_100ep/data/chunk-000"
STEPS, SHIFT, LATE, OBSERVATIONS = 16, 4, 8, 64
NAN, CONSTANT = "every value NaN", "constant output"


def run(path: Path) -> np.ndarray:
    """Return the chunks `(N, T, D)` of a policy on N(0, 1) observations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    rows = np.random.default_rng(7).standard_normal((OBSERVATIONS, taken.shape[-1]), dtype=np.float32)
    return np.concatenate([session.run(None, {taken.name: row[None]})[0] for row in rows])


def small_joint(golden: np.ndarray) -> int:
    """Return the joint that is smallest of those that say something."""
    size = np.abs(golden).max(axis=(0, 1))
    return int(np.argmin(np.where(size > 0.02 * size.max(), size, np.inf)))


def flipped(joint: int) -> str:
    return f"sign of one small joint flipped ({joint})"


def biased(joint: int) -> str:
    return f"8.6° added to one joint ({joint})"


def planted(right: Path, folder: Path, golden: np.ndarray) -> dict[str, Path]:
    """Write the policy with each fault into ``folder``; joints are chosen by how much they move."""
    small = small_joint(golden)
    chunk = faults.chunked(right, folder / "right.onnx", steps=STEPS)
    nan = np.full(golden.shape[-1], np.nan, dtype=np.float32)
    edits: Mapping[str, faults.Edit] = {
        NAN: lambda m: faults.after(m, "Mul", nan),
        flipped(small): faults.sign(small),
        biased(small): faults.bias(small),
        CONSTANT: faults.constant,
    }
    made = {"none": chunk}
    made |= {what: faults.write(chunk, folder / f"fault{i}.onnx", e) for i, (what, e) in enumerate(edits.items())}
    late = f"chunk shifted by {SHIFT} steps"
    return {**made, late: faults.chunked(right, folder / "late.onnx", steps=STEPS, shift=SHIFT)}


def metrics() -> Mapping[str, mindstudio.Metric]:
    """Return Ascend's metrics: its own code where it is installed."""
    return mindstudio.metrics() if mindstudio.folder() else {n: m for n, (m, _) in ascend_gates.GATES.items()}


def judged(
    reference: Path,
    candidates: Mapping[str, Path],
    folder: Path,
    cases: Mapping[str, Any] | None = MappingProxyType({"nominal": 16, "edge": False}),
) -> dict[str, str]:
    """Return parity's verdict on each candidate; a recording brings its own ``cases``."""
    names = {f"c{i}": what for i, what in enumerate(candidates)}
    tables: dict[str, tuple[Path, str | None]] = {n: (candidates[what], None) for n, what in names.items()}
    more = {} if cases is None else {"cases": dict(cases)}
    report = judge_pair(reference, tables, folder, **more)
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
    if (CORPUS / RECORDED).is_dir():
        with tempfile.TemporaryDirectory() as work:
            rows += _of_recording(Path(work), computed)
    return rows


def recorded(shift: int = 0) -> np.ndarray:
    """Return 64 chunks `(N, T, D)` of a humanoid's actions, in radians, from ``shift`` steps earlier."""
    from pyarrow.parquet import read_table

    found: list[np.ndarray] = []
    for file in sorted((CORPUS / RECORDED).glob("*.parquet")):
        rows = read_table(file, columns=["action"])["action"].to_pylist()
        actions = np.asarray(rows, dtype=np.float32)
        found += [actions[i - shift : i - shift + STEPS] for i in range(LATE, len(actions) - STEPS, 4 * STEPS)]
    chosen = np.linspace(0, len(found) - 1, OBSERVATIONS).astype(int)
    return np.stack([found[i] for i in chosen])


def _of_recording(folder: Path, computed: Mapping[str, Any]) -> list[dict[str, str]]:
    golden = recorded()
    joint = small_joint(golden)
    sign, offset = np.ones(golden.shape[-1], np.float32), np.zeros(golden.shape[-1], np.float32)
    sign[joint], offset[joint] = -1, 0.15
    wrong = {
        "none": golden,
        NAN: np.full_like(golden, np.nan),
        flipped(joint): golden * sign,
        biased(joint): golden + offset,
        CONSTANT: np.broadcast_to(golden.mean(axis=(0, 1)), golden.shape).copy(),
        f"chunk shifted by {LATE} steps": recorded(LATE),
    }
    saved = {what: _saved(folder / f"c{i}.npz", chunks) for i, (what, chunks) in enumerate(wrong.items())}
    verdicts = judged(_saved(folder / "golden.npz", golden), saved, folder, cases=None)
    label = f"recorded actions of a humanoid ({golden.shape[-1]} joints)"
    return [
        {"policy": label, "fault": fault, **row(chunks, golden, computed), "parity": verdicts[fault]}
        for fault, chunks in wrong.items()
    ]


def _saved(path: Path, chunks: np.ndarray) -> Path:
    """Write chunks as a recording, the number of the chunk standing for what was observed."""
    save = np.savez_compressed if path.stem == "golden" else np.savez  # the same bytes would compare nothing
    save(
        path,
        **{"inputs/obs": np.arange(len(chunks), dtype=np.float32)[:, None, None], "outputs/action": chunks[:, None]},
    )
    return path


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
