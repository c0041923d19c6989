"""Artifacts are recognized by their content, and the hash covers every byte that makes one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.artifact import Artifact, digest, files_of, is_factory, looks_like_onnx, recognize
from parity.errors import ArtifactError

BY_SUFFIX = {
    ".json": "json",
    ".jsonl": "json",
    ".yaml": "yaml",
    ".safetensors": "safetensors",
    ".onnx": "onnx",
    ".om": "om",
    ".hdf5": "hdf5",
    ".npz": "npz",
    ".ckpt": "checkpoint",
    ".pth": "checkpoint",
}


def zipped(*names: str) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as z:
        for name in names:
            z.writestr(name, b"x")
    return raw.getvalue()


def is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as z:
        return any(n.endswith("constants.pkl") for n in z.namelist())


@pytest.mark.corpus
def test_every_file_of_the_corpus_is_what_it_is(corpus: Path) -> None:
    seen: dict[str, int] = {}
    for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
        if path.suffix == ".pt":
            wanted = "torchscript" if is_torchscript(path) else "checkpoint"
        elif path.suffix in BY_SUFFIX:
            wanted = BY_SUFFIX[path.suffix]
        else:  # parquet, TensorFlow graphs, raw bytes, Python, text: nothing that parity takes
            with pytest.raises(ArtifactError):
                recognize(path)
            continue
        assert recognize(path).kind == wanted, path
        seen[wanted] = seen.get(wanted, 0) + 1
    assert {k for k, n in seen.items() if n} == {*BY_SUFFIX.values(), "torchscript"}


@pytest.mark.corpus
def test_content_decides_where_the_suffix_is_wrong(corpus: Path, tmp_path: Path) -> None:
    one_of_each: dict[str, Path] = {}
    for path in sorted(p for p in corpus.rglob("*") if p.suffix in {*BY_SUFFIX, ".pt"} and p.stat().st_size < 2**20):
        one_of_each.setdefault(recognize(path).kind, path)
    assert len(one_of_each) >= 8
    for kind, path in one_of_each.items():
        for suffix in ("", ".bin", ".pt", ".onnx"):
            (copy := tmp_path / f"x{suffix}").write_bytes(path.read_bytes())
            assert recognize(copy).kind == kind, (path, suffix)


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b'{"a": 1}', "x", "json"),
        (b"[1]", "x", "json"),
        (b"{", "x", "json"),
        (b"null", "x.json", "json"),
        (b'\xef\xbb\xbf{"a": 1}', "x", "json"),
        (b'{"a": "' + "é".encode() * 4000, "x", "json"),
        (b"a: 1\n", "x", "yaml"),
        (b"# comment\n\nshape_meta: &m\n", "x", "yaml"),
        (b"- a\n- b\n", "x", "yaml"),
        (b"---\nfoo", "x", "yaml"),
        (b"x", "x.yaml", "yaml"),
        (b"{a: 1}", "x.yml", "yaml"),
        (b"\x02\0\0\0\0\0\0\0{}", "x", "safetensors"),
        (b"\xff\xff\0\0\0\0\0\0" + b'{"a":', "x", "safetensors"),
        (b"\x80\x02}q\x00.", "x", "checkpoint"),
        (b"\x80\x04\x95", "x", "checkpoint"),
        (b"IMOD\0\0", "x", "om"),
        (b"<?xml version='1.0'?><net/>", "x", "openvino"),
        (b"\x93NUMPY\x01\0", "x", "npy"),
        (b"\x08\x08\x12\x07pytorch:", "x", "onnx"),
        (b"garbage", "x.onnx", "onnx"),
        (zipped("a/data.pkl", "a/constants.pkl", "a/code/x.py"), "x", "torchscript"),
        (zipped("a/data.pkl", "a/data/0", "a/version"), "x", "checkpoint"),
        (zipped("a/archive_format", "a/models/model.json"), "x", "pt2"),
        (zipped("serialized_exported_program.json"), "x", "pt2"),
        (zipped("a.npy", "b.npy"), "x", "npz"),
        (zipped("manifest.json", "data/model.om"), "x", "om2"),
    ],
)
def test_by_content(tmp_path: Path, content: bytes, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert recognize(tmp_path / name) == Artifact(tmp_path / name, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty (0 bytes)"),
        (b"x", "not recognized"),
        (b"\x00", "not recognized"),
        (b"\x80", "not recognized"),
        (b"\x08", "not recognized"),
        (b"PK\x03\x04", "cannot be opened"),
        (zipped("a/data.pkl")[:-5], "cannot be opened"),
        (zipped("readme.txt"), "no known kind (holds readme.txt)"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file that cannot be opened"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "git lfs pull --include x"),
        (b"<!DOCTYPE html>\n<html>", "web page"),
        (b"<html>", "web page"),
        (b"import os\nx: int = 3\n", "not recognized"),
        (b"Apache License\nVersion: 2\n", "not recognized"),
        (b"PAR1\x15\x04", "not recognized"),
        (b"\n:\n\x01s\x12\x0bPlaceholder", "not recognized"),
        (b"\xff\xfe{\0}\0", "not recognized"),
    ],
)
def test_what_is_none_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ArtifactError) as e:
        recognize(tmp_path / "x")
    assert said in str(e.value)
    assert str(e.value).startswith(f"{tmp_path / 'x'}: ")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_kind_or_a_message(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("a") / "x"
    path.write_bytes(content)
    try:
        recognize(path)
    except ArtifactError as e:
        message = str(e)
    else:
        return
    assert message.startswith(str(path))


@given(st.binary(max_size=64))
def test_bytes_that_are_no_model_end(head: bytes) -> None:
    assert looks_like_onnx(head) in (True, False)


def test_hdf5_that_is_a_trace_and_that_is_not(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a", "w") as f:
        f.attrs["parity_trace"] = 1
    with h5py.File(tmp_path / "b", "w") as f:
        f["x"] = np.zeros(2)
    assert recognize(tmp_path / "a").kind == "trace"
    assert recognize(tmp_path / "b").kind == "hdf5"


def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        recognize(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="cannot be read"):
        recognize(tmp_path / ("x" * 5000))
    with pytest.raises(ArtifactError, match="cannot be read"):
        recognize("a\0b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="pipe"):
        recognize(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ArtifactError):
        recognize(tmp_path / "loop")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_bytes(b"{}")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArtifactError, match="Permission denied"):
        recognize(tmp_path / "secret")


def test_folders_and_factories(tmp_path: Path) -> None:
    assert recognize(tmp_path).kind == "folder"
    assert list(files_of(recognize(tmp_path))) == []
    assert recognize("package.module:make").kind == "factory"
    assert digest(recognize("package.module:make"))[1] == 0
    assert is_factory("a.b:" + "c" * 5000)
    assert not is_factory("a:b:c")
    assert not is_factory("C:\\x")


def test_one_file_has_its_own_hash(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"{}")
    assert digest(recognize(tmp_path / "x.json")) == (hashlib.sha256(b"{}").hexdigest(), 2)


def tree(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.json").write_bytes(b"{}")
    (folder / "sub" / "b.bin").write_bytes(b"12")
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda d: (d / "a.json").write_bytes(b"[]"),
        lambda d: (d / "sub" / "b.bin").rename(d / "sub" / "c.bin"),
        lambda d: (d / "sub" / "b.bin").rename(d / "b.bin"),
        lambda d: (d / "new").write_bytes(b""),
        lambda d: (d / "a.json").unlink(),
    ],
)
def test_a_folder_changes_its_hash_with_every_part(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    folder = tree(tmp_path / "f")
    sha, size = digest(recognize(folder))
    assert size == 4
    assert digest(recognize(tree(tmp_path / "elsewhere"))) == (sha, 4)
    change(folder)
    assert digest(recognize(folder))[0] != sha


def test_a_tree_is_hashed_as_documented(tmp_path: Path) -> None:
    parts = {"a.json": b"{}", "sub/b.bin": b"12"}
    text = "".join(f"{n}\0{hashlib.sha256(c).hexdigest()}\n" for n, c in sorted(parts.items()))
    assert digest(recognize(tree(tmp_path / "f")))[0] == hashlib.sha256(text.encode()).hexdigest()


def test_links_in_a_folder(tmp_path: Path) -> None:
    folder = tree(tmp_path / "f")
    (folder / "link").symlink_to(folder / "a.json")
    assert len(list(files_of(recognize(folder)))) == 3
    (folder / "broken").symlink_to(folder / "nothing")
    with pytest.raises(ArtifactError, match="leads nowhere"):
        digest(recognize(folder))


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_bytes(b"x")
    assert digest(recognize(folder))[1] == 1


def external(path: Path, location: str, where: str) -> Path:
    """Write an ONNX file with one tensor outside it: an initializer, or a constant inside a branch of an If."""
    from onnx import TensorProto, helper, save

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    inside = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "b", [], [y])
    nodes = {
        "initializer": [helper.make_node("Identity", ["w"], ["y"])],
        "branch": [helper.make_node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)],
    }[where]
    graph = helper.make_graph(nodes, "g", [], [y], [tensor] if where == "initializer" else [])
    save(helper.make_model(graph), path)
    return path


@pytest.mark.parametrize("where", ["initializer", "branch"])
def test_an_onnx_file_includes_its_data(tmp_path: Path, where: str) -> None:
    path = external(tmp_path / "m.onnx", "m.onnx.data", where)
    artifact = recognize(path)
    assert list(files_of(artifact)) == [path]  # what is not there is for the reader to say
    alone = digest(artifact)
    (tmp_path / "m.onnx.data").write_bytes(b"\0\0\0\0")
    assert list(files_of(artifact)) == [path, tmp_path / "m.onnx.data"]
    with_data = digest(artifact)
    assert with_data[0] != alone[0]
    assert with_data[1] == alone[1] + 4
    (tmp_path / "m.onnx.data").write_bytes(b"\0\0\0\1")
    assert digest(artifact)[0] != with_data[0]


@pytest.mark.parametrize("location", ["../out.data", "/etc/hostname", "a/../../out.data"])
def test_data_outside_the_folder_is_not_part_of_it(tmp_path: Path, location: str) -> None:
    (tmp_path / "out.data").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    path = external(tmp_path / "in" / "m.onnx", location, "initializer")
    assert list(files_of(recognize(path))) == [path]


@pytest.mark.corpus
def test_hashes_of_the_corpus_agree_with_its_index(corpus: Path) -> None:
    entries = json.loads((corpus / "index.json").read_text("utf-8"))["entries"]
    files = {
        f["file"]: f["sha256"] for e in entries for f in e["files"] if f.get("sha256") and f.get("size", 0) < 2**20
    }
    checked = 0
    for name, sha in files.items():
        path = corpus / name
        if path.suffix in (".json", ".yaml", ".npz", ".safetensors") and path.is_file():
            assert digest(recognize(path))[0] == sha, name
            checked += 1
    assert checked > 150


def test_a_third_partys_runner_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    engine, pointer, empty = tmp_path / "policy.engine", tmp_path / "lfs.engine", tmp_path / "empty.engine"
    engine.write_bytes(b"ftrt\x00\x01\x02\x03" * 100)
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 5\n")
    empty.touch()
    with pytest.raises(ArtifactError, match="not recognized"):
        recognize(engine)
    assert recognize(engine, foreign=True).kind == "other"
    assert digest(recognize(engine, foreign=True))[1] == 800
    for broken in (pointer, empty, tmp_path / "none"):
        with pytest.raises(ArtifactError):
            recognize(broken, foreign=True)
