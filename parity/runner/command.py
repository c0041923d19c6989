"""Runs any program that reads a folder of `.npy` and writes one: C++, ROS, TensorRT, a script that drives a board."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from parity.errors import ArtifactError, OutputError, RunnerError, UsageError
from parity.runner.base import Failure, Progress, RunnerSpec, RunResult, Session, SessionInfo, Variant
from parity.runner.exchange import read_outputs, unknown_folders, write_inputs
from parity.runner.gather import differences, joined
from parity.runner.options import check_options
from parity.runner.program import Program
from parity.tensor import Array, Block

_PLACES = ("{inputs}", "{outputs}")


class CommandRunner:
    """The runner ``command``. ``timeout_s`` limits one call of the program, which gets a whole block of cases."""

    name = "command"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Check that the program is there; see `parity.runner.base.Runner.open`."""
        return _open(spec, workdir)


@contextmanager
def _open(spec: RunnerSpec, workdir: Path) -> Iterator[Session]:
    check_options(spec, ())
    missing = [p for p in _PLACES if not any(p in word for word in spec.command)]
    if not spec.command or missing:
        raise UsageError(
            f"{spec.name}: `command` lacks {' and '.join(missing)}",
            expected='command = ["./run.sh", "{inputs}", "{outputs}"]',
            remedy="the program reads the one folder and writes the other; say where they go",
        )
    cwd = Path(str(spec.options["cwd"])) if "cwd" in spec.options else None
    program = _program(spec.command[0], cwd)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=workdir)).resolve()
    except OSError as e:
        raise OutputError(f"{workdir}: cannot be written: {e.strerror or e}", remedy="choose another folder") from None
    session = CommandSession(spec, program, cwd, folder)
    try:
        yield session
    finally:
        session.close()
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str, cwd: Path | None) -> Path:
    path = Path(name) if Path(name).is_absolute() or "/" not in name else (cwd or Path.cwd()) / name
    found = str(path) if "/" in name and path.is_file() else shutil.which(name)
    if found is None or not shutil.which(found):
        what = "is not executable" if path.is_file() else "no such program"
        raise RunnerError(f"{name}: {what}", remedy=f"chmod +x {name}" if path.is_file() else "correct `command`")
    return Path(found)


class CommandSession:
    """A program as a session: every run writes the cases, calls it once, and reads what it wrote."""

    def __init__(self, spec: RunnerSpec, program: Path, cwd: Path | None, folder: Path) -> None:
        self._spec, self._program, self._cwd, self._folder = spec, program, cwd, folder
        self._outputs = [t.name for t in spec.outputs]
        self._running: Program | None = None
        self._dead: Failure | None = None
        self._count = 0
        with program.open("rb") as f:
            sha = hashlib.file_digest(f, "sha256").hexdigest()
        self.info = SessionInfo(spec.inputs, spec.outputs, {"command": list(spec.command)}, loaded_sha256=sha)

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the block with one call of the program; with ``repeat`` two. See `parity.runner.base.Session.run`."""
        if self._dead:
            return RunResult({}, 0, failure=self._dead)
        if variant != "base":
            return RunResult({}, 0, failure=Failure("run", f"a command has no variant {variant}"))
        rows, seconds, failure = self._call(block)
        outputs = joined(rows)
        changed: Mapping[str, float] = {}
        if repeat and failure is None:
            again, _, failure = self._call(block)
            changed = differences(outputs, joined(again)) if failure is None else {}
        if progress:
            progress(len(rows))
        if failure and failure.kind == "interrupted":
            self._dead = failure
        return RunResult(outputs, len(rows), (seconds / max(1, len(rows)),) * len(rows), changed, failure)

    def close(self) -> None:
        """End the program, if it runs in another thread."""
        self._dead = self._dead or Failure("interrupted", "the session was closed")
        if self._running is not None:
            self._running.stop()

    def _call(self, block: Block) -> tuple[list[dict[str, Array]], float, Failure | None]:
        """Return the outputs of the completed cases, the seconds taken, and what went wrong if anything did."""
        place = self._folder / f"{self._count:04d}"
        self._count += 1
        inputs, outputs = place / "inputs", place / "outputs"
        try:
            outputs.mkdir(parents=True)
            cases = write_inputs(inputs, block, self._outputs)
        except OSError as e:
            raise OutputError(f"{place}: cannot be written: {e.strerror or e}", remedy="free some disk space") from None
        command = [w.replace("{inputs}", str(inputs)).replace("{outputs}", str(outputs)) for w in self._spec.command]
        command[0] = str(self._program)
        begun = time.perf_counter()
        self._running = Program(command, self._cwd, self._spec.timeout_s, self._spec.memory_limit)
        if self._dead:  # closed by another thread before there was a program to stop
            return [], 0.0, self._dead
        failure = self._running.run()
        seconds = time.perf_counter() - begun
        rows, problem = self._read(block, cases, outputs)
        shutil.rmtree(place, ignore_errors=True)
        return rows, seconds, failure or problem

    def _read(
        self, block: Block, cases: Mapping[str, str], outputs: Path
    ) -> tuple[list[dict[str, Array]], Failure | None]:
        rows: list[dict[str, Array]] = []
        try:
            unknown = unknown_folders(outputs, cases)
            if unknown:
                raise ArtifactError(f"it wrote {', '.join(unknown[:4])}, which is no case that it was given")
            for case in block.ids:
                row = read_outputs(outputs / cases[case], self._outputs)
                if rows and row.keys() != rows[0].keys():
                    raise ArtifactError(f"case {case}: it wrote {', '.join(row)}, before {', '.join(rows[0])}")
                rows.append(row)
        except ArtifactError as e:
            return rows, Failure("run", f"{self._program.name}: {e.message}", e.remedy)
        except OSError as e:
            return rows, Failure("run", f"{self._program.name}: its outputs cannot be read: {e.strerror or e}")
        return rows, None


RUNNER = CommandRunner()
