"""A policy trained here on real episodes of a Unitree G1, exported and replayed: clean, and with planted faults.

Every fault is of the catalogue of deployments that ran and were wrong: it must fail, and be named, with the dimension,
the number and the frame to look at. Identifiers are those of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from g1_policy import STEPS, WIDTH, Trained, export, script, train  # noqa: E402
from replay_release import replay  # noqa: E402

pytestmark = pytest.mark.corpus
After = Callable[[Any, Any], Any]
HAND = list(range(20, 26))  # the right hand: joints between open and closed


@dataclass(frozen=True)
class Fault:
    """A planted fault: what it does to actions, or to what the policy is shown, and how it must be told."""

    after: After | None = None
    before: Callable[[Any], Any] | None = None
    code: str = ""
    words: tuple[str, ...] = ()
    settings: str = ""


def _times(joint: int, gain: float) -> After:
    factor = torch.ones(WIDTH)
    factor[joint] = gain
    return lambda obs, action: action * factor


def _plus(joint: int, offset: float) -> After:
    add = torch.zeros(WIDTH)
    add[joint] = offset
    return lambda obs, action: action + add


def _order(*joints: int) -> list[int]:
    order = list(range(WIDTH))
    for a, b in zip(joints, (*joints[1:], joints[0]), strict=True):
        order[a] = b
    return order


def _half_speed(obs: Any, action: Any) -> Any:
    at = torch.arange(STEPS) * 0.5
    low = at.floor().long()
    part = (at - low)[None, :, None]
    return action[:, low] * (1 - part) + action[:, torch.clamp(low + 1, max=STEPS - 1)] * part


def _inverted(obs: Any, action: Any) -> Any:
    return torch.cat([action[..., : HAND[0]], 1 - action[..., HAND[0] :]], -1)


def _later(obs: Any, action: Any) -> Any:
    return torch.cat([action[:, 1:], action[:, -1:]], 1)


def _deltas(obs: Any, action: Any) -> Any:
    return action - torch.cat([obs[:, None], action[:, :-1]], 1)


PERMUTED = _order(9, 12, 10)
FAULTS: dict[str, Fault] = {
    "L1 default position not synced": Fault(_plus(3, 0.12), code="REPLAY022", words=("kLeftElbow", "0.12")),
    "L2 action scale left out": Fault(_times(10, 0.5), code="REPLAY023", words=("kRightElbow", "0.5")),
    "L5 direction of a joint": Fault(_times(13, -1.0), code="REPLAY020", words=("kRightWristYaw",)),
    "L3 order of joints": Fault(lambda o, a: a[..., PERMUTED], code="REPLAY025", words=("kRightShoulderYaw",)),
    "G5 degrees for radians": Fault(lambda o, a: a * 57.29578, code="REPLAY021", words=("degrees",)),
    "P2 gripper inverted": Fault(_inverted, code="REPLAY027", words=("kRightHand",)),
    "T7 action slice off by one": Fault(_later, code="REPLAY031", words=("1 step",)),
    "T9 half the speed": Fault(_half_speed, code="REPLAY032", words=("0.5",)),
    "A1 deltas for absolute": Fault(_deltas, code="REPLAY035", words=("the change since",)),
    "A3 relative to the state": Fault(lambda o, a: a - o[:, None], code="REPLAY036", words=("minus obs",)),
    "A7 the state given back": Fault(
        lambda o, a: o[:, None].expand(-1, STEPS, -1) + 0 * a, code="REPLAY037", words=("gives back obs",)
    ),
    "N4 never un-normalized": Fault(code="REPLAY024", words=("normalized",)),
    "N13 the observation is ignored": Fault(before=lambda o: 0 * o + 0.3, code="REPLAY07", words=("obs",)),
    "T8 other chunk length": Fault(settings="[replay.sides.ort]\nn_action_steps = 4\n", code="TIME", words=("4", "8")),
    "T9 other control rate": Fault(settings="[replay.sides.ort]\ncontrol_hz = 60\n", code="TIME", words=("60", "30")),
}


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Iterator[Trained]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield train(corpus)
    torch.set_num_threads(threads)


def _replayed(
    trained: Trained, folder: Path, fault: Fault = Fault(), precision: str = "float32", *, scripted: bool = False
) -> dict[str, Any]:
    reference = script(trained, folder / "reference.pt") if scripted else export(trained, folder / "reference.onnx")
    if not (folder / "ort.onnx").exists():
        export(trained, folder / "ort.onnx", fault.after, fault.before)
    toml = folder / "parity.toml"
    toml.write_text(
        f"""[release]
name = "g1"
[reference]
path = "{reference.name}"
[[candidate]]
name = "ort"
path = "ort.onnx"
precision = "{precision}"
[contract.inputs]
obs = {{shape = ["batch", {WIDTH}], dtype = "float32", role = "state"}}
[contract.outputs.action]
shape = ["batch", {STEPS}, {WIDTH}]
role = "action"
units = "rad"
[replay]
dataset = "{trained.dataset}"
episodes = "30:40"
n_action_steps = 8
{fault.settings}"""
    )
    return replay(toml)[1]


def _errors(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [f for f in report["findings"] if f["severity"] in ("error", "warning") and f["code"] != "GATE010"]


def test_the_export_is_clean(trained: Trained, tmp_path: Path) -> None:
    report = _replayed(trained, tmp_path, scripted=True)
    assert report["verdict"] == "PASS", report["reasons"]
    assert _errors(report) == []
    assert report["replay"]["frames"] == report["replay"]["planned"] > 2000


def test_its_float16_conversion_is_clean(trained: Trained, tmp_path: Path) -> None:
    from faults import to_float16

    export(trained, tmp_path / "whole.onnx")
    to_float16(tmp_path / "whole.onnx", tmp_path / "ort.onnx")
    report = _replayed(trained, tmp_path, precision="float16")
    assert report["verdict"] == "PASS", report["reasons"]
    assert _errors(report) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_noticed_and_named(trained: Trained, tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    if name.startswith("N4"):
        policy = trained.policy
        fault = Fault(lambda o, a: (a - policy.action_mean) / policy.action_std, None, fault.code, fault.words)
    report = _replayed(trained, tmp_path, fault)
    if not fault.settings:
        assert report["verdict"] == "FAIL"
    named = [f for f in report["findings"] if f["code"].startswith(fault.code)]
    said = [f"{f['code']} {f['severity']} {f['title']} {f['detail']}" for f in report["findings"]]
    assert named, said
    text = " ".join(f"{f['title']} {f['detail']}" for f in named)
    assert all(w in text for w in fault.words), said
    if not fault.settings:
        assert any("episode" in r and "frame" in r for r in report["reasons"]), report["reasons"]


def test_the_smallest_bias_is_told_in_units(trained: Trained, tmp_path: Path) -> None:
    report = _replayed(trained, tmp_path, Fault(_plus(3, 0.01)))
    assert report["verdict"] == "FAIL"
    assert any("0.01 rad" in r for r in report["reasons"]), report["reasons"]
    assert np.isfinite(next(m["value"] for m in report["measures"] if m["name"] == "bias" and m["dimension"]))
