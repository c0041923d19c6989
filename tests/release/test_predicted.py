"""A prediction is in the report and on no scale: take it away, or let it fail, and the verdict is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import parity.release.predicted as predicted
from half_graphs import cancelling, overflowing, sound
from judged import run_release, with_code
from parity.cli import main
from parity.finding import Finding
from parity.report.html import html
from parity.report.schema import validate
from parity.report.summary import summary

TOML = """
[release]
name = "half"
[reference]
path = "reference.onnx"
[[candidate]]
name = "board"
runner = "recorded"
path = "board.npz"
precision = "float16"
{more}
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A float32 ONNX, and what a board that computes well in float16 gave for it, as a recording."""
    return made(tmp_path)


def made(folder: Path, make: Any = overflowing, more: str = "") -> Path:
    import onnxruntime

    make(folder).rename(folder / "reference.onnx")
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((4, 1, 4)).astype(np.float32) * 2
    session = onnxruntime.InferenceSession(str(folder / "reference.onnx"), providers=["CPUExecutionProvider"])
    given = np.stack([session.run(None, {"obs": r})[0] for r in rows])
    np.savez(folder / "board.npz", **{"inputs/obs": rows, "outputs/action": given * (1 + 1e-4)})
    (folder / "parity.toml").write_text(TOML.format(more=more))
    return folder


def bare(report: dict[str, Any]) -> dict[str, Any]:
    """The report without what is predicted, and without what differs from run to run."""
    kept = {k: v for k, v in report.items() if k != "predicted"}
    kept["findings"] = [f for f in report["findings"] if not f["code"].startswith("PRED")]
    kept["release"] = {k: v for k, v in report["release"].items() if k not in ("created", "environment")}
    kept.pop("facts")
    return kept


def test_without_the_prediction_the_report_is_the_same(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, report = run_release(release)
    assert with_code(report, "PRED001")[0]["severity"] == "warning"
    assert not report["predicted"][0]["survives"]
    monkeypatch.setattr("parity.cli.judging.with_predictions", lambda report, *_: report)
    again, without = run_release(release)
    assert "predicted" not in without
    assert not [f for f in without["findings"] if f["code"].startswith("PRED")]
    assert (code, bare(report)) == (again, bare(without))
    assert code == 0


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("no room"), KeyboardInterrupt()])
def test_a_prediction_cannot_raise_or_block(
    release: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("parity.predict.prediction.predict", broken)
    code, report = run_release(release)
    assert code == 0
    assert report["verdict"] == "PASS"
    told = [f["title"] for f in with_code(report, "PRED009")]
    assert [("no room" in t) for t in told] == ([] if isinstance(error, KeyboardInterrupt) else [True])


def test_an_error_that_a_prediction_makes_is_none(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shouting(*_: Any) -> list[Finding]:
        return [Finding("PRED001", "error", "PREDICTED: all is lost.", candidate="board")]

    monkeypatch.setattr("parity.predict.tell.findings", shouting)
    code, report = run_release(release)
    assert code == 0
    assert [f["severity"] for f in with_code(report, "PRED001")] == ["warning"]
    assert "<failure" not in (release / "out" / "junit.xml").read_text()


def test_judged_again_it_is_kept_and_still_counts_for_nothing(release: Path) -> None:
    _, report = run_release(release)
    code = main(
        [
            "run",
            str(release / "parity.toml"),
            "--from",
            str(release / "out" / "report.json"),
            "--out",
            str(release / "b"),
        ]
    )
    again = json.loads((release / "b" / "report.json").read_text())
    assert code == 0
    assert again["predicted"] == report["predicted"]
    assert with_code(again, "PRED002") == with_code(report, "PRED002")


def test_a_waiver_of_a_prediction_has_no_effect(tmp_path: Path) -> None:
    waiver = '[[waiver]]\nfinding = "PRED001"\nreason = "x"\nowner = "x"\nuntil = 2999-01-01\n'
    code, report = run_release(made(tmp_path, more=waiver))
    assert code == 1
    assert with_code(report, "WAIVE001")


def test_it_names_node_value_and_case_and_fits_the_schema(release: Path) -> None:
    _, report = run_release(release)
    validate(report)
    told = report["predicted"][0]
    assert (told["candidate"], told["source"]) == ("board", "reference.onnx")
    first = told["hazards"][0]
    assert (first["kind"], first["node"], first["value"]) == ("overflow", "Mul /enlarge", "enlarged")
    assert first["case"] in told["cases"]
    assert str(release) not in json.dumps(report["predicted"])


def test_every_surface_says_that_it_is_predicted(release: Path) -> None:
    _, report = run_release(release)
    page, text = html(report), summary(report)
    start = page.index("<h2>Predicted, not measured: float16")
    before, section = page[:start], page[start : page.index("What was tested", start)]
    assert "PRED001" in section
    assert "PREDICTED" in section
    assert 'class="card predicted"' in section
    assert ".badge.predicted { background: var(--predicted-soft); color: var(--predicted); }" in page  # its own colour
    assert "badge warning" not in section
    assert "PRED0" not in before
    assert "### Predicted, not measured" in text
    for finding in (f for f in report["findings"] if f["code"].startswith("PRED")):
        assert "PREDICTED" in finding["title"]


def test_nothing_is_predicted_of_a_float32_candidate(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "parity.toml").write_text(TOML.format(more="").replace('precision = "float16"\n', ""))
    _, report = run_release(tmp_path)
    assert "predicted" not in report


def test_several_sources_leave_it_open_until_one_is_named(tmp_path: Path) -> None:
    sound(tmp_path).rename(tmp_path / "other.onnx")
    more = '[[candidate]]\nname = "ort"\npath = "other.onnx"\n'
    _, report = run_release(made(tmp_path, cancelling, more))
    assert "several ONNX" in with_code(report, "PRED009")[0]["title"]
    toml = (tmp_path / "parity.toml").read_text()
    (tmp_path / "parity.toml").write_text(toml.replace("precision =", 'checkpoint = "reference.onnx"\nprecision ='))
    _, report = run_release(tmp_path)
    assert report["predicted"][0]["source"] == "reference.onnx"


def test_two_boards_of_one_graph_are_predicted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parity.predict import prediction

    asked: list[Path] = []
    kept = prediction.predict
    monkeypatch.setattr(prediction, "predict", lambda path, *more: (asked.append(path), kept(path, *more))[1])
    more = '[[candidate]]\nname = "other"\nrunner = "recorded"\npath = "board.npz"\nprecision = "float16"\n'
    _, report = run_release(made(tmp_path, sound, more))
    assert [p["candidate"] for p in report["predicted"]] == ["board", "other"]
    assert {f["candidate"] for f in with_code(report, "PRED001")} == {"board", "other"}
    assert len(asked) == 1


def test_a_graph_that_is_too_large_is_left_alone(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicted, "MAX_BYTES", 100)
    code, report = run_release(release)
    assert code == 0
    assert "the most is" in with_code(report, "PRED009")[0]["title"]


def test_without_any_onnx_nothing_is_said(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "reference.onnx").unlink()
    (tmp_path / "golden.npz").write_bytes((tmp_path / "board.npz").read_bytes())
    toml = (tmp_path / "parity.toml").read_text()
    (tmp_path / "parity.toml").write_text(
        toml.replace('path = "reference.onnx"', 'runner = "recorded"\npath = "golden.npz"')
    )
    _, report = run_release(tmp_path)
    assert "predicted" not in report
    assert not [f for f in report["findings"] if f["code"].startswith("PRED")]


def test_many_cases_are_not_all_run(tmp_path: Path) -> None:
    from parity.tensor import Case

    some = [Case(f"nominal-{i:04d}", "nominal", i, {"obs": np.zeros((1, 4), np.float32)}) for i in range(100)]
    edge = [Case(f"edge-{i:04d}", "edge", i, {"obs": np.zeros((1, 4), np.float32)}) for i in range(100)]
    chosen = predicted._chosen([*some, *edge])
    assert len(chosen) == predicted.MAX_CASES
    assert {c.profile for c in chosen} == {"nominal", "edge"}
