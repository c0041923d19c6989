"""Checkpoints of torch read without torch: every made one, hostile ones, and what torch itself writes."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.artifact import recognize
from parity.checkpoint import tree
from parity.checkpoint.torch_file import read_torch_file
from parity.checkpoint.tree import plain
from parity.checkpoint.weight import Weight, trees
from parity.checkpoint.weights import read_weights
from parity.errors import ArtifactError

MADE = [
    ("dp_workspace.ckpt", "state_dicts.model."),
    ("dp_workspace.ckpt", "state_dicts.ema_model."),
    ("dill_lambda.ckpt", "state_dicts.model."),
    ("namespace.pt", "state_dict."),
    ("legacy_format.pt", "state_dict."),
    ("ref_sd.pt", ""),
]


def same(a: Weight, b: Weight) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype) and a.array.tobytes() == b.array.tobytes()


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "prefix"), MADE)
def test_made_checkpoints_hold_the_reference_state_dict(corpus: Path, name: str, prefix: str) -> None:
    found = read_weights(corpus / "made/checkpoints" / name)
    reference = read_weights(corpus / "made/checkpoints/ref_sd.pt")
    assert len(reference) == 17
    for key, weight in reference.items():
        assert same(found[prefix + key], weight), key


@pytest.mark.corpus
def test_the_reference_state_dict_is_what_torch_reads(corpus: Path) -> None:
    torch = pytest.importorskip("torch")
    path = corpus / "made/checkpoints/ref_sd.pt"
    expected = torch.load(path, weights_only=True)
    found = read_weights(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        weight = found[name]
        assert weight.shape == tuple(tensor.shape)
        assert weight.dtype == str(tensor.dtype).removeprefix("torch.")
        values = weight.as_float() if weight.dtype == "bfloat16" else weight.array
        want = tensor.float().numpy() if weight.dtype == "bfloat16" else tensor.numpy()
        assert np.array_equal(values, want)


@pytest.mark.corpus
def test_a_whole_module_gives_its_state_dict(corpus: Path) -> None:
    found = read_weights(corpus / "made/checkpoints/whole_module.pt")
    reference = read_weights(corpus / "made/checkpoints/ref_sd.pt")
    assert list(found) == [n for n in reference if n[0].isdigit()]
    assert all(same(found[n], reference[n]) for n in found)


@pytest.mark.corpus
def test_the_rest_of_the_made_checkpoints(corpus: Path) -> None:
    base = corpus / "made/checkpoints"
    arrays = read_weights(base / "numpy.pt")
    assert np.array_equal(arrays["a"].array, read_weights(base / "ref_sd.pt")["0.weight"].array)
    assert arrays["np_scalar"].array == 2.5
    for name in ("lightning_plain.ckpt", "lightning_ns.ckpt", "lightning_omegaconf.ckpt"):
        assert sorted(read_weights(base / name)) == ["state_dict.net.bias", "state_dict.net.weight"]
    config = plain(read_torch_file(base / "dp_workspace.ckpt").root)["cfg"]
    assert (config["horizon"], config["policy"]["horizon"], config["missing"]) == (16, "${horizon}", "???")
    assert config["shape_meta"]["obs"]["image"]["shape"] == [3, 96, 96]
    assert plain(read_torch_file(base / "namespace.pt").root)["args"] == {"lr": 1e-3, "layers": [1, 2], "path": "/x"}


@pytest.mark.corpus
def test_a_checkpoint_with_an_optimizer_gives_weights_only(corpus: Path) -> None:
    found = read_weights(corpus / "made/checkpoints/dp_workspace.ckpt")
    assert {t: len(w) for t, w in trees(found).items()} == {"model": 17, "ema_model": 17}
    rsl = read_weights(corpus / "made/rsl-rl/model_rsl551.pt")
    assert set(trees(rsl)) == {"actor_state_dict", "critic_state_dict"}
    assert [n for n, w in rsl.items() if w.statistics and n.startswith("actor")] == [
        f"actor_state_dict.obs_normalizer.{n}" for n in ("_mean", "_var", "_std", "count")
    ]


@pytest.mark.corpus
def test_real_files_that_torch_refuses(corpus: Path) -> None:
    found = read_weights(corpus / "unsafe_pickle/2b58de6f_model_400_model_only.pt")
    assert [w.shape for w in found.values()][:2] == [(512, 705), (512,)]
    stats = read_weights(corpus / "lerobot_stats/c34e6a94_stats.pth")
    assert "observation.state.mean" in stats
    assert read_weights(corpus / "tensor_dumps/c80703bc_invalid_logprob_0.pt")["log_probs"].shape == (1, 10240)


class Storage:
    """Pickles as torch's reference to a storage."""

    def __init__(self, key: str, count: int) -> None:
        self.id = ("storage", Named("torch", "FloatStorage"), key, "cpu", count)


class Named:
    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Tensor:
    def __init__(self, storage: Storage, offset: Any, shape: Any, strides: Any) -> None:
        self.args = (storage, offset, shape, strides, False, {})


