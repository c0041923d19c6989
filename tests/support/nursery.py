"""Workers for the tests, forked from a process that has imported their runtime once: importing torch takes seconds.

What a worker does, and how parity speaks to it, is as ever; what is left out is the start of an interpreter and the
import. A worker that is to start in any other way (another interpreter, another environment) is started as ever.
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
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from parity.runner import process

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
RUNTIMES = {
    "run_torch.py": "torch",
    "run_torch_export.py": "torch",
    "run_torch_layers.py": "torch",
    "run_onnxruntime.py": "onnxruntime",
}
Spawn = Callable[[list[str], str | None, Mapping[str, str]], Any]
FRESH: Spawn = process._spawn


@contextmanager
def forked_workers() -> Iterator[None]:
    """Within the context parity's workers are forked, where they are to start in this environment."""
    here = {k: v for k, v in os.environ.items() if k not in process._DROPPED} | process._ADDED
    here["PARITY_PARENT"] = str(os.getpid())
    nurseries: dict[str, Nursery] = {}
    spawn = partial(_spawn, nurseries, here)
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        with mock.patch.object(process, "_spawn", spawn):
            yield
    finally:
        for nursery in nurseries.values():
            nursery.close()


@contextmanager
def fresh_workers() -> Iterator[None]:
    """Within the context workers are started as ever, whatever is around it."""
    with mock.patch.object(process, "_spawn", FRESH):
        yield


def _spawn(
    nurseries: dict[str, Nursery],
    here: dict[str, str],
    command: list[str],
    cwd: str | None,
    env: Mapping[str, str],
) -> Any:
    runtime = RUNTIMES.get(Path(command[1]).name, "")
    known = command[0] == sys.executable and runtime and importlib.util.find_spec(runtime) is not None
    if not known or dict(env) != here:
        return FRESH(command, cwd, env)
    if runtime not in nurseries:
        nurseries[runtime] = Nursery(runtime, here)
    return nurseries[runtime].fork(command, cwd)


class Nursery:
    """One process that has imported a runtime and forks workers."""

    def __init__(self, runtime: str, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._lock = threading.Lock()
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("forking.py")), str(far.fileno()), runtime],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self._env,
                pass_fds=[far.fileno()],
                start_new_session=True,
            )

    def fork(self, command: list[str], cwd: str | None) -> Forked:
        """Return a worker that runs ``command`` in ``cwd``."""
        pipes = [os.pipe() for _ in range(3)]  # (read, write)
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        request = {"argv": command[1:], "cwd": cwd, "env": self._env}
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
            pid = json.loads(self._channel.recv(1 << 10))["pid"]
        for fd in theirs:
            os.close(fd)
        return Forked(pid, pipes[0][1], pipes[1][0], pipes[2][0])

    def close(self) -> None:
        """End the process; workers that still run live on."""
        self._channel.close()
        self._process.wait()


class Forked:
    """What parity uses of `subprocess.Popen`, for a child that this process did not start itself."""

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout, self.stderr = os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb")
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Reap the worker if it has ended and return its exit code, as `subprocess.Popen.poll` does."""
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
            fd = os.pidfd_open(self.pid)
            try:
                select.select([fd], [], [], timeout)
            finally:
                os.close(fd)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it unless it was reaped."""
        if self.poll() is None:
            os.kill(self.pid, number)
