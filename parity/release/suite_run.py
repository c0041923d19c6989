"""Runs the suites over executed evidence in a pytest of their own: no user's options, conftest or plugins reach it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from parity.errors import RunnerError, UsageError
from parity.release.measure import Measured
from parity.release.plan import Plan
from parity.release.saved import load_measured, unfinished

INI = "[pytest]\naddopts =\n"
NOTHING_SELECTED = 5


def suites_folder() -> Path:
    """Return the folder of the suites: inside an installed wheel, or beside the package in a source checkout.

    Raises:
        RunnerError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "suites", package.parent / "suites"):
        if (folder / "test_same_numbers.py").is_file():
            return folder
    raise RunnerError("the suites are not installed with parity", remedy="install policy-parity again")


def run_suites(
    folder: Path, plan: Plan, *, expression: str | None = None, workers: int | None = None
) -> list[Measured]:
    """Measure every entry that ``expression`` (pytest's ``-k``) selects, and return the rows in the plan's order.

    An entry that was selected and not measured comes back NOT_JUDGED; entries that were not selected do not come back.

    Raises:
        UsageError: ``expression`` is not valid, or xdist is missing for ``workers``.
        RunnerError: pytest itself failed.
    """
    ini = folder / "pytest.ini"
    ini.write_text(INI, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ini),
        "--rootdir",
        str(folder),
        "-q",
        "-p",
        "parity.pytest_plugin",
    ]
    command += ["--noconftest", "-p", "no:cacheprovider", "--import-mode=importlib", "--tb=no", "--no-header"]
    command += ["--parity-evidence", str(folder), str(suites_folder() / "test_same_numbers.py")]
    if expression is not None:
        command += ["-k", expression]
    if workers is not None and workers > 1:
        command += ["-p", "xdist", "-n", str(workers)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    code, output = _run(command, folder, environment)
    if code == NOTHING_SELECTED:
        return []
    rows = load_measured(folder, plan)
    if code not in (0, 1):
        _refuse(code, output, expression, workers)
    selected = _selected(folder, plan, expression)
    order = {e.id: i for i, e in enumerate(plan.entries)}
    return sorted([*rows, *unfinished(plan, rows, selected)], key=lambda r: order[r["id"]])


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Return pytest's exit code and output; on Ctrl-C, or told to end, it is ended too."""
    log = folder / "pytest.log"
    with log.open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = child.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            raise
    return code, log.read_text(encoding="utf-8", errors="replace")


def _selected(folder: Path, plan: Plan, expression: str | None) -> list[str]:
    """Return the ids that pytest collected: the plugin notes them; without a filter, all."""
    if expression is None:
        return [e.id for e in plan.entries]
    notes = sorted(folder.glob("collected-*.json"))  # every worker collects the same
    return sorted({i for note in notes for i in json.loads(note.read_text(encoding="utf-8"))})


def _refuse(code: int, output: str, expression: str | None, workers: int | None) -> None:
    tail = "\n".join(output.strip().splitlines()[-5:])
    if workers is not None and workers > 1 and "xdist" in output and "ImportError" in output:
        raise UsageError("-n needs pytest-xdist", remedy="pip install 'policy-parity[xdist]'")
    if code == 4 and expression is not None:
        raise UsageError(f"-k {expression!r} is no valid expression: {tail}", expected="such as 'ort and action'")
    raise RunnerError(f"the suites ended with pytest's exit code {code}:\n{tail}")
