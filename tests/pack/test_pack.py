"""A release packed into one folder, which runs from there, and what `parity verify` says of changes to it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from damage import damaged
from models import mlp
from parity.cli.shell import run
from parity.errors import ArtifactError, UsageError
from parity.pack.layout import lay_out
from parity.pack.manifest import digest_of, is_inside
from parity.pack.packing import Packed, Request, pack
from parity.pack.verify import verify
from parity.verdict import Verdict


def release(folder: Path, **more: str) -> Path:
    """Write a small release of two folders: a reference, and a candidate with external data and a config beside it."""
    (folder / "train").mkdir(parents=True)
    (folder / "export").mkdir()
    (folder / "rel").mkdir()
    mlp(folder / "train" / "policy.onnx")
    model = onnx.load(str(folder / "train" / "policy.onnx"))
    model.doc_string = "the candidate"
    onnx.save(
        model,
        str(folder / "export" / "policy.onnx"),
        save_as_external_data=True,
        location="policy.onnx.data",
        size_threshold=0,
    )
    (folder / "export" / "config.yaml").write_text("note: lies beside\n")
    text = """
[release]
name = "small"

[reference]
path = "../train/policy.onnx"

[[candidate]]
name = "ort"
path = "../export/policy.onnx"
"""
    (folder / "rel" / "parity.toml").write_text(text + "".join(more.values()))
    return folder / "rel"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    return pack(Request(release(tmp_path / "src"), tmp_path / "packed"))


def codes(folder: Path, sha256: str | None = None) -> set[str]:
    return {f.code for f in verify(folder, sha256).findings if f.severity == "error"}


def test_it_holds_all_that_the_release_needs_and_runs(tmp_path: Path, packed: Packed) -> None:
    shutil.rmtree(tmp_path / "src")
    moved = tmp_path / "elsewhere"
    packed.folder.rename(moved)
    assert {p.relative_to(moved).as_posix() for p in moved.rglob("*") if p.is_file()} == {
        "MANIFEST.json",
        "contract.json",
        "parity.toml",
        "artifacts/train/policy.onnx",
        "artifacts/export/policy.onnx",
        "artifacts/export/policy.onnx.data",
        "artifacts/export/config.yaml",
    }
    assert verify(moved, packed.manifest_sha256).verdict is Verdict.PASS
    assert run(["run", str(moved), "--out", str(tmp_path / "out")]) == 0
    assert verify(moved).verdict is Verdict.PASS  # judging leaves nothing in it
    contract = json.loads((moved / "contract.json").read_text())
    assert contract["inputs"]
    for name in ("contract.json", "parity.toml", "MANIFEST.json"):
        assert str(tmp_path) not in (moved / name).read_text()


def test_a_pass_of_these_bytes_and_committed_code_make_it_signable(tmp_path: Path) -> None:
    folder = release(tmp_path / "src")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    assert run(["run", str(folder)]) == 0
    assert run(["pack", str(folder), "-o", "packed", "--json", "p.json"]) == 0
    manifest = json.loads((tmp_path / "packed" / "MANIFEST.json").read_text())
    assert (manifest["signable"], manifest["not_signable"], manifest["code"]["dirty"]) == (True, [], False)
    assert len(manifest["code"]["commit"]) == 40
    assert json.loads((tmp_path / "packed" / "report.json").read_text())["verdict"] == "PASS"
    told = json.loads((tmp_path / "p.json").read_text())
    assert (told["schema"], told["verdict"], told["findings"]) == (1, "PASS", [])
    assert run(["verify", "packed", "--manifest", told["manifest_sha256"]]) == 0
    report = tmp_path / "reports" / "small" / "report.json"
    # a report within other limits is none of this release
    text = (folder / "parity.toml").read_text()
    waiver = '[[waiver]]\nfinding = "X001"\nreason = "matches nothing"\nowner = "o"\nuntil = 2099-01-01\n'
    (folder / "parity.toml").write_text(text + waiver)
    found = pack(Request(folder, tmp_path / "strict", [report]))
    assert "within the limits of this parity.toml" in " ".join(found.manifest["not_signable"])
    (folder / "parity.toml").write_text(text)
    # the same report does not stand for other bytes
    mlp(tmp_path / "src" / "train" / "policy.onnx", doc="another")
    found = pack(Request(folder, tmp_path / "other", [report]))
    assert not found.manifest["signable"]
    assert "other bytes of reference" in " ".join(found.manifest["not_signable"])
    assert not (tmp_path / "other" / "report.json").exists()


def test_a_dirty_tree_is_refused_for_sign_off(tmp_path: Path) -> None:
    folder = release(tmp_path / "src")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    with (folder / "parity.toml").open("a") as f:
        f.write("\n[cases]\nnominal = 4\n")
    assert run(["pack", str(folder), "-o", "packed"]) == 2
    assert not (tmp_path / "packed").exists()
    assert run(["pack", str(folder), "-o", "packed", "--allow-dirty"]) == 0
    manifest = json.loads((tmp_path / "packed" / "MANIFEST.json").read_text())
    assert (manifest["signable"], manifest["code"]["dirty"]) == (False, True)
    assert any("differs from its commit" in r for r in manifest["not_signable"])


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


def _flip(folder: Path) -> None:
    path = folder / "artifacts/export/policy.onnx.data"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)


def _edited(folder: Path, **fields: Any) -> None:
    path = folder / "MANIFEST.json"
    document = json.loads(path.read_text()) | fields
    path.write_text(json.dumps(document))


def _outside(folder: Path) -> None:
    document = json.loads((folder / "MANIFEST.json").read_text())
    document["files"].append({"path": "../../etc/passwd", "sha256": "0" * 64, "bytes": 1})
    document["digest"] = digest_of(document)
    (folder / "MANIFEST.json").write_text(json.dumps(document))


def _replaced_by_a_link(folder: Path) -> None:
    path = folder / "artifacts/train/policy.onnx"
    shutil.copy(path, folder.parent / "same.onnx")
    path.unlink()
    path.symlink_to(folder.parent / "same.onnx")


CHANGES: dict[str, tuple[Callable[[Path], Any], set[str]]] = {
    "a bit": (_flip, {"PACK010"}),
    "longer": (lambda d: (d / "parity.toml").write_text("# more"), {"PACK010"}),
    "missing": (lambda d: (d / "artifacts/train/policy.onnx").unlink(), {"PACK011"}),
    "added": (lambda d: (d / "artifacts" / "new.py").write_text("1"), {"PACK012"}),
    "no manifest": (lambda d: (d / "MANIFEST.json").unlink(), {"PACK013"}),
    "no JSON": (lambda d: (d / "MANIFEST.json").write_text("{"), {"PACK013"}),
    "nested": (lambda d: (d / "MANIFEST.json").write_text("[" * 100_000), {"PACK013"}),
    "edited": (lambda d: _edited(d, signable=True), {"PACK014"}),
    "a name twice": (
        lambda d: (d / "MANIFEST.json").write_text('{"schema": 1, "schema": 1, "made_by": "parity pack", "files": []}'),
        {"PACK013"},
    ),
    "outside": (_outside, {"PACK016"}),
    "link": (lambda d: (d / "artifacts" / "x").symlink_to("/etc/passwd"), {"PACK015"}),
    "folder link": (lambda d: (d / "artifacts" / "x").symlink_to("/etc"), {"PACK015"}),
    "replaced by a link": (_replaced_by_a_link, {"PACK015"}),
    "pipe": (lambda d: os.mkfifo(d / "artifacts" / "p"), {"PACK015"}),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_is_told(tmp_path: Path, packed: Packed, name: str) -> None:
    change, expected = CHANGES[name]
    assert codes(packed.folder) == set()
    change(packed.folder)
    assert codes(packed.folder) == expected
    assert run(["verify", str(packed.folder), "--json", str(tmp_path / "v.json")]) == 1
    told = json.loads((tmp_path / "v.json").read_text())
    assert (told["schema"], told["verdict"]) == (1, "FAIL")
    assert {f["code"] for f in told["findings"] if f["severity"] == "error"} == expected


def test_a_forged_manifest_is_told_by_its_hash_kept_elsewhere(packed: Packed) -> None:
    folder = packed.folder
    document = json.loads((folder / "MANIFEST.json").read_text())
    document["signable"] = True
    document["digest"] = digest_of(document)
    (folder / "MANIFEST.json").write_text(json.dumps(document))
    assert codes(folder) == set()  # without the hash it cannot be told
    assert codes(folder, packed.manifest_sha256) == {"PACK014"}


def test_what_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    assert run(["verify", str(tmp_path / "absent")]) == 2
    assert run(["verify", str(tmp_path), "--manifest", "abc"]) == 2
    (tmp_path / "file").write_text("x")
    assert run(["verify", str(tmp_path / "file")]) == 2
    assert run(["pack", str(tmp_path / "absent"), "-o", "packed"]) == 2


def test_only_an_earlier_packed_folder_is_replaced(tmp_path: Path, packed: Packed) -> None:
    folder = tmp_path / "src" / "rel"
    pack(Request(folder, packed.folder))
    assert codes(packed.folder) == set()
    (packed.folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        pack(Request(folder, packed.folder))
    assert (packed.folder / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="did not make it"):
        pack(Request(folder, tmp_path / "src"))
    (tmp_path / "empty").mkdir()
    pack(Request(folder, tmp_path / "empty"))
    assert codes(tmp_path / "empty") == set()


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    sha256 = packed.manifest_sha256

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    for name in ("_seal", "_held", "prepare"):
        with monkeypatch.context() as m:
            m.setattr(f"parity.pack.packing.{name}", interrupted)
            assert run(["pack", "src/rel", "-o", str(packed.folder)]) == 3
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        assert codes(packed.folder, sha256) == set()


def test_an_artifact_that_changes_while_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = release(tmp_path / "src")
    original = shutil.copyfile

    def swapped(source: Path, target: Path) -> None:
        original(source, target)
        if Path(source).name == "policy.onnx":
            mlp(Path(target), seed=5)

    monkeypatch.setattr("parity.pack.packing.shutil.copyfile", swapped)
    with pytest.raises(ArtifactError, match="what was packed"):
        pack(Request(folder, tmp_path / "packed"))
    assert not (tmp_path / "packed").exists()


def test_a_graph_without_its_external_data_is_not_packed(tmp_path: Path) -> None:
    folder = release(tmp_path / "src")
    (tmp_path / "src" / "export" / "policy.onnx.data").unlink()
    assert run(["pack", str(folder), "-o", "packed"]) == 2
    assert not (tmp_path / "packed").exists()


def test_a_damaged_manifest_never_passes_for_another(packed: Packed) -> None:
    path = packed.folder / "MANIFEST.json"
    whole = path.read_bytes()
    same = 0
    for data in damaged(whole, random.Random(3), 300):
        path.write_bytes(data)
        try:
            passed = verify(packed.folder).verdict is Verdict.PASS
        except ArtifactError:
            continue
        same += passed
        assert not passed or json.loads(data) == json.loads(whole)
    assert same < 100


def test_programs_factories_and_arguments(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text("def build(weights): ...\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "run.sh").write_text("#!/bin/sh\n")
    np.save(tmp_path / "w.npy", np.ones(2))
    data: dict[str, Any] = {
        "release": {"name": "x"},
        "reference": {"path": "policy:build", "kwargs": {"weights": "w.npy", "mode": "eval"}, "python": "env/python"},
        "candidate": [{"name": "a", "command": ["./tools/run.sh", "w.npy", "{inputs}", "-v"]}],
        "replay": {"dataset": "data"},
    }
    layout = lay_out(data, tmp_path)
    base = f"artifacts/{tmp_path.name}"
    assert layout.data["reference"]["kwargs"] == {"weights": f"{base}/w.npy", "mode": "eval"}
    assert layout.data["candidate"][0]["command"] == ["artifacts/tools/run.sh", f"{base}/w.npy", "{inputs}", "-v"]
    assert set(layout.files) == {"policy.py", "artifacts/tools/run.sh", f"{base}/w.npy"}
    assert {f.code for f in layout.findings} == {"PACK004"}
    assert len(layout.findings) == 3
    assert data["reference"]["kwargs"]["weights"] == "w.npy"  # what was given is as it was


def test_folders_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for place in ("a/out", "b/out"):
        (tmp_path / place).mkdir(parents=True)
        mlp(tmp_path / place / "policy.onnx")
    data = {
        "release": {"name": "x"},
        "reference": {"path": "a/out/policy.onnx"},
        "candidate": [{"name": "c", "path": "b/out/policy.onnx"}],
    }
    assert set(lay_out(data, tmp_path).files) == {"artifacts/out/policy.onnx", "artifacts/out-2/policy.onnx"}


@pytest.mark.parametrize("path", ["/a", "..", "a/../b", "a\\b", "./a", "a//b", "", ".", "MANIFEST.json", "a\0"])
def test_paths_that_a_manifest_may_not_name(path: str) -> None:
    assert not is_inside(path)
    assert is_inside("artifacts/a b/ünïcode.onnx")
