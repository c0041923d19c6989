"""What the OMs of a policy in stages tell without the device, each held against the reference's stage of its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from parity.contract.om_against import against
from parity.contract.om_host import host_findings
from parity.contract.om_tools import chip_of, source_findings
from parity.errors import ParityError
from parity.finding import Finding
from parity.om.model import OmModel
from parity.om.reading import open_om
from parity.release.compiled_weights import of_the_reference, trusted_weights
from parity.release.sides import Side


def look_at_stages(reference: Side, side: Side) -> dict[str, Any] | None:
    """Return what the OMs of a candidate in stages tell, as JSON-able facts; None where none of them is an OM."""
    assert side.staged is not None
    trusted = reference.staged
    ours = dict(zip(trusted.names, trusted.sides, strict=True)) if trusted is not None else {}
    found = [
        _look(name, stage, ours.get(name), reference)
        for name, stage in zip(side.staged.names, side.staged.sides, strict=True)
        if stage.artifact is not None and stage.artifact.kind == "om"
    ]
    return {"path": side.given, "stages": found} if found else None


def _look(name: str, stage: Side, trusted: Side | None, reference: Side) -> dict[str, Any]:
    try:
        assert stage.artifact is not None
        model = open_om(stage.artifact.path)
        told = told_of(model, stage, stage.given, [*_findings(name, stage, model, trusted, reference)])
    except ParityError as e:
        told = {"path": stage.given, "problem": e.message}
    return {"stage": name, **told}


def _findings(name: str, stage: Side, model: OmModel, trusted: Side | None, reference: Side) -> Iterator[Finding]:
    assert stage.artifact is not None
    found = list(host_findings(model, stage.given))
    if trusted is not None and trusted.contract is not None:
        found += [*against(model, trusted.contract), *source_findings(model, trusted.contract.path, stage.given)]
    kept = trusted_weights(trusted if trusted is not None else reference)
    found += of_the_reference(stage.artifact, kept, stage.given)
    yield from (replace(f, title=f"Stage {name}: {f.title}") for f in found)


def told_of(model: OmModel, side: Side, given: str, found: Sequence[Finding]) -> dict[str, Any]:
    """Return what an OM tells, as JSON-able facts. Of its tools the versions only: no paths of another machine."""
    return {
        "path": given,
        "chip": chip_of(model) or side.spec.options.get("soc"),  # runner `om` is told where the file does not say
        "precision_mode": model.precision_mode,
        "toolkit": {k: v for k, v in model.toolkit.items() if k.endswith("_version")},
        "findings": [f.as_json() for f in found],
    }
