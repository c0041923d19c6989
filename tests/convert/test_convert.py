"""Checkpoints converted to inference weights: the right set, bit by bit, with a record, whole or not at all."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import parity.convert.conversion as conversion
from parity.checkpoint.checkpoint import read_checkpoint
from parity.checkpoint.weights import read_weights
from parity.cli.converting import byte_size
from parity.cli.shell import run
from parity.convert.conversion import Conversion, Request, convert
from parity.convert.source_code import source_code
from parity.errors import UsageError
from parity.verdict import Verdict


def codes(found: Conversion) -> set[str]:
    return {f.code for f in found.findings}


def pickled(path: Path, root: Any) -> Path:
    path.write_bytes(pickle.dumps(root, 4))
    return path


def workspace(path: Path, use_ema: bool | None, trees: tuple[str, ...] = ("model", "ema_model")) -> Path:
    weights = {t: {"w": np.full((2, 3), i + 0.5, np.float32)} for i, t in enumerate(trees)}
    cfg: dict[str, Any] = {
        "shape_meta": {"obs": {"state": {"shape": [5]}}, "action": {"shape": [2]}},
        "horizon": 16,
        "n_obs_steps": 2,
        "n_action_steps": 8,
        "policy": {"_target_": "a.B"},
        "training": {} if use_ema is None else {"use_ema": use_ema},
    }
    pickles = {"global_step": pickle.dumps(25000), "epoch": pickle.dumps(7)}
    return pickled(path, {"cfg": cfg, "state_dicts": weights, "pickles": pickles})


@pytest.mark.parametrize(("use_ema", "tree", "value"), [(True, "ema_model", 1.5), (False, "model", 0.5)])
def test_the_weights_that_evaluation_uses_are_taken(tmp_path: Path, use_ema: bool, tree: str, value: float) -> None:
    found = convert(Request(workspace(tmp_path / "a.ckpt", use_ema), tmp_path / "a.safetensors"))
    assert found.verdict is Verdict.PASS
    assert load_file(tmp_path / "a.safetensors")["w"].tolist() == [[value] * 3] * 2
    meta = found.meta
    assert (meta["tree"], meta["step"], meta["epoch"]) == (tree, 25000, 7)
    assert (meta["observation_keys"], meta["action_dim"], meta["n_obs_steps"], meta["horizon"]) == (["state"], 2, 2, 16)
    assert "use_ema" in next(f.title for f in found.findings if f.code == "CONVERT001")
    assert "CONVERT002" in codes(found)
    stored = json.loads(_metadata(tmp_path / "a.safetensors")["parity"])
    assert stored == json.loads(json.dumps(meta))
    assert str(tmp_path) not in json.dumps(stored)


def _metadata(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_where_nothing_tells_the_user_has_to(tmp_path: Path) -> None:
    source = workspace(tmp_path / "a.ckpt", None)
    with pytest.raises(UsageError, match="nothing says which"):
        convert(Request(source, tmp_path / "a.safetensors"))
    assert convert(Request(source, tmp_path / "a.safetensors", tree="model")).meta["tree"] == "model"
    with pytest.raises(UsageError, match="no such weight set"):
        convert(Request(source, tmp_path / "b.safetensors", tree="actor"))


def test_raw_weights_asked_for_where_evaluation_uses_others_are_warned_of(tmp_path: Path) -> None:
    found = convert(Request(workspace(tmp_path / "a.ckpt", True), tmp_path / "a.safetensors", tree="model"))
    told = next(f for f in found.findings if f.code == "CONVERT001")
    assert told.severity == "warning"
    assert "evaluation uses ema_model" in told.title


def test_what_was_converted_still_tells_epoch_and_step(tmp_path: Path) -> None:
    convert(Request(workspace(tmp_path / "a.ckpt", True), tmp_path / "a.safetensors"))
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert (found.epoch, found.step) == (7, 25000)


def test_the_logged_error_comes_along_and_what_is_logged_later_changes_nothing(tmp_path: Path) -> None:
    source, log = workspace(tmp_path / "a.ckpt", True), tmp_path / "logs.json.txt"
    assert convert(Request(source, tmp_path / "a.safetensors")).meta["training_log"] is None
    log.write_text('{"epoch": 7, "global_step": 25000, "train_action_mse_error": 0.25}\n')
    first = convert(Request(source, tmp_path / "a.safetensors")).meta["training_log"]
    assert first == {"file": "logs.json.txt", "train_action_mse_error": 0.25, "epoch": 7, "global_step": 25000}
    log.write_text(log.read_text() + '{"epoch": 8, "global_step": 30000, "train_action_mse_error": 0.125}\n')
    assert convert(Request(source, tmp_path / "a.safetensors")).meta["training_log"] == first


def test_averaged_weights_that_are_missing_are_not_replaced_by_others(tmp_path: Path) -> None:
    source = workspace(tmp_path / "a.ckpt", True, ("model",))
    with pytest.raises(UsageError, match="averaged weights"):
        convert(Request(source, tmp_path / "a.safetensors"))
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.corpus
def test_the_normalizer_of_rsl_rl_2_is_not_left_behind(corpus: Path, tmp_path: Path) -> None:
    found = convert(Request(corpus / "made/rsl-rl/model_rsl233.pt", tmp_path / "a.safetensors"))
    written = read_weights(tmp_path / "a.safetensors")
    assert "obs_norm_state_dict._mean" in written
    assert "actor.0.weight" in written
    assert not any("privileged" in n for n in written)
    assert "obs_norm_state_dict._mean" in found.meta["normalization"]["in_weights"]
    assert found.meta["left_out"] == {"privileged_obs_norm_state_dict": 4}


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/ref_sd.pt",
        "checkpoints/legacy_format.pt",
        "checkpoints/whole_module.pt",
        "checkpoints/numpy.pt",
        "rsl-rl/model_rsl330.pt",
        "rsl-rl/model_rsl551.pt",
        "rsl-rl/policy_rsl551_jit.pt",
        "lerobot-0.3.3-legacy/act_envstate",
        "lerobot-0.4.4/act_envstate",
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_made_files_come_through_bit_by_bit(corpus: Path, tmp_path: Path, name: str, suffix: str) -> None:
    if suffix == ".pth":
        torch = pytest.importorskip("torch")
    target = tmp_path / f"a{suffix}"
    found = convert(Request(corpus / "made" / name, target))
    assert found.verdict is Verdict.PASS
    source = read_weights(corpus / "made" / name)
    if suffix == ".pth":
        loaded = torch.load(target, weights_only=True)
        assert loaded["meta"]["made_by"] == "parity convert"
        names = list(loaded["state_dict"])
    else:
        names = list(read_weights(target))
    written = read_weights(target)
    assert len(names) == found.meta["tensors"]
    for key in names:
        there = written[f"state_dict.{key}" if suffix == ".pth" else key]
        original = next(w for n, w in source.items() if n in (key, f"{found.meta['tree']}.{key}"))
        assert (there.dtype, there.shape) == (original.dtype, original.shape)
        assert there.array.tobytes() == original.array.tobytes()


def test_shared_tensors_are_written_in_full_and_recorded(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(12.0).reshape(3, 4)
    torch.save({"emb": base, "head": base, "view": base[1:], "own": base.clone()}, tmp_path / "a.pt")
    found = convert(Request(tmp_path / "a.pt", tmp_path / "a.safetensors"))
    assert [sorted(g) for g in found.meta["shared"]] == [["emb", "head", "view"]]
    assert "CONVERT003" in codes(found)
    written = load_file(tmp_path / "a.safetensors")
    assert all(np.array_equal(written[n], base.numpy()) for n in ("emb", "head", "own"))
    convert(Request(tmp_path / "a.pt", tmp_path / "a.pth"))
    state = torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]
    assert state["emb"].data_ptr() == state["head"].data_ptr()


def test_a_flipped_bit_in_the_checkpoint_is_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(100.0)}, path)
    assert "CONVERT011" not in codes(convert(Request(path, tmp_path / "a.safetensors")))
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(100, dtype=np.float32).tobytes()) + 40] ^= 1
    path.write_bytes(data)
    assert "CONVERT011" in codes(convert(Request(path, tmp_path / "a.safetensors")))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_casts_round_to_nearest_and_say_how_much(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
    source = pickled(tmp_path / "a.pt", {"w": values, "normalizer.mean": values[0], "n": np.arange(3)})
    found = convert(Request(source, tmp_path / "a.safetensors", dtype=dtype))
    assert found.verdict is Verdict.PASS
    written = read_weights(tmp_path / "a.safetensors")
    assert (written["w"].dtype, written["n"].dtype, written["normalizer.mean"].dtype) == (dtype, "int64", "float32")
    expected = values.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype).astype(np.float64)
    assert np.array_equal(written["w"].as_float().astype(np.float64), expected)
    change = next(f for f in found.findings if f.code == "CONVERT004").evidence["largest_relative_change"]
    assert change <= {"float16": 2**-11, "bfloat16": 2**-8, "float64": 0}[dtype]
    assert (change > 0) == (dtype != "float64")


def test_a_cast_that_would_overflow_writes_nothing(tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pt", {"w": np.array([1e5, 1.0], np.float32), "v": np.ones(2, np.float32)})
    target = tmp_path / "out" / "a.safetensors"
    assert run(["convert", str(source), "-o", str(target), "--dtype", "float16"]) == 1
    assert not list(target.parent.iterdir())
    small = pickled(tmp_path / "b.pt", {"w": np.array([1e-20, 1.0], np.float32)})
    assert "CONVERT006" in codes(convert(Request(small, target, dtype="float16")))


def test_shards_by_size(tmp_path: Path) -> None:
    arrays = {f"w{i}": np.full((10, 10), i, np.float32) for i in range(5)}
    source = pickled(tmp_path / "a.pt", arrays)
    target = tmp_path / "out" / "model.safetensors"
    found = convert(Request(source, target, max_shard=900))
    assert [p.name for p in found.files] == [
        *(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)),
        "model.safetensors.index.json",
    ]
    index = json.loads((target.parent / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 2000
    loaded = {n: load_file(target.parent / f)[n] for n, f in index["weight_map"].items()}
    assert all(np.array_equal(loaded[n], a) for n, a in arrays.items())
    assert all(np.array_equal(w.array, arrays[n]) for n, w in read_weights(target.parent).items())
    convert(Request(source, target, max_shard=1900))
    names = {p.name for p in target.parent.iterdir()}
    assert names == {f"model-0000{i}-of-00002.safetensors" for i in (1, 2)} | {"model.safetensors.index.json"}
    convert(Request(target.parent / "model.safetensors.index.json", tmp_path / "joined.safetensors"))
    assert set(load_file(tmp_path / "joined.safetensors")) == set(arrays)
    convert(Request(source, target))
    assert [p.name for p in target.parent.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("what", ["foreign", "link", "itself", "folder", "shard"])
def test_what_is_not_its_own_is_left_as_it_is(tmp_path: Path, what: str) -> None:
    source = tmp_path / "a.safetensors"
    save_file({"w": np.ones(300, np.float32), "v": np.ones(300, np.float32)}, source)
    target = tmp_path / "out" / "b.safetensors"
    target.parent.mkdir()
    max_shard = None
    if what == "foreign":
        save_file({"w": np.zeros(2, np.float32)}, target)
    elif what == "link":
        target.symlink_to(tmp_path / "nowhere")
    elif what == "folder":
        target.mkdir()
    elif what == "shard":
        save_file({"w": np.zeros(2, np.float32)}, target.with_name("b-00001-of-00002.safetensors"))
        max_shard = 1200
    else:
        target = source
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError):
        convert(Request(source, target, max_shard=max_shard))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not list(tmp_path.rglob("*.part"))


def test_an_earlier_conversion_is_replaced_and_force_replaces_all(tmp_path: Path) -> None:
    source = pickled(tmp_path / "a.pt", {"w": np.ones(2, np.float32)})
    for target in (tmp_path / "a.safetensors", tmp_path / "b.safetensors"):
        convert(Request(source, target))
        first = target.read_bytes()
        convert(Request(source, target))
        assert target.read_bytes() == first  # the same checkpoint, the same bytes
    (tmp_path / "c.safetensors").write_text("mine")
    assert convert(Request(source, tmp_path / "c.safetensors", force=True)).verdict is Verdict.PASS


@pytest.mark.parametrize("how", [KeyboardInterrupt, OSError(28, "No space left on device"), "differs"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_failure_on_the_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, suffix: str
) -> None:
    if suffix == ".pth":
        pytest.importorskip("torch")
    source = pickled(tmp_path / "a.pt", {"w": np.ones(2, np.float32)})
    target = tmp_path / "out" / f"a{suffix}"
    convert(Request(source, target))
    before = target.read_bytes()

    def read_back(path: Path, tensors: Any, prefix: str = "") -> list[str]:
        if how != "differs":
            raise how
        data = bytearray(path.read_bytes())
        at = data.rindex(np.ones(2, np.float32).tobytes())
        data[at] ^= 1
        path.write_bytes(data)
        return original(path, tensors, prefix)

    original = conversion.read_back
    monkeypatch.setattr(conversion, "read_back", read_back)
    code = run(["convert", str(source), "-o", str(target)])
    assert code == (1 if how == "differs" else 3)
    assert [p.name for p in target.parent.iterdir()] == [target.name]
    assert target.read_bytes() == before


def test_torch_is_asked_for_in_words_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    source = pickled(tmp_path / "a.pt", {"w": np.ones(2, np.float32)})
    with pytest.raises(UsageError, match="torch, which is not installed") as e:
        convert(Request(source, tmp_path / "a.pth"))
    assert ".safetensors" in str(e.value)
    assert convert(Request(source, tmp_path / "a.safetensors")).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "words",
    [
        ["a.pt", "-o", "a.onnx"],
        ["a.pt", "-o", "a.pth", "--max-shard-size", "1GB"],
        ["a.pt", "-o", "a.safetensors", "--max-shard-size", "much"],
        ["absent.pt", "-o", "a.safetensors"],
        ["a.pt", "-o", "a.safetensors", "--code", "."],
        ["a.pt"],
    ],
)
def test_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    pickled(tmp_path / "a.pt", {"w": np.ones(2, np.float32)})
    assert run(["convert", *words]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_sizes() -> None:
    assert [byte_size(t) for t in ("1000", "5GB", "64MiB", "1.5kB", "2 T")] == [
        1000,
        5 * 10**9,
        64 << 20,
        1500,
        2 * 10**12,
    ]
    for text in ("", "GB", "-1", "0", "1XB", "1e9"):
        with pytest.raises(UsageError):
            byte_size(text)


def test_json_holds_schema_verdict_and_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = workspace(tmp_path / "a.ckpt", True)
    assert run(["convert", str(source), "-o", str(tmp_path / "a.safetensors"), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["verdict"], found["meta"]["tree"]) == (1, "PASS", "ema_model")
    assert found["files"][0]["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    assert {f["code"] for f in found["findings"]} >= {"CONVERT001"}


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def test_the_commit_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert source_code(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("1")
    with pytest.raises(UsageError, match="commit"):
        source_code(tmp_path)
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-qm", "x")
    clean = source_code(tmp_path)
    assert clean is not None
    assert (len(clean.commit), clean.dirty) == (40, False)
    (tmp_path / "train.py").write_text("2")
    dirty = source_code(tmp_path)
    assert dirty is not None
    assert dirty.changed == (" M train.py",)
    source = workspace(tmp_path / "a.ckpt", True)
    meta = convert(Request(source, tmp_path / "a.safetensors", code=dirty)).meta
    assert meta["code"] == {"commit": clean.commit, "dirty": True}
