"""A recorded candidate and the OM behind it: what the file proves is judged beside the outputs.

The "device" of these tests is a recording of an ONNX with the same weights: what is asked here is about the OM file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiled_om import compiled
from judged import run_release, with_code
from models import mlp, toml
from om_writer import Node, Port
from parity.cli import main
from parity.tensor import Block
from parity.trace import Trace, TraceWriter

INPUTS, OUTPUTS = (Port("obs", (1, 6)),), (Port("out:0:action", (1, 3), source="out:0"),)
BOARD = 'name = "board"\nrunner = "recorded"\npath = "device.h5"\nprecision = "float16"\n'
CHIP = {"soc_version": "Ascend310P3"}


def weights_of(seed: int = 0) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        mlp(Path(folder) / "policy.onnx", seed=seed, edit=kept.update)
    return kept


def policy(path: Path, weights: Mapping[str, Any] | None = None, **more: Any) -> Path:
    given = {"inputs": INPUTS, "outputs": OUTPUTS, "attributes": CHIP} | more
    return compiled(path, weights_of() if weights is None else weights, **given)


def board(folder: Path, extra: str = 'artifact = "policy.om"\n', more: str = "") -> None:
    toml(folder, {}, more=f"\n[[candidate]]\n{BOARD}{extra}{more}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference, what a "device" answered, and an OM that was compiled from the reference."""
    folder = tmp_path_factory.mktemp("recorded")
    mlp(folder / "reference.onnx")
    mlp(folder / "device.onnx", doc="device")
    toml(folder, {"other": "reference.onnx"}, reference="device.onnx", more="[cases]\nnominal = 6\nedge = false\n")
    assert run_release(folder, "--record", str(folder / "device.h5"))[0] == 0
    policy(folder / "policy.om")
    return folder


@pytest.fixture
def release(recorded: Path, tmp_path: Path) -> Path:
    """A release whose candidate was recorded, with the OM that answered behind it."""
    for name in ("reference.onnx", "device.h5", "policy.om"):
        shutil.copy2(recorded / name, tmp_path / name)
    board(tmp_path)
    return tmp_path


def test_what_the_file_proves_stands_beside_the_verdict(release: Path) -> None:
    code, report = run_release(release)
    assert (code, report["verdict"]) == (0, "PASS"), report["reasons"]
    made = with_code(report, "PROV001")
    assert (made[0]["candidate"], made[0]["evidence"]["matched"], made[0]["evidence"]["total"]) == ("board", 4, 4)
    assert with_code(report, "OM035")[0]["severity"] == "info"
    assert "Ascend310P3" in with_code(report, "OM035")[0]["title"]
    assert with_code(report, "OM038")[0]["severity"] == "info"
    behind = next(a for a in report["artifacts"] if a["side"] == "board artifact")
    assert (behind["path"], behind["kind"], len(behind["sha256"])) == ("policy.om", "om", 64)
    assert report["facts"]["board"]["compiled"]["chip"] == "Ascend310P3"
    assert {f["severity"] for f in report["findings"] if f["code"].startswith("OM0")} <= {"info", "warning"}
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 0


@pytest.mark.parametrize("weights", ["other", "later"])
def test_an_om_of_other_weights_fails_though_the_outputs_are_right(release: Path, weights: str) -> None:
    source = weights_of()
    rng = np.random.default_rng(0)
    moved = {n: (a * (1 + 1e-3 * rng.standard_normal(a.shape))).astype(np.float32) for n, a in source.items()}
    policy(release / "policy.om", weights_of(1) if weights == "other" else moved)
    code, report = run_release(release)
    assert (code, report["verdict"]) == (1, "FAIL")
    assert all(c["verdict"] == "PASS" for c in report["comparisons"])
    assert [f["severity"] for f in with_code(report, "OM044")] == ["error"]
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 1


def test_one_changed_bias_is_enough(release: Path) -> None:
    source = weights_of()
    policy(release / "policy.om", source | {"b1": source["b1"] + np.float32(0.01)})
    code, report = run_release(release)
    assert code == 1
    assert with_code(report, "OM044")[0]["evidence"]["others"] == ["const_1"]


def test_a_constant_that_only_the_compiler_has_is_a_warning(release: Path) -> None:
    """No tensor of the reference has its shape: it says nothing against the weights."""
    policy(release / "policy.om", weights_of() | {"table": np.random.default_rng(0).random((5, 7))})
    code, report = run_release(release)
    assert code == 0
    assert [f["severity"] for f in with_code(report, "OM044")] == ["warning"]


