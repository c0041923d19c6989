"""JSON and people on streams of their own; an earlier result does not survive, a foreign file does."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest

from parity.cli.output import claim, people, terminal, write_json
from parity.errors import OutputError, UsageError


def test_json_on_stdout_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"schema": 1, "value": math.inf, "name": "\ud800"}, "-")
    print("for people", file=people("-"))
    shown = capsys.readouterr()
    assert json.loads(shown.out)["value"] == "Infinity"
    assert shown.err == "for people\n"
    print("for people", file=people("report.json"))
    assert capsys.readouterr().out == "for people\n"


def test_no_file_asked_for_none_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_json({"schema": 1}, None)
    claim(None)
    claim("-")
    assert not list(tmp_path.iterdir())


def test_an_earlier_result_is_removed_before_the_work(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    write_json({"schema": 1, "verdict": "PASS"}, str(target))
    claim(str(target))
    assert not target.exists()
    target.touch()
    claim(str(target))
    assert not target.exists()
    claim(str(target))


@pytest.mark.parametrize("content", [b"\x08\x08\x12\x07pytorch", b'{"type": "act"}', b"name: x\n", b"[1]"])
def test_a_file_of_the_users_own_is_left_alone(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "policy.onnx"
    target.write_bytes(content)
    with pytest.raises(UsageError, match="did not write"):
        claim(str(target))
    assert target.read_bytes() == content


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_json({"schema": 1}, str(tmp_path))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("", True), (None, True)])
def test_no_color(monkeypatch: pytest.MonkeyPatch, value: str | None, colour: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    if value is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", value)
    stream = Terminal()
    console = terminal(stream)
    assert console is not None
    console.print("x", style="red")
    assert ("\x1b[" in stream.getvalue()) == colour
    assert terminal(io.StringIO()) is None
