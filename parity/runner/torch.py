"""Runs PyTorch policies: TorchScript, ``.pt2``, ``package.module:factory``, a LeRobot folder, an actor's checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from parity.artifact import recognize
from parity.errors import ArtifactError, ParityError
from parity.runner.ahead import started_ahead
from parity.runner.base import RunnerSpec, Session
from parity.runner.options import check_options
from parity.runner.rebuilt import rebuilt_request
from parity.runner.session import worker_session

_KINDS = ("torchscript", "pt2", "factory", "folder", "checkpoint")
_OPTIONS = ("threads", "network")
_SCRIPT = "run_torch.py"


class TorchRunner:
    """The runner ``torch``. Options: ``threads``, ``load_timeout_s``; ``network`` is for parity itself, see
    `parity.release.piped`.
    """

    name = "torch"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Load the policy in a worker; see `parity.runner.base.Runner.open`."""
        return _open(spec, workdir)


def torch_ahead(sides: Iterable[tuple[str, str | None]], root: Path) -> AbstractContextManager[None]:
    """Start a worker for each (path, interpreter) that torch would run, so that torch loads while parity prepares.

    ``root`` is the release's folder, in which its workers run.

    A path that cannot be read starts nothing: whoever opens it says why.
    """
    return started_ahead(_SCRIPT, [python for path, python in sides if _is_torch(path)], str(root))


def _is_torch(path: str) -> bool:
    try:
        return recognize(path).kind in _KINDS
    except ParityError:
        return False


@contextmanager
def _open(spec: RunnerSpec, workdir: Path) -> Iterator[Session]:
    check_options(spec, _OPTIONS)
    artifact = recognize(spec.path)
    if artifact.kind not in _KINDS:
        raise ArtifactError(
            f"{spec.path}: this is {artifact.kind}, which torch cannot run by itself",
            expected="TorchScript, .pt2, a LeRobot folder, an actor's checkpoint, or package.module:factory",
            remedy="write a function that builds the policy and loads its weights; give package.module:function",
        )
    if artifact.kind == "folder" and not (artifact.path / "config.json").is_file():
        raise ArtifactError(f"{spec.path}: no config.json in it, so it is no LeRobot policy")
    request = {"kind": artifact.kind}
    if artifact.kind == "checkpoint":
        request |= rebuilt_request(spec, workdir)
    with worker_session(spec, workdir, _SCRIPT, request) as session:
        yield session


RUNNER = TorchRunner()
