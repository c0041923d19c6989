"""What is peculiar to OMs among the artifacts that should describe one policy: asked of each with the first."""

from __future__ import annotations

from collections.abc import Sequence

from parity.contract.model import Contract
from parity.contract.om_against import against
from parity.contract.om_tools import source_findings, tool_findings
from parity.finding import Finding
from parity.om.reading import open_om

OM = "om"


def om_findings_of(contracts: Sequence[Contract]) -> list[Finding]:
    """Return in what OMs contradict the first of the contracts, or others contradict it where it is an OM.

    Raises:
        ArtifactError: an OM can no longer be read.
    """
    return [f for other in contracts[1:] for f in _of_pair(contracts[0], other)]


def _of_pair(first: Contract, other: Contract) -> list[Finding]:
    if OM not in (first.kind, other.kind):
        return []
    compiled, source = (other, first) if other.kind == OM else (first, other)
    model, where = open_om(compiled.path), str(compiled.path)
    found = against(model, source)
    if source.kind == OM:
        return [*found, *tool_findings(open_om(source.path), model, where)]
    return [*found, *source_findings(model, source.path, where)]
