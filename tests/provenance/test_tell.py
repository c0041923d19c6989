"""What `parity provenance` says beside the relation: averaged weights, newer steps, ties, adapters, names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parity.cli import main
from parity.provenance.origin import trace
from parity.provenance.tell import findings_of, sentence

torch = pytest.importorskip("torch")


def policy(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {f"{i}.{n}": torch.randn(s) for i in range(3) for n, s in (("weight", (24, 24)), ("bias", (24,)))}


def workspace(step: int, *, use_ema: bool = True, seed: int = 0) -> dict[str, Any]:
    model = {n: t + 0.01 * step for n, t in policy(seed).items()}
    averaged = {n: t + 0.001 for n, t in model.items()}
    states = {"model": model, "ema_model": averaged, "optimizer": {"state": {0: {"exp_avg": model["0.weight"]}}}}
    return {"cfg": {"training": {"use_ema": use_ema}}, "state_dicts": states, "global_step": step}


@pytest.fixture
def run(tmp_path: Path) -> list[Path]:
    """Three checkpoints of a training run."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    found = []
    for step in (20_000, 25_000, 30_000):
        found.append(tmp_path / "run" / "checkpoints" / f"{step}.ckpt")
        torch.save(workspace(step), found[-1])
    return found


def export(path: Path, state: dict[str, Any]) -> Path:
    torch.save({n: t.mT.contiguous() if t.dim() == 2 else t for n, t in state.items()}, path)
    return path


def said(exported: Path, checkpoints: list[Path]) -> tuple[str, dict[str, str]]:
    found = trace(exported, checkpoints)
    return sentence(found), {f.code: f.title for f in findings_of(found)}


def test_the_averaged_weights_of_an_older_step(run: list[Path], tmp_path: Path) -> None:
    exported = export(tmp_path / "policy.pt", workspace(25_000)["state_dicts"]["ema_model"])
    words, codes = said(exported, run)
    assert words == f"Made from {run[1]} (step 25,000), from `ema_model`; {run[2]} (step 30,000) is newer."
    assert "PROV008" in codes
    assert "PROV007" not in codes
    assert "is newer" not in said(exported, run[:2])[0]


