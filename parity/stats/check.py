"""Every static check of one source of normalization statistics: what is wrong with it, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from parity.contract import read_contract
from parity.contract.model import Contract
from parity.errors import ParityError
from parity.finding import Finding, by_severity
from parity.stats.check_divisor import divisor_findings
from parity.stats.check_images import backbone_findings, image_findings
from parity.stats.check_keys import key_findings, meant_for
from parity.stats.check_mode import mode_findings
from parity.stats.check_possible import possible_findings
from parity.stats.check_relative import chunk_findings, is_relative, relative_findings
from parity.stats.check_shape import shape_findings
from parity.stats.check_sides import Formula, side_findings
from parity.stats.check_twice import twice_findings
from parity.stats.check_values import value_findings
from parity.stats.model import Declared, NormStats
from parity.stats.subject import READ, Subject
from parity.tensor import TensorSpec

ONE_FACT: Mapping[str, tuple[str, ...]] = {
    "CONTRACT004": ("STATS002",),
    "CONTRACT005": ("STATS001", "STATS003"),
    "CONTRACT006": ("STATS006", "STATS007", "STATS008"),
    "CONTRACT007": ("STATS010",),
    "CONTRACT011": ("STATS030",),
    "CONTRACT012": ("STATS022",),
}
"""Findings of a contract's reader by the finding here that says the same of the same feature, and more."""

_TYPES = {"image": "VISUAL", "state": "STATE", "environment_state": "ENV", "action": "ACTION"}


def check_stats(
    stats: NormStats,
    *,
    contract: Contract | None = None,
    data: NormStats | None = None,
    graph: NormStats | None = None,
    formulas: Mapping[str, Formula] | None = None,
) -> tuple[Finding, ...]:
    """Return everything that is wrong with one source of statistics, errors first; what its reader found included.

    Args:
        stats: the source.
        contract: of the policy that uses them: its features, chunk length and modes, where the source does not declare.
        data: statistics of the data that the policy was trained on, stored or recomputed.
        graph: the normalizer inside the graph that these feed, where there is one.
        formulas: how each era computes, for the round trip; see `parity.stats.formula`.
    """
    subject = subject_of(stats, contract)
    values = list(value_findings(subject))
    found = [
        *key_findings(subject),
        *shape_findings(subject),
        *values,
        *possible_findings(subject, {str(f.evidence["named"]) for f in values}),
        *divisor_findings(subject),
        *mode_findings(subject, formulas or {}),
        *image_findings(subject, data),
        *side_findings(subject, formulas or {}),
    ]
    if contract is not None:
        found += backbone_findings(subject, _backbone(contract))
        if is_relative(contract.metadata):
            found += relative_findings(subject)
    if data is not None:
        found += chunk_findings(subject, data)
    if graph is not None:
        found += twice_findings(subject, graph)
    return tuple(by_severity([*not_said(stats.findings, found), *found]))


def contract_of(stats: NormStats) -> Contract | None:
    """Return the contract of the policy folder that the statistics were read from; None where there is none to read."""
    try:
        return read_contract(stats.path) if stats.path.is_dir() else None
    except ParityError:
        return None


def subject_of(stats: NormStats, contract: Contract | None = None) -> Subject:
    """Return what is checked: the statistics with the features that they, or else the policy's contract, declare."""
    declared, chunk = stats.declared, stats.chunk
    if contract is not None:
        declared = declared or tuple(declared_by(contract, [*stats.features, *stats.outputs]))
        window = (contract.window.chunk_size, contract.window.horizon)
        chunk = chunk if chunk is not None else next((n for n in window if isinstance(n, int)), None)
    return Subject(stats, declared, chunk)


def declared_by(contract: Contract, stored: Sequence[str]) -> Iterator[Declared]:
    """Yield the features of a policy's contract, with the mode that it says each is normalized by.

    The contract does not say under which key its framework looks statistics up: it is the one of ``stored`` that means
    the feature, whatever its spelling. A reader that knows better declares its features itself.
    """
    modes, types = contract.normalization.modes, contract.metadata.get("feature_types", {})
    for output, specs in ((False, contract.inputs), (True, contract.outputs)):
        for spec in specs:
            kind = types.get(spec.name) or _TYPES.get(spec.role or "")
            mode = modes.get(spec.name) or modes.get(kind or "")
            known = mode.upper() if mode is not None and mode.upper() in READ else None
            key = spec.name if spec.name in stored else meant_for(spec.name, stored) or spec.name
            yield Declared(spec.name, key, _shape(spec), kind, known, output)


def _shape(spec: TensorSpec) -> tuple[int, ...] | None:
    """Return the shape of one sample, None where it is not known in numbers."""
    shape = None if spec.shape is None else spec.shape[1:] if spec.batched else spec.shape
    if shape is None or not all(isinstance(d, int) for d in shape):
        return None
    return tuple(d for d in shape if isinstance(d, int))


def _backbone(contract: Contract) -> str | None:
    config = contract.metadata.get("config")
    name = config.get("pretrained_backbone_weights") if isinstance(config, Mapping) else None
    return name if isinstance(name, str) else None


def not_said(findings: Iterable[Finding], found: Iterable[Finding]) -> list[Finding]:
    """Return those findings of a contract's reader that ``found`` does not say of the same feature already."""
    said = {(f.code, f.where.partition("[")[0]) for f in found}
    codes = {f.code for f in found}
    return [
        f
        for f in findings
        if not any(
            (twin, f.where.partition("[")[0]) in said or (f.code == "CONTRACT012" and twin in codes)
            for twin in ONE_FACT.get(f.code, ())
        )
    ]
