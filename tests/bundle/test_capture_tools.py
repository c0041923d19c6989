"""Outputs of ais_bench, msame and dumps as answers: taken with a warning, and ambiguity is an error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from bundles import release, unpacked
from dump_writer import write_dump
from parity.cli.shell import run
from parity.trace import Trace

CASES = ["nominal-0000", "nominal-0001", "nominal-0002"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of three cases, unpacked as on a device."""
    folder = tmp_path_factory.mktemp("asked")
    path = release(folder / "rel", more="\n[cases]\nnominal = 3\nedge = false\n")
    assert run(["bundle", str(path), "-o", str(folder / "bundle.zip")]) == 0
    unpacked(folder / "bundle.zip", folder / "device")
    return folder


@pytest.fixture(scope="module")
def answers(asked: Path) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(asked / "device" / "artifact" / "candidate.onnx"))
    inputs = {i: np.load(asked / "device" / "inputs" / "obs" / f"{i}.npy") for i in CASES}
    return {i: session.run(None, {"obs": a})[0] for i, a in inputs.items()}


def captured(asked: Path, folder: Path, target: Path, *more: str) -> tuple[int, set[str]]:
    out = target.with_suffix(".json")
    words = ["--bundle", str(asked / "bundle.zip"), "-o", str(target), "--json", str(out), *more]
    code = run(["capture", str(folder), *words])
    assert target.exists() == (code == 0)
    return code, {f["code"] for f in json.loads(out.read_text())["findings"]} if out.exists() else set()


def same(target: Path, answers: dict[str, np.ndarray]) -> None:
    with Trace.open(target) as trace:
        assert [c.id for c in trace.cases] == list(answers)
        for i, array in answers.items():
            assert np.array_equal(trace.mapped(i, "action"), array)


@pytest.mark.parametrize("form", ["npy", "bin", "txt"])
@pytest.mark.parametrize("name", ["{}_0", "{}_output_0"])
def test_outputs_in_every_form(
    asked: Path, answers: dict[str, np.ndarray], tmp_path: Path, form: str, name: str
) -> None:
    folder = tmp_path / "out" / "2026_11_30-12_00_00"
    folder.mkdir(parents=True)
    (tmp_path / "out" / "2026_11_30-12_00_00_summary.json").write_text("{}")
    for i, array in answers.items():
        file = folder / f"{name.format(i)}.{form}"
        if form == "npy":
            np.save(file, array)
        elif form == "bin":
            array.tofile(file)
        else:
            file.write_text(" ".join(repr(float(v)) for v in array.reshape(-1)))
    code, codes = captured(asked, tmp_path / "out", tmp_path / "board.h5")
    assert code == 0
    assert codes == {"CAPT011"} | ({"CAPT012"} if form == "txt" else set())
    same(tmp_path / "board.h5", answers)


