"""The pipeline that normalization statistics alone describe: observations by their formulas in, actions out.

openpi (src/openpi/policies/policy_config.py) normalizes what the statistics name, pads, and unnormalizes with every key
of the statistics, refusing one that is no array of the model's. diffusion_policy normalizes every observation and
unnormalizes ``action`` (diffusion_policy/policy/diffusion_unet_lowdim_policy.py). rsl_rl normalizes the observation
and gives the action as it is. What those frameworks do besides (images, prompts, delta actions) is not in the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError, UsageError
from parity.stats.formula import formula_of
from parity.stats.model import FeatureStats, NormStats
from parity.stats.names import nearest
from parity.stats.pipeline import Pipeline
from parity.stats.registry import read_stats
from parity.stats.steps import Cut, Feature, Normalize, Step

METADATA = ("episode_index", "frame_index", "index", "task_index", "timestamp")  # columns that are no observation
_SETTINGS = ("mode", "era", "source", "inputs", "outputs", "widths")


def pipeline_of_statistics(artifact: Artifact, settings: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline that the statistics in ``artifact`` describe.

    ``settings``: ``mode`` and ``era`` where the source does not tell them, ``source`` (the label of one of several),
    ``inputs`` and ``outputs`` (key of the statistics by name of the array), ``widths`` (of the raw arrays by name: the
    graph's observations are padded to more, and its actions are cut to that).

    Raises:
        ArtifactError: no statistics, or those of something that no policy takes or gives.
        UsageError: a setting is missing, unknown, or contradicts what the source says.
    """
    unknown = [k for k in settings if k not in _SETTINGS]
    if unknown:
        raise UsageError(f"pipeline: {', '.join(unknown)}: no such setting", expected=", ".join(_SETTINGS))
    stats = _one(read_stats(artifact), settings.get("source"))
    era = settings.get("era") or stats.era
    if era is None:
        raise UsageError(
            f"{stats.label}: these statistics do not say which framework applies them",
            remedy='say it: pipeline = {path = "…", era = "openpi"}',
        )
    formula_of(era)
    before, after = _keys(stats, era, settings)
    steps: list[tuple[Step, ...]] = []
    ways = ((before, stats.features, "forward"), (after, stats.outputs or stats.features, "backward"))
    for named, found, way in ways:
        features = tuple(_feature(name, key, found, era, settings, stats) for name, key in named.items())
        steps.append((Normalize(era, way, features),) if features else ())  # type: ignore[arg-type]
    if not steps[0] and not steps[1]:
        raise ArtifactError(f"{stats.label}: it holds no statistics of an observation or an action")
    widths = dict(settings.get("widths") or {})
    strange = sorted(widths.keys() - before.keys() - after.keys())
    if strange:
        raise UsageError(
            f"pipeline: widths of {', '.join(strange)}, which it neither normalizes nor unnormalizes",
            expected=", ".join((*before, *after)),
        )
    cut = {name: widths[name] for name in after if name in widths}
    ends = (Cut(cut),) if cut else ()
    return Pipeline(artifact.path, era, steps[0], (*steps[1], *ends), widths=widths)


def _one(found: tuple[NormStats, ...], label: str | None) -> NormStats:
    """Return the set of statistics that is meant.

    Raises:
        UsageError: several, and none is named; or none of that name.
    """
    labels = ", ".join(s.label for s in found)
    if label is None and len(found) == 1:
        return found[0]
    chosen = [s for s in found if s.label == label]
    if len(chosen) != 1:
        raise UsageError(
            f"pipeline: {'several sets of statistics' if label is None else f'no set of statistics called {label!r}'}",
            expected=labels,
            remedy='name one: pipeline = {path = "…", source = "…"}',
        )
    return chosen[0]


def _keys(stats: NormStats, era: str, settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the keys of the statistics by name of the array, of observations and of actions.

    Raises:
        ArtifactError: a key that is neither, which openpi's own un-normalization refuses too.
    """
    before, after = settings.get("inputs"), settings.get("outputs")
    if before is None and era in ("openpi", "rlinf"):
        columns = [k for k in stats.features if k.replace("/", ".").rsplit(".", 1)[-1] in METADATA]
        if columns:
            raise ArtifactError(
                f"{stats.label}: statistics of {', '.join(columns)}, which no policy takes or gives: "
                "openpi refuses them ('Selector key not found in tree')",
                remedy="remove them from the file, or say what is normalized: pipeline = {inputs = {…}, outputs = {…}}",
            )
    if before is None and era == "rsl_rl" and "obs" in stats.features:
        before = {"obs": "obs"}  # the others are of the critic or of a teacher, which are not deployed
    if before is None:
        before = {k: k for k in stats.features if not is_action(k)}
    if after is None:
        after = {k: k for k in stats.outputs or stats.features if is_action(k)}
    return dict(before), dict(after)


def is_action(key: str) -> bool:
    """Whether a key of statistics names the action, in any framework's spelling."""
    return key.replace("/", ".").rsplit(".", 1)[-1] in ("action", "actions")


def _feature(
    name: str, key: str, found: Mapping[str, FeatureStats], era: str, settings: Mapping[str, Any], stats: NormStats
) -> Feature:
    if key not in found:
        meant = nearest(key, found, 1)
        raise ArtifactError(
            f"{stats.label}: no statistics for {key!r}, by which {name} is to be normalized",
            expected=", ".join(found) or "none are there",
            remedy=f"rename {meant[0]!r} to {key!r} in the file, or say what is meant: {{{name} = {meant[0]!r}}}"
            if meant
            else "give the statistics that the policy was trained with",
        )
    told, asked = found[key].mode, settings.get("mode")
    if told is not None and asked is not None and told != asked:
        raise UsageError(f"{stats.label}: {key} is {told} there, and the pipeline asks for {asked}")
    mode = told or asked
    if mode is None:
        modes = ", ".join(sorted(formula_of(era).modes))
        raise UsageError(
            f"{stats.label}: it does not say how {key} is normalized",
            expected=modes,
            remedy='say it as the training configuration does: pipeline = {path = "…", mode = "MEAN_STD"}',
        )
    return Feature(name, mode, None if mode == "IDENTITY" else found[key])
