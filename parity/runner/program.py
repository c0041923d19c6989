"""Runs one foreign program to its end, with a time limit, bounded memory of what it prints, and no survivors."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parity.runner.base import Failure
from parity.runner.limits import memory_advice, signal_name
from parity.runner.process import last_words

_TAIL = 32 << 10


@dataclass(slots=True)
class Program:
    """A program that can be run again and again, and stopped from another thread."""

    command: Sequence[str]
    cwd: Path | None
    timeout_s: float
    memory_limit: int | None = None
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def run(self) -> Failure | None:
        """Run the program; return None if it ended with exit status 0, else how it ended."""
        try:
            process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as e:
            return Failure("absent", f"{self.command[0]}: cannot be started: {e.strerror or e}")
        self._running = process
        self._limit(process.pid)
        try:
            if self._stopped:  # by another thread, before there was anything to stop
                self._kill(process)
            tail, in_time = self._follow(process)
        except KeyboardInterrupt:
            return Failure("interrupted", "interrupted by Ctrl-C")
        finally:
            self._end(process)
        return self._ended(process.returncode, tail, in_time)

    def stop(self) -> None:
        """End the program, if it runs; for use from another thread.

        It only sends the signal: the pipe and the process are the running thread's to close and to wait for.
        """
        self._stopped = True
        if self._running is not None and self._running.returncode is None:
            self._kill(self._running)

    def _limit(self, pid: int) -> None:
        if self.memory_limit is None:
            return
        import resource

        if hasattr(resource, "prlimit"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_DATA, (self.memory_limit, self.memory_limit))

    def _follow(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
        """Read what the program prints until it ends or its time is over; return the end of it, and whether in time."""
        assert process.stdout is not None
        deadline, tail, pipe = time.monotonic() + self.timeout_s, b"", process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            if poll.poll(min(left, 0.1) * 1000):
                data = os.read(pipe, 1 << 16)
                tail = (tail + data)[-_TAIL:]
                if not data:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.0, deadline - time.monotonic()))
                    return tail, process.poll() is not None
            elif process.poll() is not None:  # it ended; something that it started still holds the pipe
                return tail, True
        return tail, False

    def _ended(self, code: int, tail: bytes, in_time: bool) -> Failure | None:
        said = last_words(tail.decode("utf-8", "replace"))
        name = Path(self.command[0]).name
        if self._stopped:
            return Failure("interrupted", "the run was interrupted")
        if not in_time:
            return Failure("timeout", f"{name} took longer than {self.timeout_s:g} s and was stopped{said}")
        if code == -signal.SIGKILL:
            advice = memory_advice(self.memory_limit)
            return Failure("memory", f"{name} was killed by SIGKILL: probably out of memory{advice}{said}")
        if code < 0:
            return Failure("crash", f"{name} was killed by {signal_name(-code)}{said}")
        return Failure("crash", f"{name} ended with exit status {code}{said}") if code else None

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    @classmethod
    def _end(cls, process: subprocess.Popen[bytes]) -> None:
        """Leave nothing behind: what the program started goes too, even if it ended by itself."""
        cls._kill(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
