"""What a recording must not lose of its artifact: state that is carried over, adapters, noise, other inputs' types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundles import run_script, unpacked
from models import mlp
from parity.bundle.zips import ZipReader
from parity.cli.shell import run
from parity.trace import Trace
from policy_folder import policy_folder, statistics, whole_policy


def there_and_back(folder: Path, toml: str, *, by_config: bool = True) -> Path:
    """Bundle the release, run it in a folder of its own, capture it as board.h5, and return the folder."""
    (folder / "parity.toml").write_text(toml)
    assert run(["bundle", str(folder / "parity.toml"), "-o", str(folder / "bundle.zip")]) == 0
    script = unpacked(folder / "bundle.zip", folder / "device")
    done = run_script(script, "-o", str(folder / "results.zip"))
    assert done.returncode == 0, done.stderr
    asked = ["--config", str(folder / "parity.toml")] if by_config else ["--bundle", str(folder / "bundle.zip")]
    assert run(["capture", str(folder / "results.zip"), *asked, "-o", str(folder / "board.h5")]) == 0
    return folder


def judged(folder: Path, toml: str) -> dict[str, Any]:
    (folder / "board.toml").write_text(toml)
    run(["run", str(folder / "board.toml"), "--out", str(folder / "out")])
    return json.loads((folder / "out" / "report.json").read_text())


BOARD = '[[candidate]]\nname = "board"\nrunner = "recorded"\npath = "board.h5"\n'
HEAD = '[release]\nname = "t"\n[reference]\npath = "{}"\n'


@pytest.mark.parametrize(("fault", "verdict"), [("", "PASS"), ("forgets", "FAIL")])
def test_state_is_carried_over_on_the_device(tmp_path: Path, fault: str, verdict: str) -> None:
    pytest.importorskip("torch")
    from recurrent import LstmOutside, exported, lstm, scripted

    inside = lstm()
    scripted(inside, tmp_path / "policy.pt")
    names = ["obs", "h_in", "c_in"], ["actions", "h_out", "c_out"]
    exported(LstmOutside(inside, fault), tmp_path / "policy.onnx", *names)
    head = HEAD.format("policy.pt")
    there_and_back(tmp_path, head + '[[candidate]]\nname = "board"\npath = "policy.onnx"\n', by_config=False)
    with Trace.open(tmp_path / "board.h5") as trace:
        assert any(c.id.startswith("nominal-s") for c in trace.cases)
        assert trace.output_names("nominal-0000") == ("actions",)
    report = judged(tmp_path, head + BOARD)
    assert report["verdict"] == verdict, report["reasons"]


def adapted(folder: Path) -> str:
    """Write a candidate that takes float16 under another name, and gives its outputs under another too."""
    mlp(folder / "reference.onnx")
    model = onnx.load(str(mlp(folder / "candidate.onnx", input_name="x", outputs=("y",))))
    cast = helper.make_node("Cast", ["seen"], ["x"], to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("seen", TensorProto.FLOAT16, [1, 6]))
    onnx.save(model, str(folder / "candidate.onnx"))
    table = '[adapter.board]\nrename = {seen = "obs", y = "action"}\ncast = {seen = "float16"}\n'
    return HEAD.format("reference.onnx") + table


def test_an_adapter_stands_between_and_the_release_undoes_it(tmp_path: Path) -> None:
    toml = adapted(tmp_path)
    own = '[[candidate]]\nname = "board"\npath = "candidate.onnx"\nprecision = "float16"\n'
    there_and_back(tmp_path, toml + own)
    with ZipReader(tmp_path / "bundle.zip") as bundle:
        told = bundle.document("manifest.json")
    assert told["adapted"] is True
    assert told["cases"][0]["inputs"]["seen"]["dtype"] == "float16"
    assert np.load(tmp_path / "device" / "inputs" / "seen" / "nominal-0000.npy").dtype == np.float16
    with Trace.open(tmp_path / "board.h5") as trace:
        assert trace.inputs("nominal-0000")["obs"].dtype == np.float32
        assert trace.output_names("nominal-0000") == ("action",)
    report = judged(tmp_path, HEAD.format("reference.onnx") + BOARD + 'precision = "float16"\n')
    assert report["verdict"] == "PASS", report["reasons"]


def test_a_bundle_alone_does_not_undo_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = adapted(tmp_path)
    there_and_back(tmp_path, toml + '[[candidate]]\nname = "board"\npath = "candidate.onnx"\n')
    words = ["--bundle", str(tmp_path / "bundle.zip"), "-o", str(tmp_path / "other.h5")]
    assert run(["capture", str(tmp_path / "results.zip"), *words]) == 2
    assert "--config parity.toml" in capsys.readouterr().err


def test_a_pipeline_stays_here_and_its_graph_goes(tmp_path: Path) -> None:
    """The device runs the graph alone; what is judged are raw observations and physical actions."""
    whole_policy(tmp_path / "whole.onnx")
    mlp(tmp_path / "graph.onnx")
    policy_folder(tmp_path / "folder")
    head = HEAD.format("whole.onnx")
    there_and_back(tmp_path, head + '[[candidate]]\nname = "board"\npath = "graph.onnx"\npipeline = "folder"\n')
    report = judged(tmp_path, head + BOARD)
    assert report["verdict"] == "PASS", report["reasons"]
    assert max(r["floor"]["scale"][0] for r in report["comparisons"]) > 5  # physical: the graph's stay below 3
    policy_folder(tmp_path / "folder", statistics(seed=4))
    words = ["--config", str(tmp_path / "parity.toml"), "-o", str(tmp_path / "other.h5")]
    assert run(["capture", str(tmp_path / "results.zip"), *words, "--json", str(tmp_path / "x.json")]) == 1
    found = {f["code"] for f in json.loads((tmp_path / "x.json").read_text())["findings"]}
    assert found == {"CAPT002"}  # other statistics: the graph would have been fed something else


def test_noise_that_the_graph_draws_is_not_judged_from_a_recording_either(tmp_path: Path) -> None:
    mlp(tmp_path / "reference.onnx")
    nodes = [
        helper.make_node("RandomNormalLike", ["obs"], ["noise"], scale=1e-9),
        helper.make_node("Add", ["obs", "noise"], ["seen"]),
        helper.make_node("Gemm", ["seen", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["action"]),
    ]
    mlp(tmp_path / "candidate.onnx", nodes=nodes)
    head = HEAD.format("reference.onnx")
    there_and_back(tmp_path, head + '[[candidate]]\nname = "board"\npath = "candidate.onnx"\n', by_config=False)
    report = judged(tmp_path, head + BOARD)
    assert report["verdict"] == "NOT_JUDGED"
    assert any("random" in r.lower() for r in report["reasons"]), report["reasons"]


def test_external_data_goes_along(tmp_path: Path) -> None:
    mlp(tmp_path / "reference.onnx")
    model = onnx.load(str(mlp(tmp_path / "plain.onnx")))
    for t in model.graph.initializer:
        t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t), t.name))
    onnx.save(
        model, str(tmp_path / "candidate.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    head = HEAD.format("reference.onnx")
    there_and_back(tmp_path, head + '[[candidate]]\nname = "board"\npath = "candidate.onnx"\n')
    assert (tmp_path / "device" / "artifact" / "weights.bin").is_file()
    assert judged(tmp_path, head + BOARD)["verdict"] == "PASS"


def test_which_candidate_goes_is_asked_and_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("reference", "a", "b"):
        mlp(tmp_path / f"{name}.onnx", doc=name)
    both = "".join(f'[[candidate]]\nname = "{n}"\npath = "{n}.onnx"\n' for n in "ab")
    (tmp_path / "parity.toml").write_text(HEAD.format("reference.onnx") + both)
    words = ["bundle", str(tmp_path), "-o", str(tmp_path / "x.zip")]
    assert run(words) == 2
    assert "--candidate NAME" in capsys.readouterr().err
    assert run([*words, "--candidate", "c"]) == 2
    assert run([*words, "--candidate", "b"]) == 0
    with ZipReader(tmp_path / "x.zip") as bundle:
        assert bundle.document("manifest.json")["candidate"]["name"] == "b"


def test_what_is_no_bundle_is_left_as_it_is(tmp_path: Path) -> None:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "candidate.onnx", doc="x")
    own = '[[candidate]]\nname = "board"\npath = "candidate.onnx"\n'
    (tmp_path / "parity.toml").write_text(HEAD.format("reference.onnx") + own)
    before = (tmp_path / "candidate.onnx").read_bytes()
    assert run(["bundle", str(tmp_path), "-o", str(tmp_path / "candidate.onnx")]) == 2
    assert (tmp_path / "candidate.onnx").read_bytes() == before
    assert run(["bundle", str(tmp_path), "-o", str(tmp_path / "none" / "x.zip")]) == 3
