"""Configurations that `parity.toml` names beside the policies: how they are trained, evaluated or deployed.

``[contract] files`` is for those that do not lie beside an artifact, where they would be read anyway. What the user
names belongs to the release: a contradiction is an error, and so is what is wrong with the file itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity.artifact import digest, recognize
from parity.contract.disagree import disagreements
from parity.contract.disagreement import SIBLINGS_DISAGREE, Disagreement
from parity.contract.join import join
from parity.contract.model import Contract
from parity.contract.registry import read_contract
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

SIDE = "contract"


def with_files(contract: Contract, files: Sequence[str], root: Path) -> tuple[Contract, list[Finding]]:
    """Return the contract completed by the named files, and what is wrong with them or contradicts it.

    Raises:
        UsageError: a file cannot be read: a mistyped path must not let a contradiction pass unseen.
    """
    findings: list[Finding] = []
    for name in files:
        told = _read(name, root)
        findings += told.findings
        against = [d for d in disagreements(contract, told) if d.severity == "error"]
        findings += [_contradicts(told, d) for d in against]
        if not against:
            contract = join([contract, told])
    return contract, findings


def files_json(files: Sequence[str], root: Path) -> list[dict[str, Any]]:
    """Return the files' entries in the report's ``artifacts``."""
    entries = []
    for name in files:
        told = _read(name, root)
        sha, size = digest(recognize(told.path))
        entries.append({"path": name, "kind": told.kind, "sha256": sha, "bytes": size, "side": SIDE})
    return entries


def _read(name: str, root: Path) -> Contract:
    try:
        return read_contract(root / Path(name).expanduser())
    except ArtifactError as e:
        raise UsageError(
            f"[contract] files: {e.message}", expected=e.expected, remedy=e.remedy or "check the path"
        ) from None


def _contradicts(told: Contract, d: Disagreement) -> Finding:
    return Finding(
        code=SIBLINGS_DISAGREE,
        severity="error",
        title=f"{told.path.name}, named in [contract] files, contradicts the policy: {d.sentence}",
        where=d.where,
        evidence={"kind": d.kind, d.a: d.a_value, d.b: d.b_value},
        remedy="mend the file, or take it out of [contract] files if it is not this policy's",
    )
