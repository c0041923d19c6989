"""A checkpoint as a whole: who wrote it, its trees, configuration, epoch and step, and what stayed inert."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from parity.artifact import recognize
from parity.checkpoint.checkpoint import read_checkpoint
from parity.checkpoint.weights import read_weights
from parity.contract import read_contract
from parity.errors import ArtifactError

MADE = {  # layout, trees, epoch, step, inert classes
    "checkpoints/dp_workspace.ckpt": ("diffusion_policy", ("model", "ema_model"), 56, 1234, ()),
    "checkpoints/lightning_plain.ckpt": ("lightning", ("state_dict",), 1, 2, ()),
    "checkpoints/lightning_ns.ckpt": ("lightning", ("state_dict",), 1, 2, ()),
    "checkpoints/lightning_omegaconf.ckpt": ("lightning", ("state_dict",), 1, 2, ()),
    "checkpoints/legacy_format.pt": ("state dict", ("state_dict",), None, None, ()),
    "checkpoints/namespace.pt": ("state dict", ("state_dict",), None, None, ()),
    "checkpoints/numpy.pt": ("state dict", ("",), None, None, ()),
    "checkpoints/ref_sd.pt": ("state dict", ("",), None, None, ()),
    "rsl-rl/model_rsl233.pt": (
        "rsl_rl 2",
        ("model_state_dict", "obs_norm_state_dict", "privileged_obs_norm_state_dict"),
        None,
        29,
        (),
    ),
    "rsl-rl/model_rsl330.pt": ("rsl_rl 3", ("model_state_dict",), None, 29, ()),
    "rsl-rl/model_rsl551.pt": ("rsl_rl 4", ("actor_state_dict", "critic_state_dict"), None, 29, ()),
    "rsl-rl/policy_rsl551_jit.pt": ("torchscript", ("",), None, None, ()),
    "lerobot-0.6.1/act_envstate": ("lerobot", ("",), None, None, ()),
}


@pytest.mark.corpus
@pytest.mark.parametrize("name", sorted(MADE))
def test_made_files(corpus: Path, name: str) -> None:
    found = read_checkpoint(corpus / "made" / name)
    assert (found.layout, found.trees, found.epoch, found.step, found.classes) == MADE[name]
    assert found.weights
    assert all(w.array.shape == w.shape for w in found.weights.values())


@pytest.mark.corpus
def test_every_file_of_weights_in_the_corpus_is_read(corpus: Path) -> None:
    suffixes = (".pt", ".pth", ".ckpt", ".safetensors", ".npz")
    files = [p for p in sorted(corpus.rglob("*")) if p.suffix in suffixes and p.is_file() and p.stat().st_size]
    assert len(files) > 80
    for path in files:
        found = read_checkpoint(path)
        assert found.weights, path
        assert all(w.array.shape == w.shape for w in found.weights.values()), path


@pytest.mark.corpus
def test_configuration_is_plain_data_and_unknown_classes_are_listed(corpus: Path) -> None:
    base = corpus / "made/checkpoints"
    config = read_checkpoint(base / "dp_workspace.ckpt").config
    assert config is not None
    assert config["shape_meta"]["action"]["shape"] == [2]
    assert json.loads(json.dumps(config)) == config
    assert read_checkpoint(base / "namespace.pt").config == {"lr": 1e-3, "layers": [1, 2], "path": "/x"}
    assert read_checkpoint(base / "lightning_ns.ckpt").config == {
        "lr": 0.001,
        "dims": [4, 8],
        "cfg": {"a": 1},
        "root": None,
    }
    assert "dill._dill._create_function" in read_checkpoint(base / "dill_lambda.ckpt").classes
    assert "torch.nn.modules.linear.Linear" in read_checkpoint(base / "whole_module.pt").classes


class Workspace:
    """Pickles as diffusion_policy's own workspaces do."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def zipped(path: Path, root: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", pickle.dumps(root, 2))
    return path


@pytest.mark.parametrize("how", ["zip", "plain"])
def test_a_whole_workspace_is_refused_with_what_to_use_instead(tmp_path: Path, how: str) -> None:
    root = Workspace(cfg={"horizon": 16}, _output_dir="/out", _saving_thread=None, global_step=3, epoch=1)
    path = tmp_path / "run" / "snapshots" / "latest.pkl"
    zipped(path, root)
    if how == "plain":
        path.write_bytes(pickle.dumps(root, 4))
    for read in (read_checkpoint, read_contract):
        with pytest.raises(ArtifactError) as e:
            read(path)
        assert "Workspace" in str(e.value)
        assert str(tmp_path / "run" / "checkpoints" / "latest.ckpt") in str(e.value)


