"""What settles an actor's options: the user's keyword arguments, and the training run's configuration beside it.

rsl_rl and Isaac Lab write ``params/agent.yaml`` beside ``model_*.pt``: ``policy.activation`` (to 3.x) or
``actor.activation`` (from 4.0 on), with the hidden sizes, which tell whether the file is of this network at all.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.checkpoint.weights import read_weights
from parity.contract.actor import ACTIVATIONS, OTHER_NAMES, Actor, Step, Weights, actor_of
from parity.contract.actor_cnn import Told, cnn_actor, shown_by
from parity.contract.actor_mean import ASKED, with_mean
from parity.contract.actor_vision import HEAD, vision_actor, with_head
from parity.contract.siblings import siblings
from parity.contract.text import load_yaml_lenient
from parity.errors import ArtifactError, UsageError

GIVABLE = ("activation", "last_activation", "fused_activation", "slope", "eps", "pool")
NORMALIZED = ("obs_normalization", "actor_obs_normalization")
JOINS = ("copy", "concat")  # steps that give an MLP its input
YAML = (".yaml", ".yml")
GIVEN = "`kwargs` in parity.toml"
NO_ACTOR = (
    "weights alone do not run: write a function that builds the policy and loads its weights; "
    "give package.module:function"
)


def read_actor(path: Path, kwargs: Mapping[str, Any] | None = None) -> Actor:
    """Return the actor in a checkpoint, settled as far as ``kwargs`` and the configuration beside it tell.

    Raises:
        ArtifactError: unreadable, or weights of no actor that parity can rebuild.
        UsageError: a keyword argument that this actor has not, or a value that it cannot take.
    """
    weights, given, files = read_weights(path), dict(kwargs or {}), list(_networks(path))
    shown = shown_by(weights)
    if shown is not None:
        own = [n for n in files if n.cnn_cfg is not None and n.is_of(shown.head.hidden, shown.head.width)]
        tables = [Told(n.cnn_cfg, n.file.name) for n in own]
        actor: Actor | None = cnn_actor(path, shown, given, tables)
    else:
        actor = actor_of(weights)
    if actor is None:
        raise ArtifactError(
            f"{path}: a checkpoint whose policy parity cannot rebuild from its weights",
            expected="an actor of rsl_rl or Isaac Lab (MLP, recurrent, CNN), or a VisionActorCritic",
            remedy=NO_ACTOR,
        )
    actor = _shaped(actor, weights, given, path)
    fitting = [n.table for n in files if n.is_of(*_sizes(actor))]
    actor = with_mean(actor, weights, given, fitting, path)
    actor = _from_user(actor, given)
    return _checked(_from_files(actor, path, files), path)


def _shaped(actor: Actor, weights: Weights, given: dict[str, Any], path: Path) -> Actor:
    """Return the actor with what changes its inputs or outputs: ``image = [rows, columns]`` and ``head = true``."""
    image, head = given.pop("image", None), given.pop("head", False)
    if image is not None:
        if not (isinstance(image, list | tuple) and len(image) == 2 and all(type(n) is int and n > 0 for n in image)):
            raise UsageError(f"kwargs: image is {image!r:.60}", expected="image = [72, 96], rows and columns")
        held = {k.partition("state_dict.")[2] or k: w for k, w in weights.items()}
        actor = vision_actor(held, (image[0], image[1])) or actor
    if head:
        found = with_head(actor, {k: w for k, w in weights.items() if "critic" not in k})
        if found is None:
            raise UsageError(f"kwargs: head = true, but {path.name} has no {HEAD}", remedy="leave `head` out")
        actor = found
    return actor


def _from_user(actor: Actor, given: Mapping[str, Any]) -> Actor:
    settled: dict[str, Any] = {}
    for name, value in given.items():
        if name in ("strides", "paddings"):
            continue
        if name not in actor.options or name not in GIVABLE:
            known = [
                *(k for k in actor.options if k in GIVABLE),
                "strides",
                "paddings",
                "image",
                "head",
                "cnn_cfg",
                ASKED,
            ]
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"kwargs: {name!r} is nothing that a checkpoint leaves open{hint}", expected=", ".join(known)
            )
        settled[name] = _value(name, value)
    if "strides" in given or "paddings" in given:
        settled["geometry"] = _geometry(actor, given)
    return replace(
        actor,
        options={**actor.options, **{k: (v,) for k, v in settled.items()}},
        told={**actor.told, **dict.fromkeys(settled, GIVEN)},
        notes=() if "geometry" in settled else actor.notes,
    )


def _value(name: str, value: Any) -> Any:
    if name.endswith("activation"):
        word = OTHER_NAMES.get(str(value).lower(), str(value).lower())
        if word not in ACTIVATIONS:
            raise UsageError(f"kwargs: {name} = {value!r:.60}", expected=", ".join(ACTIVATIONS))
        return word
    if name == "pool":
        if value not in ("max", "average"):
            raise UsageError(f"kwargs: pool = {value!r:.60}", expected="max, average")
        return value
    if type(value) not in (int, float) or not 0 <= value < 1e6:
        raise UsageError(f"kwargs: {name} = {value!r:.60}", expected="a number that is not negative")
    return float(value)


def _geometry(actor: Actor, given: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return strides and paddings, one for each convolution."""
    count = sum(s["op"] == "conv" for s in actor.steps)
    if "geometry" not in actor.options:
        raise UsageError("strides and paddings are of a network with convolutions; this has none that are open")
    pair = []
    for name, least in (("strides", 1), ("paddings", 0)):
        value = given.get(name, [0] * count if name == "paddings" else None)
        if not (isinstance(value, list | tuple) and len(value) == count and all(type(n) is int for n in value)):
            raise UsageError(
                f"kwargs: {name} is {value!r:.60}", expected=f"{count} whole numbers, one for each convolution"
            )
        if any(not least <= n <= 64 for n in value):
            raise UsageError(f"{name} is {value!r:.60}", expected=f"numbers from {least} to 64")
        pair.append(tuple(value))
    return pair[0], pair[1]


