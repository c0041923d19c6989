"""What `parity capture` refuses, one way of tampering a test: nothing is imported, each has a finding."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import stat
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import Change, changed, release, run_script, unpacked
from parity.bundle.asked import bundle_asked
from parity.bundle.capture import capture
from parity.cli.shell import run
from parity.errors import ParityError
from parity.trace import Trace

Entries, Manifest = dict[str, bytes], dict[str, Any]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle and what honestly came back for it."""
    folder = tmp_path_factory.mktemp("honest")
    path = release(folder / "rel")
    assert run(["bundle", str(path), "-o", str(folder / "bundle.zip")]) == 0
    script = unpacked(folder / "bundle.zip", folder / "device")
    assert run_script(script, "-o", str(folder / "results.zip")).returncode == 0
    return folder


def captured(honest: Path, *results: Path, target: Path) -> tuple[int, set[str]]:
    """Return the exit code and the codes of all errors."""
    out = target.with_suffix(".json")
    words = [*map(str, results), "--bundle", str(honest / "bundle.zip"), "-o", str(target), "--json", str(out)]
    code = run(["capture", *words])
    found = json.loads(out.read_text()) if out.exists() else {"findings": [], "trace": None}
    assert target.exists() == (code == 0)
    assert (found["trace"] is None) == (code != 0)
    return code, {f["code"] for f in found["findings"] if f["severity"] == "error"}


def refused(honest: Path, tmp_path: Path, change: Change) -> set[str]:
    """Return the codes for which changed results are refused."""
    results = changed(honest / "results.zip", tmp_path / "changed.zip", change)
    code, codes = captured(honest, results, target=tmp_path / "board.h5")
    assert code == 1
    return codes


def first(manifest: Manifest) -> dict[str, Any]:
    return next(iter(manifest["cases"][0]["outputs"].values()))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_what_was_not_touched_is_taken(honest: Path, tmp_path: Path) -> None:
    def nothing(entries: Entries, manifest: Manifest) -> None:
        pass

    results = changed(honest / "results.zip", tmp_path / "same.zip", nothing)
    assert captured(honest, results, target=tmp_path / "board.h5") == (0, set())