def saved(folder: Path, answers: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for i, array in answers.items():
        np.save(folder / f"{i}_0.npy", array)
    return folder


def judged(asked: Path, folder: Path, more: str | None = None) -> dict[str, Any]:
    """Judge ``folder``'s board.h5 as the candidate; ``more`` stands for the release's [cases], if given."""
    text = (asked / "rel" / "parity.toml").read_text().replace("candidate.onnx", str(folder / "board.h5"))
    text = text.replace("reference.onnx", str(asked / "rel" / "reference.onnx"))
    text = text if more is None else text[: text.index("[cases]")] + more
    (folder / "parity.toml").write_text(text)
    run(["run", str(folder / "parity.toml"), "--out", str(folder / "report")])
    return json.loads((folder / "report" / "report.json").read_text())


def test_the_report_says_that_it_is_not_verified(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert captured(asked, saved(tmp_path / "out", answers), tmp_path / "board.h5")[0] == 0
    report = judged(asked, tmp_path)
    assert report["verdict"] == "PASS", report["reasons"]
    told = next(f for f in report["findings"] if f["code"] == "CAPT021")
    assert told["severity"] == "warning"
    assert "is not verified" in (tmp_path / "report" / "report.html").read_text()
    assert not any(f["code"] == "CAPT020" for f in report["findings"])


def test_a_run_without_inputs_answers_nothing(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "pure_infer_data_0.npy", answers[CASES[0]])
    assert captured(asked, tmp_path / "out", tmp_path / "board.h5")[0] == 2


def test_two_runs_in_one_folder(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    saved(tmp_path / "out" / "one", answers)
    saved(tmp_path / "out" / "two", answers)
    assert captured(asked, tmp_path / "out", tmp_path / "board.h5")[0] == 2


def test_one_output_in_two_forms(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    answers[CASES[0]].tofile(folder / f"{CASES[0]}_0.bin")
    assert captured(asked, folder, tmp_path / "board.h5")[0] == 2


def test_two_tools_in_one_folder(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    (folder / f"{CASES[0]}_0.npy").rename(folder / f"{CASES[0]}_output_0.npy")
    assert captured(asked, folder, tmp_path / "board.h5")[0] == 2


def test_a_case_missing_and_one_unknown(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    (folder / f"{CASES[0]}_0.npy").rename(folder / "obs_0.npy")
    assert captured(asked, folder, tmp_path / "board.h5") == (1, {"CAPT003", "CAPT005", "CAPT011"})


def test_an_output_too_many(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    np.save(folder / f"{CASES[0]}_1.npy", answers[CASES[0]])
    assert captured(asked, folder, tmp_path / "board.h5") == (1, {"CAPT008", "CAPT011"})


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b""])
def test_bytes_that_do_not_fit(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path, change: object) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for i, array in answers.items():
        (folder / f"{i}_0.bin").write_bytes(array.tobytes())
    (folder / f"{CASES[1]}_0.bin").write_bytes(change(answers[CASES[1]].tobytes()))  # type: ignore[operator]
    assert captured(asked, folder, tmp_path / "board.h5") == (1, {"CAPT008", "CAPT011"})


def test_text_that_is_no_number(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    (folder / f"{CASES[0]}_0.npy").unlink()
    (folder / f"{CASES[0]}_0.txt").write_text("0.1 0.2 __import__('os')")
    assert captured(asked, folder, tmp_path / "board.h5") == (1, {"CAPT008", "CAPT011", "CAPT012"})


def test_a_link_is_no_output(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = saved(tmp_path / "out", answers)
    file = folder / f"{CASES[0]}_0.npy"
    file.rename(tmp_path / "secret.npy")
    file.symlink_to(tmp_path / "secret.npy")
    assert captured(asked, folder, tmp_path / "board.h5") == (1, {"CAPT003", "CAPT011"})


def test_the_folder_that_one_stands_in(
    asked: Path, answers: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved(tmp_path / "out", answers))
    assert run(["capture", ".", "--bundle", str(asked / "bundle.zip")]) == 0
    same(tmp_path / "out" / "out.h5", answers)


def test_a_folder_of_something_else(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("nothing")
    assert captured(asked, tmp_path / "out", tmp_path / "board.h5")[0] == 2


# ------------------------------------------------------------------------------------------------------------ dumps


def dumped(root: Path, answers: dict[str, np.ndarray]) -> Path:
    """Write dumps of as many executions, each with a NetOutput that takes the answer."""
    for k, array in enumerate(answers.values()):
        place = root / "20261130120000" / "0" / "policy" / "1" / str(k)
        write_dump(place / f"NetOutput.Node_Output.9.7.170000000000000{k}", [array], [], "Node_Output")
        write_dump(place / f"Add.body_Add_3.5.7.170000000000000{k}", [array, array], [array * 2], "body/Add_3")
    return root


def test_dumps_answer_in_the_order_of_their_executions(
    asked: Path, answers: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert captured(asked, dumped(tmp_path / "dump", answers), tmp_path / "board.h5") == (0, {"CAPT011"})
    same(tmp_path / "board.h5", answers)


def test_dumps_converted_to_npy(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = dumped(tmp_path / "dump", answers)
    for k, file in enumerate(sorted(root.rglob("NetOutput.*"))):
        np.save(file.with_name(f"{file.name}.input.0.npy"), answers[CASES[k]])
        file.unlink()
    assert captured(asked, root, tmp_path / "board.h5") == (0, {"CAPT011"})
    same(tmp_path / "board.h5", answers)


def test_long_names_by_their_hash(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = dumped(tmp_path / "dump", answers)
    for k, file in enumerate(sorted(root.rglob("NetOutput.*"))):
        (file.parent / "mapping.csv").write_text(f"1234567890{k},{file.name}\n")
        file.rename(file.with_name(f"1234567890{k}"))
    assert captured(asked, root, tmp_path / "board.h5") == (0, {"CAPT011"})
    same(tmp_path / "board.h5", answers)


def test_executions_that_are_not_as_many_as_cases(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = dumped(tmp_path / "dump", answers)
    shutil.rmtree(root / "20261130120000" / "0" / "policy" / "1" / "2")
    assert captured(asked, root, tmp_path / "board.h5")[0] == 2
    two = ["--case", CASES[1], "--case", CASES[0]]
    assert captured(asked, root, tmp_path / "board.h5", *two) == (0, {"CAPT011"})
    same(tmp_path / "board.h5", {CASES[1]: answers[CASES[0]], CASES[0]: answers[CASES[1]]})


def test_some_of_the_cases_are_no_pass(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    two = {i: answers[i] for i in CASES[:2]}
    words = [w for i in two for w in ("--case", i)]
    assert captured(asked, dumped(tmp_path / "dump", two), tmp_path / "board.h5", *words)[0] == 0
    report = judged(asked, tmp_path, more="")
    assert report["verdict"] == "NOT_JUDGED"
    assert any("holds 2 of the 3 cases" in r for r in report["reasons"]), report["reasons"]


def test_a_dump_that_is_there_twice(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = dumped(tmp_path / "dump", answers)
    file = next(root.rglob("NetOutput.*"))
    shutil.copy(file, file.with_name("NetOutput.Node_Output.9.7.1700000000000099"))
    assert captured(asked, root, tmp_path / "board.h5")[0] == 2


def test_dumps_without_the_outputs(asked: Path, answers: dict[str, np.ndarray], tmp_path: Path) -> None:
    root = dumped(tmp_path / "dump", answers)
    for file in root.rglob("NetOutput.*"):
        file.unlink()
    assert captured(asked, root, tmp_path / "board.h5") == (1, {"CAPT008", "CAPT011"})


def test_results_of_a_bundle_leave_no_case_away(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "results.zip").write_bytes(b"")
    words = ["--bundle", str(asked / "bundle.zip"), "--case", CASES[0], "-o", str(tmp_path / "x.h5")]
    assert run(["capture", str(tmp_path / "results.zip"), *words]) == 2
