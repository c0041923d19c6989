"""What a worker and the process that started it say to each other. Runs under Python 3.8 and later with only NumPy.

One JSON object per line. The parent writes requests to the worker's stdin; the worker writes events to a private
duplicate of its stdout, each line after the byte 0x1E so that noise before it cannot be mistaken for one. Whatever the
policy itself prints goes to stderr. Tensors travel as ``.npy`` blocks ``(N, B, ...)`` in the work folder: the worker
appends one row per case, so what was measured survives its death.

    > {"op": "open", "path": ..., "kind": ..., ...}
    < {"event": "opened", "info": {...}}
    > {"op": "run", "id": 3, "variant": "base", "n": 64, "inputs": {"obs": {"file": "3-in-0.npy", ...}}}
    < {"event": "block", "name": "action", "file": "3-out-0.npy", "start": 0, "offset": 128, "shape": [1, 2], ...}
    < {"event": "case", "i": 0, "s": 0.0012}                     after every case
    < {"event": "done", "differs": {}, "stateful": null, ...}    or instead, at any time:
    < {"event": "failed", "kind": "run", "message": "..."}
    > {"op": "close"}                                            the worker gives back what it holds, and ends
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import hashlib
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[dict[str, Any]], dict[str, Any]]  # from named arrays (B, ...) to named arrays
    Opener = Callable[[dict[str, Any]], "tuple[Policy, dict[str, Any]]"]

MARK = b"\x1e"
_SAFE_TO_RAISE = 1 << 20  # characters of an error message worth sending


class Refused(Exception):
    """Why the worker cannot do what it was asked; ``kind`` is one of the kinds of `parity.runner.base.Failure`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Policy:
    """What a worker script provides: a loaded policy.

    ``call(variant)`` returns a function from named arrays ``(B, ...)`` to named arrays; `reset` brings the policy back
    to the state it had when loaded; `learnt` returns what running it has shown (``stateful``, ``notes``).
    """

    def call(self, variant: str) -> Call:
        raise NotImplementedError

    def reset(self) -> None:
        """Bring the policy back to the state it had when it was loaded."""

    def learnt(self) -> dict[str, Any]:
        """Return what running the policy has shown."""
        return {}

    def close(self) -> None:
        """Give back what would outlive the process; called where the parent asks to stop and has the time."""


def serve(opener: Opener, runtime: str) -> None:
    """Answer requests until the parent closes stdin or asks to stop. ``opener`` loads the policy that is asked for.

    The module ``runtime`` is imported at once: a worker may be started before it is asked anything.
    """
    channel = _Channel()
    policy: Policy | None = None
    problem = _import(runtime)
    for request in channel.requests():
        try:
            if request["op"] == "open":
                if problem is not None:
                    raise problem
                _limit_memory(request.get("memory_limit"))
                policy, info = opener(request)
                channel.send({"event": "opened", "info": info})
            elif request["op"] == "run" and policy is not None:
                _run(channel, policy, request)
            else:
                if policy is not None:
                    policy.close()
                break
        except Refused as e:
            channel.fail(e.kind, str(e))
        except MemoryError as e:
            channel.fail("memory", "out of memory{}".format(f": {e}" if str(e) else ""))
        except KeyboardInterrupt:
            channel.fail("interrupted", "interrupted")
        except BaseException as e:  # whatever a policy raises must reach the user as a message
            channel.fail(*_explain(e, "load" if policy is None else "run"))
    sys.stderr.flush()
    os._exit(0)  # a runtime's own clean-up at exit is slow and may crash


def _import(runtime: str) -> BaseException | None:
    """Import the runtime and return what went wrong, to be told once the parent asks to open something.

    Python's garbage collector waits meanwhile and later skips what was loaded: it takes a fifth of importing torch.
    """
    gc.disable()
    try:
        importlib.import_module(runtime)
    except ImportError as e:
        return Refused("absent", f"{runtime} cannot be imported here: {e}")
    except BaseException as e:  # whatever a broken runtime raises must reach the user as a message
        return e
    finally:
        gc.freeze()
        gc.enable()
    return None


