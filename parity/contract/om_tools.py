"""How an OM was compiled, and whether that fits: the chip, the tools, the model it is from, the precision mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from parity.finding import Finding
from parity.om.model import OmModel
from parity.om.reading import atc_options

OTHER_CHIP, CHIP_OPEN, KEPT, OTHER_TOOLS, OTHER_MODEL = "OM034", "OM035", "OM036", "OM041", "OM042"
_SERIES = re.compile(r"^(?:ascend)?_?(\d{3}(?:_\d{2})?[a-z]?)", re.IGNORECASE)


def chip_of(model: OmModel) -> str | None:
    """Return the chip that an OM was compiled for: as the file says, else as its `atc` line does."""
    return model.soc or atc_options(model.toolkit.get("atc_cmdline", "")).get("soc_version") or None


def series(chip: str) -> str:
    """Return the series of a chip: ``310P`` of ``Ascend310P3``. Within one, an OM may run on another variant."""
    found = _SERIES.match(chip.strip())
    return (found[1] if found else chip).upper()


def chip_findings(chip: str | None, target: str | None, where: str) -> Iterator[Finding]:
    """Yield what is to be said of the chip that an OM was compiled for; ``target`` is that of the robot."""
    evidence = {"compiled_for": chip, "target": target}
    if chip is None:
        if target is not None:
            yield Finding(
                CHIP_OPEN,
                "warning",
                f"The OM does not say for which chip it was compiled; the target is {target}.",
                where=where,
                evidence=evidence,
                remedy=f"compile again with --soc_version={target}",
            )
    elif target is None:
        yield Finding(
            CHIP_OPEN,
            "info",
            f"The OM is compiled for {chip}; no target is declared that it could be held against.",
            where=where,
            evidence=evidence,
            remedy='say which chip the robot has: soc = "Ascend310P3" in the candidate\'s table',
        )
    elif chip.lower() != target.lower():
        same = series(chip) == series(target)
        # "Ascend310P" stands for any of its variants.
        if same and target.lower() == f"ascend{series(target)}".lower():
            return
        yield Finding(
            OTHER_CHIP,
            "warning" if same else "error",
            f"The OM is compiled for {chip}, the target is {target}"
            + ("." if not same else ": another variant of the same series."),
            where=where,
            evidence=evidence,
            remedy=f"compile again with --soc_version={target}: elsewhere it fails to load or to run (507011)",
        )


def precision_findings(mode: str | None, judged: str, where: str) -> Iterator[Finding]:
    """Yield a finding where the tools were told to keep float32 and the hardware does not, for a float32 candidate."""
    if judged == "float32" and mode == "force_fp32":
        yield Finding(
            KEPT,
            "warning",
            "Compiled with force_fp32 and judged as float32: Ascend's matrix unit still multiplies in float16.",
            where=where,
            evidence={"precision_mode": mode, "judged": judged},
            remedy='declare precision = "float16", or compile with --precision_mode_v2=origin',
        )


def source_findings(model: OmModel, reference: Path, where: str) -> Iterator[Finding]:
    """Yield a finding where the `atc` line names another model than the reference: a hint, as files are renamed."""
    named = atc_options(model.toolkit.get("atc_cmdline", "")).get("model")
    if not named:
        return
    stem = PurePosixPath(named.replace("\\", "/")).stem
    if stem and stem.lower() != reference.stem.lower():
        yield Finding(
            OTHER_MODEL,
            "info",
            f"The OM was compiled from a file called {PurePosixPath(named).name}; the reference is {reference.name}.",
            where=where,
            evidence={"compiled_from": PurePosixPath(named).name, "reference": reference.name},
            remedy="nothing, where it was renamed: `parity provenance` tells by the weights",
        )


def tool_findings(a: OmModel, b: OmModel, where: str) -> Iterator[Finding]:
    """Yield a finding where two OMs were compiled for other chips, by other tools or in another precision mode."""
    ours, theirs = _tools(a), _tools(b)
    apart = {k: (ours[k], theirs[k]) for k in ours if k in theirs and ours[k] != theirs[k]}
    if apart:
        told = "; ".join(f"{k.replace('_', ' ')} {x} against {y}" for k, (x, y) in apart.items())
        chips = [series(v) for v in apart.get("chip", ())]
        yield Finding(
            OTHER_TOOLS,
            "warning" if len(set(chips)) > 1 or "precision_mode" in apart else "info",
            f"The two OMs were compiled differently: {told}.",
            where=where,
            evidence={k: list(v) for k, v in apart.items()},
            remedy="compile both with the same tools, for the same chip, to see whether a difference stays",
        )


def _tools(model: OmModel) -> Mapping[str, str]:
    told = {"chip": chip_of(model), "precision_mode": model.precision_mode}
    told |= {k: model.toolkit.get(k) for k in ("atc_version", "opp_version")}
    return {k: v for k, v in told.items() if v}
