"""Every command of the how-to pages, run in order in an empty folder, with the exit code that the page promises."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest

import parity
from nursery import Nurseries
from pages import Step, steps_of
from parity.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
README = DOCS.parent / "README.md"
PAGES = sorted(p for p in (DOCS / "how-to").glob("*.md") if p.name != "README.md")
DEMO = ("parity", "demo", "--out", "demo")
SOURCE = Path(parity.__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``parity``, ``python`` and ``pip`` as the reader of a page has them."""
    folder = tmp_path_factory.mktemp("bin")
    for name, call in (("parity", "-m parity"), ("python", ""), ("pip", "-m pip")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    """What `parity demo --out demo` leaves, made once for all pages."""
    folder = tmp_path_factory.mktemp("demo")
    run(Step(None, "", DEMO), folder, programs)
    return folder / "demo"


def run(step: Step, folder: Path, programs: Path) -> None:
    """Run a command as the reader of a page does."""
    own = dict(step.environment)
    search = os.pathsep.join([*([str(folder / own["PYTHONPATH"])] if "PYTHONPATH" in own else []), str(SOURCE)])
    environment = {**os.environ, **own, "PYTHONPATH": search, "PATH": path_with(programs)}
    done = subprocess.run(step.words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == step.code, f"{step.text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def run_here(step: Step, folder: Path, programs: Path) -> None:
    """Run a command of parity in this process, where it need not load everything again."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.dict(os.environ, PATH=path_with(programs)),
    ):
        code = main(list(step.words[1:]))
    assert code == step.code, f"{step.text}\n{out.getvalue()}\n{err.getvalue()}"
    assert "Traceback" not in err.getvalue()


def run_script(step: Step, folder: Path, nurseries: Nurseries) -> None:
    """Run ``python FILE …`` in a process that has torch already."""
    argv = [str(folder / step.words[1]), *step.words[2:]]
    with tempfile.TemporaryFile("w+") as out:
        code = nurseries.script(argv, cwd=folder, stdout=out).wait(300)
        out.seek(0)
        told = out.read()
    assert code == step.code, f"{step.text}\n{told}"
    assert "Traceback" not in told


def path_with(programs: Path) -> str:
    return f"{programs}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda p: p.stem)
def test_the_commands_of_the_page_work(
    page: Path, tmp_path: Path, programs: Path, request: pytest.FixtureRequest, forked_workers: Nurseries
) -> None:
    steps = steps_of(page)
    assert any(step.words for step in steps)
    if "fixtures/" in page.read_text(encoding="utf-8") and page != README:
        pytest.importorskip("torch")  # such a page is read in a checkout
        shutil.copytree(SOURCE / "fixtures", tmp_path / "fixtures", ignore=shutil.ignore_patterns("outputs"))
    for step in steps:
        if step.path is not None:
            (tmp_path / step.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / step.path).write_text(step.text)
        elif step.words == DEMO:
            shutil.copytree(request.getfixturevalue("demo"), tmp_path / "demo")
        elif step.environment or page == README:
            run(step, tmp_path, programs)
        elif step.words[0] == "parity":
            run_here(step, tmp_path, programs)
        elif step.words[0] == "python" and step.words[1].endswith(".py"):
            run_script(step, tmp_path, forked_workers)
        else:
            run(step, tmp_path, programs)


def test_every_page_is_on_the_index() -> None:
    index = (DOCS / "how-to" / "README.md").read_text(encoding="utf-8")
    assert len(PAGES) >= 5
    for page in PAGES:
        assert f"({page.name})" in index
