"""Cameras: statistics on 0 to 255 where images arrive on 0 to 1, and what a pretrained backbone expects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.finding import Finding
from parity.stats.model import FeatureStats, NormStats
from parity.stats.names import by_name, canonical
from parity.stats.subject import Entry, Subject

BYTES = "STATS027"
IDENTITY = "STATS028"

UNIT = 1.5  # no statistic of an image on 0 to 1 lies above; the darkest camera on 0 to 255 has a maximum far above
ON_UNIT = ("lerobot", "openpi", "diffusion_policy", "gr00t")  # what these give a policy lies on 0 to 1, or -1 to 1


def image_findings(subject: Subject, data: NormStats | None = None) -> Iterator[Finding]:
    """Yield cameras whose statistics are of another scale than the images that are normalized with them.

    Args:
        subject: the statistics.
        data: of images as the policy is given them, recomputed or stored; where there is none they lie on 0 to 1.
    """
    given_as = {} if data is None else by_name(data)
    for entry in subject.distinct():
        if not entry.is_image:
            continue
        given = given_as.get(canonical(entry.name))
        arrives = None if given is None else _largest(given, "MIN_MAX")
        largest = _largest(entry.stats, entry.mode)
        if largest is not None and largest > UNIT and not (arrives is not None and arrives > UNIT):
            yield _bytes(entry, largest)
    if data is not None:
        yield from _given_bytes(subject, data)


def _given_bytes(subject: Subject, data: NormStats) -> Iterator[Finding]:
    """Yield cameras that give 0 to 255 to a policy that takes 0 to 1: with no mode, or with statistics on 0 to 1."""
    given_as = by_name(data)
    for feature in subject.declared:
        given = given_as.get(canonical(feature.name))
        arrives = None if given is None or feature.type != "VISUAL" else _largest(given, "MIN_MAX")
        if arrives is None or arrives <= UNIT:
            continue
        stored = subject.stats.features.get(feature.key)
        identity = feature.mode in (None, "IDENTITY") or (stored is not None and stored.mode == "IDENTITY")
        largest = None if stored is None or identity else _largest(stored, stored.mode or feature.mode)
        if largest is not None and largest > UNIT:
            continue
        yield Finding(
            BYTES,
            "error",
            f"the camera {feature.name} gives 0 to 255 (up to {arrives:.4g}), and the policy takes 0 to 1",
            where=feature.name,
            detail="Its mode is the identity: nothing scales it." if identity else "Its statistics are on 0 to 1.",
            evidence={"largest": arrives, "mode": feature.mode, "data": data.label},
            remedy="divide images by 255 before the policy is given them",
        )


def _largest(stats: FeatureStats, mode: str | None) -> float | None:
    names = ("mean", "std") if mode == "MEAN_STD" else ("max", "q99", "mean")
    arrays = [np.asarray(stats.values[n]) for n in names if n in stats.values]
    finite = [a[np.isfinite(a)] for a in arrays]
    return max((float(np.abs(a).max()) for a in finite if a.size), default=None)


def _bytes(entry: Entry, largest: float) -> Finding:
    applied = entry.framework in ON_UNIT and entry.mode not in (None, "IDENTITY")
    mean = entry.stats.values.get("mean")
    detail = "An image on 0 to 1 becomes nearly constant when it is normalized with them: the policy is blind."
    if entry.mode == "IDENTITY":
        detail = "They are not applied; where they describe what the camera gives, the policy gets 0 to 255."
    return Finding(
        BYTES,
        "error" if applied else "warning",
        f"the statistics of the camera {entry.name} are on 0 to 255 (up to {largest:.4g}); images are given on 0 to 1",
        where=entry.name,
        detail=detail,
        evidence={
            "largest": largest,
            "mode": entry.mode,
            **({} if mean is None else {"mean": [float(x) for x in np.ravel(mean)[:4]]}),
        },
        remedy="divide them by 255, or compute them again from images as the policy is given them",
    )


def backbone_findings(subject: Subject, pretrained: str | None) -> Iterator[Finding]:
    """Yield cameras that reach a backbone with pretrained weights without the normalization that it was trained with.

    Args:
        subject: the statistics and what is declared.
        pretrained: the name of the backbone's weights, such as ``ResNet18_Weights.IMAGENET1K_V1``; None for none.
    """
    if not pretrained:
        return
    for feature in subject.declared:
        stored = subject.stats.features.get(feature.key)
        mode = feature.mode if stored is None or stored.mode is None else stored.mode
        if feature.type == "VISUAL" and mode == "IDENTITY":
            yield Finding(
                IDENTITY,
                "warning",
                f"the camera {feature.name} is not normalized, and its backbone has pretrained weights ({pretrained})",
                where=feature.name,
                detail="These were trained on images normalized with ImageNet's mean and standard deviation.",
                evidence={"mode": mode, "weights": pretrained},
                remedy="make sure that training did the same: normalize in both or in neither",
            )
