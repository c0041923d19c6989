"""A worker process seen from its parent: started, spoken to with time limits, and always reaped.

The worker leads its own process group, so that Ctrl-C reaches only the parent and a kill reaches all that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from parity.errors import RunnerError
from parity.runner.base import Failure
from parity.runner.limits import memory_advice, signal_name

_WORKERS = Path(__file__).parent / "worker"
_MARK = b"\x1e"
_TAIL = 32 << 10  # bytes of what the worker printed that are kept
_LINE = 64 << 20  # no event is longer; a worker that sends more is out of its mind
# What would change how a worker starts, or what another interpreter must not inherit.
_DROPPED = (
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONSTARTUP",
    "PYTHONVERBOSE",
    "PYTHONDEBUG",
    "PYTHONBREAKPOINT",
    "PYTHONWARNINGS",
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONFAULTHANDLER",
    "PYTHONUNBUFFERED",
    "PYTEST_ADDOPTS",
    "PYTEST_CURRENT_TEST",
    "__PYVENV_LAUNCHER__",
)
# The same result each time: no random order of sets, cuBLAS with a fixed workspace, .pt2 weights read without pickle.
# And nobody is told of it: onnxruntime from 1.32 on sends telemetry, and keeps an id of the device in the user's cache.
_ADDED = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
_ADDED["ORT_DISABLE_TELEMETRY"] = "1"


class WorkerDied(Exception):
    """The worker ended, hung or was stopped; carries the `Failure` that says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


_LIVE: weakref.WeakSet[Process] = weakref.WeakSet()


def stop_under(folder: Path) -> None:
    """End every worker whose files lie below ``folder``, those that still load included: for use on Ctrl-C."""
    for process in list(_LIVE):
        if process.folder.resolve().is_relative_to(folder.resolve()):
            process.stop()


