"""The same recurrent policy, its state inside on one side and going in and out on the other."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from judged import judge_pair, verdict_of
from parity.checkpoint.weights import read_weights
from parity.cli import main
from recurrent import GruOutside, LstmOutside, exported, gru, lstm, lstm_graph, scripted

LSTM = (["obs", "h_in", "c_in"], ["actions", "h_out", "c_out"])
CARRIED = {f"nominal-s{i:04d}" for i in range(1, 8)}
RUNNERS = [
    "onnxruntime",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
    ),
]


def failed(report: Mapping[str, Any], candidate: str) -> set[str]:
    return {r["case"] for r in report["comparisons"] if r["candidate"] == candidate and r["verdict"] == "FAIL"}


def outputs(report: Mapping[str, Any]) -> set[str]:
    return {r["output"] for r in report["comparisons"]}


def judged_with(reference: Path, table: Mapping[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    """Return the report on one candidate, ``a``, described by ``table``."""
    return judge_pair(reference, {}, folder, candidate=[{"name": "a", **table}], **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One LSTM policy as TorchScript, and as ONNX in a right version and wrong ones."""
    made = tmp_path_factory.mktemp("lstm")
    policy = lstm()
    scripted(policy, made / "policy.pt")
    for fault in ("", "forgets", "swapped", "stale"):
        exported(LstmOutside(policy, fault), made / f"{fault or 'right'}.onnx", *LSTM)
    exported(LstmOutside(policy), made / "dynamic.onnx", *LSTM, dynamic=True)
    return made


def test_a_right_export_passes_and_a_wrong_state_fails_where_it_is_carried_over(folder: Path, tmp_path: Path) -> None:
    names = ("right", "forgets", "swapped", "stale")
    report = judge_pair(folder / "policy.pt", {n: (folder / f"{n}.onnx", None) for n in names}, tmp_path)
    assert verdict_of(report, "right") == ("PASS", [])
    assert outputs(report) == {"actions"}  # the state is no output any more
    for name in names[1:]:
        assert verdict_of(report, name) == ("FAIL", ["DIFF001"])
        assert failed(report, name) == CARRIED
    said = [(f["code"], f["candidate"]) for f in report["findings"] if f["code"] in ("RUN006", "DIAG009")]
    assert sorted(said) == [("DIAG009", n) for n in sorted(names[1:])] + [("RUN006", n) for n in sorted(names)]
    kept = next(f for f in report["findings"] if f["code"] == "RUN006")
    assert kept["evidence"] == {"state": {"h_in": "h_out", "c_in": "c_out"}}
    assert report["facts"]["right"]["stateful"]
    assert "carried over" in report["cause"]


def test_the_export_may_be_the_reference(folder: Path, tmp_path: Path) -> None:
    report = judge_pair(folder / "right.onnx", {"jit": (folder / "policy.pt", None)}, tmp_path)
    assert verdict_of(report, "jit") == ("PASS", [])
    assert outputs(report) == {"actions"}
    terms = {f for r in report["comparisons"] if r["case"] in CARRIED for f in r["floor"]["terms"]}
    assert {"float64", "variants"} <= terms
    wrong = judge_pair(folder / "swapped.onnx", {"jit": (folder / "policy.pt", None)}, tmp_path)
    assert failed(wrong, "jit") == CARRIED


def test_a_batch_has_a_state_for_each_row(folder: Path, tmp_path: Path) -> None:
    report = judge_pair(folder / "policy.pt", {"ort": (folder / "dynamic.onnx", None)}, tmp_path)
    assert verdict_of(report, "ort") == ("PASS", [])
    assert any("-b" in r["case"] for r in report["comparisons"])


def test_two_layers_are_no_batch_of_two(tmp_path: Path) -> None:
    policy = lstm(2)
    reference = scripted(policy, tmp_path / "policy.pt")
    right = exported(LstmOutside(policy), tmp_path / "right.onnx", *LSTM)
    again = exported(LstmOutside(policy), tmp_path / "again.onnx", *LSTM, dynamic=True)
    assert verdict_of(judge_pair(reference, {"ort": (right, None)}, tmp_path), "ort") == ("PASS", [])
    both = judge_pair(right, {"again": (again, None)}, tmp_path)
    assert verdict_of(both, "again") == ("PASS", [])


