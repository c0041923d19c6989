"""One name for a feature that every format spells its own way, and the nearest spelling where a name is met by none.

Three degrees, from sure to a guess: two names have one **canonical** name (``observation/state``, ``obs.state`` and
``state`` are ``observation.state``: conventions of known formats); they are equal **up to spelling** (``wrist_cam`` and
``wrist.cam``: other names to every framework, one of them most likely a mistake); they are merely **near**.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from parity.contract import matching
from parity.stats.model import FeatureStats, NormStats

# A dataset's own columns, which describe a frame's place and are no feature of a policy.
METADATA = {"episode_index", "frame_index", "timestamp", "index", "task_index", "subtask_index"}

_DATASET = re.compile(r"^.+?[._]buffer[._](?=.)|^buffer[._](?=.)")
_OBSERVATION = re.compile(r"^(observations?|obs)([._](?=.)|$)")
_BARE = re.compile(r"^(states?|environment_state|env_state|images?|videos?)(?=\.|$)")
_ACTION = re.compile(r"^actions(?=\.|$)")
_UNDERSCORED = re.compile(r"^(images?|videos?|state|environment_state)_(?=.)")
_NEAR = 0.75  # of `difflib`'s ratio; "observation.images.top" and "observation.images.side" have 0.84, hence "near"


def canonical(name: str) -> str:
    """Return the name under which features are matched across sources.

    ``observation/state``, ``observation.state``, ``observation_state``, ``obs.state`` and ``state`` are
    ``observation.state``; ``actions`` is ``action``; ``video.top``, ``images.top`` and ``observation.image.top`` are
    ``observation.images.top``; what a multi-dataset policy puts before ``buffer`` is left out. A feature's own name is
    kept to the letter: ``wrist_cam`` and ``wrist.cam`` differ.
    """
    name = _spelled_out(_DATASET.sub("", name.strip()).replace("/", "."))
    name = _ACTION.sub("action", name)
    rest, observed = _OBSERVATION.subn("", name, count=1)
    if not observed:
        if not _BARE.match(name):
            return name
        rest = name
    if not rest:
        return "observation"
    return f"observation.{_part(rest, legacy=_is_underscored(name))}"


def _spelled_out(name: str) -> str:
    """Return ``action`` for ``a.c.t.i.o.n``, as a text unpacked into nested keys was stored by some versions."""
    letters = name.split(".")
    return "".join(letters) if len(letters) > 2 and all(len(x) == 1 for x in letters) else name


def _is_underscored(name: str) -> bool:
    return re.match(r"^(observations?|obs)_", name) is not None


def _part(rest: str, *, legacy: bool) -> str:
    if legacy:  # a buffer's name, whose dots became underscores; only those of known words can be told
        rest = _UNDERSCORED.sub(lambda m: f"{m[1]}.", rest, count=1)
    head, dot, tail = rest.partition(".")
    if head in ("image", "images", "video", "videos") and dot:
        head = "images"
    head = {"states": "state", "env_state": "environment_state"}.get(head, head)
    return f"{head}{dot}{tail}"


def spelling(name: str) -> str:
    """Return the canonical name without case and punctuation, which is all that names equal up to spelling share."""
    return matching.canonical(canonical(name))


def is_metadata(name: str) -> bool:
    """Whether a name is one of a dataset's own columns (``frame_index``), which no policy normalizes."""
    return canonical(name) in METADATA


def nearest(name: str, others: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return the names that ``name`` was most likely meant to be, best first.

    One canonical name, then one spelling, then the same last part, then what is near; none that is none of these. Ties
    go by name.
    """
    ranked = sorted((-_closeness(name, other), other) for other in set(others) if other != name)
    return tuple(other for score, other in ranked if score < 0)[:limit]


def _closeness(a: str, b: str) -> float:
    if canonical(a) == canonical(b):
        return 4.0
    if spelling(a) == spelling(b):
        return 3.0
    if canonical(a).rpartition(".")[2] == canonical(b).rpartition(".")[2]:
        return 2.0
    ratio = difflib.SequenceMatcher(None, spelling(a), spelling(b), autojunk=False).ratio()
    return ratio if ratio >= _NEAR else 0.0


def same_spelling(a: str, b: str) -> bool:
    """Whether two names differ, but in spelling only."""
    return canonical(a) != canonical(b) and spelling(a) == spelling(b)


def names_of(stats: NormStats) -> dict[str, str]:
    """Return the canonical name of every key of a source, its way in and its way out.

    A key under which exactly one declared feature looks its statistics up has that feature's name, so that a legacy
    buffer ``observation_images_wrist_cam`` is the camera that its policy declares.
    """
    declared: dict[str, list[str]] = {}
    for feature in stats.declared:
        declared.setdefault(feature.key, []).append(feature.name)
    return {
        key: canonical(declared[key][0] if len(declared.get(key, ())) == 1 else key)
        for key in (*stats.features, *stats.outputs)
    }


def by_name(stats: NormStats, features: Mapping[str, FeatureStats] | None = None) -> dict[str, FeatureStats]:
    """Return a source's features by canonical name.

    Of two keys with one name it is the one that is spelled so, else the first.

    Args:
        stats: the source.
        features: one side of it; its way in where not given.
    """
    names = names_of(stats)
    found: dict[str, FeatureStats] = {}
    for key, feature in (stats.features if features is None else features).items():
        name = names.get(key, canonical(key))
        if name not in found or key == name:
            found[name] = feature
    return found