def test_numbers_pickled_once_more(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "a.ckpt",
        {
            "cfg": {"training": {"use_ema": True}},
            "state_dicts": {"ema_model": {"w": np.ones(2, np.float32)}},
            "pickles": {"global_step": pickle.dumps(7), "epoch": b"garbage"},
        },
    )
    found = read_checkpoint(path)
    assert (found.step, found.epoch, found.uses_ema, found.trees) == (7, None, True, ("ema_model",))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bytes(5000), "half-written"),
        (pickle.dumps({"a": [1] * 50}, 4)[:-9], "half-written"),
        (b"PK\x03\x04" + bytes(200), "half-written"),
    ],
)
def test_unfinished_files_are_named_as_such(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "latest.ckpt"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=words) as e:
        read_checkpoint(path)
    assert "what to do" in str(e.value)


@pytest.mark.corpus
def test_every_truncation_of_a_torch_zip_is_half_written(corpus: Path, tmp_path: Path) -> None:
    whole = (corpus / "made/checkpoints/ref_sd.pt").read_bytes()
    path = tmp_path / "latest.ckpt"
    for n in range(600, len(whole), 97):
        path.write_bytes(whole[:n])
        with pytest.raises(ArtifactError, match="half-written"):
            read_checkpoint(path)


def test_a_pickle_that_unpacks_to_more_than_its_file_is_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 30_000_000 + b"N.")
    with pytest.raises(ArtifactError, match="unpacks to"):
        read_checkpoint(path)


def test_a_storage_that_unpacks_to_much_more_than_its_file_is_a_bomb(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(17 << 20)}, tmp_path / "a.pt")  # 68 MB
    with zipfile.ZipFile(tmp_path / "a.pt") as z, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as b:
        for name in z.namelist():
            b.writestr(name, z.read(name), compresslevel=1)
    weight = read_weights(tmp_path / "b.pt")["w"]
    with pytest.raises(ArtifactError, match="unpacks to"):
        weight.load()


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "f": np.asfortranarray(np.ones((2, 3)) * [[1], [2]])}
    arrays["big"] = np.arange(4, dtype=">i4")
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    for name in ("a.npz", "b.npz"):
        found = read_weights(tmp_path / name)
        assert list(found) == list(arrays)
        assert all(np.array_equal(found[k].array, v) for k, v in arrays.items())
    assert [found[k].dtype for k in found] == ["float32", "float64", "int32"]


@pytest.mark.parametrize("what", ["objects", "claim", "record"])
def test_an_npz_that_lies_is_refused(tmp_path: Path, what: str) -> None:
    header = {
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        "claim": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
        "record": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
    }[what].encode()
    entry = io.BytesIO()
    entry.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as z:
        z.writestr("w.npy", entry.getvalue())
    with pytest.raises(ArtifactError, match="the array 'w'"):
        read_weights(tmp_path / "a.npz")


def sharded(folder: Path, weight_map: dict[str, str] | None = None) -> Path:
    save_file({"a": np.ones(3, np.float32)}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": np.zeros((2, 2), np.float16)}, folder / "model-00002-of-00002.safetensors")
    named = weight_map or {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 20}, "weight_map": named}))
    return index


def test_safetensors_in_several_files(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    for source in (index, tmp_path):
        found = read_weights(recognize(source))
        assert {k: (w.shape, w.dtype) for k, w in found.items()} == {"a": ((3,), "float32"), "b": ((2, 2), "float16")}
        assert found["a"].array.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "../model-00001-of-00002.safetensors"},
        {"a": "/etc/passwd"},
        {"a": "absent.safetensors"},
        {"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"},
        {"c": "model-00002-of-00002.safetensors"},
    ],
)
def test_an_index_that_does_not_agree_with_its_files(tmp_path: Path, weight_map: dict[str, str]) -> None:
    index = sharded(tmp_path, weight_map)
    with pytest.raises(ArtifactError):
        read_weights(index)


def test_the_step_of_a_lerobot_checkpoint(tmp_path: Path) -> None:
    policy, state = tmp_path / "025000" / "pretrained_model", tmp_path / "025000" / "training_state"
    policy.mkdir(parents=True)
    state.mkdir()
    save_file({"a": np.ones(3, np.float32)}, policy / "model.safetensors")
    (policy / "config.json").write_text('{"type": "act"}')
    (state / "training_step.json").write_text('{"step": 25000}')
    for source in (policy, policy.parent):
        found = read_checkpoint(source)
        assert (found.layout, found.step, found.config) == ("lerobot", 25000, {"type": "act"})