def test_raw_weights_in_place_of_averaged(run: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported = export(tmp_path / "policy.pt", workspace(30_000)["state_dicts"]["model"])
    words, codes = said(exported, run)
    assert words == f"Made from {run[2]} (step 30,000), from `model`; evaluation uses `ema_model`."
    assert "training.use_ema is true" in codes["PROV007"]
    assert main(["provenance", str(exported), *map(str, run)]) == 0  # MATCH, and a warning
    assert main(["provenance", str(exported), *map(str, run), "--strict"]) == 1
    capsys.readouterr()
    torch.save(workspace(30_000, use_ema=False), run[2])
    assert "PROV007" not in said(exported, run)[1]


def test_weight_sets_that_are_the_same_are_a_tie_and_no_fault(run: list[Path], tmp_path: Path) -> None:
    same = workspace(30_000)
    same["state_dicts"]["ema_model"] = same["state_dicts"]["model"]
    torch.save(same, run[2])
    torch.save(same, tmp_path / "copy.ckpt")
    words, codes = said(export(tmp_path / "policy.pt", same["state_dicts"]["model"]), [run[2], tmp_path / "copy.ckpt"])
    assert "3 others match equally" in words
    assert "evaluation uses" not in words
    assert "copy.ckpt" in codes["PROV010"]
    assert "PROV007" not in codes


def test_a_folder_stands_for_the_checkpoints_in_it(
    run: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(workspace(100_000), run[0].with_name("100000.ckpt"))
    (run[0].parent / "notes.txt").write_text("no checkpoint")
    exported = export(tmp_path / "policy.pt", workspace(25_000)["state_dicts"]["ema_model"])
    assert main(["provenance", str(exported), str(run[0].parent), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [c["step"] for c in document["candidates"][::2]] == [20_000, 25_000, 30_000, 100_000]
    (tmp_path / "empty").mkdir()
    assert main(["provenance", str(exported), str(tmp_path / "empty")]) == 2


def test_an_optimizers_state_is_not_looked_into(run: list[Path], tmp_path: Path) -> None:
    moment = workspace(30_000)["state_dicts"]["optimizer"]["state"][0]["exp_avg"]
    torch.save({"moment": moment + 1}, tmp_path / "p.pt")
    assert trace(tmp_path / "p.pt", [run[2]]).best.outcome.relation != "MATCH"


def test_a_checkpoint_with_several_sets_is_found_whole(run: list[Path]) -> None:
    found = trace(run[1], [run[0], run[1]])
    assert (found.best.source.name, found.best.outcome.relation) == (str(run[1]), "MATCH")
    assert found.best.tree == "model+ema_model"


def side_by_side(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    encoder, actor = (policy(seed) for seed in (5, 6))
    torch.save({"encoder_state_dict": encoder, "actor_state_dict": actor, "critic_state_dict": policy(7)}, path)
    return encoder, actor


def test_weight_sets_side_by_side_are_one_policy(tmp_path: Path) -> None:
    """An export runs encoder and actor; in the checkpoint each is a state dict of its own."""
    encoder, actor = side_by_side(tmp_path / "run.pt")
    policy_ = {f"{p}.{n}": t for p, state in (("enc", encoder), ("act", actor)) for n, t in state.items()}
    found = trace(export(tmp_path / "policy.pt", policy_), [tmp_path / "run.pt"])
    assert (found.best.outcome.relation, found.best.tree) == ("MATCH", "encoder_state_dict+actor_state_dict")
    policy_["act.0.weight"] = policy_["act.0.weight"] + 1
    found = trace(export(tmp_path / "policy.pt", policy_), [tmp_path / "run.pt"])
    assert found.best.outcome.relation == "PARTIAL"


@pytest.mark.parametrize("told", [True, False])
def test_a_mixture_of_raw_and_averaged_weights_is_neither(tmp_path: Path, told: bool) -> None:
    states = workspace(30_000)["state_dicts"]
    root = {"state_dicts": states} | ({"cfg": {"training": {"use_ema": True}}} if told else {})
    torch.save(root, tmp_path / "run.ckpt")
    mixed = states["ema_model"] | {"0.weight": states["model"]["0.weight"]}
    best = trace(export(tmp_path / "policy.pt", mixed), [tmp_path / "run.ckpt"]).best
    assert (best.outcome.relation, best.tree) == ("PARTIAL", "ema_model")
    assert [f.exported for f in best.outcome.missing] == ["0.weight"]


def test_averaged_weights_in_place_of_raw(run: list[Path], tmp_path: Path) -> None:
    torch.save(workspace(30_000, use_ema=False), run[2])
    words, codes = said(export(tmp_path / "p.pt", workspace(30_000)["state_dicts"]["ema_model"]), [run[2]])
    assert words.endswith("from `ema_model`; evaluation uses `model`.")
    assert "raw ones, `model` (training.use_ema is false)" in codes["PROV007"]


def test_names_that_need_a_prefix_stripped_or_a_rename(tmp_path: Path) -> None:
    state = policy(1)
    torch.save({"state_dict": state}, tmp_path / "base.ckpt")
    torch.save({f"module._orig_mod.{n}": t for n, t in state.items()}, tmp_path / "wrapped.pt")
    found = findings_of(trace(tmp_path / "wrapped.pt", [tmp_path / "base.ckpt"]))
    names = next(f for f in found if f.code == "PROV017")
    assert (names.severity, names.evidence["pairs"]) == ("info", 6)
    assert names.evidence["strip"][0].startswith("module.")
    renamed = {n.replace("1.", "trunk.one."): t for n, t in state.items() if n != "2.bias"}
    torch.save({**renamed, "new": torch.randn(3, 3)}, tmp_path / "renamed.pt")
    found = findings_of(trace(tmp_path / "renamed.pt", [tmp_path / "base.ckpt"]))
    names = next(f for f in found if f.code == "PROV017")
    assert names.severity == "warning"
    assert names.evidence["rename"] == [["trunk.one.", "1.", 2]]
    assert "new" in names.evidence["unexpected"]
    assert "2.bias" in names.evidence["missing"]


def test_another_shape_is_said(tmp_path: Path) -> None:
    state = policy(2)
    torch.save({"state_dict": state}, tmp_path / "base.ckpt")
    torch.save({**state, "0.weight": torch.randn(24, 25)}, tmp_path / "other.pt")
    names = next(f for f in findings_of(trace(tmp_path / "other.pt", [tmp_path / "base.ckpt"])) if f.code == "PROV017")
    assert names.evidence["conflicts"] == [["0.weight", [24, 25], "0.weight", [24, 24]]]


def test_adapters_that_were_not_merged(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(3)
    base, a, b = (torch.randn(s, generator=rng) for s in ((24, 24), (4, 24), (24, 4)))
    state = {"q.base_layer.weight": base, "q.lora_A.default.weight": a, "q.lora_B.default.weight": b}
    torch.save(state, tmp_path / "lora.pt")
    torch.save({"q.weight": base}, tmp_path / "base.pt")
    torch.save({"q.weight": base + 0.5 * b @ a}, tmp_path / "merged.pt")
    codes = {f.code: f for f in findings_of(trace(tmp_path / "base.pt", [tmp_path / "lora.pt"]))}
    assert codes["PROV013"].severity == "error"
    found = trace(tmp_path / "merged.pt", [tmp_path / "lora.pt"])
    assert (found.best.outcome.relation, found.best.outcome.folded) == ("MATCH", 1)
    assert "PROV013" not in {f.code for f in findings_of(found)}
    codes = {f.code: f for f in findings_of(trace(tmp_path / "lora.pt", [tmp_path / "lora.pt"]))}
    assert codes["PROV013"].severity == "warning"


def test_tensors_that_were_never_set(tmp_path: Path) -> None:
    state = {**policy(4), "dead.weight": torch.zeros(8, 8), "nan.weight": torch.full((8, 8), float("nan"))}
    state |= {f"bn.{n}": t for n, t in torch.nn.BatchNorm1d(8).state_dict().items()}
    torch.save(state, tmp_path / "p.pt")
    codes = {f.code: f.title for f in findings_of(trace(tmp_path / "p.pt", [tmp_path / "p.pt"]))}
    assert "dead.weight" in codes["PROV015"]
    assert "bn" in codes["PROV016"]
    assert "nan.weight" in codes["WEIGHT002"]


def test_hostile_names_are_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"\x1b[2J\u202e.weight": torch.randn(20, 20), "a": torch.randn(20, 20)}, tmp_path / "p.pt")
    torch.save({"b": torch.randn(20, 20)}, tmp_path / "q.pt")
    assert main(["provenance", str(tmp_path / "p.pt"), str(tmp_path / "q.pt")]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_nothing_to_be_told_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": torch.zeros(4, 4), "b": torch.arange(3)}, tmp_path / "p.pt")
    torch.save(policy(5), tmp_path / "q.pt")
    assert main(["provenance", str(tmp_path / "p.pt"), str(tmp_path / "q.pt"), "--json", "-"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["best"]["relation"], document["best"]["total"]) == ("NOT_JUDGED",) * 2 + (0,)
