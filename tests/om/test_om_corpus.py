"""Real OM files: each reads as docs/formats.md says, and its constants are casts of the weights that were compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graph_def import constants
from parity.checkpoint.weights import read_weights
from parity.om.model import OmModel
from parity.om.reading import open_om

pytestmark = pytest.mark.corpus


def ports(model: OmModel) -> list[tuple[str, tuple[int, ...], str, str]]:
    return [(t.source_name, t.shape, t.dtype, t.format) for t in (*model.inputs, *model.outputs)]


@pytest.mark.parametrize(("file", "dtype"), [("a3c_pong_v1.om", "float32"), ("a3c_pong_v2.om", "int32")])
def test_the_two_builds_of_one_policy_differ_in_what_they_give(corpus: Path, file: str, dtype: str) -> None:
    model = open_om(corpus / "om" / file)
    assert ports(model) == [("s", (1, 42, 42, 1), "float32", "NHWC"), ("out_a:0", (1,), dtype, "NHWC")]
    assert (model.version, model.name, model.gears, model.random_ops) == (0x10000000, "a3c_pong_model", None, ())
    assert model.soc is None
    assert model.toolkit.get("atc_version") == (None if "v1" in file else "1.75.22.0.220")
    assert model.sizes["weights"] == model.sizes["weight_size"] == 320000
    assert model.sizes["memory_size"] == 90624


def test_a_model_with_noise_and_its_tools(corpus: Path) -> None:
    model = open_om(corpus / "om/vae_hh.om")
    assert ports(model) == [
        ("input", (100, 784), "float32", "NHWC"),
        ("generation/output:0", (100, 28, 28, 1), "float32", "NHWC"),
    ]
    assert model.random_ops == ("random_normal/RandomStandardNormal",)
    assert model.version == 0x20000000  # with a small table: the choice is by model_length
    assert model.soc == "Ascend310"
    assert "toolkit/5.0.4.alpha002/" in model.toolkit["atc_cmdline"]
    assert model.outputs[0].bytes == 100 * 28 * 28 * 4  # not what the graph pads it to
    fused = {n.name: n.source_nodes for n in model.nodes}["recognition/w_mean/MatMuladd"]
    assert fused == ("recognition/w_mean/add", "recognition/w_mean/MatMul", "add")


def test_two_inputs_keep_their_order(corpus: Path) -> None:
    model = open_om(corpus / "om/ddnet_out.om")
    assert ports(model) == [
        ("Input", (1, 32, 105), "float32", "NHWC"),
        ("Input_1", (1, 32, 15, 2), "float32", "NHWC"),
        ("model_1/dense_2/Softmax:0", (1, 21), "float32", "NHWC"),
    ]
    assert model.toolkit["atc_version"] == "1.75.22.0.220"
    weights = read_weights(corpus / "om/ddnet_out.om")
    assert len(weights) == 55
    assert all(w.array.shape == w.shape and str(w.array.dtype) == w.dtype for w in weights.values())


@pytest.mark.parametrize(
    ("om", "source", "count"),
    [("a3c_pong_v1", "a3c_pong", 10), ("a3c_pong_v2", "a3c_pong", 10), ("vae_hh", "vae_hh", 12)],
)
def test_constants_are_bit_exact_casts_of_the_source(corpus: Path, om: str, source: str, count: int) -> None:
    trained = {
        name: array.astype(np.float16)
        for name, array in constants(corpus / f"om/{source}.pb").items()
        if array.dtype == np.float32 and array.size > 1
    }
    compiled = [w.array for w in read_weights(corpus / f"om/{om}.om").values() if w.dtype == "float16" and w.size > 1]
    assert len(trained) == len(compiled) == count
    found = {
        name
        for name, array in trained.items()
        if any(a.shape == array.shape and a.tobytes() == array.tobytes() for a in compiled)
    }
    assert found == set(trained)


def test_what_the_device_gave_is_exactly_float16(corpus: Path) -> None:
    given = np.fromfile(corpus / "om/vae_hh_output.bin", "<f4")
    assert given.size == 100 * 28 * 28
    assert len(np.unique(given)) > 1000
    assert np.array_equal(given.astype(np.float16).astype(np.float32), given)