def test_float16_has_to_be_declared(release: Path) -> None:
    text = (release / "parity.toml").read_text()
    (release / "parity.toml").write_text(text.replace('precision = "float16"\n', ""))
    code, report = run_release(release)
    assert code == 1
    assert "computes in float16" in with_code(report, "PREC001")[0]["title"]


def test_the_chip_that_the_robot_has(release: Path) -> None:
    for soc, code, severity in (
        ("Ascend310P3", 0, None),
        ("Ascend310P1", 0, "warning"),
        ("Ascend310B4", 1, "error"),
    ):
        board(release, f'artifact = "policy.om"\nsoc = "{soc}"\n')
        got, report = run_release(release)
        assert got == code, soc
        assert [f["severity"] for f in with_code(report, "OM034")] == ([] if severity is None else [severity])
    saved = release / "saved.json"
    (release / "out" / "report.json").replace(saved)
    board(release, 'artifact = "policy.om"\nsoc = "Ascend310P3"\n')
    code, report = run_release(release, "--from", str(saved))
    assert (code, with_code(report, "OM034")) == (0, [])
    board(release, 'artifact = "policy.om"\nsoc = "310P3"\n')
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 2


def test_cases_of_another_size_than_it_was_compiled_for(release: Path) -> None:
    policy(
        release / "policy.om", inputs=(Port("obs", (4, 6)),), outputs=(Port("out:0:action", (4, 3), source="out:0"),)
    )
    code, report = run_release(release)
    assert code == 1
    told = with_code(report, "OM031")[0]
    assert (told["severity"], told["candidate"]) == ("error", "board")
    assert "it runs at obs (4, 6) only" in told["title"]
    gears = {"inputs": (Port("obs", (-1, 6)),), "outputs": (Port("out:0:action", (-1, 3), source="out:0"),)}
    policy(release / "policy.om", **gears, gears=("batch", ((2,), (4,))))
    code, report = run_release(release)
    assert (code, "batches of 2, 4 only" in with_code(report, "OM031")[0]["title"]) == (1, True)
    policy(release / "policy.om", **gears, gears=("batch", ((1,), (4,))))
    code, report = run_release(release)
    assert (code, with_code(report, "OM031")) == (0, [])


def test_a_recording_that_this_om_cannot_have_made(release: Path) -> None:
    """The two builds of one policy that give float32 and int32, as in the corpus, told by the recording itself."""
    for port in (Port("out:0:action", (1, 3), "int32", source="out:0"), Port("out:0:action", (1, 4), source="out:0")):
        policy(release / "policy.om", outputs=(port,))
        code, report = run_release(release)
        assert code == 1
        assert [f["candidate"] for f in with_code(report, "OM047")] == ["board"]
    policy(release / "policy.om", outputs=(Port("out:0:action", (1, 3), "float16", source="out:0"),))
    assert run_release(release)[0] == 0  # the host may have widened it


def test_what_it_contradicts_the_reference_in_is_told(release: Path) -> None:
    more = (Port("mask", (1, 6), "float32"), *INPUTS)
    policy(release / "policy.om", inputs=more)
    code, report = run_release(release)
    assert code == 0
    assert [f["severity"] for f in with_code(report, "INSP001")] == ["warning"]
    assert with_code(report, "OM038")[0]["evidence"]["interchangeable"] == [["mask", "obs"]]


@pytest.mark.parametrize("damage", ["cut", "encrypted", "empty"])
def test_an_artifact_that_cannot_be_looked_into_blocks(release: Path, damage: str) -> None:
    if damage == "encrypted":
        policy(release / "policy.om", encrypted=True)
    else:
        whole = (release / "policy.om").read_bytes()
        (release / "policy.om").write_bytes(whole[: 300 if damage == "cut" else 64])
    code, report = run_release(release)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert with_code(report, "GATE018")[0]["candidate"] == "board"
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 3


def test_noise_that_the_om_draws_makes_its_outputs_incomparable(release: Path) -> None:
    noise = Node("noise", "RandomStandardNormal", (), ("float16",), (1, 4))
    policy(release / "policy.om", nodes=(noise, Node("out", "MatMulV2", ("obs:0", "noise:0"))))
    code, report = run_release(release)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert "noise" in str(with_code(report, "GATE005")[0]["evidence"])


def test_whose_weights_is_judged_of_the_artifact_behind_the_recording(release: Path) -> None:
    (release / "runs").mkdir()
    np.savez(release / "runs/model_100.npz", **weights_of())
    np.savez(release / "runs/model_200.npz", **weights_of(1))
    asked = '\n[weights]\ncheckpoints = "runs/*.npz"\n'
    board(release, more=asked)
    code, report = run_release(release)
    assert code == 0, report["reasons"]
    assert "model_100.npz (step 100)" in with_code(report, "PROV001")[0]["title"]
    assert len(with_code(report, "PROV001")) == 1
    (release / "runs/model_100.npz").unlink()
    code, report = run_release(release)
    assert code == 1
    assert with_code(report, "PROV004")
    board(release, extra="", more=asked)
    code, report = run_release(release)
    assert (code, bool(with_code(report, "GATE014"))) == (3, True)  # a recording alone holds none


