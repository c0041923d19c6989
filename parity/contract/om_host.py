"""Which wrong inputs an OM would be fed without a word: the host's mistakes that Ascend's runtime lets through.

Sources: pyACL's ``acl.mdl.execute`` checks byte counts only, with 64 bytes of tolerance; a widely copied `ais_bench`
passes the pointer of a non-contiguous array, so that a transposed view is read in the order before it was transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from parity.contract.om_sizes import ITEM_BYTES, TOLERATED, policy_inputs, wanted_bytes
from parity.finding import Finding
from parity.om.model import OmModel, OmTensor

ACCEPTED = "OM038"
SHOWN = 3
MAX_INPUTS = 64  # that are looked at: more than policies have


def host_findings(model: OmModel, where: str) -> list[Finding]:
    """Return at most one finding: which wrong inputs the runtime would accept for this model."""
    tensors = policy_inputs(model)[:MAX_INPUTS]
    told = {t.source_name: about for t in tensors if (about := _of(t))}
    swaps = [(a.source_name, b.source_name) for a, b in combinations(tensors, 2) if _alike(a, b)]
    if not told and not swaps:
        return []
    short = [f"{n} up to {a['elements_short']} elements short" for n, a in told.items() if a.get("elements_short")]
    turned = [f"{n} as a transposed view" for n, a in told.items() if a.get("view")]
    said = [f"{a} and {b} for one another" for a, b in swaps]
    listed = [*said[:SHOWN], *turned[:SHOWN], *short[:SHOWN]]
    return [
        Finding(
            ACCEPTED,
            "info",
            f"The device would take wrong inputs without a word: {', '.join(listed)}.",
            where=where,
            detail="Its runtime compares byte counts only, and lets 64 bytes be missing.",
            evidence={"inputs": told, "interchangeable": [list(s) for s in swaps]},
            remedy="check bytes, dtype and contiguity before every call on the host; runner `om` and what "
            "`parity bundle` writes do",
        )
    ]


def _of(tensor: OmTensor) -> dict[str, Any]:
    wanted, item = wanted_bytes(tensor), ITEM_BYTES.get(tensor.dtype)
    if wanted is None or item is None:
        return {}
    elements = wanted // item
    return {
        "bytes": wanted,
        "elements_short": min(TOLERATED // item, max(elements - 1, 0)),
        "same_bytes_as": [d for d, n in ITEM_BYTES.items() if n == item and d != tensor.dtype],
        "view": sum(n != 1 for n in tensor.shape) >= 2,
    }


def _alike(a: OmTensor, b: OmTensor) -> bool:
    """Whether each of two inputs would be accepted for the other."""
    sizes: Sequence[int | None] = (wanted_bytes(a), wanted_bytes(b))
    x, y = sizes
    return x is not None and y is not None and abs(x - y) <= TOLERATED
