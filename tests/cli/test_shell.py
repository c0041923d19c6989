"""The shell: help without imports, every failure a message and an exit code, never 0 or 1 by accident."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

import parity.cli.shell as shell
from parity import __version__
from parity.cli import main
from parity.cli.commands import COMMANDS
from parity.errors import ArtifactError, OutputError, ParityError, RunnerError, UsageError

Raising = Callable[[BaseException], None]


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Make `parity inspect` do what is given."""

    def install(action: Callable[[], object]) -> None:
        module = import_module("parity.cli.inspect")
        monkeypatch.setattr(module, "command", click.Command("inspect", callback=action))

    return install


def test_every_command_has_the_short_help_of_the_static_table() -> None:
    for name, text in COMMANDS.items():
        command = import_module(f"parity.cli.{name}").command
        assert command.name == name
        assert command.get_short_help_str(limit=200) == text


def test_every_command_file_is_listed() -> None:
    folder = Path(shell.__file__).parent
    commands = {p.stem for p in folder.glob("*.py") if "@click.command" in p.read_text(encoding="utf-8")}
    assert commands == set(COMMANDS)


def test_every_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert "--debug" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from parity.cli import main; main(['--help']); print(' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    heavy = {"numpy", "pydantic", "rich", "importlib.metadata", "torch", "onnx", "yaml", "asyncio", "h5py"}
    assert not heavy & loaded
    assert all(name in done.stdout for name in COMMANDS)
    assert not {f"parity.cli.{name}" for name in COMMANDS} & loaded


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"parity {__version__}\n"


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "parity", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"parity {__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing command"),
        (["inspekt"], "Did you mean 'inspect'"),
        (["--nonsense"], "nonsense"),
        (["inspect"], "Missing argument"),
        (["inspect", "a", "--nonsense"], "nonsense"),
        (["compare", "a"], "Missing argument"),
        (["run", "--workers"], "workers"),
    ],
)
def test_usage_errors_are_2(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert not shown.out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ParityError("a"), 2, "error: a"),
        (UsageError("a", expected="b", remedy="c"), 2, "error: a\n  expected: b\n  what to do: c\n"),
        (ArtifactError("cut short"), 2, "error: cut short"),
        (RunnerError("crashed"), 3, "error: crashed"),
        (OutputError("read-only"), 3, "error: read-only"),
        (click.FileError("f", "gone"), 2, "gone"),
        (click.ClickException("click's own exit code is 1"), 2, "click's own"),
        (KeyboardInterrupt(), 3, "interrupted"),
        (click.Abort(), 3, "interrupted"),
        (MemoryError(), 3, "out of memory"),
        (RecursionError(), 3, "nested too deeply"),
        (OSError(errno.ENOSPC, "No space left on device", "r.json"), 3, "no space left on the device: r.json"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 3, "no space left"),
        (PermissionError(errno.EACCES, "Permission denied", "r.json"), 3, "Permission denied: r.json"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 3, "went away"),
        (ZeroDivisionError("one\ntwo"), 3, "internal error: ZeroDivisionError: one two, run with --debug"),
        (SystemExit(0), 3, "internal error: SystemExit"),
        (SystemExit(1), 3, "internal error"),
        (SystemExit(None), 3, "internal error"),
        (GeneratorExit(), 3, "internal error"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_every_failure_is_a_message_and_a_code(
    behave: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
    debug: bool,
) -> None:
    monkeypatch.setattr(shell, "_drop_stdout", lambda: None)

    def fail() -> int:
        raise error

    behave(fail)
    assert main(["inspect", *(["--debug"] if debug else [])]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert ("Traceback" in shown.err) == debug
    assert not shown.out


@pytest.mark.parametrize("result", [None, True, False, "0", 0.0])
def test_a_command_that_returns_no_exit_code_does_not_pass(
    behave: Callable[[Callable[[], object]], None], result: object, capsys: pytest.CaptureFixture[str]
) -> None:
    behave(lambda: result)
    assert main(["inspect"]) == 3
    assert "internal error" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_exit_code_is_what_the_command_returns(behave: Callable[[Callable[[], object]], None], code: int) -> None:
    behave(lambda: code)
    assert main(["inspect"]) == code


def test_escape_sequences_of_an_artifact_do_not_reach_the_terminal(
    behave: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise ArtifactError("tensor \x1b[2K\x1b[1A\x9b2J\u202e\rPASS")

    behave(fail)
    assert main(["inspect"]) == 2
    shown = capsys.readouterr().err
    assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(shown)
    assert "\\x1b[2K" in shown


def test_a_command_that_cannot_be_imported_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "missing", "Not there.")
    assert main(["missing"]) == 3
    assert "internal error: ModuleNotFoundError" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_pass() -> None:
    code = (
        "import sys, click, importlib; from parity.cli import main\n"
        "m = importlib.import_module('parity.cli.inspect')\n"
        "m.command = click.Command('inspect', callback=lambda: print('x' * 10_000_000) or 0)\n"
        "sys.exit(main(['inspect']))"
    )
    read, write = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 3
    assert "went away" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_stdout_is_no_pass() -> None:
    with Path("/dev/full").open("w") as full:
        args = [sys.executable, "-m", "parity", "--version"]
        done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
