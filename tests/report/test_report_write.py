from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.errors import OutputError
from parity.report import atomic
from parity.report.write import FILES, OutputFolder, holds_full_report, remove_stale, write_all

Build = Callable[..., dict[str, Any]]


def test_writes_all_files_and_report_json_last(build: Build, tmp_path: Path) -> None:
    paths = write_all(build("PASS"), {"total_s": 1.5, "case": float("nan")}, tmp_path / "new" / "folder")
    assert [p.name for p in paths] == list(FILES)
    assert paths[-1].name == "report.json"
    assert all(p.stat().st_size > 10 for p in paths)
    assert json.loads((tmp_path / "new/folder/timings.json").read_text()) == {"total_s": 1.5, "case": "NaN"}
    assert sorted(p.name for p in (tmp_path / "new/folder").iterdir()) == sorted(FILES)


def test_times_are_in_no_other_file(build: Build, tmp_path: Path) -> None:
    write_all(build("PASS"), {"total_s": 1.0}, tmp_path / "a")
    write_all(build("PASS"), {"total_s": 2.0}, tmp_path / "b")
    for name in ("report.json", "report.html", "summary.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("fail_at", range(1, 11))
def test_a_full_disk_leaves_no_part_of_a_report(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    done = 0
    replace, fsync = Path.replace, os.fsync

    def step() -> None:
        nonlocal done
        done += 1
        if done == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def counted_fsync(descriptor: int) -> None:
        step()
        fsync(descriptor)

    def counted_replace(self: Path, target: Path) -> Path:
        step()
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", counted_fsync)
    monkeypatch.setattr(Path, "replace", counted_replace)
    with pytest.raises(OutputError, match="No space left"):
        write_all(build("PASS"), {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_writing_leaves_no_part_of_a_report(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        os.replace(self, target)  # noqa: PTH105
        return target

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_all(build("PASS"), {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_says_so(build: Build, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError, match="--out"):
            write_all(build("PASS"), {}, out)
        with pytest.raises(OutputError, match="--out"), OutputFolder(out):
            pass
    (tmp_path / "out" / "report.json").mkdir(parents=True)
    with pytest.raises(OutputError, match="earlier run"), OutputFolder(tmp_path / "out"):
        pass


def test_an_unwritable_folder_says_so(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **more)

    real = os.open
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(OutputError, match="Permission denied") as caught:
        write_all(build("PASS"), {}, tmp_path)
    assert "writable" in str(caught.value)
    with pytest.raises(OutputError, match="Permission denied"), OutputFolder(tmp_path):
        pass


def test_never_through_a_link_that_waits_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "00")
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".report.json.00.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError):
        atomic.replace_file(tmp_path / "report.json", b"x")
    assert (tmp_path / "victim").read_text() == "precious"


def test_an_earlier_report_is_removed_before_anything_runs(build: Build, tmp_path: Path) -> None:
    write_all(build("PASS"), {}, tmp_path)
    (tmp_path / ".junit.xml.abc.tmp").write_text("left by a run that was killed")
    (tmp_path / "notes.txt").write_text("mine")
    with OutputFolder(tmp_path) as folder:
        assert folder.path == tmp_path
        assert {p.name for p in tmp_path.iterdir()} == {"notes.txt", ".parity.lock"}
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt"}
    remove_stale(tmp_path / "absent")


def test_a_filtered_run_never_overwrites_a_full_report(build: Build, tmp_path: Path) -> None:
    write_all(build("FAIL"), {}, tmp_path)
    partial = build("PASS")
    partial["release"]["scope"] = {"planned": 3, "selected": 1}
    with OutputFolder(tmp_path, partial=True) as folder:
        write_all(partial, {}, folder.path)
        assert folder.path == tmp_path / "partial"
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "FAIL"
    assert not holds_full_report(tmp_path / "partial")
    with OutputFolder(tmp_path / "partial", partial=True) as folder:  # an earlier filtered report is no full one
        assert folder.path == tmp_path / "partial"
        assert not (folder.path / "report.json").exists()


def test_a_damaged_report_is_no_full_one(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    with OutputFolder(tmp_path, partial=True) as folder:
        assert folder.path == tmp_path
        assert not (tmp_path / "report.json").exists()


def test_two_runs_do_not_mix_in_one_process(tmp_path: Path) -> None:
    with OutputFolder(tmp_path):
        with pytest.raises(OutputError, match="another run is writing here") as caught, OutputFolder(tmp_path):
            pass
        assert caught.value.exit_code == 3
    with OutputFolder(tmp_path):
        pass


HOLD = """
import sys
from pathlib import Path
from parity.errors import OutputError
from parity.report.write import OutputFolder
try:
    with OutputFolder(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except OutputError as e:
    print("refused", flush=True)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_runs_do_not_mix_across_processes(tmp_path: Path) -> None:
    with hold(tmp_path) as first:
        assert said(first) == "held"
        (tmp_path / "report.json").write_text("written by the first")
        with hold(tmp_path) as second:
            assert said(second) == "refused"
            second.communicate()
        assert (tmp_path / "report.json").read_text() == "written by the first"
        first.kill()  # a run that dies leaves no lock behind
        first.communicate()
    with hold(tmp_path) as third:
        assert said(third) == "held"
        third.communicate()
    assert not (tmp_path / ".parity.lock").exists()
