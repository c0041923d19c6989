"""A PyTorch policy written as ONNX: in its own interpreter, with what exporters get wrong checked or undone.

Training flags and weights must be the same after the export as before; the opset must be the one that was asked for;
the graph must be valid, and holds no paths of the machine. Whether it computes the same numbers is for the comparison
to say, which follows.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity import __version__
from parity.cases import make_cases
from parity.contract import Contract
from parity.contract.noise import with_noise
from parity.errors import OutputError, RunnerError, UsageError
from parity.finding import Finding
from parity.release.config import CasesTable, Config
from parity.release.export_graph import Finished, finish, scopes_text
from parity.release.prepare import joint_contract
from parity.release.sides import Side, resolve
from parity.runner.rebuilt import rebuilt_request
from parity.runner.session import worker_session
from parity.tensor import Block, stack

OPSETS = {"torchscript": 17, "dynamo": 18}  # by exporter: the most conservative that each writes reliably
MARK = "parity.export"  # the metadata key that says who wrote a file
_WORKER, _KINDS = "run_torch_export.py", ("torchscript", "pt2", "factory", "folder", "checkpoint")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the ONNX, the side file with each value's module, and what is to be said of them."""

    path: Path
    scopes: Path
    opset: int
    exporter: str
    environment: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `parity export --json` says of the file."""
        return {
            "path": str(self.path),
            "scopes": str(self.scopes),
            "opset": self.opset,
            "exporter": self.exporter,
            "torch": self.environment.get("torch"),
            "inputs": list(self.environment.get("inputs", [])),
            "outputs": list(self.environment.get("outputs", [])),
        }


def export(
    config: Config, root: Path, target: Path, *, opset: int | None, exporter: str | None, dynamic_batch: bool
) -> Exported:
    """Write the reference of ``config`` to ``target`` as ONNX and return what was written. An earlier export goes.

    By default the TorchScript exporter writes opset 17; the dynamo exporter, which alone reads .pt2, writes 18.

    Raises:
        UsageError: torch does not run such an artifact, what is needed to make an input is nowhere to be found, or
            ``target`` is a file that no export wrote.
        ArtifactError: the source cannot be read.
        RunnerError: it could not be loaded, run or exported, or the exporter changed it or wrote what it should not.
        OutputError: ``target`` cannot be written.
    """
    _spare(target)
    side = resolve(config.reference, "reference", root, {}, strict=True)
    if side.artifact is None or side.artifact.kind not in _KINDS:
        kind = side.artifact.kind if side.artifact else "a command"
        raise UsageError(
            f"{side.spec.path or 'the reference'}: {kind} is nothing that torch can export",
            expected="TorchScript, .pt2, a LeRobot folder, an actor's checkpoint, or package.module:factory",
        )
    exporter = exporter or ("dynamo" if side.artifact.kind == "pt2" else "torchscript")
    opset = opset or OPSETS[exporter]
    contract, _ = joint_contract(side, [], config.contract)
    contract = with_noise(contract)
    block = _first_case(config, contract)
    with _staging(target) as folder:
        raw = folder / "raw" / "policy.onnx"
        raw.parent.mkdir()
        asked = {"file": str(raw), "opset": opset, "exporter": exporter, "batch": dynamic_batch}
        told, stateful = _in_worker(side, contract, block, folder, asked)
        name = Path(side.spec.path).name  # its folder is of no interest on the robot
        metadata = {MARK: __version__, "parity.source": name, "parity.source_sha256": side.sha256 or ""}
        done = finish(raw, folder / target.name, opset=opset, prefix=told["prefix"], metadata=metadata)
        scopes = _place(done, target)
    return Exported(target, scopes, done.opset, exporter, told, (*_said(told, stateful), *done.findings))


def _spare(target: Path) -> None:
    """Remove an earlier export, so that it is not taken for this one; what is no export is left alone.

    Raises:
        UsageError: something else is there: a mistyped path must not cost a policy.
    """
    if not target.exists():
        return
    if not target.is_file() or not _is_export(target):
        raise UsageError(f"-o {target}: something is there that `parity export` did not write; it is left as it is")
    for path in (target, scopes_path(target), target.with_name(target.name + ".data")):
        path.unlink(missing_ok=True)


def _is_export(path: Path) -> bool:
    from parity.checkpoint.onnx_file import open_onnx
    from parity.errors import ArtifactError

    try:
        return any(p.key == MARK for p in open_onnx(path).model.metadata_props)
    except ArtifactError:
        return False


def scopes_path(target: Path) -> Path:
    """Return where the side file of an export lies: ``policy.scopes.json`` beside ``policy.onnx``."""
    return target.with_suffix(".scopes.json")


def rejected_path(target: Path) -> Path:
    """Return where an export goes that does not compute the same: ``policy.rejected.onnx``."""
    return target.with_name(f"{target.stem}.rejected{target.suffix}")


def _first_case(config: Config, contract: Contract) -> Block:
    settings = config.cases or CasesTable()
    unknown = [t.name for t in contract.inputs if t.shape is None]
    if unknown or not contract.inputs:
        name = unknown[0] if unknown else "obs"
        raise UsageError(
            f"the shape of {', '.join(unknown) or 'the inputs'} is not known, so nothing can be traced",
            remedy=f"say it: --shape {name}=1,48, or [contract.inputs.{name}] in the parity.toml of --config",
        )
    made = make_cases(
        contract, seed=config.release.seed, nominal=1, edge=False, batch=settings.batch or 1, bind=settings.dims
    )
    return next(stack(list(made.cases[:1])))


def _in_worker(
    side: Side, contract: Contract, block: Block, folder: Path, asked: Mapping[str, Any]
) -> tuple[Mapping[str, Any], str | None]:
    """Export in the source's own interpreter; return what the worker tells, and the state that the policy keeps."""
    assert side.artifact is not None
    spec = replace(side.spec, inputs=tuple(contract.inputs), outputs=tuple(contract.outputs))
    request = {"kind": side.artifact.kind, "export": dict(asked)}
    if side.artifact.kind == "checkpoint":
        request |= _settled(rebuilt_request(spec, folder), spec.path)
    with worker_session(spec, folder, _WORKER, request) as session:
        result = session.run(block)
        if result.failure is not None:
            raise RunnerError(f"not exported: {result.failure.message}", remedy=_remedy(asked["exporter"]))
        told: Mapping[str, Any] = session.info.environment["export"]
        stateful = session.info.stateful
    if told["changed"]:
        names = ", ".join(told["changed"][:4])
        raise RunnerError(
            f"the exporter changed the policy while exporting it: {names}; nothing was stored",
            remedy="let the factory return the policy in eval mode, or use the other exporter",
        )
    return told, stateful