@pytest.mark.parametrize(
    "names",
    [
        ("hidden_state", "hidden_state_out"),
        ("h0", "hn"),
        ("state_in", "state_out"),
        ("hx", "hx_out"),
        ("h_in", "h_out"),
    ],
)
def test_a_gru_under_names_that_pair(tmp_path: Path, names: Sequence[str]) -> None:
    policy = gru()
    reference = scripted(policy, tmp_path / "policy.pt")
    ends = (["obs", names[0]], ["actions", names[1]])
    right = exported(GruOutside(policy), tmp_path / "right.onnx", *ends)
    wrong = exported(GruOutside(policy, "forgets"), tmp_path / "wrong.onnx", *ends)
    report = judge_pair(reference, {"right": (right, None), "wrong": (wrong, None)}, tmp_path)
    assert verdict_of(report, "right") == ("PASS", [])
    assert failed(report, "wrong") == CARRIED


def test_names_that_do_not_pair_are_for_the_user_to_say(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    policy = gru()
    reference = scripted(policy, tmp_path / "policy.pt")
    right = exported(GruOutside(policy), tmp_path / "right.onnx", ["obs", "memory_state"], ["actions", "result"])
    assert main(["compare", str(reference), str(right)]) == 2
    assert "options = {state = {memory_state = " in capfd.readouterr().err
    table = {"path": str(right), "options": {"state": {"memory_state": "result"}}}
    assert verdict_of(judged_with(reference, table, tmp_path), "a") == ("PASS", [])


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_the_user_says_goes(folder: Path, tmp_path: Path, runner: str) -> None:
    right = {"runner": runner, "path": str(folder / "right.onnx")}
    assert verdict_of(judged_with(folder / "policy.pt", right, tmp_path), "a") == ("PASS", [])
    crossed = {**right, "options": {"state": {"h_in": "c_out", "c_in": "h_out"}}}
    assert failed(judged_with(folder / "policy.pt", crossed, tmp_path), "a") == CARRIED


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ('{h_in = "h_aut", c_in = "c_out"}', "did you mean 'h_out'"),
        ('{obs = "h_out", c_in = "c_out"}', "cannot be fed back"),
        ('{h_in = "h_out", c_in = "h_out"}', "one output back to several inputs"),
        ('["h_in"]', "options.state is"),
        ("{}", "looks like recurrent state"),
    ],
)
def test_what_cannot_be_fed_back_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, state: str, said: str
) -> None:
    toml = tmp_path / "parity.toml"
    toml.write_text(
        f'[release]\nname = "r"\n[reference]\npath = "{folder / "policy.pt"}"\n[[candidate]]\nname = "ort"\n'
        f'path = "{folder / "right.onnx"}"\noptions = {{state = {state}}}\n',
        encoding="utf-8",
    )
    assert main(["run", str(toml), "--out", str(tmp_path / "out")]) == 2
    assert said in capfd.readouterr().err


def test_where_both_sides_show_their_state_nothing_is_hidden(folder: Path, tmp_path: Path) -> None:
    names = ("dynamic", "swapped")
    report = judge_pair(folder / "right.onnx", {n: (folder / f"{n}.onnx", None) for n in names}, tmp_path)
    assert outputs(report) == {"actions", "h_out", "c_out"}
    assert verdict_of(report, "dynamic") == ("PASS", [])
    assert verdict_of(report, "swapped")[0] == "FAIL"
    assert not [f for f in report["findings"] if f["code"] == "RUN006"]


