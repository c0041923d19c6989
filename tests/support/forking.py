"""A process that has imported a runtime once and forks itself whenever a worker is wanted. Started by `nursery`.

    > {"argv": [...], "cwd": ..., "env": {...}} with the worker's stdin, stdout and stderr
    < {"pid": 123}

The worker is forked by a child of this process that ends at once, so that it belongs to the process that asked (which
is a subreaper), as if that had started it.
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
import traceback
from pathlib import Path
from typing import Any


def main() -> None:
    """Import the module named on the command line; answer requests on the socket there until it is closed."""
    channel, asks = socket.socket(fileno=int(sys.argv[1])), os.getppid()
    importlib.import_module(sys.argv[2])
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not data:
            return
        said, says = os.pipe()
        between = os.fork()
        if not between:
            pid = os.fork()
            if not pid:
                os.close(said)
                os.close(says)
                become(json.loads(data), fds, channel, asks)
            os.write(says, json.dumps({"pid": pid}).encode())
            os._exit(0)
        os.waitpid(between, 0)
        channel.send(os.read(said, 1 << 10))
        for fd in (*fds, said, says):
            os.close(fd)


def become(request: dict[str, Any], fds: list[int], channel: socket.socket, asks: int) -> None:
    """Be the worker that is asked for; never returns."""
    try:
        channel.close()
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        os.setsid()
        while os.getppid() != asks:  # until the process between has ended
            time.sleep(0.0005)
        os.environ.clear()
        os.environ.update(request["env"])
        if request["cwd"] is not None:
            os.chdir(request["cwd"])
        sys.argv = request["argv"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        random.seed()
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()
        runpy.run_path(sys.argv[0], run_name="__main__")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
