"""A `Session` with a worker process: writes inputs, follows the run case by case, gathers what the worker wrote."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parity.errors import OutputError, RunnerError, UsageError
from parity.runner.ahead import take
from parity.runner.base import Failure, Progress, RunnerSpec, RunResult, SessionInfo, Variant
from parity.runner.process import Process, WorkerDied
from parity.tensor import Array, Block, TensorSpec

LOAD_LIMIT_S = 300.0  # loading may take this long, or the time limit of a case where that is longer
_IN_MEMORY = 8 << 20  # outputs up to this size are read, larger ones are mapped
_STICKY = frozenset({"crash", "timeout", "memory", "interrupted"})


@dataclass(slots=True)
class _Written:
    """A block of rows that the worker writes: the rows from case ``start`` on, each of one shape and dtype."""

    file: str
    start: int
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(slots=True)
class _Gathered:
    """What has come back of one run."""

    blocks: dict[str, list[_Written]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    differs: dict[str, float] = field(default_factory=dict)


class WorkerSession:
    """A policy loaded in a worker. See `parity.runner.base.Session`; `close` may be called from another thread."""

    def __init__(self, spec: RunnerSpec, process: Process, folder: Path, info: SessionInfo) -> None:
        self.info = info
        self._spec, self._process, self._folder = spec, process, folder
        self._ids = itertools.count()
        self._written: dict[str, tuple[Array, dict[str, Any]]] = {}  # what lies in the folder for the next run
        self._dead: Failure | None = None
        self._failed = False

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the block; see `parity.runner.base.Session.run`.

        A Ctrl-C in this thread ends the worker and gives what was measured, with the failure ``interrupted``.
        `info` is refreshed by what the run has shown (``stateful``, ``notes``).
        """
        if self._dead:
            return RunResult({}, 0, failure=self._dead)
        got = _Gathered()
        failure: Failure | None = None
        try:
            request = self._request(block, variant, repeat)
            self._process.send(request)
            failure = self._follow(block, got, progress, self._spec.timeout_s * (2 if repeat else 1))
        except WorkerDied as e:
            failure = e.failure
        except KeyboardInterrupt:
            self._process.stop()
            failure = Failure("interrupted", "interrupted by Ctrl-C")
        if failure and (failure.kind in _STICKY or not self._process.alive):
            self._dead = failure
        self._failed = self._failed or failure is not None
        outputs, completed = self._outputs(got)
        return RunResult(outputs, completed, tuple(got.seconds[:completed]), got.differs, failure)

    def close(self) -> None:
        """End the worker; a run in another thread ends with the failure ``interrupted``."""
        self._dead = self._dead or Failure("interrupted", "the session was closed")
        self._process.stop()

    def finish(self, timeout_s: float) -> None:
        """Ask an idle worker to give back what would outlive it, such as a device's memory, and wait for its end.

        Raises:
            RunnerError: it says that it could not, and no run failed before: the first failure is the one to tell.
        """
        if self._dead or not self._process.alive:
            return
        try:
            self._process.send({"op": "close"})
            event = self._process.receive(timeout_s, f"{self._spec.name}: closing")
        except WorkerDied:
            return  # it ended, as it was asked to, or was stopped after the time
        if not self._failed:
            raise RunnerError(f"{self._spec.name}: closing: {event.get('message')}")

    def _request(self, block: Block, variant: Variant, repeat: bool) -> dict[str, Any]:
        number = next(self._ids)
        files: dict[str, dict[str, Any]] = {}
        for k, (name, array) in enumerate(block.inputs.items()):
            held = self._written.get(name)
            if held is not None and held[0] is array and not array.flags.writeable:
                files[name] = held[1]  # a step of a loop is fed the same cache as the one before
                continue
            try:
                files[name] = _write(self._folder, f"{number}-in-{k}.npy", array)
            except OSError as e:
                raise OutputError(
                    f"{self._folder}: inputs cannot be written: {e.strerror or e}", remedy="free some disk space"
                ) from None
        self._written = {n: (a, files[n]) for n, a in block.inputs.items() if not a.flags.writeable}
        request = {"op": "run", "id": number, "folder": str(self._folder), "variant": variant, "n": len(block)}
        return request | {"inputs": files, "repeat": repeat, "sequence": block.sequence}

    def _follow(self, block: Block, got: _Gathered, progress: Progress | None, limit_s: float) -> Failure | None:
        """Receive events until the run is over; return why it failed, if it did.

        The first case has twice the time, as a variant is made on its first use.
        """
        while True:
            at = len(got.seconds)
            doing = f"{self._spec.name}: case {block.ids[at]}" if at < len(block) else f"{self._spec.name}: finishing"
            event = self._process.receive(limit_s * (2 if at == 0 else 1), doing)
            match event["event"]:
                case "case":
                    got.seconds.append(float(event["s"]))
                    if progress:
                        progress(len(got.seconds))
                case "block":
                    written = _Written(
                        event["file"], event["start"], event["offset"], tuple(event["shape"]), event["dtype"]
                    )
                    got.blocks.setdefault(event["name"], []).append(written)
                case "failed":
                    where = f" (case {block.ids[at]})" if at < len(block) else ""
                    return Failure(event["kind"], f"{event['message']}{where}")
                case _:
                    got.differs = {k: float(v) for k, v in event.get("differs", {}).items()}
                    self.info = learn(self.info, event)
                    return None

    def _outputs(self, got: _Gathered) -> tuple[dict[str, Array | list[Array]], int]:
        """Return the outputs of the completed cases and their number. Files go; mapped ones live on unnamed."""
        completed = len(got.seconds)
        outputs: dict[str, Array | list[Array]] = {}
        for name, blocks in got.blocks.items():
            ends = [b.start for b in blocks[1:]] + [completed]
            parts = [(b, self._read(b, end - b.start)) for b, end in zip(blocks, ends, strict=True) if end > b.start]
            if len(parts) == 1 and parts[0][0].start == 0:
                outputs[name] = parts[0][1]
            elif parts:
                outputs[name] = [row for _, part in parts for row in part]
        kept = {described["file"] for _, described in self._written.values()}
        for file in self._folder.glob("*.npy"):
            if file.name not in kept:
                file.unlink(missing_ok=True)
        short = [len(o) for o in outputs.values() if len(o) < completed]
        return outputs, min([completed, *short])

    def _read(self, block: _Written, rows: int) -> Array:
        import numpy as np

        dtype, path, shape = np.dtype(block.dtype), self._folder / block.file, (rows, *block.shape)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size == 0:
            return np.zeros(shape, dtype)
        if size > _IN_MEMORY:
            return np.memmap(path, dtype, mode="r", offset=block.offset, shape=shape)
        with path.open("rb") as f:
            f.seek(block.offset)
            return np.frombuffer(f.read(size), dtype).reshape(shape)


