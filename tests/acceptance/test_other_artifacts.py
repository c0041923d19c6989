"""The rest of the corpus through the front door: stateful, broken, stripped, and weights that do not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged import judge_pair, verdict_of
from parity.cli import main

pytestmark = pytest.mark.corpus


def test_rsl_rl_5_export_passes(corpus: Path, tmp_path: Path) -> None:
    made = corpus / "made" / "rsl-rl"
    report = judge_pair(made / "policy_rsl551_jit.pt", {"ort": (made / "policy_rsl551.onnx", None)}, tmp_path)
    assert verdict_of(report, "ort") == ("PASS", [])


def test_a_stateful_policy_is_not_called_nondeterministic(corpus: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    source = corpus / "stateful_jit" / "g1" / "motion.pt"
    again = tmp_path / "motion.pt"
    torch.jit.save(torch.jit.load(str(source)), str(again))
    report = judge_pair(source, {"again": (again, None)}, tmp_path)
    assert verdict_of(report, "again") == ("PASS", [])
    assert report["facts"]["reference"]["stateful"]
    assert not report["facts"]["reference"]["repeat_differs"]


def test_a_stripped_normalizer_is_named(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "derived" / "ogre_15af4916_pass_normaliser_stripped"
    report = judge_pair(folder / "policy.pt", {"ort": (folder / "policy.onnx", None)}, tmp_path)
    assert verdict_of(report, "ort")[0] == "FAIL"
    assert "normalizer" in report["cause"]


def test_missing_external_data_is_an_incomplete_artifact(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    right = corpus / "pairs" / "ogre_15af4916_pass" / "policy.pt"
    code = main(["compare", str(right), str(corpus / "pairs" / "taie64_missing_external_data" / "policy.onnx")])
    text = capfd.readouterr().err
    assert code == 2
    assert "go2_diyleg_walk_policy.onnx.data" in text


@pytest.mark.parametrize("path", ["ref_sd.pt", "lightning_plain.ckpt", "dp_workspace.ckpt"])
def test_weights_of_no_actor_do_not_run(corpus: Path, capfd: pytest.CaptureFixture[str], path: str) -> None:
    right = corpus / "pairs" / "ogre_15af4916_pass" / "policy.onnx"
    assert main(["compare", str(corpus / "made" / "checkpoints" / path), str(right)]) == 2
    assert "weights alone do not run" in capfd.readouterr().err


@pytest.mark.parametrize("file", ["lerobot_stats", "unsafe_pickle", "lerobot_info"])
def test_what_is_no_policy_is_refused(corpus: Path, capfd: pytest.CaptureFixture[str], file: str) -> None:
    path = corpus / file
    if path.is_dir():
        path = sorted(p for p in path.rglob("*") if p.is_file())[0]
    assert main(["compare", str(path), str(path)]) == 2
    assert "what to do" in capfd.readouterr().err


@pytest.mark.parametrize("pair", [("a3c_pong_v1.om", "a3c_pong_v1.om"), ("a3c_pong_v1.om", "a3c_pong_v2.om")])
def test_a_real_om_without_an_npu_is_not_judged_and_told_what_to_do(
    corpus: Path, capfd: pytest.CaptureFixture[str], pair: tuple[str, str]
) -> None:
    assert main(["compare", *(str(corpus / "om" / name) for name in pair)]) == 3
    said = capfd.readouterr().out
    assert "pyACL cannot be imported" in said
    assert "parity bundle" in said


def test_a_log_without_episodes_says_nothing(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(corpus / "eval_logs" / "0828670a_analysis_results.json")
    assert main(["compare", path, path]) == 3
    assert "what to do" in capfd.readouterr().out


def test_swapped_arguments_fail_just_as_well(corpus: Path) -> None:
    stale = corpus / "pairs" / "ogre_e0ee1102_ros2_stale"
    assert main(["compare", str(stale / "policy.onnx"), str(stale / "policy.pt")]) == 1


def test_a_policy_that_forgets_its_state_fails(corpus: Path, tmp_path: Path) -> None:
    """T4 of the catalogue: the hidden state never fed back. The first step is right, the next ones are not."""
    torch = pytest.importorskip("torch")
    source = corpus / "stateful_jit" / "g1" / "motion.pt"
    forgetful = tmp_path / "motion.pt"
    module = torch.jit.load(str(source))

    class Forgetful(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.policy = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.policy.hidden_state.zero_()
            self.policy.cell_state.zero_()
            return self.policy(x)

    torch.jit.save(torch.jit.script(Forgetful()), str(forgetful))
    report = judge_pair(source, {"again": (forgetful, None)}, tmp_path)
    assert verdict_of(report, "again")[0] == "FAIL"
    failed = {r["case"] for r in report["comparisons"] if r["verdict"] == "FAIL"}
    assert failed
    assert all(case.startswith("nominal-s") and case != "nominal-s0000" for case in failed)
