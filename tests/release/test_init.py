"""The drafted parity.toml: valid, whatever artifacts call themselves, and understood by parity itself."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parity.release.init as init
from parity.contract import Contract
from parity.contract.toml_text import toml_key, toml_string
from parity.errors import ArtifactError, UsageError
from parity.release.config import parse_config
from parity.release.init import draft
from parity.tensor import TensorSpec
from stats_files import norm_stats

CONTRACTS: dict[str, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def _readers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    CONTRACTS.clear()

    def read(artifact: Any) -> Contract:
        known: dict[str, Any] = {
            "inputs": (TensorSpec("obs", (1, 45)),),
            "outputs": (TensorSpec("actions", (1, 3)),),
            **CONTRACTS.get(artifact.path.name, {}),
        }
        return Contract(artifact.path, artifact.kind, **known)

    monkeypatch.setattr(init, "read_contract", read)
    monkeypatch.chdir(tmp_path)


def onnx(name: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x08\x08")
    return path


def torchscript(name: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("policy/constants.pkl", b"")
    return path


def lerobot(name: str) -> Path:
    Path(name).mkdir(parents=True)
    (Path(name) / "config.json").write_text("{}", encoding="utf-8")
    return Path(name)


def parsed(text: str) -> dict[str, Any]:
    table = tomllib.loads(text)
    if "candidate" in table:
        parse_config(table, "draft")
    return table


def uncommented(text: str) -> str:
    """Return the draft with its commented tables put in force, and the prose between them left out."""
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        lines.append(bare if bare != line and (bare.startswith("[") or " = " in bare.partition("#")[0]) else line)
    return "\n".join(lines)


def test_the_torch_side_is_the_reference_wherever_it_stands() -> None:
    table = parsed(draft([onnx("policy.onnx"), torchscript("policy.pt")]))
    assert table["reference"] == {"runner": "torch", "path": "policy.pt"}
    assert table["candidate"] == [{"name": "ort", "runner": "onnxruntime", "path": "policy.onnx"}]


def test_without_a_torch_side_the_first_is() -> None:
    table = parsed(draft([onnx("b.onnx"), onnx("a.onnx")]))
    assert table["reference"]["path"] == "b.onnx"


def test_a_lerobot_folder_and_a_factory() -> None:
    table = parsed(draft([lerobot("dp_model"), onnx("dp.onnx")]))
    assert table["reference"] == {"runner": "torch", "path": "dp_model"}
    assert table["release"]["name"] == "dp_model"
    table = parsed(draft([Path("policy.net:build"), onnx("dp.onnx")]))
    assert table["reference"] == {"runner": "torch", "path": "policy.net:build"}


def test_a_folder_of_artifacts_stands_for_them() -> None:
    torchscript("export/policy.pt")
    onnx("export/policy.onnx")
    Path("export/README.md").write_text("# read me", encoding="utf-8")
    Path("export/broken.onnx").touch()
    table = parsed(draft([Path("export")]))
    assert table["reference"]["path"] == "export/policy.pt"
    assert [c["path"] for c in table["candidate"]] == ["export/policy.onnx"]
    assert table["release"]["name"] == "export"


def test_candidates_have_names_of_their_own() -> None:
    paths = [torchscript("policy.pt"), onnx("fp32.onnx"), onnx("fp 16.onnx"), onnx("x/fp32.onnx"), onnx("default.onnx")]
    names = [c["name"] for c in parsed(draft(paths))["candidate"]]
    assert names == ["fp32", "fp-16", "fp32-2", "default-2"]


def test_precision_comes_from_the_graph() -> None:
    CONTRACTS["half.onnx"] = {"precision": "float16"}
    CONTRACTS["full.onnx"] = {"precision": "float32"}
    text = draft([torchscript("policy.pt"), onnx("half.onnx"), onnx("full.onnx"), onnx("unknown.onnx")])
    by_name = {c["name"]: c.get("precision") for c in parsed(text)["candidate"]}
    assert by_name == {"half": "float16", "full": "float32", "unknown": None}
    assert "is that meant?" in text


def test_one_artifact_shows_where_the_candidate_goes() -> None:
    text = draft([torchscript("policy.pt")])
    assert "candidate" not in parsed(text)
    assert "# [[candidate]]" in text


def test_the_commented_parts_are_valid_too() -> None:
    text = draft([torchscript("policy.pt"), onnx("policy.onnx")])
    table = parsed(uncommented(text))
    assert table["budgets"] == {"ort": {"actions": {"max_abs": [0.01] * 3, "units": "rad"}}}
    assert table["adapter"] == {"ort": {"rename": {"obs": "observation.state"}}}
    assert table["cases"]["nominal"] == 16
    assert table["stats"]["sources"]
    assert table["waiver"][0]["finding"] == "PREC001"


def test_statistics_beside_the_artifacts_are_to_agree() -> None:
    paths = [torchscript("train/policy.pt"), onnx("deploy/policy.onnx")]
    norm_stats(Path("deploy/norm_stats.json"))
    text = draft(paths)
    assert "stats" not in parsed(text)  # one has nothing to agree with
    assert parsed(uncommented(text))["stats"]["sources"] == ["deploy/norm_stats.json"]
    norm_stats(Path("train/norm_stats.json"))
    Path("train/stats.json").write_text("{}")
    assert parsed(draft(paths))["stats"]["sources"] == ["train/norm_stats.json", "deploy/norm_stats.json"]


def test_what_the_adapter_must_decide_is_written_down() -> None:
    CONTRACTS["dp_model"] = {"inputs": (TensorSpec("state", (1, 7)), TensorSpec("env", (1, 4)))}
    CONTRACTS["dp.onnx"] = {"inputs": (TensorSpec("flat", (1, 11)),)}
    text = draft([lerobot("dp_model"), onnx("dp.onnx")])
    table = parsed(uncommented(text))
    assert table["adapter"] == {"ort": {"inputs": {"flat": ["state", "env"]}}}


def test_a_recorded_reference_brings_its_own_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    with h5py.File("golden.h5", "w") as f:
        f.attrs["parity_trace"] = 1
    text = draft([onnx("policy.onnx"), Path("golden.h5")])
    table = parsed(text)
    assert table["reference"] == {"runner": "recorded", "path": "golden.h5"}
    assert "nominal = " not in text


@pytest.mark.parametrize("name", ["weights.safetensors", "stats.json", "deploy.yaml", "obs.npz"])
def test_what_does_not_run_is_refused(name: str) -> None:
    contents = {
        "weights.safetensors": (2).to_bytes(8, "little") + b"{}",
        "stats.json": b"{}",
        "deploy.yaml": b"a: 1\n",
        "obs.npz": b"",
    }
    Path(name).write_bytes(contents[name])
    if name == "obs.npz":
        with zipfile.ZipFile(name, "w") as z:
            z.writestr("a.npy", b"")
    with pytest.raises(UsageError, match="does not run by itself"):
        draft([Path(name)])


def test_nothing_at_all() -> None:
    Path("empty").mkdir()
    for artifacts in ([], [Path("empty")]):
        with pytest.raises(UsageError, match="nothing that can run"):
            draft(artifacts)
    with pytest.raises(ArtifactError):
        draft([Path("missing.onnx")])


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20).filter(
    lambda s: s not in (".", "..") and len(s.encode()) < 100
)


@given(names, st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_artifacts_call_themselves(tmp_path_factory: pytest.TempPathFactory, name: str, tensor: str) -> None:
    folder = tmp_path_factory.mktemp("d")
    path = folder / f"{name}.onnx"
    path.write_bytes(b"\x08\x08")
    (folder / "b.onnx").write_bytes(b"\x08\x08")
    tensor = tensor.encode("utf-8", "replace").decode()
    CONTRACTS[path.name] = {
        "inputs": (TensorSpec(tensor, (1, 7)), TensorSpec("env", (1, 4))),
        "outputs": (TensorSpec(tensor, (1, 3)),),
        "precision": "float32",
    }
    CONTRACTS["b.onnx"] = {"inputs": (TensorSpec("flat" + tensor, (1, 11)),), "outputs": (TensorSpec(tensor, (1, 3)),)}
    table = parsed(draft([path, folder / "b.onnx"], folder))
    assert table["reference"]["path"] == f"{name}.onnx"
    assert set(table) == {"release", "reference", "candidate"}  # no name can put a table in force


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_toml_strings_and_keys_are_read_as_written(text: str) -> None:
    assert tomllib.loads(f"a = {toml_string(text)}") == {"a": text}
    assert tomllib.loads(f"{toml_key(text)} = 1") == {text: 1}
    assert "\n" not in toml_string(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UsageError, match="no text"):
        toml_string("a\udcff")


def test_a_dataset_among_the_artifacts_is_what_is_replayed(tmp_path: Path) -> None:
    import lerobot_data
    from models import mlp

    for name in ("reference", "ort"):
        mlp(tmp_path / f"{name}.onnx", doc=name)
    lerobot_data.write_v2(tmp_path / "data", lerobot_data.episodes([5, 6]))
    text = draft([tmp_path / "reference.onnx", tmp_path / "ort.onnx", tmp_path / "data"], tmp_path)
    assert parse_config(tomllib.loads(text), "drafted").replay.dataset == "data"
    without = draft([tmp_path / "reference.onnx", tmp_path / "ort.onnx"], tmp_path)
    assert "# [replay]" in without