def test_an_output_of_other_values(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        name = first(manifest)["file"]
        entries[name] = entries[name][:-4] + b"\0\0\0\0"

    assert refused(honest, tmp_path, change) == {"CAPT006"}


def test_an_output_cut_short(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        name = first(manifest)["file"]
        entries[name] = entries[name][:-4]

    assert refused(honest, tmp_path, change) == {"CAPT006"}


def test_an_output_that_is_gone(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        del entries[first(manifest)["file"]]

    assert refused(honest, tmp_path, change) == {"CAPT006"}


def test_an_output_of_objects(honest: Path, tmp_path: Path) -> None:
    """A pickle in an output is never loaded, whatever the manifest says of its hash."""

    def change(entries: Entries, manifest: Manifest) -> None:
        told, file = first(manifest), io.BytesIO()
        np.save(file, np.array([[{}, 1, 2]], dtype=object), allow_pickle=True)
        entries[told["file"]] = file.getvalue()
        told.update(sha256=hashlib.sha256(file.getvalue()).hexdigest(), bytes=len(file.getvalue()))

    assert refused(honest, tmp_path, change) == {"CAPT006"}


def test_a_manifest_that_claims_terabytes(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        first(manifest).update(shape=[1 << 40, 3], bytes=3 << 42)

    assert refused(honest, tmp_path, change) == {"CAPT006"}


def test_inputs_that_were_not_those_asked(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["cases"][0]["sha256"] = "0" * 64

    assert refused(honest, tmp_path, change) == {"CAPT002"}


def test_answers_that_were_swapped(honest: Path, tmp_path: Path) -> None:
    """Hashes of outputs agree, but each answers the inputs of the other."""

    def change(entries: Entries, manifest: Manifest) -> None:
        one, other = manifest["cases"][:2]
        one["id"], other["id"] = other["id"], one["id"]

    assert refused(honest, tmp_path, change) == {"CAPT002"}


def test_another_artifact(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["artifact_files"][0]["sha256"] = "1" * 64

    assert refused(honest, tmp_path, change) == {"CAPT001"}


def test_a_case_left_out(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        for told in manifest["cases"].pop()["outputs"].values():
            del entries[told["file"]]

    assert refused(honest, tmp_path, change) == {"CAPT003"}


def test_no_case_at_all(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        entries.clear()
        manifest["cases"] = []

    assert refused(honest, tmp_path, change) == {"CAPT003"}


def test_a_case_answered_twice(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        again = json.loads(json.dumps(manifest["cases"][0]))
        for told in again["outputs"].values():
            entries["outputs/again.npy"] = entries[told["file"]]
            told["file"] = "outputs/again.npy"
        manifest["cases"].append(again)

    assert refused(honest, tmp_path, change) == {"CAPT004"}


def test_results_given_twice(honest: Path, tmp_path: Path) -> None:
    results = honest / "results.zip"
    assert captured(honest, results, results, target=tmp_path / "board.h5") == (1, {"CAPT004"})


def test_a_case_that_nobody_asked(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["cases"][0]["id"] = "nominal-9999"

    assert refused(honest, tmp_path, change) == {"CAPT003", "CAPT005"}


def test_one_file_for_two_outputs(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        one, other = (next(iter(c["outputs"].values())) for c in manifest["cases"][:2])
        del entries[other["file"]]
        other.update(one)

    assert refused(honest, tmp_path, change) == {"CAPT007"}


def test_a_file_that_does_not_belong(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        entries["outputs/more.npy"] = npy(np.zeros(3))

    assert refused(honest, tmp_path, change) == {"CAPT007"}


@pytest.mark.parametrize("name", ["../evil.npy", "/evil.npy", "outputs/../../evil.npy", "outputs\\evil.npy", "C:evil"])
def test_a_path_out_of_the_folder(honest: Path, tmp_path: Path, name: str) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        entries[name] = b"evil"

    assert refused(honest, tmp_path, change) == {"CAPT007"}
    assert not list(tmp_path.parent.rglob("*evil*"))


def test_an_output_that_is_said_to_lie_elsewhere(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.npy").write_bytes(npy(np.zeros((1, 3), np.float32)))

    def change(entries: Entries, manifest: Manifest) -> None:
        del entries[first(manifest)["file"]]
        first(manifest)["file"] = str(tmp_path / "secret.npy")

    assert "CAPT006" in refused(honest, tmp_path, change)


def test_an_output_missing_by_name(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        told = manifest["cases"][0]["outputs"].pop("action")
        manifest["cases"][0]["outputs"]["other"] = told

    assert refused(honest, tmp_path, change) == {"CAPT008"}


@pytest.mark.parametrize(
    "change",
    [
        lambda e, m: m["release"].update(name="other"),
        lambda e, m: m["release"].update(seed=7),
        lambda e, m: m["candidate"].update(name="other"),
        lambda e, m: m.update(bundle_sha256="2" * 64),
    ],
)
def test_results_of_something_else(honest: Path, tmp_path: Path, change: Change) -> None:
    assert refused(honest, tmp_path, change) == {"CAPT009"}


def test_results_of_a_script_that_was_changed(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["script_sha256"] = "3" * 64

    assert refused(honest, tmp_path, change) == {"CAPT013"}


def rewritten(honest: Path, target: Path, write: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> Path:
    """Write the honest results again, every entry by ``write``."""
    with zipfile.ZipFile(honest / "results.zip") as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            write(new, info, old.read(info))
    return target


def test_a_zip_bomb(honest: Path, tmp_path: Path) -> None:
    """What is compressed is never unpacked: results are not, and nothing can be larger than it lies there."""

    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        bomb = info.filename.startswith("outputs/000000/")
        if bomb:
            info.compress_type = zipfile.ZIP_DEFLATED
        new.writestr(info, bytes(64 << 20) if bomb else data)

    code, codes = captured(honest, rewritten(honest, tmp_path / "bomb.zip", write), target=tmp_path / "board.h5")
    assert (code, codes) == (1, {"CAPT006", "CAPT007"})


def test_an_entry_that_claims_more_than_there_is(honest: Path, tmp_path: Path) -> None:
    """Both sizes in the zip's directory say a gigabyte."""
    data = bytearray((honest / "results.zip").read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = (1 << 30).to_bytes(4, "little") * 2
    (tmp_path / "large.zip").write_bytes(data)
    code, codes = captured(honest, tmp_path / "large.zip", target=tmp_path / "board.h5")
    assert (code, codes) == (1, {"CAPT006", "CAPT007"})


def test_a_link(honest: Path, tmp_path: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        if info.filename.startswith("outputs/000000/"):
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            data = b"/etc/passwd"
        new.writestr(info, data)

    code, codes = captured(honest, rewritten(honest, tmp_path / "link.zip", write), target=tmp_path / "board.h5")
    assert (code, codes) == (1, {"CAPT006", "CAPT007"})


def test_an_entry_that_is_there_twice(honest: Path, tmp_path: Path) -> None:
    def write(new: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        new.writestr(info, data)
        if info.filename.startswith("outputs/000000/"):
            with pytest.warns(UserWarning, match="Duplicate name"):
                new.writestr(zipfile.ZipInfo(info.filename), data[:-4] + b"\0\0\0\0")

    code, codes = captured(honest, rewritten(honest, tmp_path / "twice.zip", write), target=tmp_path / "board.h5")
    assert (code, codes) == (1, {"CAPT007"})


@pytest.mark.parametrize("cut", [0, 10, 1000, -30])
def test_what_is_truncated_is_unreadable(honest: Path, tmp_path: Path, cut: int) -> None:
    data = (honest / "results.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:cut])
    assert captured(honest, tmp_path / "cut.zip", target=tmp_path / "board.h5") == (2, set())


def test_what_is_no_file_is_unreadable_and_nobody_waits(honest: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    for name in ("pipe.zip", "none.zip", "none"):
        assert captured(honest, tmp_path / name, target=tmp_path / "board.h5") == (2, set())
    for name in ("pipe.zip", "none.zip"):
        words = ["--bundle", str(tmp_path / name), "-o", str(tmp_path / "board.h5")]
        assert run(["capture", str(honest / "results.zip"), *words]) == 2


def test_a_manifest_that_is_none(honest: Path, tmp_path: Path) -> None:
    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["cases"] = "all"

    results = changed(honest / "results.zip", tmp_path / "odd.zip", change)
    assert captured(honest, results, target=tmp_path / "board.h5") == (2, set())


def test_an_earlier_trace_does_not_outlive_a_refusal(honest: Path, tmp_path: Path) -> None:
    assert captured(honest, honest / "results.zip", target=tmp_path / "board.h5")[0] == 0

    def change(entries: Entries, manifest: Manifest) -> None:
        manifest["cases"][0]["sha256"] = "0" * 64

    refused(honest, tmp_path, change)
    assert not (tmp_path / "board.h5").exists()


def test_a_file_that_is_no_trace_is_left_as_it_is(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").write_bytes(b"precious")
    words = ["--bundle", str(honest / "bundle.zip"), "-o", str(tmp_path / "policy.onnx")]
    assert run(["capture", str(honest / "results.zip"), *words]) == 2
    assert (tmp_path / "policy.onnx").read_bytes() == b"precious"


def test_a_bundle_changed_here(honest: Path, tmp_path: Path) -> None:
    """Its own manifest no longer fits its files: nothing that came back can be held against it."""

    def change(entries: Entries, manifest: Manifest) -> None:
        name = "inputs/obs/nominal-0000.npy"
        entries[name] = entries[name][:-4] + b"\0\0\0\0"

    bundle = changed(honest / "bundle.zip", tmp_path / "bundle.zip", change)
    words = ["--bundle", str(bundle), "-o", str(tmp_path / "board.h5"), "--json", str(tmp_path / "x.json")]
    assert run(["capture", str(honest / "results.zip"), *words]) == 1
    found = {f["code"] for f in json.loads((tmp_path / "x.json").read_text())["findings"]}
    assert found == {"CAPT002", "CAPT009"}


def test_a_policy_changed_since(honest: Path, tmp_path: Path) -> None:
    """The release is asked, and its artifact is no longer the one that ran."""
    folder = tmp_path / "rel"
    path = release(folder)
    (folder / "candidate.onnx").write_bytes((honest / "rel" / "reference.onnx").read_bytes())
    words = ["--config", str(path), "-o", str(tmp_path / "board.h5"), "--json", str(tmp_path / "x.json")]
    assert run(["capture", str(honest / "results.zip"), *words]) == 1
    found = {f["code"] for f in json.loads((tmp_path / "x.json").read_text())["findings"]}
    assert found == {"CAPT001"}


def test_damage_never_brings_in_other_outputs(honest: Path, tmp_path: Path) -> None:
    """Whatever bits flip: refused, unreadable, or the very outputs that came back."""
    whole, rng = (honest / "results.zip").read_bytes(), random.Random(5)
    target, damaged = tmp_path / "board.h5", tmp_path / "damaged.zip"
    with bundle_asked(honest / "bundle.zip") as source:
        capture([honest / "results.zip"], source, target)
        expected = outputs(target)
        codes = Counter[str]()
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            damaged.write_bytes(data)
            try:
                found = capture([damaged], source, target)
            except ParityError as e:
                codes[f"exit code {e.exit_code}"] += 1
                continue
            codes[str(found.verdict)] += 1
            if found.verdict.exit_code == 0:
                assert outputs(target) == expected
            else:
                assert not target.exists()
    assert set(codes) <= {"exit code 2", "PASS", "FAIL"}
    assert min(codes["exit code 2"], codes["FAIL"]) > 20


def outputs(target: Path) -> dict[str, dict[str, bytes]]:
    with Trace.open(target) as trace:
        return {
            c.id: {n: np.ascontiguousarray(trace.mapped(c.id, n)).tobytes() for n in trace.output_names(c.id)}
            for c in trace.cases
        }