def alone() -> None:
    """Take the worker's own folder off the import path, so that nothing in it can shadow a module of the policy."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    for name, module in list(sys.modules.items()):
        if name != "__main__" and Path(getattr(module, "__file__", None) or "/").parent == here:
            del sys.modules[name]


class _Channel:
    """The private way to the parent. Takes over fd 0 and 1: the policy sees an empty stdin, its prints go to stderr."""

    def __init__(self) -> None:
        self._in = os.dup(0)
        self._out = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        faulthandler.enable(all_threads=False)
        if hasattr(faulthandler, "register"):
            faulthandler.register(signal.SIGUSR2, all_threads=True)  # the parent asks where a hang is
        _die_with_parent()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End the process as soon as the parent's end of stdin is closed, whatever the main thread does."""
        if not hasattr(select, "poll"):
            return
        poll = select.poll()
        poll.register(self._in, 0)  # reports hang-up only
        poll.poll()
        os._exit(0)

    def requests(self) -> Any:
        """Yield requests until stdin ends."""
        with os.fdopen(self._in, "rb", closefd=False) as lines:
            for line in lines:
                yield json.loads(line.decode("ascii"))

    def send(self, event: dict[str, Any]) -> None:
        data = MARK + json.dumps(event).encode("ascii") + b"\n"
        while data:
            data = data[os.write(self._out, data) :]

    def fail(self, kind: str, message: str) -> None:
        self.send({"event": "failed", "kind": kind, "message": message[:_SAFE_TO_RAISE]})


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies: holds even while native code keeps Python's lock."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return  # a C library without prctl: the watch on stdin serves alone
    if os.getppid() == 1 and os.environ.get("PARITY_PARENT") != "1":
        os._exit(0)


def _limit_memory(limit: int | None) -> None:
    if not limit:
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _explain(e: BaseException, kind: str) -> Any:
    text = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
    low = text.lower()
    if any(
        s in low for s in ("can't allocate memory", "out of memory", "bad_alloc", "bad allocation", "cannot allocate")
    ):
        return "memory", text
    if isinstance(e, OSError) and e.errno == 28:
        return "run", f"no space left in the work folder: {text}"
    return kind, text


# ---------------------------------------------------------------------------------------------------------- running


def _run(channel: _Channel, policy: Policy, request: dict[str, Any]) -> None:
    import numpy as np

    folder, n = Path(request["folder"]), int(request["n"])
    inputs = {name: _load(folder, lies) for name, lies in request["inputs"].items()}
    call = policy.call(request["variant"])
    writer = _Writer(channel, folder, "{}-out".format(request["id"]), n)
    differs: dict[str, float] = {}

    def once(i: int) -> Any:
        # a copy, as policies may write into their inputs, and in this machine's byte order
        row = {name: np.array(b[i], dtype=b.dtype.newbyteorder("=")) for name, b in inputs.items()}
        if i == 0 or not request.get("sequence"):
            policy.reset()
        begun = time.perf_counter()
        outputs = call(row)
        return outputs, time.perf_counter() - begun

    for i in range(n):
        outputs, seconds = once(i)
        if request["repeat"] and not request.get("sequence"):
            first = {name: np.array(a) for name, a in outputs.items()}
            _compare(first, once(i)[0], differs)
            outputs = first
        for name, array in outputs.items():
            writer.append(name, i, array)
        channel.send({"event": "case", "i": i, "s": seconds})
    policy.reset()
    writer.close()
    channel.send(dict(policy.learnt(), event="done", differs=differs))