def test_an_om_that_nobody_ran_never_passes(release: Path) -> None:
    for table in (
        'name = "board"\npath = "policy.om"\nprecision = "float16"\n',
        'name = "board"\npath = "policy.om"\nrunner = "recorded"\nprecision = "float16"\n',
        'name = "board"\nartifact = "policy.om"\nrunner = "recorded"\nprecision = "float16"\n',
        'name = "board"\npath = "policy.om"\nartifact = "policy.om"\nrunner = "recorded"\n',
        'name = "board"\ncommand = ["false", "{inputs}", "{outputs}"]\nartifact = "policy.om"\nprecision = "float16"\n',
    ):
        toml(release, {}, more=f"\n[[candidate]]\n{table}")
        assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) in (2, 3), table


def test_a_recording_that_names_another_file(release: Path) -> None:
    def captured(sha256: str) -> None:
        with Trace.open(release / "device.h5") as old:
            cases = [(c, old.inputs(c.id), old.output(c.id, "action")) for c in old.cases]
            meta = {"captured": {"artifact": {"sha256": sha256}, "verified": True}}
            with TraceWriter(release / "captured.h5", meta) as new:
                for case, inputs, output in cases:
                    block = Block((case.id,), {n: a[None] for n, a in inputs.items()})
                    new.add(
                        block, case.profile, [case.seed], [case.note], {"action": output.read(0, 3).reshape(1, 1, 3)}
                    )

    text = (release / "parity.toml").read_text().replace("device.h5", "captured.h5")
    for sha256, code in ((hashlib.sha256((release / "policy.om").read_bytes()).hexdigest(), 0), ("0" * 64, 1)):
        captured(sha256)
        (release / "parity.toml").write_text(text)
        got, report = run_release(release)
        assert got == code, report["reasons"]
        assert bool(with_code(report, "OM043")) is (code == 1)


