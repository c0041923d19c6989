"""What the writer puts into an OM file, the reader gives back: both headers, both tables, both forms of in/out info."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from om_protobuf import Raw, chunk
from om_writer import Constant, Node, Om, Port, write
from parity.errors import ArtifactError
from parity.om.model import Gears, OmTensor
from parity.om.ports import output_shapes
from parity.om.reading import atc_options, open_om

W = np.arange(40 * 20, dtype=np.float16).reshape(40, 20)
HEADERS = [(0x10000000, False), (0x20000000, False), (0x20000000, True)]
FORMS = [(v, large, info, interned) for v, large in HEADERS for info in (True, False) for interned in (True, False)]


@pytest.mark.parametrize(("version", "large", "info", "interned"), FORMS)
def test_every_form_of_file_says_the_same(
    tmp_path: Path, version: int, large: bool, info: bool, interned: bool
) -> None:
    om = Om(
        inputs=(Port("image", (1, 3, 8, 8), "float32", "NCHW"), Port("mask", (1, 5), "bool")),
        outputs=(Port("out:0:action", (1, 7), source="out:0"), Port("aux:1:value", (1,), "int32", source="aux:1")),
        nodes=(
            Node("out", "MatMulV2", ("image:0", "w:0", "tick:-1"), sources=("MatMul_1", "Add_2"), mode=0x42),
            Node("aux", "ArgMaxD", ("mask:0",), ("float16", "int32"), attributes={"axis": -1, "eps": 0.5}),
        ),
        constants=(Constant("w", W, "FRACTAL_NZ", "ND", merged=interned, origin_name="fc.weight"),),
        attributes={"soc_version": "Ascend310P3", "atc_version": "8.0", "memory_size": 12345, "weight_size": 2048},
        graph_attributes={"graph_precision_mode": 2},
        version=version,
        large=large,
        info=info,
        interned=interned,
    )
    model = open_om(write(tmp_path / "m.om", om))
    assert (model.name, model.version, model.in_out_info) == ("policy", version, info)
    assert model.inputs == (
        OmTensor("image", (1, 3, 8, 8), "float32", "NCHW", 768),
        OmTensor("mask", (1, 5), "bool", "ND", 5),
    )
    assert model.outputs == (
        OmTensor("out:0:action", (1, 7), "float32", "ND", 28),
        OmTensor("aux:1:value", (1,), "int32", "ND", 4),
    )
    assert [t.source_name for t in model.outputs] == ["action", "value"]
    assert (model.soc, model.toolkit["atc_version"], model.precision_mode) == ("Ascend310P3", "8.0", "mix_fp16")
    assert model.toolkit["platform_version"] == "1.11.z.0"
    assert (model.sizes["memory_size"], model.sizes["weight_size"]) == (12345, 2048)
    nodes = {n.name: n for n in model.nodes}
    assert nodes["out"].inputs == ("image:0", "w:0")  # the control edge is left out
    assert nodes["out"].source_nodes == ("MatMul_1", "Add_2")
    assert nodes["out"].modes == ("high_performance", "hf32_execution")
    assert [d.dtype for d in nodes["aux"].output_descs] == ["float16", "int32"]
    assert nodes["aux"].attributes["axis"] == -1
    assert nodes["aux"].attributes["eps"] == 0.5
    constant = model.constants["w"]
    assert (constant.shape, constant.dtype, constant.format) == ((40, 20), "float16", "FRACTAL_NZ")
    assert (constant.origin_name, constant.folded) == ("fc.weight", False)
    assert np.array_equal(constant.read(), W)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(st.text(max_size=9), min_size=1, max_size=5),
    st.lists(st.lists(st.integers(0, 99), max_size=3), min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=12), VALUES),
    st.booleans(),
)
def test_attributes_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, given_attributes: dict[str, object], interned: bool
) -> None:
    node = Node("out", "Relu", ("obs:0",), attributes=given_attributes)
    path = write(tmp_path_factory.mktemp("om") / "m.om", Om(nodes=(node,), interned=interned))
    found = next(n for n in open_om(path).nodes if n.name == "out").attributes
    assert dict(found) == given_attributes


def test_more_names_than_one_digit_counts(tmp_path: Path) -> None:
    many = {f"attribute {i}": f"text {i}" for i in range(300)}  # digits are to base 127
    path = write(tmp_path / "m.om", Om(nodes=(Node("out", "Relu", ("obs:0",), attributes=many),), interned=True))
    assert dict(next(n for n in open_om(path).nodes if n.name == "out").attributes) == many


@pytest.mark.parametrize("info", [True, False])
@pytest.mark.parametrize(
    ("kind", "values", "shape"),
    [
        ("batch", ((1,), (2,), (8,)), (-1, 3, 4, 4)),
        ("image", ((224, 224), (448, 448)), (1, 3, -1, -1)),
        ("dims", ((1, 4, 4), (2, 8, 8)), (-1, 3, -1, -1)),
    ],
)
def test_gears(
    tmp_path: Path, info: bool, kind: str, values: tuple[tuple[int, ...], ...], shape: tuple[int, ...]
) -> None:
    om = Om(inputs=(Port("x", shape), Port("ascend_mbatch_shape_data", (1,), "int32")), gears=(kind, values), info=info)
    model = open_om(write(tmp_path / "m.om", om))
    assert model.gears == Gears(kind, values)  # type: ignore[arg-type]
    assert model.inputs[0].shape == shape


def test_a_case_of_the_models_own_has_no_gears(tmp_path: Path) -> None:
    node = Node("case", "Case", attributes={"_batch_num": 2, "_pred_value_0": [1], "mbatch_dynamic_type": 0})
    assert open_om(write(tmp_path / "m.om", Om(nodes=(node,), info=False))).gears is None


@pytest.mark.parametrize(
    "given",
    [
        {"_batch_num": 2, "_pred_value_0": [1], "mbatch_dynamic_type": 1},
        {"_batch_num": 1, "_pred_value_0": [1], "mbatch_dynamic_type": 7},
        {"_batch_num": 10**9, "mbatch_dynamic_type": 1},
    ],
)
def test_gears_that_cannot_be_are_refused(tmp_path: Path, given: dict[str, object]) -> None:
    refused(write(tmp_path / "m.om", Om(nodes=(Node("case", "Case", attributes=given),), info=False)), "gears")


def test_shapes_of_outputs_by_gear() -> None:
    assert output_shapes(("0,0,1,2", "1,0,8,2", "-1,1,5", "0,2,")) == {
        0: {0: (1, 2), 1: (8, 2)},
        1: {-1: (5,)},
        2: {0: ()},
    }
    assert output_shapes(("0,0,1", "nonsense")) == {}
    assert output_shapes(()) == {}


@pytest.mark.parametrize("info", [True, False])
def test_aipp(tmp_path: Path, info: bool) -> None:
    image = Port("image", (1, 224, 224, 3), "uint8", "NHWC", aipp=(1, 3, 224, 224))
    model = open_om(write(tmp_path / "m.om", Om(inputs=(image, Port("state", (1, 7))), info=info)))
    assert [t.aipp for t in model.inputs] == [True, False]
    assert model.inputs[0].shape == (1, 224, 224, 3)
    assert model.inputs[0].source["shape"] == [1, 3, 224, 224]
    assert model.inputs[0].source["mode"] == "static_aipp"
    assert model.inputs[0].source["dtype"] == "float32"


@pytest.mark.parametrize("large", [True, False])
def test_several_models_in_one_file(tmp_path: Path, large: bool) -> None:
    model = open_om(write(tmp_path / "m.om", Om(models=3, large=large, constants=(Constant("w", W),))))
    assert list(model.constants) == ["w", "w#2", "w#3"]
    assert all(np.array_equal(c.read(), W) for c in model.constants.values())
    assert sum(n.type == "NetOutput" for n in model.nodes) == 3


def test_noise_is_recognized_by_type_and_by_another_frameworks_type(tmp_path: Path) -> None:
    kinds = ("RandomStandardNormal", "StatelessRandomUniformV2", "DropOutGenMaskV3", "Multinomial", "TruncatedNormal")
    nodes = [Node(k, k) for k in kinds]
    nodes.append(Node("theirs", "FrameworkOp", attributes={"original_type": "RandomUniform"}))
    nodes += [Node("quiet", "DropOutDoMaskV3"), Node("random_name", "Relu"), Node("other", "FrameworkOp")]
    model = open_om(write(tmp_path / "m.om", Om(nodes=tuple(nodes))))
    assert model.random_ops == (*kinds, "theirs")


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("atc --model=a.onnx --precision_mode=allow_fp32_to_fp16", "allow_fp32_to_fp16"),
        ("atc --model a.onnx --precision_mode_v2 origin --output b", "must_keep_origin"),
        ("atc --precision_mode=must_keep_origin_dtype", "must_keep_origin"),
        ("atc --precision_mode_v2=mixed_bfloat16", "mix_bf16"),
        ("atc --model=a.onnx", None),
        ('atc --input_shape="x:1,2', None),
    ],
)
def test_the_precision_mode_is_told_by_the_command_line_where_the_graph_is_silent(
    tmp_path: Path, line: str, mode: str | None
) -> None:
    assert open_om(write(tmp_path / "m.om", Om(attributes={"atc_cmdline": line}))).precision_mode == mode
    graph = replace(Om(attributes={"atc_cmdline": line}), graph_attributes={"graph_precision_mode": 4})
    assert open_om(write(tmp_path / "n.om", graph)).precision_mode == "force_fp32"


def test_options_of_a_command_line() -> None:
    assert atc_options("atc --a=1 --b 'two words' --c --d=x=y") == {"a": "1", "b": "two words", "c": "", "d": "x=y"}
    assert atc_options("") == {}


def test_an_older_output_without_a_name_is_called_as_the_runtime_calls_it(tmp_path: Path) -> None:
    om = Om(info=False, attributes={"attr_model_out_nodes_name": []})
    assert open_om(write(tmp_path / "m.om", om)).outputs[0].name == "output_0_out_0"
    om = Om(info=False, outputs=(Port("action", (1, 2), source="out:3"),))
    assert open_om(write(tmp_path / "n.om", om)).outputs[0].name == "action:3"


def test_older_inputs_stand_in_the_order_of_their_index(tmp_path: Path) -> None:
    om = Om(info=False, inputs=(Port("a", (1,)), Port("b", (2,))))
    data = write(tmp_path / "m.om", om).read_bytes()
    first, second = b"index\x12\x02\x18\x00", b"index\x12\x02\x18\x01"
    assert data.count(first) == data.count(second) == 1
    swapped = data.replace(first, b"?").replace(second, first).replace(b"?", second)
    (tmp_path / "n.om").write_bytes(swapped)
    assert [t.name for t in open_om(tmp_path / "n.om").inputs] == ["b", "a"]


# --- refused


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ArtifactError) as e:
        open_om(path)
    assert str(path) in str(e.value)
    assert e.value.remedy
    for word in words:
        assert word in str(e.value)


def test_what_is_recognized_but_not_readable(tmp_path: Path) -> None:
    refused(write(tmp_path / "e.om", Om(encrypted=True)), "recognized, not readable", "encrypted")
    (tmp_path / "p.om").write_bytes(b"PICO" + bytes(300))
    refused(tmp_path / "p.om", "recognized, not readable", "PICO", "give the ONNX file")
    with zipfile.ZipFile(tmp_path / "o.om", "w") as z:
        z.writestr("manifest.json", "{}")
    refused(tmp_path / "o.om", "recognized, not readable", "OM2")
    refused(write(tmp_path / "f.om", Om(extra=((6, b"flow"),))), "recognized, not readable")
    for kind, word in ((3, "flow"), (5, "bundle")):
        data = bytearray(write(tmp_path / "k.om", Om()).read_bytes())
        data[82] = kind
        (tmp_path / "k.om").write_bytes(data)
        refused(tmp_path / "k.om", "recognized, not readable", word)


def test_damaged_outsides_are_refused_in_words(tmp_path: Path) -> None:
    whole = write(tmp_path / "m.om", Om(constants=(Constant("w", W),))).read_bytes()

    def changed(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    refused(changed("short.om", whole[:-1]), "truncated")
    refused(changed("head.om", whole[:100]), "less than an OM's header")
    refused(changed("long.om", whole + b"\0"), "longer than it says")
    refused(changed("size.om", whole[:4] + struct.pack("<I", 128) + whole[8:]), "header of 128 bytes")
    refused(changed("none.om", b"ONNX" + whole[4:]), "not an OM file")
    refused(changed("count.om", whole[:256] + b"\xff\xff\xff\xff" + whole[260:]), "partitions")
    with pytest.raises(ArtifactError, match=r"absent\.om: cannot be read"):
        open_om(tmp_path / "absent.om")
    overlapping = bytearray(whole)
    struct.pack_into("<Q", overlapping, 264 + 24 + 8, 0)  # the second partition begins where the first does
    refused(changed("over.om", bytes(overlapping)), "where the one before it ends")
    refused(write(tmp_path / "two.om", Om(extra=((0, b""),))), "two partitions model_definition")


def test_a_graph_without_an_output_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "m.om", Om(info=False)).read_bytes()
    (tmp_path / "n.om").write_bytes(data.replace(b"NetOutput", b"NotOutput"))
    refused(tmp_path / "n.om", "no output")


def test_interned_names_that_the_model_does_not_list_are_refused(tmp_path: Path) -> None:
    om = Om(interned=True, nodes=(Node("out", "Relu", ("obs:0",), sources=("a", "b")),))
    data = write(tmp_path / "m.om", om).read_bytes()
    (tmp_path / "n.om").write_bytes(
        data.replace(b"om_compress_version\x12\x02\x18\x01", b"om_compress_version\x12\x02\x18\x02")
    )
    refused(tmp_path / "n.om", "version 2")
    (tmp_path / "o.om").write_bytes(
        data.replace(b"om_compress_version\x12\x02\x18\x01", b"om_compress_version\x12\x02\x18\x00")
    )
    refused(tmp_path / "o.om", "of 0 names")


def test_deep_nesting_is_no_recursion(tmp_path: Path) -> None:
    inner = b""
    for _ in range(2000):  # attributes inside of attributes
        inner = chunk(10, chunk(1, "n") + chunk(2, chunk(1, "k") + chunk(2, inner)))
    node = Node("out", "Relu", ("obs:0",), attributes={"deep": Raw(inner)})
    found = next(n for n in open_om(write(tmp_path / "m.om", Om(nodes=(node,)))).nodes if n.name == "out").attributes
    depth = 0
    value = found["deep"]
    while value is not None and "k" in value:
        value, depth = value["k"], depth + 1
    assert depth == 2000


def test_two_kinds_of_gears_are_refused(tmp_path: Path) -> None:
    block = (
        struct.pack("<II", 2, 12)
        + struct.pack("<IQ", 1, 4)
        + struct.pack("<II", 3, 24)
        + struct.pack("<IIQQ", 1, 2, 8, 8)
    )
    ports = struct.pack("<II", 0, 4) + struct.pack("<I", 0)
    refused(write(tmp_path / "m.om", Om(info=False, extra=((8, ports + block),))), "gears of two kinds")
