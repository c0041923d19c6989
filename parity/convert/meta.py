"""The `meta` record of converted weights: what they are, whence they come, and what the policy takes and gives.

Plain JSON data without times or machine paths, so that the same checkpoint (with the same log beside it) gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from parity.artifact import digest
from parity.checkpoint.archive import Archive
from parity.checkpoint.checkpoint import Checkpoint
from parity.checkpoint.weight import Weight
from parity.contract import Contract, read_contract
from parity.convert.choose import Choice
from parity.convert.source_code import SourceCode
from parity.errors import ArtifactError
from parity.finding import Finding

MADE_BY = "parity convert"
UNKNOWN, INERT, NO_STATISTICS, CHECKSUM = "CONVERT007", "CONVERT008", "CONVERT009", "CONVERT011"


def meta_of(
    checkpoint: Checkpoint,
    choice: Choice,
    *,
    dtype: str | None,
    shared: list[list[str]],
    code: SourceCode | None,
) -> dict[str, Any]:
    """Return the record of a conversion."""
    contract = _contract(checkpoint)
    sha, size = digest(checkpoint.artifact)
    return {
        "schema": 1,
        "made_by": MADE_BY,
        "version": parity_version(),
        "source": {
            "name": checkpoint.artifact.path.resolve().name,
            "kind": checkpoint.artifact.kind,
            "layout": checkpoint.layout,
            "sha256": sha,
            "bytes": size,
        },
        "tree": choice.tree,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "dtype": dtype or "as stored",
        "tensors": len(choice.weights),
        **_interface(contract),
        "normalization": _normalization(contract, choice.weights),
        "training_log": _training_log(contract),
        "code": None if code is None else code.as_json(),
        "shared": shared,
        "left_out": dict(choice.left_out),
    }


def parity_version() -> str:
    """Return the version of parity that is installed."""
    try:
        return version("policy-parity")
    except PackageNotFoundError:
        return "unknown"


def _contract(checkpoint: Checkpoint) -> Contract | None:
    """Return what the checkpoint says of its policy's interface; None where it says nothing."""
    try:
        return read_contract(checkpoint.artifact)
    except ArtifactError:
        return None


def _interface(contract: Contract | None) -> dict[str, Any]:
    window = {} if contract is None else asdict(contract.window)
    keys = [] if contract is None else [t.name for t in contract.inputs]
    action = None if contract is None else next((t for t in contract.outputs if t.role == "action"), None)
    sizes = (action.shape if action is not None else None) or ()
    return {
        "policy": None if contract is None else contract.policy,
        "observation_keys": keys or None,
        "observation_shapes": {t.name: list(t.shape or ()) for t in contract.inputs} if contract and keys else None,
        "action_dim": sizes[-1] if sizes and isinstance(sizes[-1], int) else None,
        **{k: window.get(k) for k in ("n_obs_steps", "horizon", "chunk_size", "n_action_steps")},
    }


def _training_log(contract: Contract | None) -> dict[str, Any] | None:
    """Return the error that the training run logged for this checkpoint; what it logged later is not of it."""
    log = None if contract is None else contract.metadata.get("training_log")
    return None if log is None else {k: v for k, v in log.items() if k != "last"}


def _normalization(contract: Contract | None, weights: Mapping[str, Weight]) -> dict[str, Any]:
    """Return where the statistics are: in the written weights by name, or in files beside the source."""
    return {
        "modes": {} if contract is None else dict(contract.normalization.modes),
        "in_weights": [n for n, w in weights.items() if w.statistics],
        "sources": [] if contract is None else [s.rpartition("/")[2] for s in contract.normalization.stats],
    }


def meta_findings(meta: Mapping[str, Any], checkpoint: Checkpoint) -> list[Finding]:
    """Return what the record cannot say, and what in the checkpoint stayed inert."""
    where = str(checkpoint.artifact.path)
    found = []
    missing = [k for k in ("observation_keys", "action_dim") if meta[k] is None]
    if missing:
        found.append(
            Finding(
                UNKNOWN,
                "warning",
                f"the checkpoint does not say {' and '.join(missing)}: the record leaves them open",
                where=where,
                evidence={"missing": missing},
                remedy="keep the configuration of the training run beside the weights",
            )
        )
    if checkpoint.classes:
        found.append(
            Finding(
                INERT,
                "info",
                f"{len(checkpoint.classes)} classes of the pickle were not imported; nothing of them is written",
                where=where,
                evidence={"classes": list(checkpoint.classes[:50])},
            )
        )
    if not meta["normalization"]["in_weights"] and not meta["normalization"]["sources"]:
        found.append(
            Finding(
                NO_STATISTICS,
                "warning",
                "no normalization statistics are among the written weights, and no file of them is known",
                where=where,
                remedy="if the policy normalizes its observations, ship the statistics with it",
            )
        )
    return found


def checksum_findings(checkpoint: Checkpoint) -> list[Finding]:
    """Return a finding where a zip-based checkpoint has entries that are not the bytes their checksum is of."""
    path = checkpoint.artifact.path
    if not path.is_file():
        return []
    with path.open("rb") as f:
        if f.read(4) != b"PK\x03\x04":
            return []
    wrong = Archive(path).other_checksums()
    if not wrong:
        return []
    return [
        Finding(
            CHECKSUM,
            "warning",
            f"{len(wrong)} parts of the checkpoint do not have their checksum: corrupt, or saved without checksums",
            where=wrong[0],
            evidence={"entries": wrong[:20]},
            remedy="compare its SHA-256 with that on the training machine",
        )
    ]