@pytest.mark.parametrize("cases", [{"nominal": 1, "edge": True}, {"nominal": 0, "edge": True}, {"inputs": "own.npz"}])
def test_no_choice_of_cases_lets_a_forgotten_state_pass(folder: Path, tmp_path: Path, cases: dict[str, Any]) -> None:
    values = np.random.default_rng(5).standard_normal((3, 9)).astype(np.float32)
    np.savez(tmp_path / "own.npz", obs=values)
    candidates = {n: (folder / f"{n}.onnx", None) for n in ("right", "forgets")}
    report = judge_pair(folder / "policy.pt", candidates, tmp_path, cases=cases)
    assert verdict_of(report, "right") == ("PASS", [])
    assert failed(report, "forgets") == CARRIED


def test_a_recording_without_a_sequence_says_nothing_of_the_state(folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    policy = torch.jit.load(str(folder / "policy.pt"))
    obs = np.random.default_rng(5).standard_normal((4, 1, 9)).astype(np.float32)
    found = []
    for row in obs:
        policy.reset_memory()
        found.append(policy(torch.from_numpy(row)).detach().numpy())
    np.savez(tmp_path / "golden.npz", **{"inputs/obs": obs, "outputs/actions": np.stack(found)})
    table = {"path": str(folder / "forgets.onnx"), "options": {"state": {"h_in": "h_out", "c_in": "c_out"}}}
    report = judged_with(tmp_path / "golden.npz", table, tmp_path)
    assert report["verdict"] == "NOT_JUDGED"
    assert "GATE012" in {f["code"] for f in report["findings"]}


def test_a_recorded_reference_keeps_its_sequence(folder: Path, tmp_path: Path) -> None:
    toml = tmp_path / "parity.toml"
    lines = f'[release]\nname = "r"\n[reference]\npath = "{folder / "policy.pt"}"\n'
    toml.write_text(f'{lines}[[candidate]]\nname = "ort"\npath = "{folder / "right.onnx"}"\n', encoding="utf-8")
    trace = tmp_path / "golden.h5"
    assert main(["run", str(toml), "--out", str(tmp_path / "out"), "--record", str(trace)]) == 0
    report = judge_pair(trace, {n: (folder / f"{n}.onnx", None) for n in ("right", "forgets")}, tmp_path)
    assert verdict_of(report, "right") == ("PASS", [])
    assert failed(report, "forgets") == CARRIED


def test_init_writes_what_compare_does(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "parity.toml"
    assert main(["init", str(folder / "policy.pt"), str(folder / "right.onnx"), "-o", str(toml)]) == 0
    assert 'options = {state = {h_in = "h_out", c_in = "c_out"}}' in toml.read_text(encoding="utf-8")
    assert main(["run", str(toml), "--out", str(tmp_path / "out")]) == 0
    assert main(["inspect", str(folder / "policy.pt"), str(folder / "right.onnx"), "--strict"]) == 0
    capfd.readouterr()


@pytest.mark.corpus
def test_a_real_lstm_policy_with_its_graph_built_by_hand(corpus: Path, tmp_path: Path) -> None:
    """Gate order (torch: i, f, g, o; ONNX: i, o, f, g) and swapped states are what such an export gets wrong."""
    source = corpus / "stateful_jit" / "g1" / "motion.pt"
    weights = {n: w.load() for n, w in read_weights(source).items()}
    candidates = {
        "right": lstm_graph(weights, tmp_path / "right.onnx"),
        "gates": lstm_graph(weights, tmp_path / "gates.onnx", gates="ifgo"),
        "one_gate": lstm_graph(weights, tmp_path / "one_gate.onnx", gates="oifg"),
        "swapped": lstm_graph(weights, tmp_path / "swapped.onnx", outputs=("c_out", "h_out")),
    }
    report = judge_pair(source, {n: (p, None) for n, p in candidates.items()}, tmp_path)
    assert verdict_of(report, "right") == ("PASS", [])
    assert failed(report, "swapped") == CARRIED
    for name in ("gates", "one_gate"):
        assert verdict_of(report, name)[0] == "FAIL"
        assert failed(report, name) >= CARRIED
    assert not [f for f in report["findings"] if f["candidate"] == "right" and f["code"] == "WEIGHT001"]
