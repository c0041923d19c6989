"""The command runner: any program, and whatever a program may write into the folder that is to be believed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.errors import ArtifactError, RunnerError, UsageError
from parity.runner.exchange import file_names, read_outputs
from parity.runner.gather import differences, joined
from parity.runner.program import Program
from parity.tensor import Block, TensorSpec
from runs import block, opened

GOOD = "np.save(out / 'action.npy', load('x') * 2)"


def program(folder: Path, body: str, before: str = "", after: str = "") -> tuple[str, ...]:
    """A program that does ``body`` for every case, and returns the command that runs it."""
    source = f"""
import json, os, sys, time
from pathlib import Path
import numpy as np
inputs, outputs = Path(sys.argv[1]), Path(sys.argv[2])
manifest = json.loads((inputs / "manifest.json").read_text())
{before}
for number, case in enumerate(manifest["cases"]):
    out = outputs / case["folder"]
    out.mkdir()
    def load(name):
        return np.load(inputs / case["folder"] / manifest["inputs"][name])
{indent(dedent(body), "    ")}
{after}
"""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return (sys.executable, str(path), "{inputs}", "{outputs}")


def run(folder: Path, command: tuple[str, ...], data: Block | None = None, repeat: bool = False, **spec: Any) -> Any:
    with opened("command", "", folder, command=command, **spec) as session:
        return session.run(data or block(3), repeat=repeat)


def test_program_reads_a_folder_and_writes_one(tmp_path: Path) -> None:
    result = run(tmp_path, program(tmp_path, GOOD), repeat=True)
    assert result.failure is None
    assert result.completed == 3
    assert result.repeat_differs == {}
    np.testing.assert_array_equal(result.outputs["action"], block(3).inputs["x"] * 2)


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    value = np.ones((1, 1, 2), np.float32)
    data = Block(("nominal/../0000",), {"obs/../../state": value, "obs_.._.._state": value * 2})
    body = "np.save(out / manifest['outputs']['a/b'], load('obs/../../state') + load('obs_.._.._state'))"
    result = run(tmp_path, program(tmp_path, body), data, outputs=(TensorSpec("a/b"),))
    assert result.failure is None
    np.testing.assert_array_equal(result.outputs["a/b"], value * 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "no .npy file"),
        ("np.save(out / 'other.npy', load('x'))", "action.npy is missing"),
        (GOOD + "\nnp.save(out / 'more.npy', load('x'))", "more.npy was not expected"),
        ("np.save(out / 'action.npy', np.array([{}], object), allow_pickle=True)", "Python objects"),
        ("(out / 'action.npy').write_bytes(b'junk')", "not a readable .npy"),
        (GOOD + "\np = out / 'action.npy'\np.write_bytes(p.read_bytes()[:-4])", "truncated|claims"),
        (GOOD + "\nos.rename(out / 'action.npy', out / 'b'); os.symlink(out / 'b', out / 'action.npy')", "link"),
        (GOOD + "\n(outputs / 'unknown').mkdir(exist_ok=True)", "unknown"),
        ("np.save(out / 'action.npy', np.asfortranarray(np.ones((2, 3))))", "Fortran"),
        ("np.save(out / 'action.npy', np.array(['text']))", "dtype"),
        ("out.rmdir(); os.symlink('/tmp', out)", "no folder"),
    ],
)
def test_what_cannot_be_believed_is_refused(tmp_path: Path, body: str, said: str) -> None:
    outputs = () if body == "pass" else (TensorSpec("action"),)
    result = run(tmp_path, program(tmp_path, body), outputs=outputs)
    assert result.failure is not None
    assert result.failure.kind == "run"
    assert result.completed == 0
    import re

    assert re.search(said, result.failure.message), result.failure.message


def test_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    case = tmp_path / "case"
    case.mkdir()
    with (case / "action.npy").open("wb") as f:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 60,)}
        np.lib.format.write_array_header_2_0(f, header)
    with pytest.raises(ArtifactError, match="claims"):
        read_outputs(case, ["action"])


def test_case_that_lacks_an_output_of_the_others(tmp_path: Path) -> None:
    body = GOOD + "\nif number == 0:\n    np.save(out / 'value.npy', load('x'))"
    result = run(tmp_path, program(tmp_path, body))
    assert result.failure is not None
    assert result.completed == 1


def test_exit_status_is_a_failure_though_all_was_written(tmp_path: Path) -> None:
    result = run(tmp_path, program(tmp_path, GOOD, after="print('no device'); sys.exit(4)"))
    assert result.failure is not None
    assert result.failure.kind == "crash"
    assert "exit status 4" in result.failure.message
    assert "no device" in result.failure.message
    assert result.completed == 3


def test_signal_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, program(tmp_path, GOOD, before="os.abort()"))
    assert result.failure is not None
    assert "SIGABRT" in result.failure.message


def test_time_limit_keeps_what_was_complete(tmp_path: Path) -> None:
    body = GOOD + "\nif number == 1:\n    time.sleep(60)"
    result = run(tmp_path, program(tmp_path, body), timeout_s=3.0)
    assert result.failure is not None
    assert result.failure.kind == "timeout"
    assert result.completed == 2


def test_closing_from_another_thread_ends_the_program(tmp_path: Path) -> None:
    command = program(tmp_path, "time.sleep(60)", before="print('up', flush=True)")
    with opened("command", "", tmp_path, command=command) as session:
        threading.Timer(1.0, session.close).start()
        result = session.run(block(1))
        assert result.failure is not None
        assert result.failure.kind == "interrupted"


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.01, 0.05])
def test_stopping_leaves_the_pipe_to_the_thread_that_reads_it(delay: float) -> None:
    chatty = [sys.executable, "-c", "while True: print('x' * 1000)"]
    for _ in range(5):  # whichever thread comes first: stopped is stopped, never an OSError of a closed pipe
        running = Program(chatty, None, 60.0)
        stopper = threading.Timer(delay, running.stop)
        stopper.start()
        failure = running.run()
        stopper.join()
        assert failure is not None
        assert failure.kind == "interrupted"


def test_program_that_changes_its_mind_is_seen(tmp_path: Path) -> None:
    result = run(tmp_path, program(tmp_path, "np.save(out / 'action.npy', np.array([[time.time()]]))"), repeat=True)
    assert result.repeat_differs["action"] > 0


@pytest.mark.parametrize("command", [(), ("true",), ("true", "{inputs}")])
def test_command_must_say_where_the_folders_go(tmp_path: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"lacks|command"):
        run(tmp_path, command)


def test_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="no such program"):
        run(tmp_path, ("./nowhere.sh", "{inputs}", "{outputs}"), options={"cwd": str(tmp_path)})


def test_program_that_may_not_be_executed(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    with pytest.raises(RunnerError, match="not executable"):
        run(tmp_path, ("./run.sh", "{inputs}", "{outputs}"), options={"cwd": str(tmp_path)})


@given(st.lists(st.text(max_size=120), unique=True, max_size=20))
def test_file_names_are_safe_and_unique(names: list[str]) -> None:
    files = file_names(names)
    assert list(files) == names
    assert len({f.lower() for f in files.values()}) == len(names)
    for file in files.values():
        assert file
        assert "/" not in file
        assert not file.startswith((".", "-"))
        assert len(file) <= 110


def test_joined_stacks_equal_shapes_only() -> None:
    rows = [{"a": np.zeros((1, 2)), "b": np.zeros(i)} for i in range(3)]
    outputs = joined(rows)
    assert np.shape(outputs["a"]) == (3, 1, 2)
    assert isinstance(outputs["b"], list)


def test_differences_count_nan_as_equal_to_nan_and_as_infinite_to_a_number() -> None:
    nan = np.array([[np.nan, 1.0]])
    assert differences({"a": nan}, {"a": nan.copy()}) == {}
    assert differences({"a": nan}, {"a": np.array([[0.0, 1.0]])}) == {"a": float("inf")}
    assert differences({"a": nan}, {"a": np.array([[np.nan, 1.5]])}) == {"a": 0.5}
    assert differences({"a": nan}, {}) == {"a": float("inf")}
