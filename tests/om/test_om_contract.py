"""The contract of an OM file, its findings, and what `parity inspect` prints of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from om_writer import Constant, Node, Om, Port, write
from parity.artifact import recognize
from parity.cli import main
from parity.contract import Contract, read_contract
from parity.contract.disagree import disagreements
from parity.contract.om import READER, cann_version
from parity.errors import ArtifactError

FLOAT32 = Node("out", "MatMulV2", ("obs:0",), ("float32",))
ATC = "/usr/local/Ascend/ascend-toolkit/8.0.RC1/x86_64-linux/bin/atc --model=policy.onnx"


def contract(folder: Path, om: Om) -> Contract:
    return read_contract(write(folder / "policy.om", om))


def codes(found: Contract) -> list[str]:
    return [f.code for f in found.findings]


def finding(found: Contract, code: str) -> Any:
    return next(f for f in found.findings if f.code == code)


def test_outputs_are_called_by_their_names_in_the_source(tmp_path: Path) -> None:
    names = ("out:0:action", "a:0:twice", "b:0:twice", "head:0", "x:0:scope:value:1")
    ports = tuple(Port(n, (1, 2), source="out:0") for n in names)
    found = contract(tmp_path, Om(outputs=ports, nodes=(FLOAT32,)))
    assert [t.name for t in found.outputs] == ["action", "a:0:twice", "b:0:twice", "head:0", "scope:value:1"]
    assert found.output("action").role == "action"  # type: ignore[union-attr]
    told = {row["name"]: row for row in found.metadata["device"]["outputs"]}
    assert told["action"]["device_name"] == "out:0:action"
    assert (told["action"]["format"], told["action"]["bytes"], told["action"]["shape"]) == ("ND", 8, [1, 2])


def test_an_input_and_an_output_of_one_name(tmp_path: Path) -> None:
    om = Om(inputs=(Port("h", (1, 4)),), outputs=(Port("n:0:h", (1, 8), source="out:0"),), nodes=(FLOAT32,))
    device = contract(tmp_path, om).metadata["device"]
    assert [row["bytes"] for row in (*device["inputs"], *device["outputs"])] == [16, 32]


@pytest.mark.parametrize("info", [True, False])
def test_gears_make_axes_symbolic_and_added_inputs_are_none_of_the_policys(tmp_path: Path, info: bool) -> None:
    om = Om(
        info=info,
        inputs=(Port("obs", (-1, 4)), Port("fixed", (1, 3)), Port("ascend_mbatch_shape_data", (1,), "int32")),
        outputs=(Port("out:0:action", (8, 2), source="out:0"),),
        gears=("batch", ((1,), (8,))),
        output_shapes=("0,0,1,2", "1,0,8,2"),
        nodes=(FLOAT32,),
    )
    found = contract(tmp_path, om)
    assert [(t.name, t.shape) for t in found.inputs] == [("obs", ("batch", 4)), ("fixed", (1, 3))]
    assert [(t.name, t.shape) for t in found.outputs] == [("action", ("batch", 2))]
    assert found.metadata["gears"] == {"kind": "batch", "values": [[1], [8]]}
    assert finding(found, "OM006").evidence["values"] == [[1], [8]]
    image = Om(inputs=(Port("x", (1, 3, -1, -1)),), gears=("image", ((8, 8), (16, 16))), output_shapes=("nonsense",))
    assert contract(tmp_path, image).inputs[0].shape == (1, 3, "x.2", "x.3")
    unknown = contract(tmp_path, Om(inputs=(Port("x", (-2,)),)))
    assert unknown.inputs[0].shape is None
    assert not unknown.complete


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float32",), "float32"),
        (("float32", "int32", "bool", "uint8"), "float32"),
        (("float32", "float16"), "float16"),
        (("bfloat16", "float16"), "bfloat16"),
        (("float16", "int8"), "int8"),
    ],
)
def test_the_lowest_class_that_any_node_computes_in(tmp_path: Path, dtypes: tuple[str, ...], expected: str) -> None:
    nodes = tuple(Node(f"n{i}", "Add", (), (d,)) for i, d in enumerate(dtypes))
    found = contract(tmp_path, Om(nodes=nodes))
    assert found.precision == expected
    assert sum(found.metadata["node_dtypes"].values()) == len(dtypes)


def test_a_class_that_only_a_constant_or_a_port_has_counts(tmp_path: Path) -> None:
    half = Constant("w", np.ones((2, 2), np.float16))
    assert contract(tmp_path, Om(nodes=(FLOAT32,), constants=(half,))).precision == "float16"
    assert contract(tmp_path, Om(nodes=(FLOAT32,), inputs=(Port("obs", (1, 4), "float16"),))).precision == "float16"
    assert contract(tmp_path, Om(nodes=(FLOAT32,))).precision == "float32"


@pytest.mark.parametrize(
    ("line", "low", "code"),
    [
        (ATC, True, "OM002"),
        (f"{ATC} --precision_mode=force_fp16", True, "OM003"),
        (f"{ATC} --precision_mode_v2 fp16", True, "OM003"),
        (None, True, "OM003"),
        (ATC, False, None),
    ],
)
def test_float16_that_nobody_asked_for(tmp_path: Path, line: str | None, low: bool, code: str | None) -> None:
    om = Om(nodes=() if low is None else ((Node("out", "MatMulV2", ("obs:0",)),) if low else (FLOAT32,)))
    om = Om(nodes=om.nodes, attributes={} if line is None else {"atc_cmdline": line})
    found = [c for c in codes(contract(tmp_path, om)) if c in ("OM002", "OM003")]
    assert found == ([] if code is None else [code])


def test_the_version_of_cann_is_told_by_where_atc_lay() -> None:
    assert cann_version({"atc_cmdline": ATC}) == "8.0.RC1"
    assert cann_version({"atc_cmdline": "/usr/local/Ascend/cann-8.5.0/bin/atc --model=a"}) == "8.5.0"
    assert cann_version({"atc_cmdline": "/usr/local/Ascend/ascend-toolkit/latest/bin/atc"}) is None
    assert cann_version({}) is None


def test_noise(tmp_path: Path) -> None:
    noise = Node("noise", "FrameworkOp", attributes={"original_type": "RandomStandardNormal"})
    found = contract(tmp_path, Om(nodes=(FLOAT32, noise, Node("mask", "DropOutGenMask"))))
    assert found.metadata["random_ops"] == ["RandomStandardNormal noise", "DropOutGenMask mask"]
    assert finding(found, "OM004").evidence["ops"] == found.metadata["random_ops"]
    assert "OM004" not in codes(contract(tmp_path, Om(nodes=(FLOAT32,))))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, np.nan), True),
        ((1.0, 2.0, np.inf), True),
        ((0.0, -np.inf), False),  # a mask
        ((65504.0, -65504.0), False),
        ((6e-8, 0.0), False),
    ],
)
def test_constants_that_are_not_finite(tmp_path: Path, dtype: str, values: Sequence[float], expected: bool) -> None:
    constants = (Constant("fine", np.ones(3, np.float32)), Constant("w", np.array(values, dtype)))
    assert ("OM001" in codes(contract(tmp_path, Om(constants=constants)))) is expected


def test_not_finite_bfloat16(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0x7FC0], np.uint16)
    assert "OM001" in codes(contract(tmp_path, Om(constants=(Constant("w", bits, dtype="bfloat16"),))))


def test_what_is_too_large_to_look_through_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.contract.om_findings.MAX_CHECKED", 1000)
    constants = (
        Constant("large", np.full(1000, np.nan, np.float16)),
        Constant("small", np.array([1, np.nan], np.float16)),
    )
    found = contract(tmp_path, Om(constants=constants))
    assert found.metadata["constants"] == {"count": 2, "bytes": 2004, "checked": 1}
    assert [row["name"] for row in finding(found, "OM001").evidence["tensors"]] == ["small"]


def test_modes_aipp_unused_inputs_and_the_machine_that_compiled_it(tmp_path: Path) -> None:
    om = Om(
        inputs=(Port("image", (1, 8, 8, 3), "uint8", "NHWC", aipp=(1, 3, 8, 8)), Port("state", (1, 7))),
        nodes=(Node("out", "SoftmaxV2", ("image:0",), mode=2), Node("exp", "Exp", ("image:0",), mode=1)),
        attributes={"atc_cmdline": "atc --model=/home/me/policy.onnx", "soc_version": "Ascend310P3"},
    )
    found = contract(tmp_path, om)
    assert finding(found, "OM005").where == "image"
    assert finding(found, "OM007").evidence["modes"] == {"high_performance": 1, "default": 1}
    assert finding(found, "OM009").where == "state"
    assert finding(found, "OM010").evidence["paths"] == ["/home/me/policy.onnx"]
    assert found.metadata["aipp"]["image"]["shape"] == [1, 3, 8, 8]
    assert found.metadata["soc"] == "Ascend310P3"
    plain = Om(nodes=(FLOAT32,), attributes={"atc_cmdline": "atc --model=policy.onnx", "soc_version": "Ascend310P3"})
    assert codes(contract(tmp_path, plain)) == []


def test_what_the_file_does_not_say_or_cannot_show(tmp_path: Path) -> None:
    strange = Constant("w", np.ones((4, 4), np.float16), "FRACTAL_ZN_LSTM", stored=np.ones((1, 1, 16, 16), np.float16))
    grouped = Constant(
        "g", np.ones((4, 1, 1, 1), np.float16), "FRACTAL_Z", "NCHW", stored=np.ones((1, 1, 16, 16), np.float16)
    )
    om = Om(nodes=(FLOAT32,), constants=(strange, grouped), attributes={"weight_size": 10**6})
    found = contract(tmp_path, om)
    assert set(finding(found, "OM011").evidence["constants"]) == {"w", "g"}
    assert finding(found, "OM008").severity == "info"
    assert finding(found, "OM012").severity == "error"


def test_what_is_recognized_but_not_readable_is_refused_by_the_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "m.om", Om(encrypted=True))
    assert READER.matches(recognize(path))
    with pytest.raises(ArtifactError, match="recognized, not readable: encrypted"):
        read_contract(path)
    (tmp_path / "p.om").write_bytes(b"PICO" + bytes(300))
    assert recognize(tmp_path / "p.om").kind == "om"
    assert main(["inspect", str(tmp_path / "p.om")]) == 2


# --- the command


def widest(text: str) -> int:
    return max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines())


def test_inspect_shows_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    om = Om(
        inputs=(Port("image", (-1, 8, 8, 3), "uint8", "NHWC", aipp=(1, 3, 8, 8)),),
        nodes=(Node("out", "Conv2D", ("image:0",), mode=2, sources=("conv", "relu")), Node("r", "RandomUniform")),
        constants=(Constant("w", np.ones((2, 2), np.float16)),),
        attributes={"soc_version": "Ascend310P3", "atc_version": "8.1", "opp_version": "8.2", "atc_cmdline": ATC},
        graph_attributes={"graph_precision_mode": 1},
        gears=("batch", ((1,), (2,), (4,))),
    )
    assert main(["inspect", str(write(tmp_path / "policy.om", om)), "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    for words in (
        "compiled for: Ascend310P3",
        "compiled by: CANN 8.0.RC1, atc 8.1, opp 8.2",
        f"command line: {ATC}",
        "precision mode: allow_fp32_to_fp16",
        "lower precision: float16 first at out",
        "nodes: 2 that compute (2 float16)",
        "out: conv, relu",
        "implementation: high_performance 1",
        "draws noise: RandomUniform r",
        "formats: image NHWC, action ND",
        "action is called out:0:action on the device",
        "AIPP prepares image on the device (shape [1, 3, 8, 8], mode static_aipp",
        "gears (batch): 1, 2, 4",
        "constants: 1, 8 bytes",
    ):
        assert words in said
    written = json.loads((tmp_path / "out.json").read_text())["artifacts"][0]
    assert written["kind"] == "om"
    assert written["metadata"]["nodes"][0] == {
        "name": "out",
        "type": "Conv2D",
        "dtype": "float16",
        "modes": ["high_performance"],
        "sources": ["conv", "relu"],
    }


@pytest.mark.corpus
def test_the_two_builds_of_one_policy_disagree_on_a_dtype(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [corpus / f"om/a3c_pong_v{i}.om" for i in (1, 2)]
    found = disagreements(*map(read_contract, paths))
    assert [(d.code, d.severity, d.where, d.a_value, d.b_value) for d in found] == [
        ("INSP007", "error", "out_a:0", "float32", "int32")
    ]
    assert main(["inspect", *map(str, paths)]) == 0
    assert "INSP007 error: out_a:0: float32 in a3c_pong_v1.om, int32 in a3c_pong_v2.om" in capsys.readouterr().out
    assert main(["inspect", "--strict", *map(str, paths)]) == 1


@pytest.mark.corpus
def test_every_file_of_the_corpus(corpus: Path) -> None:
    vae = read_contract(corpus / "om/vae_hh.om")
    assert codes(vae) == ["OM002", "OM004", "OM010"]
    assert vae.metadata["random_ops"] == ["RandomStandardNormal random_normal/RandomStandardNormal"]
    assert (vae.precision, vae.metadata["precision_mode"]) == ("float16", None)
    assert (vae.metadata["soc"], vae.metadata["cann_version"]) == ("Ascend310", "5.0.4.alpha002")
    assert vae.metadata["node_dtypes"] == {"float16": 22, "float32": 2}
    for name in ("a3c_pong_v1", "a3c_pong_v2", "ddnet_out"):
        found = read_contract(corpus / f"om/{name}.om")
        assert codes(found) == ["OM003", "OM008"]
        assert (found.precision, found.metadata["random_ops"], found.complete) == ("float16", [], True)
    assert [t.name for t in read_contract(corpus / "om/ddnet_out.om").inputs] == ["Input", "Input_1"]


@pytest.mark.corpus
@pytest.mark.parametrize("columns", [60, 200])
def test_the_corpus_fits_on_a_terminal(
    corpus: Path, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["inspect", *(str(corpus / f"om/{n}.om") for n in ("vae_hh", "a3c_pong_v1", "ddnet_out"))]) == 0
    said = capsys.readouterr().out
    assert "draws noise" in said
    assert widest(said) <= columns
