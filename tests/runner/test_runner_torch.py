"""The torch runner: eval mode, state, variants, names, and what it tells of each kind of artifact."""

from __future__ import annotations

import hashlib
import inspect
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from parity.errors import ArtifactError, RunnerError
from parity.tensor import TensorSpec
from runs import block, factory, opened


class Dropped(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.linear(x))


class Recurrent(torch.nn.Module):
    """An LSTM that keeps its state in buffers, as exporters of legged robots write it."""

    def __init__(self, left_over: bool = False) -> None:
        super().__init__()
        self.memory = torch.nn.LSTM(4, 3)
        self.register_buffer("hidden", torch.full((1, 1, 3), 0.5 if left_over else 0.0))
        self.register_buffer("cell", torch.zeros(1, 1, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, (h, c) = self.memory(x.unsqueeze(0), (self.hidden, self.cell))
        self.hidden[:] = h
        self.cell[:] = c
        return out.squeeze(0)

    @torch.jit.export
    def reset_memory(self) -> None:
        self.hidden[:] = 0.0
        self.cell[:] = 0.0


class Counting(torch.nn.Module):
    """Keeps its state in an attribute that it assigns, and has no reset."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(1, 4))
        self.step = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = self.last * 0.5 + x
        self.step += 1
        return self.last + self.step


class Two(torch.nn.Module):
    def forward(self, state: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return state.sum() - image.sum() * torch.ones(1, 2)


def script(module: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_train_mode_is_left_and_told(tmp_path: Path) -> None:
    path = script(Dropped().train(), tmp_path / "p.pt")
    with opened("torch", path, tmp_path) as session:
        result = session.run(block(4), repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        assert session.info.environment["training_flag"] == "train, set to eval"
        assert any("train mode" in n for n in session.info.notes)


def test_eval_mode_says_nothing(tmp_path: Path) -> None:
    with opened("torch", script(Dropped().eval(), tmp_path / "p.pt"), tmp_path) as session:
        assert session.info.environment["training_flag"] == "eval"
        assert session.info.notes == ()


def test_random_operation_is_seen_and_named(tmp_path: Path) -> None:
    class Noisy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.randn_like(x)

    with opened("torch", script(Noisy(), tmp_path / "p.pt"), tmp_path) as session:
        result = session.run(block(2), repeat=True)
        assert result.repeat_differs["output_0"] > 0
        assert session.info.environment["random_ops"] == ["aten::randn_like"]


@pytest.mark.parametrize("left_over", [False, True])
def test_recurrent_state_is_reset_between_cases(tmp_path: Path, left_over: bool) -> None:
    torch.manual_seed(0)
    module = Recurrent(left_over).eval()
    path = script(module, tmp_path / "p.pt")
    data = block(4)
    with opened("torch", path, tmp_path) as session:
        assert session.info.stateful is not None
        assert "hidden" in session.info.stateful
        assert "reset_memory()" in session.info.stateful
        result = session.run(data, repeat=True)
        assert result.repeat_differs == {}
        assert any("left-over" in n for n in session.info.notes) == left_over
    with torch.no_grad():
        for i in range(4):
            module.reset_memory()
            expected = module(torch.from_numpy(data.inputs["x"][i])).numpy()
            np.testing.assert_array_equal(np.asarray(result.outputs["output_0"][i]), expected)


@pytest.mark.parametrize("scripted", [False, True])
def test_assigned_state_without_a_reset_is_put_back(tmp_path: Path, scripted: bool) -> None:
    data = block(3)
    source = "import torch\n" + inspect.getsource(Counting) + "def build():\n    return Counting()\n"
    path = script(Counting(), tmp_path / "p.pt")
    with opened("torch", path, tmp_path) if scripted else factory(tmp_path, source) as session:
        result = session.run(data, repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        assert session.info.stateful is not None
        assert "last" in session.info.stateful
        assert "step" in session.info.stateful
    np.testing.assert_array_equal(np.asarray(result.outputs["output_0"]), data.inputs["x"] + 1)


def test_float64_is_float64(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ELU(), torch.nn.Linear(8, 2)).eval()
    data = block(5)
    with opened("torch", script(module, tmp_path / "p.pt"), tmp_path) as session:
        double = np.asarray(session.run(data, "float64").outputs["output_0"])
        base = np.asarray(session.run(data).outputs["output_0"])
        assert base.dtype == np.float32
        assert double.dtype == np.float64
        with torch.no_grad():
            expected = module.double()(torch.from_numpy(data.inputs["x"]).double()).numpy()
        np.testing.assert_allclose(double, expected, rtol=0, atol=1e-15)
        assert 0 < np.abs(double - base).max() < 1e-6


def test_constants_made_on_the_way_are_float64_too(tmp_path: Path) -> None:
    source = """
    import torch
    class Embedding(torch.nn.Module):
        def forward(self, x):
            return x * torch.exp(torch.arange(4) * -0.7)
    def build():
        return Embedding()
    """
    data = block(2)
    with factory(tmp_path, source) as session:
        double = session.run(data, "float64")
        assert double.failure is None
        expected = data.inputs["x"].astype(np.float64) * np.exp(np.arange(4) * -0.7)
        np.testing.assert_allclose(np.asarray(double.outputs["output_0"]), expected, rtol=1e-14)


def test_float64_that_is_float32_within_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = """
    import torch
    class Narrow(torch.nn.Module):
        def forward(self, x):
            return x.float() * 2
    def build():
        return Narrow()
    """
    with factory(tmp_path, source) as session:
        double = session.run(block(2), "float64")
        assert double.failure is not None
        assert "float64" in double.failure.message
        assert session.run(block(2)).failure is None


@pytest.mark.parametrize("variant", ["no_optimization", "one_thread"])
def test_variants_give_the_same_up_to_rounding(tmp_path: Path, variant: str) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(1, 8, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)).eval()
    data = block(3, x=block(3).inputs["x"][:, :, None])
    with opened("torch", script(module, tmp_path / "p.pt"), tmp_path) as session:
        assert variant in session.info.variants
        base, other = session.run(data), session.run(data, variant)  # type: ignore[arg-type]
        np.testing.assert_allclose(
            np.asarray(base.outputs["output_0"]), np.asarray(other.outputs["output_0"]), rtol=1e-5, atol=1e-6
        )


def test_inputs_go_by_name_where_the_names_fit_and_by_position_else(tmp_path: Path) -> None:
    path = script(Two(), tmp_path / "p.pt")
    one, two = np.ones((1, 1, 3), np.float32), np.full((1, 1, 2), 5, np.float32)
    with opened("torch", path, tmp_path) as session:
        named = session.run(block(1, image=two, state=one))
        np.testing.assert_array_equal(np.asarray(named.outputs["output_0"]), [[[-7, -7]]])
        wrong = session.run(block(1, obs=one, img=two))
        assert wrong.failure is not None
        assert wrong.failure.kind == "input"
        assert "state" in wrong.failure.message
        lacking = session.run(block(1, state=one))
        assert lacking.failure is not None
    specs = (TensorSpec("obs", (1, 3), "float32"), TensorSpec("img", (1, 2), "float32"))
    outputs = (TensorSpec("action", (1, 2), "float32"),)
    with opened("torch", path, tmp_path, inputs=specs, outputs=outputs) as session:
        placed = session.run(block(1, img=two, obs=one))
        np.testing.assert_array_equal(np.asarray(placed.outputs["action"]), [[[-7, -7]]])


class Images(torch.nn.Module):
    """As rsl_rl exports an actor that looks at images: they come as a list."""

    def forward(self, obs_1d: torch.Tensor, obs_2d: list[torch.Tensor]) -> torch.Tensor:
        return obs_1d + obs_2d[0].sum(dim=(1, 2, 3))[:, None]


def test_an_argument_that_is_a_list_of_tensors_gets_a_list_of_one(tmp_path: Path) -> None:
    torch.jit.script(Images()).save(str(tmp_path / "p.pt"))
    flat, image = np.ones((2, 1, 3), np.float32), np.arange(48, dtype=np.float32).reshape(2, 1, 1, 4, 6)
    with opened("torch", tmp_path / "p.pt", tmp_path) as session:
        result = session.run(block(2, obs_1d=flat, obs_2d=image))
    assert result.failure is None
    expected = flat + image.sum(axis=(2, 3, 4))[:, :, None]
    np.testing.assert_array_equal(result.outputs["output_0"], expected)


def test_outputs_of_every_form(tmp_path: Path) -> None:
    source = """
    import torch
    def build(form):
        def policy(x):
            if form == "dict":
                return {"action": x, "value": x.sum()}
            if form == "tuple":
                return x, [x.sum()][0], None
            if form == "bfloat16":
                return x.bfloat16()
            if form == "empty":
                return x[:, :0]
            if form == "ragged":
                return x[:, : int(x[0, 0])]
            return "text"
        return policy
    """
    x = np.array([[[1, 2, 3, 4]], [[3, 2, 3, 4]]], np.float32)
    with factory(tmp_path, source, kwargs={"form": "dict"}) as session:
        assert {n: np.shape(a) for n, a in session.run(block(2, x=x)).outputs.items()} == {
            "action": (2, 1, 4),
            "value": (2,),
        }
    with factory(tmp_path, source, kwargs={"form": "tuple"}) as session:
        assert list(session.run(block(2, x=x)).outputs) == ["output_0", "output_1"]
    with factory(tmp_path, source, kwargs={"form": "bfloat16"}) as session:
        assert np.asarray(session.run(block(2, x=x)).outputs["output_0"]).dtype == np.float32
    with factory(tmp_path, source, kwargs={"form": "empty"}) as session:
        assert np.shape(session.run(block(2, x=x)).outputs["output_0"]) == (2, 1, 0)
    with factory(tmp_path, source, kwargs={"form": "ragged"}) as session:
        ragged = session.run(block(2, x=x)).outputs["output_0"]
        assert isinstance(ragged, list)
        assert [a.shape for a in ragged] == [(1, 1), (1, 3)]
    with factory(tmp_path, source, kwargs={"form": "text"}) as session:
        failure = session.run(block(2, x=x)).failure
        assert failure is not None
        assert "not a tensor" in failure.message


def test_ragged_outputs_come_back_in_order(tmp_path: Path) -> None:
    source = "def build():\n    return lambda x: x[:, : int(x[0, 0])]\n"
    lengths = [2, 2, 1, 2, 3, 3]
    x = np.array([[[n, 0, 0, 0]] for n in lengths], np.float32)
    with factory(tmp_path, source) as session:
        outputs = session.run(block(6, x=x), repeat=True).outputs["output_0"]
        assert [a.shape[1] for a in outputs] == lengths
        assert [a[0, 0] for a in outputs] == lengths


def test_nan_weights_just_run_and_are_reproducible(tmp_path: Path) -> None:
    source = """
    import torch
    def build():
        module = torch.nn.Linear(4, 2)
        torch.nn.init.constant_(module.weight, float("nan"))
        return module
    """
    with factory(tmp_path, source) as session:
        result = session.run(block(2), repeat=True)
        assert result.failure is None
        assert np.isnan(np.asarray(result.outputs["output_0"])).all()
        assert result.repeat_differs == {}


def test_policy_that_writes_into_its_input_gets_a_fresh_one(tmp_path: Path) -> None:
    source = "def build():\n    return lambda x: x.mul_(2).clone()\n"
    with factory(tmp_path, source) as session:
        assert session.run(block(2), repeat=True).repeat_differs == {}


def test_what_ran_is_told(tmp_path: Path) -> None:
    path = script(Dropped().half().eval(), tmp_path / "p.pt")
    with opened("torch", path, tmp_path) as session:
        info = session.info
        assert info.loaded_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert info.precision == "float16"
        assert info.environment["torch"] == torch.__version__
        assert info.environment["device"] == "cpu"
        assert info.environment["threads"] == 2
        assert "tf32_matmul" in info.environment


def test_cast_inside_the_graph_is_a_lower_class(tmp_path: Path) -> None:
    class Cast(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.to(torch.float16).to(torch.float32)

    with opened("torch", script(Cast(), tmp_path / "p.pt"), tmp_path) as session:
        assert session.info.precision == "float16"


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning", "ignore::UserWarning")
def test_quantized_is_int8(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 2)).eval()
    quantized = torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear})
    with opened("torch", script(quantized, tmp_path / "p.pt"), tmp_path) as session:
        assert session.info.precision == "int8"
        assert session.run(block(2)).failure is None


def test_exported_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    path = tmp_path / "p.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 4),)), str(path))
    with opened("torch", path, tmp_path, inputs=(TensorSpec("obs", (1, 4), "float32"),)) as session:
        data = block(3).inputs["x"]
        result = session.run(block(3, obs=data), repeat=True)
        assert result.failure is None
        with torch.no_grad():
            expected = module(torch.from_numpy(data)).numpy()
        np.testing.assert_allclose(np.asarray(result.outputs["output_0"]), expected, rtol=1e-6, atol=1e-7)
        assert session.run(block(3, obs=data), "float64").failure is None


def test_factory_hash_follows_its_source(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    source = "from helper import FACTOR\ndef build():\n    return lambda x: x * FACTOR\n"
    with factory(tmp_path, source) as session:
        before = session.info.loaded_sha256
    with factory(tmp_path, source) as session:
        assert session.info.loaded_sha256 == before
    (tmp_path / "helper.py").write_text("FACTOR = 3\n")
    with factory(tmp_path, source) as session:
        assert session.info.loaded_sha256 != before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("other = 1\n", "no function 'build'"),
        ("def build():\n    return 3\n", "cannot be called"),
        ("def build():\n    raise ValueError('no weights')\n", "no weights"),
        ("def build(:\n", "SyntaxError"),
    ],
)
def test_factory_that_does_not_build(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(RunnerError, match=said), factory(tmp_path, source):
        pass


def test_corrupt_torchscript_is_an_error(tmp_path: Path) -> None:
    good, bad = script(Dropped(), tmp_path / "good.pt"), tmp_path / "bad.pt"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"def forward", b"xxx forward"))
    with pytest.raises(RunnerError, match="cannot load"), opened("torch", bad, tmp_path):
        pass


def test_weights_alone_do_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(Dropped().state_dict(), path)
    with pytest.raises(ArtifactError, match=r"package\.module:function"), opened("torch", path, tmp_path):
        pass


def test_device_that_is_not_there(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    path = script(Dropped(), tmp_path / "p.pt")
    with pytest.raises(RunnerError, match="sees none"), opened("torch", path, tmp_path, device="cuda"):
        pass