@dataclass(frozen=True, slots=True)
class _Network:
    """What one configuration beside a checkpoint says of an actor."""

    file: Path
    data: Mapping[str, Any]
    table: Mapping[str, Any]

    @property
    def cnn_cfg(self) -> Any:
        """What it says of encoders of images; None for nothing."""
        return self.table.get("cnn_cfg", self.table.get("actor_cnn_cfg"))

    def is_of(self, hidden: Sequence[int], width: int | None = None) -> bool:
        """Whether its hidden sizes, where it has any, are these; -1 stands for the ``width`` of the MLP's input."""
        told = self.table.get("actor_hidden_dims", self.table.get("hidden_dims"))
        if not isinstance(told, list):
            return True
        return [width if n == -1 else n for n in told] == list(hidden)


def _networks(path: Path) -> Iterator[_Network]:
    """Yield what the configurations beside a checkpoint say of an actor."""
    for file in siblings(path):
        if file.suffix.lower() not in YAML:
            continue
        try:
            data = load_yaml_lenient(file)
        except ArtifactError:
            continue  # the contract's reading of siblings tells of it
        table = _network(data)
        if table is not None:
            yield _Network(file, data, table)


def _from_files(actor: Actor, path: Path, networks: Sequence[_Network]) -> Actor:
    """Return the actor settled by the first configuration beside the checkpoint that is of this network."""
    for network in networks:
        file, table, data = network.file, network.table, network.data
        if not network.is_of(*_sizes(actor)):
            note = f"{file.name}, beside it, describes another network and was not used"
            actor = replace(actor, notes=(*actor.notes, note))
            continue
        try:
            actor = actor.settled(_told(table, actor), file.name)
        except UsageError as e:
            raise ArtifactError(f"{file}: encoder: {e.message}", expected=e.expected) from None
        promised = data.get("empirical_normalization") is True or any(table.get(k) is True for k in NORMALIZED)
        if promised and "x" in actor.takes and not any(s["op"] == "normalize" for s in actor.steps):
            raise ArtifactError(
                f"{path}: {file.name} says that observations are normalized, but the checkpoint holds no normalizer",
                expected="the normalizer of the actor's observations (before rsl_rl 3: obs_norm_state_dict)",
                remedy="save the checkpoint with its normalizer; without it the policy sees other observations",
            )
    return actor


def _network(data: Any) -> Mapping[str, Any] | None:
    """Return the table of a training configuration that describes the actor."""
    if not isinstance(data, dict):
        return None
    for key in ("actor", "policy"):
        table = data.get(key)
        if isinstance(table, dict) and (isinstance(table.get("activation"), str) or "cnn_cfg" in table):
            return table
    return None


def _mlp(actor: Actor) -> list[Step]:
    """Return the linear steps of the actor's MLP: those after the features, where there are any."""
    steps = list(actor.steps)
    start = next((i for i, s in enumerate(steps) if s.get("into") == "x" and s["op"] in JOINS), -1) + 1
    return [s for s in steps[start:] if s["op"] == "linear" and s.get("into", "x") == "x"]


def _sizes(actor: Actor) -> tuple[list[int], int | None]:
    """Return the hidden sizes of the actor's MLP, and how many numbers it takes."""
    layers = [actor.weights[s["weights"]["weight"]] for s in _mlp(actor)]
    return [w.shape[0] for w in layers[:-1]], layers[0].shape[1] if layers else None


def _told(table: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("activation", "fused_activation"):
        word = table.get(name)
        if isinstance(word, str):
            word = OTHER_NAMES.get(word.lower(), word.lower())
            if word in ACTIVATIONS:
                found[name] = word
    if "last_activation" in actor.open:
        found["last_activation"] = OTHER_NAMES.get(str(table.get("last_activation", "none")).lower(), "identity")
    encoder = table.get("encoder")
    if isinstance(encoder, dict) and "geometry" in actor.open:
        found["geometry"] = _geometry(actor, encoder)
    if isinstance(encoder, dict) and type(encoder.get("slope")) is float:
        found["slope"] = encoder["slope"]
    return found


def _checked(actor: Actor, path: Path) -> Actor:
    if "geometry" in actor.options and actor.options["geometry"] == ((),):
        raise ArtifactError(
            f"{path}: {actor.notes[0] if actor.notes else 'the strides of its convolutions are not known'}",
            remedy="say them: kwargs = {strides = [2, 2, 2], paddings = [1, 1, 1]}",
        )
    return actor
