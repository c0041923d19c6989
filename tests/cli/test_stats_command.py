"""`parity stats`: exit codes, JSON by its schema, the view at 60 columns, hostile names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.cli import main
from parity.cli.surveying import matrix_lines, print_survey
from parity.errors import ArtifactError
from parity.report.schema import validate
from stats_files import ACTION, STATE, norm_stats


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with statistics that are the same, drifted, of another run, and of another robot."""
    monkeypatch.chdir(tmp_path)
    norm_stats(tmp_path / "a.json")
    norm_stats(tmp_path / "same.json")
    norm_stats(tmp_path / "drift.json", state=STATE + np.array([0.02, 0.0, 0.0]), actions=ACTION)
    norm_stats(tmp_path / "other.json", state=STATE * 2, actions=ACTION)
    norm_stats(tmp_path / "robot.json", wrist=STATE)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["stats", *args])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize(
    ("args", "code", "verdict"),
    [
        (["a.json", "same.json"], 0, "PASS"),
        (["a.json"], 0, "PASS"),
        (["a.json", "drift.json"], 0, "PASS"),
        (["a.json", "drift.json", "--strict"], 1, "FAIL"),
        (["a.json", "same.json", "--strict"], 0, "PASS"),
        (["a.json", "other.json"], 1, "FAIL"),
        (["a.json", "robot.json"], 3, "NOT_JUDGED"),
        (["a.json", "other.json", "robot.json"], 1, "FAIL"),
    ],
)
def test_exit_codes(files: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, verdict: str) -> None:
    got, out, _ = said(capsys, *args, "--json", "-")
    document = json.loads(out)
    validate(document, "stats")
    assert (got, document["verdict"]) == (code, verdict)
    assert bool(document["reasons"]) == (verdict != "PASS")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "no source"),
        (["gone.json"], "gone.json"),
        (["a.json", "gone.json"], "gone.json"),
        (["a.json", "./a.json"], "twice"),
        (["a.json", "empty.json"], "empty.json"),
    ],
)
def test_what_cannot_be_read_is_said(
    files: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    (files / "empty.json").write_bytes(b"")
    code, out, err = said(capsys, *args)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_few_lines_where_all_is_well(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "a.json", "same.json")
    assert len(out.splitlines()) == 3
    assert "those of" not in out
    assert "of a.json, bit for bit" in out


def test_what_several_sources_share_is_told_once_with_their_numbers(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = STATE * [1.0, 1.0, 0.0]
    for name in ("x", "y"):
        norm_stats(files / f"{name}.json", state=still, actions=ACTION)
    _, out, _ = said(capsys, "x.json", "y.json")
    (line,) = [line for line in out.splitlines() if "STATS020" in line]
    assert line.startswith("  STATS020 info [1, 2]: ")


def test_json_alone_goes_to_the_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = said(capsys, "a.json", "other.json", "--json", "-")
    (pair,) = [p for p in json.loads(out)["agreement"] if p["verdict"] == "CONFLICT"]
    assert (pair["a"], pair["b"], pair["feature"]) == ("a.json", "other.json", "observation.state")
    assert pair["max_gap"] > 0.05
    assert "FAIL: sources conflict in 1 of 2 features." in err


def test_the_odd_one_out_is_told_first(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "a.json", "other.json", "same.json")
    assert out.splitlines()[0] == "FAIL: sources conflict in 1 of 2 features; the odd one out is other.json."


def test_the_same_sources_give_the_same_bytes(files: Path) -> None:
    for target in ("one", "two"):
        main(["stats", "a.json", "other.json", "drift.json", "--json", target])
    assert (files / "one").read_bytes() == (files / "two").read_bytes()


def test_a_foreign_file_is_not_replaced(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "a.json", "--json", "same.json")[0] == 2
    assert json.loads((files / "same.json").read_text())["norm_stats"]


def test_an_interrupt_is_no_verdict(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("parity.cli.surveying.survey", interrupted)
    code, out, err = said(capsys, "a.json", "same.json")
    assert (code, out) == (3, "")
    assert "interrupted" in err


def test_names_from_artifacts_move_no_cursor(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b[2Jstate\u202e"
    norm_stats(files / "evil.json", **{bad: STATE})
    norm_stats(files / "evil2.json", **{bad: STATE * 3})
    code, out, _ = said(capsys, "evil.json", "evil2.json")
    assert code == 1
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("many", [3, 6, 20])
def test_the_matrix_fits_sixty_columns(many: int) -> None:
    words = ["SAME", "CONFLICT", "DRIFT", None]
    lines = matrix_lines([[words[(i + j) % 4] for j in range(many)] for i in range(many)])
    assert len(lines) >= many
    assert max(map(len, lines)) <= 80 if many == 20 else max(map(len, lines)) <= 58


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["60", "200"])
def test_the_view_on_a_terminal(files: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    from parity.cli.surveying import ask

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    code = print_survey(ask(["a.json", "other.json", "same.json"], None, strict=False), stream)
    lines = stream.getvalue().splitlines()
    assert code == 1
    assert max(len(line.rstrip()) for line in lines) <= int(columns)
    assert any("CONFLICT" in line for line in lines)


def test_a_hundred_sources_are_too_many(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(65):
        norm_stats(files / f"{i}.json", state=np.eye(4))
    code, _, err = said(capsys, *[f"{i}.json" for i in range(65)])
    assert (code, "at most 64" in err) == (2, True)


def test_an_unreadable_source_is_an_artifact_error(files: Path) -> None:
    from parity.stats.survey import survey

    with pytest.raises(ArtifactError):
        survey(["parity.toml"])