class _Pickler(pickle._Pickler):  # type: ignore[misc]  # the one in Python can be taught to write any name
    def persistent_id(self, obj: Any) -> Any:
        return obj.id if isinstance(obj, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(obj.args)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


def torch_zip(path: Path, root: Any, storages: dict[str, bytes]) -> Path:
    """Write what torch.save would have written, had it been asked to write such a thing."""
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(root)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", buffer.getvalue())
        for key, data in storages.items():
            z.writestr(f"archive/data/{key}", data)
    return path


def test_a_tensor_is_read(tmp_path: Path) -> None:
    data = np.arange(12, dtype=np.float32)
    view = Tensor(Storage("0", 12), 1, (3, 2), (4, 1))
    path = torch_zip(tmp_path / "a.pt", {"w": view}, {"0": data.tobytes()})
    assert np.array_equal(read_weights(path)["w"].array, data.reshape(3, 4)[:, 1:3])
    with pytest.raises(ValueError, match="read-only"):
        read_weights(path)["w"].array[0, 0] = 1


@pytest.mark.parametrize(
    ("storage", "offset", "shape", "strides"),
    [
        (Storage("0", 12), 0, (13,), (1,)),
        (Storage("0", 12), 12, (1,), (1,)),
        (Storage("0", 12), -1, (1,), (1,)),
        (Storage("0", 12), 0, (3, 4), (5, 1)),
        (Storage("0", 12), 0, (2**60,), (1,)),
        (Storage("0", 12), 0, (2**60, 2**60), (0, 0)),
        (Storage("0", 12), 0, (2**40,), (0,)),
        (Storage("0", 2**60), 0, (12,), (1,)),
        (Storage("0", 13), 0, (12,), (1,)),
        (Storage("1", 12), 0, (12,), (1,)),
        (Storage("../../../../etc/passwd", 12), 0, (1,), (1,)),
        (Storage("0", 12), 0, (3, -4), (4, 1)),
        (Storage("0", 12), 0, (3, 4), (-4, 1)),
        (Storage("0", 12), 0, (3, 4), (4,)),
        (Storage("0", 12), 0, ("3",), (1,)),
        (Storage("0", 12), 0, (True,), (1,)),
        (Storage("0", 12), 0, 5, 1),
        (Storage("0", 12), 0, (1,) * 100, (1,) * 100),
        (Storage("0", 12), 1 << 4000, (1,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, storage: Storage, offset: Any, shape: Any, strides: Any
) -> None:
    path = torch_zip(tmp_path / "a.pt", {"w": Tensor(storage, offset, shape, strides)}, {"0": bytes(48)})
    with pytest.raises(ArtifactError) as e:
        read_weights(path)
    assert str(e.value)


def test_trees_that_repeat_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_VISITED", 20_000)
    loop: dict[str, Any] = {}
    loop["again"] = loop
    loop["w"] = Tensor(Storage("0", 1), 0, (1,), (1,))
    path = torch_zip(tmp_path / "loop.pt", loop, {"0": bytes(4)})
    assert "w" in read_weights(path)
    bomb: Any = [Tensor(Storage("0", 1), 0, (1,), (1,))]
    for _ in range(40):
        bomb = [bomb, bomb]
    path = torch_zip(tmp_path / "bomb.pt", bomb, {"0": bytes(4)})
    with pytest.raises(ArtifactError, match="without end"):
        read_weights(path)
    assert isinstance(plain(read_torch_file(path).root), list)


def test_a_legacy_file_whose_storage_lies(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(6.0)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    at = whole.rindex(struct.pack("<q", 6))
    path.write_bytes(whole[:at] + struct.pack("<q", 2**60) + whole[at + 8 :])
    with pytest.raises(ArtifactError, match="claims"):
        read_weights(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ArtifactError):
        read_weights(path)


def test_what_torch_writes_today(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.randn(6, 5)
    state = {
        "view": base[1:4, ::2],
        "shared": base,
        "transposed": base.t(),
        "expanded": torch.arange(3.0).expand(4, 3),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "complex": torch.randn(2, dtype=torch.complex64),
        "float8": torch.randn(4).to(torch.float8_e4m3fn),
        "uint16": torch.arange(3).to(torch.uint16),
        "float64": torch.randn(2, dtype=torch.float64),
    }
    torch.save(state, tmp_path / "a.pt")
    found = read_weights(tmp_path / "a.pt")
    assert list(found) == list(state)
    for name, tensor in state.items():
        raw = tensor.detach().contiguous()
        assert found[name].array.tobytes() == raw.view(torch.uint8).numpy().tobytes() if raw.dim() else True, name


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["dp_workspace.ckpt", "legacy_format.pt", "numpy.pt", "whole_module.pt", "ref_sd.pt"])
def test_damage_is_refused_or_harmless(corpus: Path, tmp_path: Path, name: str) -> None:
    whole = (corpus / "made/checkpoints" / name).read_bytes()
    rng = random.Random(name)
    path = tmp_path / "damaged.pt"
    for i in range(160):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(rng.choice((1, 1, 4))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(ArtifactError):
            for weight in read_weights(recognize(path)).values():
                assert weight.array.shape == weight.shape


def test_a_number_too_long_to_print_is_refused(tmp_path: Path) -> None:
    path = torch_zip(tmp_path / "a.pt", {"w": Tensor(Storage("0", 12), 1 << 20_000, (1,), (1,))}, {"0": bytes(48)})
    with pytest.raises(ArtifactError):
        read_weights(path)
    root = {1 << 20_000: Tensor(Storage("0", 12), 0, (1,), (1,)), "n": 1 << 20_000}
    path = torch_zip(tmp_path / "b.pt", root, {"0": bytes(48)})
    assert list(read_weights(path)) == ["<int>"]
    assert plain(read_torch_file(path).root)["n"] == "..."
