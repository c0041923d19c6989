"""A prediction names the node, the value and the case where float16 fails, and is silent where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from half_graphs import cancelling, cases, graph, masked, normalized, overflowing, sound, timed
from parity.errors import UsageError
from parity.localize.onnx_graph import OnnxFile, read_onnx
from parity.om.model import OmDesc, OmModel, OmNode
from parity.om.reading import open_om
from parity.predict.held import by_default, by_om
from parity.predict.prediction import Prediction, predict
from parity.predict.rounded import lowerable, rounded
from parity.predict.seen import LARGEST, Seen
from parity.predict.tell import as_json, findings
from parity.predict.watch import watch


def of(make: Callable[[Path], Path], folder: Path, scale: float = 1.0) -> Prediction:
    return predict(make(folder), cases(scale=scale), folder / "work")


def kinds(prediction: Prediction) -> dict[str, str]:
    return {h.kind: h.node for h in prediction.hazards}


def test_rounding_is_not_optimized_away(tmp_path: Path) -> None:
    file = read_onnx(sound(tmp_path))
    given_to = cases(1)
    seen = watch(file, lowerable(file), given_to, tmp_path / "work")
    x, w = given_to[0][1]["obs"], file.weight("weight")
    assert w is not None
    half = [a.astype(np.float16).astype(np.float32) for a in (x, w)]
    product = (half[0] @ half[1]).astype(np.float16).astype(np.float32)
    expected = np.sqrt(((product - x @ w) ** 2).sum() / ((x @ w) ** 2).sum())
    assert seen.values["hidden"].rel == pytest.approx(float(expected), rel=1e-3)
    assert seen.values["hidden"].rel > 1e-5


def test_a_sound_graph_is_left_in_peace(tmp_path: Path) -> None:
    found = of(sound, tmp_path)
    assert found.survives
    assert found.hazards == ()
    assert found.keep is None
    assert [f.severity for f in findings(found, "policy.onnx", "om")] == ["info"]


def test_an_overflow_is_named_and_what_to_keep(tmp_path: Path) -> None:
    found = of(overflowing, tmp_path, scale=2.0)
    assert not found.survives
    assert kinds(found)["overflow"] == "Mul /enlarge"
    assert [h.value for h in found.hazards if h.kind == "overflow"] == ["enlarged"]  # not what follows from it
    assert found.keep == ("/enlarge", "/reduce")
    told = {f.code: f for f in findings(found, "policy.onnx", "om")}
    assert told["PRED001"].severity == told["PRED002"].severity == "warning"
    node = told["PRED002"].evidence["nodes"][0]
    assert (node["node"], node["value"], node["case"][:8]) == ("Mul /enlarge", "enlarged", "nominal-")
    assert node["seen"] > LARGEST
    assert all("PREDICTED" in f.title for f in told.values())


def test_what_stays_within_float16_is_no_overflow(tmp_path: Path) -> None:
    assert "overflow" not in kinds(of(overflowing, tmp_path, scale=0.1))


def test_lost_digits_are_named_where_they_are_lost(tmp_path: Path) -> None:
    found = of(cancelling, tmp_path, scale=0.1)
    assert not found.survives
    assert kinds(found) == {"lost": "Sub /lower"}
    assert found.keep is not None
    assert set(found.keep) == {"/raise", "/lower"}


def test_large_angles_are_named(tmp_path: Path) -> None:
    found = of(timed, tmp_path, scale=4.0)
    assert not found.survives
    assert kinds(found)["lost"] == "Sin /sin"


def test_a_mask_that_does_no_harm_is_for_information(tmp_path: Path) -> None:
    found = of(masked, tmp_path)
    assert found.survives
    assert kinds(found) == {"constant_overflow": "Add /mask"}
    assert {f.severity for f in findings(found, "policy.onnx", "om")} == {"info"}


def test_an_epsilon_that_becomes_zero_is_named_with_what_comes_of_it(tmp_path: Path) -> None:
    found = of(normalized, tmp_path)
    assert not found.survives
    assert kinds(found)["constant_vanishes"] == "Add /epsilon"
    assert kinds(found)["lost"] == "Div /div"
    assert found.endings[0].broken > 0


def test_an_epsilon_of_a_layer_is_seen(tmp_path: Path) -> None:
    path = graph(
        tmp_path,
        [("LayerNormalization", "/norm", ["obs", "gain", "shift"], "action")],
        {"gain": np.ones(4), "shift": np.zeros(4)},
        attributes={"/norm": {"epsilon": 1e-12}},
    )
    found = predict(path, cases(), tmp_path / "work")
    assert [(h.value, h.words) for h in found.hazards] == [("/norm.epsilon", "it becomes 0")]
    assert found.survives


def test_whole_numbers_run_together(tmp_path: Path) -> None:
    path = graph(tmp_path, [("Add", "/position", ["obs", "start"], "action")], {"start": 4096.0})
    whole = [(f"nominal-{i:04d}", {"obs": np.asarray([[i, i + 1, i + 2, i + 3]], np.float32)}) for i in range(3)]
    assert kinds(predict(path, whole, tmp_path / "work")) == {"whole": "Add /position"}


def test_what_vanishes_is_named(tmp_path: Path) -> None:
    steps = [("Mul", "/tiny", ["obs", "tiny"], "small"), ("Div", "/back", ["small", "tiny"], "action")]
    found = predict(graph(tmp_path, steps, {"tiny": 1e-8}), cases(), tmp_path / "work")
    assert kinds(found)["vanishes"] == "Mul /tiny"
    assert not found.survives


def test_small_values_are_named_where_every_case_has_them(tmp_path: Path) -> None:
    steps = [("Mul", "/tiny", ["obs", "tiny"], "small"), ("Div", "/back", ["small", "tiny"], "action")]
    path = graph(tmp_path, steps, {"tiny": 1e-5})
    found = predict(path, cases(), tmp_path / "work")
    assert kinds(found) == {"subnormal": "Mul /tiny"}
    large = [*cases(), ("edge-0000", {"obs": np.full((1, 4), 1e4, np.float32)})]
    assert not predict(path, large, tmp_path / "work").hazards


def test_a_missing_input_is_said(tmp_path: Path) -> None:
    path = graph(tmp_path, [("Add", "/add", ["obs", "goal"], "action")], inputs={"obs": (1, 4), "goal": (1, 4)})
    with pytest.raises(UsageError, match="goal"):
        predict(path, cases(), tmp_path / "work")


def node(name: str, dtype: str, *sources: str) -> OmNode:
    desc = (OmDesc((1, 4), dtype, "ND"),)
    return OmNode(name, "Op", (), desc, desc, tuple(sources))


def om(nodes: list[OmNode], mode: str | None = None) -> OmModel:
    return OmModel(Path("x.om"), "x", 1, (), (), None, {}, mode, {}, tuple(nodes), {})


def test_an_om_says_itself_what_is_in_float16(tmp_path: Path) -> None:
    file = read_onnx(overflowing(tmp_path))
    assert by_default(file).lowered == ("enlarged", "side", "reduced", "action")
    kept = by_om(file, om([node("/enlarge", "float32"), node("/reduce", "float16"), node("/join", "float16")]))
    assert kept.lowered == ("side", "reduced", "action")  # /tanh is not named: by the precision mode
    assert kept.unknown == 1
    origin = by_om(file, om([node("/enlarge", "float16")], "must_keep_origin"))
    assert origin.lowered == ("enlarged",)


def test_what_stays_inside_a_fused_operation_is_not_rounded(tmp_path: Path) -> None:
    path = overflowing(tmp_path)
    held = by_om(read_onnx(path), om([node("fused", "float16", "/enlarge", "/reduce")]))
    assert held.inner == frozenset({"enlarged"})
    found = predict(path, cases(scale=2.0), tmp_path / "work", om([node("fused", "float16", "/enlarge", "/reduce")]))
    assert found.survives
    assert "overflow" not in kinds(found)


@pytest.mark.corpus
def test_real_files_say_it_so(corpus: Path, tmp_path: Path) -> None:
    def chain(*names: str) -> OnnxFile:
        ends = [*(f"v{i}" for i in range(1, len(names))), "action"]
        steps = [("Neg", n, [f"v{i}" if i else "obs"], ends[i]) for i, n in enumerate(names)]
        return read_onnx(graph(tmp_path, steps))

    fused = chain("W_0/conv1/Conv2D", "W_0/conv1/BiasAdd", "W_0/conv1/Relu", "W_0/actor/ap/Softmax")
    held = by_om(fused, open_om(corpus / "om" / "a3c_pong_v2.om"))
    assert held.lowered == ("v1", "v2", "v3", "action")
    assert held.inner == {"v1", "v2"}
    assert held.unknown == 0
    mixed = chain("model_1/model/lambda/Sub", "model_1/model/lambda/resize/ResizeBilinear")
    assert by_om(mixed, open_om(corpus / "om" / "ddnet_out.om")).lowered == ("v1",)  # its Resize is in float32


def test_in_float32_nothing_is_rounded(tmp_path: Path) -> None:
    names = ("/enlarge", "/tanh", "/reduce", "/join")
    found = predict(overflowing(tmp_path), cases(scale=2.0), tmp_path, om([node(n, "float32") for n in names]))
    assert found.survives
    assert found.endings[0].gap == 0.0


def test_values_whose_type_only_the_runtime_tells_are_rounded_too(tmp_path: Path) -> None:
    import onnx

    steps = [
        ("Mul", "/enlarge", ["obs", "many"], "enlarged"),
        ("Gelu", "/gelu", ["enlarged"], "bent"),
        ("Mul", "/again", ["bent", "two"], "doubled"),
        ("Div", "/reduce", ["doubled", "many"], "action"),
    ]
    path = graph(tmp_path, steps, {"many": 10000.0, "two": 10.0}, domains={"/gelu": "com.microsoft"})
    assert not onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph.value_info[1:]
    found = predict(path, cases(), tmp_path / "work")
    assert found.values == 4
    assert found.unknown == 0
    assert kinds(found)["overflow"] == "Mul /again"


def test_the_rounded_copy_leaves_the_file_alone(tmp_path: Path) -> None:
    file = read_onnx(sound(tmp_path))
    before = file.model.SerializeToString()
    copy = rounded(file, lowerable(file))
    assert file.model.SerializeToString() == before
    assert len(copy.model.graph.node) > len(file.model.graph.node)


def test_plain_data_is_stable(tmp_path: Path) -> None:
    path = overflowing(tmp_path)
    first, again = (as_json(predict(path, cases(scale=2.0), tmp_path / w), "p", "c") for w in ("a", "b"))
    assert first == again


@given(arrays(np.float32, 16, elements=st.floats(-1e6, 1e6, width=32)))
def test_what_is_seen_is_what_a_cast_does(values: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    seen = Seen()
    seen.add(values, half.astype(np.float32), "a")
    assert seen.over == seen.broken == int(np.isinf(half).sum())
    assert seen.largest == float(np.abs(values).max())
    if seen.largest <= 2.0**-25:
        assert not half.any()