def _load(folder: Path, lies: dict[str, Any]) -> Any:
    """Return an input block ``(N, B, ...)``, mapped if it is large; the request says where in its file it lies."""
    import numpy as np

    path, dtype, shape = str(folder / lies["file"]), np.dtype(lies["dtype"]), tuple(lies["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    if count * dtype.itemsize < 1 << 20:
        return np.fromfile(path, dtype, count, offset=lies["offset"]).reshape(shape)
    return np.memmap(path, dtype, "r", lies["offset"], shape)


def _compare(first: dict[str, Any], second: dict[str, Any], differs: dict[str, float]) -> None:
    """Note the largest difference of each output between two runs of the same case; other shapes or NaN: infinite."""
    import numpy as np

    for name, a in first.items():
        b = second.get(name)
        if b is not None and a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes():
            continue
        gap = float("inf")
        if b is not None and a.shape == b.shape:
            with np.errstate(all="ignore"):
                x, y = a.astype(np.float64), b.astype(np.float64)
                d = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
            gap = float(np.where(np.isnan(d), np.inf, d).max(initial=0.0))
        if gap > 0:
            differs[name] = max(gap, differs.get(name, 0.0))


class _Writer:
    """Appends rows to one ``.npy`` block per output; a row of another shape or dtype begins another block."""

    def __init__(self, channel: _Channel, folder: Path, stem: str, n: int) -> None:
        self._channel, self._folder, self._stem, self._n = channel, folder, stem, n
        self._open: dict[str, Any] = {}
        self._count = 0

    def append(self, name: str, i: int, array: Any) -> None:
        import numpy as np

        array = np.asarray(array, order="C")
        if array.dtype.hasobject or array.dtype.kind not in "biufcSU":
            raise Refused("run", f"output {name!r} has dtype {array.dtype}, which is no plain tensor")
        held = self._open.get(name)
        if held is None or held[1] != array.shape or held[2] != array.dtype:
            held = self._begin(name, i, array)
        data = memoryview(array.tobytes())
        while data:
            data = data[os.write(held[0], data) :]

    def _begin(self, name: str, i: int, array: Any) -> Any:
        import numpy as np

        file = f"{self._stem}-{self._count}.npy"
        self._count += 1
        shape = (self._n - i, *array.shape)
        with (self._folder / file).open("wb") as f:
            header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(f, header)
            offset = f.tell()
        fd = os.open(str(self._folder / file), os.O_WRONLY | os.O_APPEND)
        if name in self._open:
            os.close(self._open[name][0])
        self._open[name] = (fd, array.shape, array.dtype)
        event = {"event": "block", "name": name, "file": file, "start": i, "offset": offset}
        self._channel.send(dict(event, shape=list(array.shape), dtype=array.dtype.str))
        return self._open[name]

    def close(self) -> None:
        for fd, _, _ in self._open.values():
            os.close(fd)


# ------------------------------------------------------------------------------------------- shared by the scripts


def digest(base: Path, files: list[Path], folder: bool) -> str:
    """Return the SHA-256 of an artifact, by the same rule as `parity.artifact.digest`."""
    if len(files) == 1 and not folder:
        return file_digest(files[0])
    tree = hashlib.sha256()
    for name, f in sorted((f.relative_to(base).as_posix(), f) for f in files):
        tree.update(f"{name}\0{file_digest(f)}\n".encode("utf-8", "surrogateescape"))
    return tree.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of one file."""
    sha = hashlib.sha256()
    with path.open("rb") as f:
        for chunk in iter(lambda: f.read(1 << 20), b""):
            sha.update(chunk)
    return sha.hexdigest()


def pick(inputs: dict[str, Any], wanted: list[str]) -> list[Any]:
    """Return the arrays for the inputs called ``wanted``, in that order; refuse if one is missing or unknown."""
    missing = [n for n in wanted if n not in inputs]
    extra = [n for n in inputs if n not in wanted]
    if missing or extra:
        parts = ["missing " + ", ".join(missing)] if missing else []
        parts += ["unknown " + ", ".join(extra)] if extra else []
        raise Refused("input", "inputs do not fit: {}; the policy takes {}".format("; ".join(parts), ", ".join(wanted)))
    return [inputs[n] for n in wanted]


def cast(name: str, array: Any, dtype: Any) -> Any:
    """Return the array in ``dtype``: between float types freely, between integers if no value changes, else refused."""
    import numpy as np

    dtype = np.dtype(dtype)
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "f" and dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(dtype)
    if array.dtype.kind in "iub" and dtype.kind in "iub":
        other = array.astype(dtype)
        if np.array_equal(other, array):
            return other
    raise Refused("input", f"input {name!r} has dtype {array.dtype}, the policy takes {dtype}")
