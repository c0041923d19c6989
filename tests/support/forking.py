"""A process that has imported some modules once and forks itself whenever a program is wanted. Started by `nursery`.

    > {"argv": [...], "cwd": ..., "env": {...}} with the program's stdin, stdout and stderr
    < {"pid": 123}

``argv`` is that of ``python``: a script, or ``-m`` and a module, and arguments. The program is forked by a child of
this process that ends at once, so that it belongs to the process that asked (a subreaper), as if that had started it.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import runpy
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main() -> None:
    """Import the modules named on the command line; answer requests on the socket there until it is closed."""
    channel, asks = socket.socket(fileno=int(sys.argv[1])), os.getppid()
    for module in sys.argv[2:]:
        importlib.import_module(module)
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not data:
            return
        said, says = os.pipe()
        between = os.fork()
        if not between:
            if not os.fork():
                os.close(said)
                channel.close()
                become(json.loads(data), fds, asks, says)
            os._exit(0)
        os.close(says)
        os.waitpid(between, 0)
        channel.send(os.read(said, 1 << 10))
        for fd in (*fds, said):
            os.close(fd)


def become(request: dict[str, Any], fds: list[int], asks: int, says: int) -> None:
    """Tell ``says`` the process id, and be the program that is asked for; ends the process as that does."""
    os.setsid()
    while os.getppid() != asks:  # until the process between has ended
        time.sleep(0.0005)
    os.write(says, json.dumps({"pid": os.getpid()}).encode())
    os.close(says)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    searched = [_search_path(e) for e in (os.environ, request["env"])]
    sys.path[1 : 1 + len(searched[0])] = searched[1]
    os.environ.clear()
    os.environ.update(request["env"])
    if request["cwd"] is not None:
        os.chdir(request["cwd"])
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    argv = request["argv"]
    if argv[0] == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(argv[0]).parent)
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")
    sys.exit(0)


def _search_path(env: Mapping[str, str]) -> list[str]:
    """Return what PYTHONPATH puts on `sys.path`, behind its first entry."""
    return list(dict.fromkeys(p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p))


if __name__ == "__main__":
    main()