class Process:
    """One running worker. Not thread-safe but for `stop`, which any thread may call."""

    def __init__(self, script: str, python: str | None, folder: Path, cwd: str | None, env: Mapping[str, str]) -> None:
        """Start ``worker/<script>`` under ``python`` (default: this interpreter) and return without waiting for it.

        Raises:
            RunnerError: the interpreter is missing or cannot be started.
        """
        self.folder = folder
        self._buffer, self._tail = b"", b""
        self._stopped = False
        self._hears = True  # stderr is still open on the worker's side
        self._memory_limit: int | None = None
        command = [_interpreter(python), str(_WORKERS / script)]
        environment = {k: v for k, v in os.environ.items() if k not in _DROPPED} | _ADDED | dict(env)
        environment["PARITY_PARENT"] = str(os.getpid())
        self._popen = _spawn(command, cwd, environment)
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._out, self._err = self._popen.stdout.fileno(), self._popen.stderr.fileno()
        for fd in (self._out, self._err):
            os.set_blocking(fd, False)
        _LIVE.add(self)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether the worker still runs."""
        return self._popen.poll() is None

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one request.

        Raises:
            WorkerDied: the worker is gone.
        """
        if request.get("memory_limit"):
            self._memory_limit = int(request["memory_limit"])
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._popen.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise WorkerDied(self._cause_of_death()) from None

    def receive(self, timeout_s: float, doing: str) -> dict[str, Any]:
        """Return the next event.

        Raises:
            WorkerDied: it ended, was stopped, or sent nothing for ``timeout_s`` seconds (then it is killed).
        """
        deadline = time.monotonic() + timeout_s
        while True:
            event = self._next_event()
            if event is not None:
                return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise WorkerDied(self._timed_out(timeout_s, doing))
            if not self._pump(left):
                raise WorkerDied(self._cause_of_death())

    def tail(self) -> str:
        """Return the last of what the worker printed, as text."""
        return self._tail.decode("utf-8", "replace").strip()

    def stop(self) -> None:
        """End the worker and all it started, and reap it. Safe to call twice and from another thread."""
        self._stopped = True
        if self._popen.poll() is None:
            with contextlib.suppress(BrokenPipeError, ValueError, OSError):
                assert self._popen.stdin is not None
                self._popen.stdin.close()  # the worker's watch ends it at once
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(0.25)
        self._kill()

    def close(self) -> None:
        """Stop the worker and give back its pipes. For the thread that uses the process."""
        self.stop()
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            with contextlib.suppress(BrokenPipeError, ValueError, OSError):
                if pipe is not None:
                    pipe.close()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)  # the group: also what the worker left behind
        self._popen.wait()

    def _next_event(self) -> dict[str, Any] | None:
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            noise, mark, data = line.partition(_MARK)
            self._keep(noise)
            if mark:
                event = json.loads(data)
                assert isinstance(event, dict)
                return event
        return None

    def _pump(self, timeout_s: float) -> bool:
        """Read what has come on both pipes within the time; False once the worker's stdout has ended."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if self._hears:
            poll.register(self._err, select.POLLIN)
        alive = True
        for fd, _ in poll.poll(min(timeout_s, 3600.0) * 1000):
            data = _read(fd)
            if fd == self._err:
                self._keep(data)
                self._hears = bool(data)
            else:
                self._buffer += data
                alive = bool(data) and len(self._buffer) < _LINE
        return alive

    def _keep(self, data: bytes) -> None:
        if data:
            self._tail = (self._tail + data)[-_TAIL:]

    def _drain(self) -> None:
        for fd in (self._out, self._err):
            with contextlib.suppress(OSError, ValueError):
                while data := _read(fd):
                    self._keep(data if fd == self._err else data.replace(_MARK, b""))

    def _timed_out(self, timeout_s: float, doing: str) -> Failure:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._popen.send_signal(signal.SIGUSR2)  # asks the worker where it is; answered without Python's lock
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(0.2)
        self._kill()
        self._drain()
        return Failure("timeout", f"{doing} took longer than {timeout_s:g} s and was stopped{_where(self.tail())}")

    def _cause_of_death(self) -> Failure:
        """Reap the worker and say how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(2.0)
        self._kill()
        if self._stopped:
            return Failure("interrupted", "the run was interrupted")
        self._drain()
        code = self._popen.returncode
        said = last_words(self.tail())
        if code >= 0:
            return Failure("crash", f"the worker ended by itself with exit status {code}{said}")
        name = signal_name(-code)
        if -code == signal.SIGKILL:
            return Failure(
                "memory", f"killed by {name}: probably out of memory{memory_advice(self._memory_limit)}{said}"
            )
        if self._memory_limit and -code == signal.SIGABRT and "alloc" in self.tail().lower():
            return Failure("memory", f"killed by {name}: out of memory{memory_advice(self._memory_limit)}{said}")
        return Failure("crash", f"killed by {name}{said}")


def _where(tail: str) -> str:
    """Return where the main thread was, by what faulthandler printed: it comes last, innermost call first."""
    _, _, main = tail.rpartition("hread 0x")
    where = [line.strip() for line in main.splitlines() if line.strip().startswith("File ")]
    return f"; it was in {where[0]}" if where else ""


def last_words(tail: str, lines: int = 6) -> str:
    """Return the last lines of what a worker printed, for an error message; empty if it printed nothing."""
    kept = [line for line in tail.splitlines() if line.strip()][-lines:]
    return "\nit printed last:\n" + "\n".join(f"  {line}" for line in kept) if kept else ""


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def _interpreter(python: str | None) -> str:
    if python is None:
        if not sys.executable:
            raise RunnerError("this Python does not know its own executable", remedy="set `python` to an interpreter")
        return sys.executable
    path = Path(python if "/" in python else shutil.which(python) or python)
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.is_file() or not os.access(path, os.X_OK):
        raise RunnerError(
            f"{python}: no such interpreter" if not path.is_file() else f"{python}: may not be executed",
            expected="the Python of the training environment, such as ../train/.venv/bin/python",
            remedy="correct `python` or leave it out",
        )
    return str(path)


@cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="parity-spawner")


def _spawn(command: list[str], cwd: str | None, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the process from a thread that lives as long as this process does.

    Linux sends a worker its parent-death signal when the *thread* that started it ends, so a caller's short-lived
    thread must not be that thread.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )

    try:
        return _spawner(os.getpid()).submit(start).result()
    except OSError as e:
        raise RunnerError(
            f"{command[0]}: cannot be started: {e.strerror or e}", remedy="correct `python` or leave it out"
        ) from None
