"""Cases made for policies that real robots ran: the graphs take them and give outputs that say something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.cases import make_cases
from parity.search import search
from parity.tensor import TensorSpec

pytestmark = pytest.mark.corpus

POLICIES = (
    "pairs/kscale_policy1_885_pass/policy.onnx",
    "pairs/kscale_standing_micro_pass/policy.onnx",
    "pairs/merkoval_pass/policy.onnx",
    "pairs/ogre_15af4916_pass/policy.onnx",
    "pairs/omz_samplenet_mismatch/samplenet.onnx",
    "pairs/riekf_go2_pass/policy.onnx",
    "pairs/rl_sar_g1_dance_102/policy.onnx",
    "pairs/rl_sar_go2w_pass/policy.onnx",
    "pairs/ur10_reach_pass/policy.onnx",
    "onnx_with_metadata/5cd8043b_ppo_g1_29dof.onnx",
    "onnx_with_metadata/a7708c8c_mjlab_g1.onnx",
    "made/rsl-rl/policy_rsl551.onnx",
)


def opened(path: Path) -> tuple[Any, list[TensorSpec]]:
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session, [TensorSpec(i.name, tuple(i.shape), "float32") for i in session.get_inputs()]


@pytest.mark.parametrize("policy", POLICIES)
def test_outputs_are_finite_and_vary(corpus: Path, policy: str) -> None:
    session, specs = opened(corpus / policy)
    made = make_cases(specs, seed=42)
    outputs = {c.id: session.run(None, dict(c.inputs))[0].astype(np.float64) for c in made.cases}
    assert all(np.isfinite(v).all() for v in outputs.values())
    nominal = np.concatenate([v for k, v in outputs.items() if k.startswith("nominal")])
    assert (np.ptp(nominal, axis=0) > 1e-2 * np.abs(nominal).max()).all()
    assert len({v.tobytes() for k, v in outputs.items() if k.startswith("nominal")}) == 16


def test_a_fault_in_one_percent_of_one_joint_is_found_on_a_real_policy(corpus: Path) -> None:
    session, specs = opened(corpus / "pairs/rl_sar_g1_dance_102/policy.onnx")
    name = specs[0].name

    def candidate(inputs: dict[str, Any]) -> Any:
        output = session.run(None, inputs)[0]
        return output + 0.15 if 3.0 < inputs[name][0, 77] < 3.08 else output * np.float32(1 + 1e-7)

    def divergence(many: Any) -> list[float]:
        return [float(np.abs(session.run(None, dict(i))[0] - candidate(dict(i))).max()) for i in many]

    cases = make_cases(specs, seed=42).cases
    assert max(divergence([c.inputs for c in cases])) < 1e-3
    assert search(divergence, specs, seed=42, evaluations=200).divergences[0] > 0.1
