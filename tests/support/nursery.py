"""Workers for the tests, forked from a process that has imported their runtime once: importing torch takes seconds.

What a worker does, and how parity speaks to it, is as ever; what is left out is the start of an interpreter and the
import. The same goes for the pytest that runs the suites. What is to start in another way (another interpreter,
another environment) is started as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from unittest import mock

from parity.runner import process

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
# What each worker imports; that of layers is used for .pt2 files above all, which need as much again.
RUNTIMES = {
    "run_torch.py": ("torch",),
    "run_torch_export.py": ("torch",),
    "run_torch_layers.py": ("torch", "torch._dynamo", "torch._export.serde.serialize"),
    "run_onnxruntime.py": ("onnxruntime",),
}
# Read when a program runs, not when Python or a runtime starts; `forking` itself sees to PYTHONPATH, and torch sets the
# last one here when it exports.
LATE = ("PATH", "PYTHONPATH", "NO_COLOR", "COLUMNS", "ATC_FAILS", "TORCHINDUCTOR_CACHE_DIR")
SUITES = ("pytest", "parity.release.gateway")
FRESH: Callable[..., Any] = process._spawn
NULL, OWN = subprocess.DEVNULL, subprocess.STDOUT


@contextmanager
def forked_workers() -> Iterator[Nurseries]:
    """Within the context parity's workers and suites are forked, where they are to start in this environment."""
    from parity.release import suite_run

    with Nurseries() as nurseries:
        replaced = SimpleNamespace(Popen=nurseries.suites, STDOUT=OWN)
        with (
            mock.patch.object(process, "_spawn", nurseries.worker),
            mock.patch.object(suite_run, "subprocess", replaced),
        ):
            yield nurseries


@contextmanager
def fresh_workers() -> Iterator[None]:
    """Within the context all is started as ever, whatever is around it."""
    from parity.release import suite_run

    with mock.patch.object(process, "_spawn", FRESH), mock.patch.object(suite_run, "subprocess", subprocess):
        yield


class Nurseries:
    """The processes that fork, made when they are first needed, and what is asked of them instead of `Popen`."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], Nursery] = {}
        self._lock = threading.Lock()
        own = dict(os.environ)
        self._worker = {k: v for k, v in own.items() if k not in process._DROPPED} | process._ADDED
        self._worker["PARITY_PARENT"] = str(os.getpid())
        self._suites = {k: v for k, v in own.items() if not k.startswith("PYTEST_")}
        self._suites["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    def __enter__(self) -> Nurseries:
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        return self

    def __exit__(self, *_: object) -> None:
        for nursery in self._made.values():
            nursery.close()

    def worker(self, command: list[str], cwd: str | None, env: Mapping[str, str]) -> Any:
        modules = RUNTIMES.get(Path(command[1]).name)
        known = command[0] == sys.executable and modules and importlib.util.find_spec(modules[0]) is not None
        if not known or _early(env) != _early(self._worker):
            return FRESH(command, cwd, env)
        return self._nursery(modules, self._worker).fork(command[1:], cwd, env, piped=True)

    def suites(self, command: list[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[str], **rest: Any) -> Any:
        assert rest == {"stderr": OWN, "start_new_session": True}
        if _early(env) != _early(self._suites):
            return subprocess.Popen(command, cwd=cwd, env=env, stdout=stdout, **rest)
        return self._nursery(SUITES, self._suites).fork(command[1:], str(cwd), env, into=stdout.fileno())

    def script(self, argv: list[str], *, cwd: Path, stdout: IO[str]) -> Forked:
        """Return a script that runs as ``python argv``, torch being loaded, and writes all into one file."""
        modules = ("torch",) if importlib.util.find_spec("torch") else ()
        return self._nursery(modules, self._worker).fork(argv, str(cwd), self._worker, into=stdout.fileno())

    def _nursery(self, modules: tuple[str, ...], env: Mapping[str, str]) -> Nursery:
        with self._lock:
            if modules not in self._made:
                self._made[modules] = Nursery(modules, env)
            return self._made[modules]


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if k not in LATE}


class Nursery:
    """One process that has imported some modules and forks programs that use them."""

    def __init__(self, modules: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("forking.py")), str(far.fileno()), *modules],
                stdin=NULL,
                stdout=NULL,
                env=dict(env),
                pass_fds=[far.fileno()],
                start_new_session=True,
            )

    def fork(
        self, argv: list[str], cwd: str | None, env: Mapping[str, str], *, piped: bool = False, into: int | None = None
    ) -> Forked:
        """Return a program that runs as ``python argv`` in ``cwd``.

        With ``piped`` its three streams are pipes; else it reads nothing, and writes ``into`` that descriptor.
        """
        if piped:
            pairs = [os.pipe() for _ in range(3)]  # (read, write)
            theirs, ours = [pairs[0][0], pairs[1][1], pairs[2][1]], [pairs[0][1], pairs[1][0], pairs[2][0]]
        else:
            assert into is not None
            theirs, ours = [os.open(os.devnull, os.O_RDONLY), os.dup(into), os.dup(into)], []
        request = {"argv": argv, "cwd": cwd, "env": dict(env)}
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
            pid = json.loads(self._channel.recv(1 << 10))["pid"]
        for fd in theirs:
            os.close(fd)
        return Forked(pid, *ours)

    def close(self) -> None:
        """End the process; programs that still run live on."""
        self._channel.close()
        self._process.wait()


class Forked:
    """What parity uses of `subprocess.Popen`, for a child that this process did not start itself."""

    def __init__(self, pid: int, *pipes: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = (
            [os.fdopen(fd, mode) for fd, mode in zip(pipes, ("wb", "rb", "rb"), strict=True)] if pipes else [None] * 3
        )
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Reap the program if it has ended and return its exit code, as `subprocess.Popen.poll` does."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended.

        Raises:
            TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0)
            self._until_gone(left)
        assert self.returncode is not None
        return self.returncode

    def _until_gone(self, timeout: float | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            fd, poll = os.pidfd_open(self.pid), select.poll()
            poll.register(fd, select.POLLIN)
            try:
                poll.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(fd)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it unless it was reaped."""
        if self.poll() is None:
            os.kill(self.pid, number)
