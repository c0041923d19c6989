"""Where an OM contradicts the model that it should be: each rule is broken once, and right pairs say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parity.contract import Contract
from parity.contract.om_against import against, paired_inputs
from parity.contract.om_host import host_findings
from parity.contract.om_sizes import runs_at, taken
from parity.contract.om_tools import chip_findings, chip_of, precision_findings, source_findings, tool_findings
from parity.om.model import Gears, OmModel, OmTensor
from parity.tensor import TensorSpec

OBS = OmTensor("obs", (1, 45), "float32", bytes=180)
IMAGE = OmTensor("image", (1, 3, 96, 96), "float32", "NCHW", bytes=110592)
ACTION = OmTensor("actor.6:0:action", (1, 12), "float32", bytes=48)


def om(*inputs: OmTensor, gears: Gears | None = None, **toolkit: str) -> OmModel:
    return OmModel(Path("p.om"), "p", 0x20000000, inputs, (ACTION,), gears, toolkit, "force_fp16", {}, (), {})


def onnx(*inputs: TensorSpec) -> Contract:
    return Contract(Path("p.onnx"), "onnx", inputs=inputs, outputs=(TensorSpec("action", (1, 12), "float32"),))


def spec(name: str, *shape: Any, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, shape, dtype)


def codes(model: OmModel, other: Contract) -> list[str]:
    return [f.code for f in against(model, other)]


RIGHT = [
    (om(OBS), onnx(spec("obs", 1, 45))),
    (om(OBS), onnx(spec("obs", "batch", 45))),
    (om(IMAGE, OBS), onnx(spec("image", "batch", 3, 96, 96), spec("obs", "batch", 45))),
    (om(replace(OBS, shape=(45,))), onnx(spec("obs", 1, 45))),
    (om(replace(OBS, shape=(-1, 45)), gears=Gears("batch", ((1,), (8,)))), onnx(spec("obs", 8, 45))),
    (om(replace(IMAGE, shape=(1, 96, 96, 3), format="NHWC")), onnx(spec("image", 1, 96, 96, 3))),
    (om(replace(OBS, format="ND")), Contract(Path("p.pt"), "torchscript", complete=False)),
]


@pytest.mark.parametrize("pair", RIGHT)
def test_right_pairs_say_nothing(pair: tuple[OmModel, Contract]) -> None:
    assert against(*pair) == []


def test_a_free_axis_that_was_frozen() -> None:
    tokens = OmTensor("tokens", (1, 32), "int64", bytes=256)
    found = against(om(tokens), onnx(spec("tokens", "batch", "seq", dtype="int64")))
    assert [(f.code, f.severity) for f in found] == [("OM030", "warning")]
    assert "axis 1 (seq) is 32" in found[0].title
    geared = replace(tokens, shape=(1, -1))
    found = against(
        om(geared, gears=Gears("dims", ((16,), (32,)))), onnx(spec("tokens", "batch", "seq", dtype="int64"))
    )
    assert [f.code for f in found] == ["OM032"]


def test_gears_are_told() -> None:
    model = om(replace(OBS, shape=(-1, 45)), gears=Gears("batch", ((1,), (4,))))
    found = against(model, onnx(spec("obs", "batch", 45)))
    assert [(f.code, f.severity) for f in found] == [("OM032", "info")]
    assert "batches of 1, 4 only" in found[0].title


@pytest.mark.parametrize(
    ("model", "shapes", "runs"),
    [
        (om(OBS), {"obs": (1, 45)}, True),
        (om(OBS), {"obs": (2, 45)}, False),
        (om(OBS), {"obs": (45,)}, False),
        (om(replace(OBS, shape=(-1, 45)), gears=Gears("batch", ((1,), (4,)))), {"obs": (4, 45)}, True),
        (om(replace(OBS, shape=(-1, 45)), gears=Gears("batch", ((1,), (4,)))), {"obs": (2, 45)}, False),
        (
            om(replace(IMAGE, shape=(1, 3, -1, -1)), gears=Gears("image", ((96, 128),))),
            {"image": (1, 3, 96, 128)},
            True,
        ),
        (
            om(replace(IMAGE, shape=(1, 3, -1, -1)), gears=Gears("image", ((96, 128),))),
            {"image": (1, 3, 128, 96)},
            False,
        ),
        (om(replace(OBS, shape=(-1, 45), ranges=((1, 4), (45, 45)))), {"obs": (5, 45)}, False),
        (om(replace(OBS, shape=(-1, 45), ranges=((1, -1), (45, 45)))), {"obs": (500, 45)}, True),
        (om(replace(OBS, shape=(-1, 45)), IMAGE), {"obs": (3, 45)}, True),
    ],
)
def test_the_sizes_at_which_it_runs(model: OmModel, shapes: dict[str, tuple[int, ...]], runs: bool) -> None:
    assert runs_at(model, shapes) is runs


def test_gears_over_several_inputs_hold_together() -> None:
    two = om(replace(OBS, shape=(-1, 45)), replace(IMAGE, shape=(-1, 3, 96, 96)), gears=Gears("batch", ((1,), (2,))))
    assert runs_at(two, {"obs": (2, 45), "image": (2, 3, 96, 96)})
    assert not runs_at(two, {"obs": (1, 45), "image": (2, 3, 96, 96)})


def test_the_runtime_lets_64_bytes_be_missing() -> None:
    assert [taken(n, 180) for n in (115, 116, 179, 180, 181)] == ["refused", "short", "short", "exact", "large"]


@pytest.mark.parametrize(
    ("taken_by_om", "of_reference", "said"),
    [
        (replace(OBS, dtype="int32"), spec("obs", 1, 45), "has as many bytes"),
        (OBS, spec("obs", 1, 45, dtype="float64"), "has more bytes"),
        (OBS, spec("obs", 1, 48), "has more bytes"),
        (OBS, spec("obs", 1, 29), "lacks at most 64 bytes (116 for 180)"),
        (IMAGE, spec("image", 1, 96, 96, 3), "has as many bytes"),
        (OmTensor("mask", (1, 16), "int32"), spec("mask", "batch", 16, dtype="bool"), "lacks at most 64 bytes"),
    ],
)
def test_a_wrong_input_that_would_be_accepted(taken_by_om: OmTensor, of_reference: TensorSpec, said: str) -> None:
    found = [f for f in against(om(taken_by_om), onnx(of_reference)) if f.code == "OM037"]
    assert len(found) == 1, said
    assert said in found[0].title


def test_a_feature_of_a_configuration_has_no_bytes() -> None:
    """``observation.state`` of two numbers is (1, 2, 2) in a graph with two observation steps: nothing is wrong."""
    feature = TensorSpec("observation.state", (2,), "float32", batched=False)
    assert codes(om(OmTensor("observation.state", (1, 2, 2), "float32")), onnx(feature)) == []


def test_what_the_runtime_refuses_itself_is_not_silent() -> None:
    assert codes(om(OBS), onnx(spec("obs", 1, 28))) == []  # `disagreements` tells the shapes


def test_inputs_in_another_order_are_fed_by_position() -> None:
    mask, positions = OmTensor("mask", (1, 64), "int64"), OmTensor("position_ids", (1, 64), "int64")
    model = om(positions, mask, OBS)
    specs = [spec("mask", 1, 64, dtype="int64"), spec("position_ids", 1, 64, dtype="int64"), spec("obs", 1, 45)]
    found = against(model, onnx(*specs))
    assert [(f.code, f.severity) for f in found] == [("OM039", "warning")]
    assert "mask as position_ids, position_ids as mask" in found[0].title
    assert codes(om(mask, positions, OBS), onnx(*specs)) == []
    apart = against(om(OBS, IMAGE), onnx(spec("image", 1, 3, 96, 96), spec("obs", 1, 45)))
    assert [f.code for f in apart] == ["OM039"]
    assert "image as obs" in apart[0].title  # too large only warns
    assert "obs as image" not in apart[0].title


def test_a_picture_in_place_of_a_tensor() -> None:
    source = {"shape": [1, 3, 96, 96], "dtype": "float32", "format": "NCHW", "mode": "static"}
    picture = OmTensor("image", (1, 120, 160, 3), "uint8", "NHWC", aipp=True, source=source)
    found = against(om(picture, OBS), onnx(spec("image", 1, 3, 96, 96), spec("obs", 1, 45)))
    assert [(f.code, f.severity) for f in found] == [("OM033", "warning")]
    assert "uint8 (1, 120, 160, 3)" in found[0].title
    assert [p.tensor.name for p in paired_inputs(om(picture), [spec("image", 1, 3, 96, 96)])] == ["image"]


@pytest.mark.parametrize(
    ("shape", "format_", "said"), [((1, 96, 96, 3), "NCHW", "last"), ((1, 3, 96, 96), "NHWC", "first")]
)
def test_axes_that_are_called_otherwise_than_they_look(shape: tuple[int, ...], format_: str, said: str) -> None:
    found = against(om(replace(IMAGE, shape=shape, format=format_)), onnx(spec("image", *shape)))
    assert [f.code for f in found] == ["OM040"]
    assert f"channels {said}" in found[0].title


@pytest.mark.parametrize(
    ("chip", "target", "code", "severity"),
    [
        ("Ascend310P3", "Ascend310P3", None, None),
        ("Ascend310P3", "ascend310p3", None, None),
        ("Ascend310P3", "Ascend310P", None, None),
        ("Ascend310P3", "Ascend310P1", "OM034", "warning"),
        ("Ascend310", "Ascend310P3", "OM034", "error"),
        ("Ascend310B4", "Ascend310P3", "OM034", "error"),
        ("Ascend910B4", "Ascend910A", "OM034", "error"),
        (None, "Ascend310P3", "OM035", "warning"),
        ("Ascend310P3", None, "OM035", "info"),
        (None, None, None, None),
    ],
)
def test_the_chip(chip: str | None, target: str | None, code: str | None, severity: str | None) -> None:
    found = list(chip_findings(chip, target, "p.om"))
    assert [(f.code, f.severity) for f in found] == ([] if code is None else [(code, severity)])


def test_the_chip_is_also_read_from_the_atc_line() -> None:
    line = "atc --model=run/policy.onnx --framework=5 --soc_version=Ascend310P1 --input_shape='obs:1,45'"
    assert chip_of(om(OBS, atc_cmdline=line)) == "Ascend310P1"
    assert chip_of(om(OBS, atc_cmdline=line, soc_version="Ascend310P3")) == "Ascend310P3"
    assert chip_of(om(OBS)) is None


def test_the_model_that_the_atc_line_names() -> None:
    model = om(OBS, atc_cmdline="atc --model=run/old_policy.onnx --framework=5")
    found = list(source_findings(model, Path("policy.onnx"), "p.om"))
    assert [(f.code, f.severity) for f in found] == [("OM042", "info")]
    assert list(source_findings(model, Path("x/old_policy.onnx"), "p.om")) == []
    assert list(source_findings(om(OBS), Path("policy.onnx"), "p.om")) == []


def test_two_oms_of_other_tools() -> None:
    a = om(OBS, soc_version="Ascend310", atc_version="1.75")
    b = om(OBS, soc_version="Ascend310P3", atc_version="1.84")
    found = list(tool_findings(a, b, "p.om"))
    assert [(f.code, f.severity) for f in found] == [("OM041", "warning")]
    assert "chip Ascend310 against Ascend310P3; atc version 1.75 against 1.84" in found[0].title
    assert list(tool_findings(a, a, "p.om")) == []
    assert list(tool_findings(a, om(OBS), "p.om")) == []  # what one does not say is no contradiction
    newer = om(OBS, soc_version="Ascend310", atc_version="1.84")
    assert [f.severity for f in tool_findings(a, newer, "p.om")] == ["info"]


def test_float32_that_is_kept_in_name_only() -> None:
    assert [f.code for f in precision_findings("force_fp32", "float32", "p.om")] == ["OM036"]
    for mode, judged in (("force_fp32", "float16"), ("must_keep_origin", "float32"), (None, "float32")):
        assert not list(precision_findings(mode, judged, "p.om"))


def test_the_hosts_mistakes_that_would_be_let_through() -> None:
    mask, positions = OmTensor("mask", (1, 64), "int64"), OmTensor("position_ids", (1, 64), "int64")
    found = host_findings(om(OBS, IMAGE, mask, positions), "p.om")
    assert [(f.code, f.severity) for f in found] == [("OM038", "info")]
    told = found[0].evidence
    assert told["inputs"]["obs"] == {
        "bytes": 180,
        "elements_short": 16,
        "same_bytes_as": ["int32", "uint32"],
        "view": False,
    }
    assert told["interchangeable"] == [["mask", "position_ids"]]
    assert "mask and position_ids for one another" in found[0].title
    assert host_findings(om(OmTensor("x", (-1, -1), "float32")), "p.om") == []