def test_a_mistyped_path_is_named(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board(release, 'artifact = "polcy.om"\n')
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 2
    assert "[board] artifact" in capsys.readouterr().err


def test_a_report_that_was_made_without_it_is_no_answer(release: Path) -> None:
    board(release, "")
    assert run_release(release)[0] == 0
    saved = release / "saved.json"
    (release / "out" / "report.json").replace(saved)
    board(release)
    code, report = run_release(release, "--from", str(saved))
    assert (code, bool(with_code(report, "GATE018"))) == (3, True)


def test_it_is_packed_with_the_release(release: Path, tmp_path: Path) -> None:
    assert run_release(release)[0] == 0
    report = str(release / "out" / "report.json")
    code = main(["pack", str(release), "-o", str(tmp_path / "packed"), "--report", report])
    assert code == 0
    packed = (tmp_path / "packed/parity.toml").read_text()
    assert 'artifact = "artifacts/' in packed
    assert next((tmp_path / "packed").rglob("policy.om")).read_bytes() == (release / "policy.om").read_bytes()
    assert json.loads((tmp_path / "packed/report.json").read_text())["verdict"] == "PASS"


@pytest.mark.corpus
def test_the_real_output_of_a_device_that_draws_noise_is_not_judged(corpus: Path, tmp_path: Path) -> None:
    """An Ascend 310's own input and output: nothing but the OM behind it tells that it drew random numbers."""
    shapes = {"input": (100, 784), "output": (100, 28, 28, 1)}
    arrays = {n: np.fromfile(corpus / f"om/vae_hh_{n}.bin", "<f4").reshape(s) for n, s in shapes.items()}
    case = {"input": arrays["input"][None]}
    for name, output in (("reference", arrays["output"]), ("device", arrays["output"] + np.float32(1e-4))):
        with TraceWriter(tmp_path / f"{name}.h5", {}) as trace:
            for i, moved in enumerate((0, 1)):
                block = Block((f"nominal-{i:04d}",), {n: a + np.float32(moved) for n, a in case.items()})
                trace.add(block, "nominal", [i], [""], {"generation/output:0": (output + np.float32(moved))[None]})
    table = 'name = "npu"\nrunner = "recorded"\npath = "device.h5"\nprecision = "float16"\n'
    artifact = f'artifact = "{corpus / "om/vae_hh.om"}"\nsoc = "Ascend310"\n'
    for extra, code in (("", 0), (artifact, 3)):
        toml(tmp_path, {}, reference="reference.h5", more=f"\n[[candidate]]\n{table}{extra}")
        got, report = run_release(tmp_path)
        assert got == code, report["reasons"]
    assert "RandomStandardNormal" in str(with_code(report, "GATE005")[0]["evidence"])
    assert not with_code(report, "OM031")
    assert not with_code(report, "OM034")
    assert not with_code(report, "OM047")
    assert not with_code(report, "OM050"), "what was moved by 1e-4 is no float16 any more"


def test_the_real_output_of_a_device_is_known_as_float16(corpus: Path, tmp_path: Path) -> None:
    shapes = {"input": (100, 784), "output": (100, 28, 28, 1)}
    arrays = {n: np.fromfile(corpus / f"om/vae_hh_{n}.bin", "<f4").reshape(s) for n, s in shapes.items()}
    for name in ("reference", "device"):
        with TraceWriter(tmp_path / f"{name}.h5", {}) as trace:
            for i, moved in enumerate((0, 1)):
                block = Block((f"nominal-{i:04d}",), {"input": arrays["input"][None] + np.float32(moved)})
                output = arrays["output"] + (np.float32(1e-4) if name == "reference" else np.float32(0))
                trace.add(block, "nominal", [i], [""], {"generation/output:0": output[None]})
    table = 'name = "npu"\nrunner = "recorded"\npath = "device.h5"\nprecision = "float16"\n'
    artifact = f'artifact = "{corpus / "om/vae_hh.om"}"\nsoc = "Ascend310"\n'
    toml(tmp_path, {}, reference="reference.h5", more=f"\n[[candidate]]\n{table}{artifact}")
    code, report = run_release(tmp_path)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert "RandomStandardNormal" in str(with_code(report, "GATE005")[0]["evidence"])
    (told,) = with_code(report, "OM050")
    assert "exactly a float16" in told["title"]


def head(path: Path, seed: int = 0) -> dict[str, Any]:
    """Write the second stage of a policy, from `latent` (1, 3) to `action` (1, 8), and return its weights."""
    rng = np.random.default_rng(seed)
    weights = {"w": rng.standard_normal((3, 8)).astype(np.float32), "b": rng.standard_normal(8).astype(np.float32)}
    value = helper.make_tensor_value_info
    ports = [[value("latent", TensorProto.FLOAT, [1, 3])], [value("action", TensorProto.FLOAT, [1, 8])]]
    body = [helper.make_node("Gemm", ["latent", "w", "b"], ["action"])]
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph(body, "head", *ports, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return weights


def test_each_stage_is_held_against_the_references_stage(tmp_path: Path) -> None:
    """No device is here, so nothing passes; what the files prove is there all the same, and names the stage."""
    mlp(tmp_path / "body.onnx", outputs=("latent",))
    weights = head(tmp_path / "head.onnx")
    latent = {"inputs": INPUTS, "outputs": (Port("out:0:latent", (1, 3), source="out:0"),)}
    action = {"inputs": (Port("latent", (1, 3)),), "outputs": (Port("out:0:action", (1, 8), source="out:0"),)}
    policy(tmp_path / "body.om", **latent)
    tables = [
        f'stages = [{{name = "body", path = "body.{kind}"}}, {{name = "head", path = "head.{kind}"}}]\n'
        for kind in ("onnx", "om")
    ]
    release = '[release]\nname = "r"\n[reference]\n' + tables[0]
    board = '[[candidate]]\nname = "board"\nprecision = "float16"\n' + tables[1]
    for seed, soc, expected in ((0, "Ascend310P3", set()), (1, "Ascend310B4", {"OM044", "OM034"})):
        policy(tmp_path / "head.om", head(tmp_path / "other.onnx", seed) if seed else weights, **action)
        (tmp_path / "parity.toml").write_text(release + board + f'soc = "{soc}"\n')
        code, report = run_release(tmp_path)
        assert code in (1, 3)
        errors = {f["code"] for f in report["findings"] if f["severity"] == "error" and f["code"].startswith("OM")}
        assert errors == expected
        made = [f["title"] for f in with_code(report, "PROV001")]
        assert len(made) == (1 if seed else 2), made
        assert made[0].startswith("Stage body: Made from")
    assert with_code(report, "OM044")[0]["title"].startswith("Stage head: ")
    assert len(with_code(report, "OM034")) == 2
    (tmp_path / "parity.toml").write_text(release + board + 'artifact = "body.om"\n')
    assert main(["run", str(tmp_path / "parity.toml"), "--out", str(tmp_path / "out")]) == 2