def _settled(request: dict[str, Any], path: str) -> dict[str, Any]:
    """Return what rebuilds an actor, where nothing is left to choose: an export of a guess would agree with itself.

    Raises:
        UsageError: the weights do not say all, and neither does a file beside them nor the user.
    """
    if len(request["choices"]) > 1:
        opened = request["rebuilt"]["open"]
        first = ", ".join(f'{name} = "{values[0]}"' for name, values in opened.items())
        raise UsageError(
            f"{path}: its weights do not say {', '.join(opened)}, and no configuration beside it does",
            expected="; ".join(f"{name}: one of {', '.join(map(str, v[:12]))}" for name, v in opened.items()),
            remedy=f"say it in a parity.toml and export that: [reference] kwargs = {{{first}}}",
        )
    return request


def _remedy(exporter: str) -> str:
    other = next(e for e in OPSETS if e != exporter)
    return f"try --exporter {other}, or another --opset"


def _said(told: Mapping[str, Any], stateful: str | None) -> Iterator[Finding]:
    """Yield what makes an export another policy: frozen decisions (they hold for one input only), and frozen state."""
    if stateful:
        yield Finding(
            "EXPT003",
            "warning",
            f"The policy keeps state between calls ({stateful}); an ONNX graph keeps none, what it held is frozen in.",
            remedy="export it with its state as inputs and outputs, which the runner carries from step to step",
        )
    if told["warnings"]:
        yield Finding(
            "EXPT001",
            "warning",
            f"Tracing froze what the policy decides in Python, in {len(told['warnings'])} places.",
            detail="; ".join(told["warnings"])[:1000],
            evidence={"warnings": list(told["warnings"])},
            remedy="check that they do not depend on the observation, or script the policy",
        )


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Yield a folder beside the target, on the same disk, that is removed afterwards."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)).resolve()
    except OSError as e:
        raise OutputError(f"{target}: cannot be written: {e.strerror or e}", remedy="choose another -o") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(done: Finished, target: Path) -> Path:
    """Move the files to where they belong, the ONNX itself last, and return the side file's path."""
    scopes = scopes_path(target)
    try:
        scopes.write_bytes(scopes_text(done))
        for file in reversed(done.files):
            file.replace(target.with_name(file.name))
    except OSError as e:
        raise OutputError(f"{target}: cannot be written: {e.strerror or e}", remedy="choose another -o") from None
    return scopes
