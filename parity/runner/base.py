"""What executes a policy: the description of a runner, a live session with one, and what it gives back.

A runner is one new file with an object that fits `Runner`, registered by entry point, group ``parity.runners``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from parity.errors import ParityError, RunnerError, UsageError
from parity.plugins import loaded, points
from parity.tensor import Array, Block, TensorSpec

GROUP = "parity.runners"
Variant = Literal[
    "base",  # as shipped
    "float64",  # the same computation in float64, where the runtime can
    "no_optimization",  # graph optimizations off
    "one_thread",  # a single thread
]
VARIANTS: tuple[Variant, ...] = ("base", "float64", "no_optimization", "one_thread")


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """How to run one artifact: a ``[reference]`` or ``[[candidate]]`` table of `parity.toml`, paths made absolute.

    ``path`` is a file, a folder, or ``package.module:factory``. ``python`` is another interpreter. ``options`` are the
    runner's own (``provider``, ``device``, session options). ``inputs`` are known input specs, for runtimes that
    cannot tell names or shapes themselves (TorchScript). Times are seconds, memory bytes. ``seed`` is of the noise that
    the policy draws itself, where its runtime can be told; 0 to 2**31 - 1.
    """

    name: str
    runner: str
    path: str = ""
    precision: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    command: tuple[str, ...] = ()
    provider: str | None = None
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    timeout_s: float = 120.0
    memory_limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What really ran: told by the worker after loading, never assumed.

    ``environment`` holds library versions, device, providers, threads, TF32; ``loaded_sha256`` is the hash of the
    bytes that the worker loaded; ``stateful`` tells that state was found and how it is reset; ``precision`` is the
    lowest class computed in, as far as the runtime can tell; ``variants`` are those that work here.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    environment: Mapping[str, Any]
    loaded_sha256: str | None = None
    precision: str | None = None
    stateful: str | None = None
    variants: tuple[Variant, ...] = ("base",)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run stopped.

    ``kind`` is ``absent``, ``load``, ``artifact``, ``crash``, ``timeout``, ``memory``, ``input``, ``run`` or
    ``interrupted``. ``remedy`` says what to do, where more is known than what the kind tells.
    """

    kind: str
    message: str
    remedy: str | None = None

    @classmethod
    def of(cls, error: ParityError, kind: str) -> Failure:
        """Return the failure that an error tells of, its remedy apart from what was found and expected."""
        expected = f"\nexpected: {error.expected}" if error.expected else ""
        return cls(kind, f"{error.message}{expected}", error.remedy)


@dataclass(frozen=True, slots=True)
class RunResult:
    """Outputs for the first ``completed`` cases of a block.

    ``outputs[name]`` is ``(completed, B, ...)``, or a list of arrays where shapes differ from case to case.
    ``repeat_differs`` names the outputs that changed when the same case ran twice, with the largest difference.
    """

    outputs: Mapping[str, Array | list[Array]]
    completed: int
    seconds: tuple[float, ...] = ()
    repeat_differs: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None


Progress = Callable[[int], None]


class Session(Protocol):
    """A loaded policy in its own process."""

    info: SessionInfo

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run every case of the block, resetting state before each, and return what came back.

        With ``repeat`` each case runs twice (state reset in between) and differences are reported. A crash, a time-out
        or a memory kill is a `Failure` in the result, never an exception; later calls fail at once with the same.
        """
        ...

    def close(self) -> None: ...


class Runner(Protocol):
    """Opens sessions for one runtime."""

    name: str

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Load the policy in a process of its own.

        Raises:
            RunnerError: absent, crashed on loading, timed out, or the provider that was asked for did not run.
            ArtifactError: the artifact cannot be read.
        """
        ...


def runners() -> dict[str, Runner]:
    """Return all registered runners by name.

    Raises:
        RunnerError: one of them cannot be loaded.
    """
    return {name: _loaded(name) for name in points(GROUP)}


def runner_for(spec: RunnerSpec) -> Runner:
    """Return the runner that ``spec`` names, loading no other.

    Raises:
        UsageError: no such runner.
        RunnerError: it is registered but cannot be loaded.
    """
    known = list(points(GROUP))
    if spec.runner not in known:
        import difflib

        near = difflib.get_close_matches(spec.runner, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{spec.name}: no runner called {spec.runner!r}{hint}", expected=", ".join(known))
    return _loaded(spec.runner)


def _loaded(name: str) -> Runner:
    runner: Runner = loaded(GROUP, name, "runner", RunnerError)
    return runner