def _write(folder: Path, file: str, array: Array) -> dict[str, Any]:
    """Write an input block as `.npy` and return where its values lie."""
    import numpy as np

    plain = array.astype(np.float32) if array.dtype.name == "bfloat16" else array  # exact; `.npy` has no bfloat16
    plain = np.ascontiguousarray(plain)
    with (folder / file).open("wb") as f:
        np.lib.format.write_array_header_2_0(f, np.lib.format.header_data_from_array_1_0(plain))
        offset = f.tell()
        plain.tofile(f)
    return {"file": file, "offset": offset, "shape": list(plain.shape), "dtype": plain.dtype.str}


def learn(info: SessionInfo, event: Mapping[str, Any]) -> SessionInfo:
    """Return ``info`` with what a run has shown added to it."""
    notes = tuple(n for n in event.get("notes", ()) if n not in info.notes)
    stateful = event.get("stateful") or info.stateful
    environment = event.get("environment") or {}
    if not notes and not environment and stateful == info.stateful:
        return info
    return replace(info, stateful=stateful, notes=info.notes + notes, environment={**info.environment, **environment})


@contextlib.contextmanager
def worker_session(
    spec: RunnerSpec,
    workdir: Path,
    script: str,
    request: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
) -> Iterator[WorkerSession]:
    """Start ``worker/<script>``, have it open what ``request`` and ``spec`` say, and yield the session.

    Raises:
        RunnerError: the interpreter or the runtime is missing, or loading failed, crashed or took too long.
        OutputError: the work folder cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{script.removesuffix('.py')}-", dir=workdir)).resolve()
    except OSError as e:
        raise OutputError(f"{workdir}: cannot be written: {e.strerror or e}", remedy="choose another folder") from None
    process: Process | None = None
    try:
        process = _process(spec, script, folder, env or {})
        info = _open(process, spec, {**_described(spec), **request})
        yield WorkerSession(spec, process, folder, info)
    finally:
        if process is not None:
            process.close()
        shutil.rmtree(folder, ignore_errors=True)


def _process(spec: RunnerSpec, script: str, folder: Path, env: Mapping[str, str]) -> Process:
    cwd = _cwd(spec)
    spare = None if env else take(script, spec.python, cwd, folder)
    return spare or Process(script, spec.python, folder, cwd, env)


def _cwd(spec: RunnerSpec) -> str | None:
    cwd = spec.options.get("cwd")
    if cwd is None:
        return None
    if not Path(str(cwd)).is_dir():
        raise UsageError(f"{spec.name}: {cwd} is not a folder", remedy="correct `cwd`")
    return str(cwd)


def _described(spec: RunnerSpec) -> dict[str, Any]:
    def plain(tensors: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [
            {"name": t.name, "shape": None if t.shape is None else list(t.shape), "dtype": t.dtype} for t in tensors
        ]

    request = {
        "op": "open",
        "path": spec.path,
        "kwargs": dict(spec.kwargs),
        "options": dict(spec.options),
        "device": spec.device,
        "provider": spec.provider,
        "inputs": plain(spec.inputs),
        "outputs": plain(spec.outputs),
        "memory_limit": spec.memory_limit,
        "seed": spec.seed,
    }
    import json

    try:
        json.dumps(request)
    except (TypeError, ValueError) as e:
        raise UsageError(f"{spec.name}: kwargs and options must be plain values ({e})") from None
    return request


def _open(process: Process, spec: RunnerSpec, request: Mapping[str, Any]) -> SessionInfo:
    what = f"{spec.name}: loading {spec.path or spec.runner}"
    try:
        process.send(request)
        event = process.receive(
            max(LOAD_LIMIT_S, spec.timeout_s)
            if "load_timeout_s" not in spec.options
            else float(spec.options["load_timeout_s"]),
            what,
        )
    except WorkerDied as e:
        raise RunnerError(f"{what}: {e.failure.message}", remedy=_remedy(e.failure.kind)) from None
    if event["event"] != "opened":
        raise RunnerError(f"{what}: {event['message']}", remedy=_remedy(event["kind"], spec))
    info = event["info"]
    return SessionInfo(
        inputs=tuple(_tensor(t) for t in info["inputs"]),
        outputs=tuple(_tensor(t) for t in info["outputs"]),
        environment={**info["environment"], "interpreter": spec.python or "this one"},
        loaded_sha256=info.get("loaded_sha256"),
        precision=info.get("precision"),
        stateful=info.get("stateful"),
        variants=tuple(info.get("variants", ("base",))),
        notes=tuple(info.get("notes", ())),
    )


def _tensor(t: Mapping[str, Any]) -> TensorSpec:
    shape = None if t.get("shape") is None else tuple(t["shape"])
    return TensorSpec(t["name"], shape, t.get("dtype"))


def _remedy(kind: str, spec: RunnerSpec | None = None) -> str | None:
    if kind == "absent" and spec is not None:
        other = "in the interpreter that `python` names" if spec.python else "here, or set `python` to one that has it"
        return f"install what is missing {other}"
    return {"memory": "give it more memory", "timeout": "raise `load_timeout_s`"}.get(kind)
