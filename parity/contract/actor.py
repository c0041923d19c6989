"""An actor that can be rebuilt from a checkpoint's weights: its steps as plain data, and what the weights leave open.

Weights tell sizes, not which activation lies between layers, nor the strides of a convolution. What they leave open is
an *option* with every value that training code offers; a configuration or the user may settle it, else the values are
tried against another artifact of the same policy. Nothing is guessed.

Sources: rsl_rl 2.3.3, 3.3.0 and 5.5.1 (``modules/actor_critic*.py``, ``models/*_model.py``, ``modules/mlp.py``,
``rnn.py``, ``normalization.py``, ``utils/utils.py:resolve_nn_activation``), booster_gym's ``ActorCritic``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

from parity.checkpoint.weight import Weight
from parity.tensor import Range, TensorSpec

Step = Mapping[str, Any]
Weights = Mapping[str, Weight]

# rsl_rl's names. "crelu" (torch's CELU at its default) computes what "elu" does, so it is accepted and never tried.
ACTIVATIONS = ("elu", "relu", "tanh", "lrelu", "selu", "swish", "gelu", "mish", "softplus", "sigmoid", "identity")
OTHER_NAMES = {
    "crelu": "elu",
    "celu": "elu",
    "leaky_relu": "lrelu",
    "leakyrelu": "lrelu",
    "silu": "swish",
    "none": "identity",
    "linear": "identity",
}
EPS = 1e-2  # EmpiricalNormalization's, in every version of rsl_rl
SETS = ("actor_state_dict.", "model_state_dict.", "model.", "state_dict.", "policy.", "")
SPREADS = ("std", "log_std", "logstd", "distribution.std_param", "distribution.log_std_param")
MAX_WEIGHTS = 4096

_KNOWN = re.compile(
    r"^((actor|mlp|critic|critic_cnns|rnn\.rnn|memory_[ac]|(actor_|critic_)?obs_normalizer|distribution|rnd\w*)\."
    r"|(std|log_?std)$)"
)
_INDEX = re.compile(r"^(\d{1,4})\.weight$")


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor, rebuilt.

    ``steps`` are done in order by the worker ``torch_rebuilt.py``, which documents them; ``takes`` names the value that
    each input is to them. ``options`` maps what is open to its possible values (one value: settled), ``told`` to who
    settled it. ``weights`` are the checkpoint's tensors that the steps use, by the name in the file.
    """

    what: str
    steps: tuple[Step, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: Weights
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ("x",)

    @property
    def open(self) -> dict[str, tuple[Any, ...]]:
        """The options that nothing has settled yet."""
        return {k: v for k, v in self.options.items() if len(v) > 1}

    def choices(self) -> list[dict[str, Any]]:
        """Return every way to settle what is open, the most usual first."""
        names = list(self.options)
        return [dict(zip(names, values, strict=True)) for values in product(*self.options.values())]

    def settled(self, given: Mapping[str, Any], by: str) -> Actor:
        """Return the actor with the options that ``given`` names set to one value."""
        known = {k: (v,) for k, v in given.items() if k in self.options and len(self.options[k]) > 1}
        return replace(self, options={**self.options, **known}, told={**self.told, **dict.fromkeys(known, by)})


def actor_of(weights: Weights) -> Actor | None:
    """Return the actor that a checkpoint's weights make up; None where they are those of something else.

    Raises:
        ArtifactError: a normalizer's bytes cannot be read.
    """
    from parity.contract.actor_vision import classifier, vision_actor

    if not weights or len(weights) > MAX_WEIGHTS:
        return None
    for prefix, held in weight_sets(weights):
        found = vision_actor(held) or _flat_actor(held, weights, prefix)
        if found is not None:
            return found
    return classifier(weights)


def weight_sets(weights: Weights) -> Iterator[tuple[str, Weights]]:
    """Yield every prefix under which an actor may lie, and what lies there, by its name without the prefix."""
    for prefix in SETS:
        held = {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}
        if held:
            yield prefix, held


def chain(held: Weights, base: str) -> list[tuple[int, Weight]] | None:
    """Return the linear layers of the ``torch.nn.Sequential`` called ``base``, by index; None where it is none.

    Every layer takes what the one before gives, and between two there is room for one activation and nothing else.
    """
    prefix = f"{base}."
    layers = []
    for name, weight in held.items():
        if name.startswith(prefix) and (match := _INDEX.match(name.removeprefix(prefix))):
            layers.append((int(match[1]), weight))
    layers.sort(key=lambda pair: pair[0])
    if not layers or any(len(w.shape) != 2 for _, w in layers):
        return None
    fits = all(b - a == 2 and w.shape[0] == v.shape[1] for (a, w), (b, v) in pairwise(layers))
    return layers if fits and layers[0][0] == 0 else None


def linear(held: Weights, name: str, *, of: str = "x", into: str = "x") -> dict[str, Any]:
    """Return the step of a linear layer."""
    bias = held.get(f"{name}.bias")
    names = {"weight": held[f"{name}.weight"].name, **({} if bias is None else {"bias": bias.name})}
    return {"op": "linear", "name": name, "path": name, "weights": names, "of": of, "into": into}


def layer_weights(held: Weights, name: str) -> dict[str, str]:
    """Return the tensors of a convolution or a norm, by what they are to it."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {p: held[f"{name}.{p}"].name for p in parts if f"{name}.{p}" in held}


def perceptron(held: Weights, base: str, layers: list[tuple[int, Weight]], activation: str) -> list[Step]:
    """Return the steps of an MLP with the option ``activation`` between its layers, each where it stood in training."""
    steps: list[Step] = []
    for index, _ in layers:
        if steps:
            steps.append({"op": "activate", "name": {"option": activation}, "path": f"{base}.{index - 1}"})
        steps.append(linear(held, f"{base}.{index}"))
    return steps


def sizes(layers: list[tuple[int, Weight]]) -> str:
    """Return the sizes of an MLP as ``47-256-128-12``."""
    return "-".join(str(n) for n in (layers[0][1].shape[1], *(w.shape[0] for _, w in layers)))


def actions_spec(width: int) -> TensorSpec:
    """Return the output that every actor here gives, ``(B, A)``."""
    return TensorSpec("actions", ("batch", width), "float32", "action")


def _flat_actor(held: Weights, weights: Weights, prefix: str) -> Actor | None:
    """Return an rsl_rl actor on a flat observation: a normalizer, a recurrent memory, an MLP."""
    head = head_of(held, prefix)
    if head is None or not all(known(k) for k in held):
        return None  # something else takes part: an encoder of images, of a history, of privileged observations
    memory, observed, recurrent = _memory(held, head.width)
    if memory is None:
        return None
    normalizer = normalizer_of(held, weights, observed)
    if normalizer is None:
        return None
    steps, seen = normalizer
    options, told = told_of(head, steps)
    return Actor(
        ", ".join(p for p in ("observation normalizer" if steps else "", recurrent, head.what) if p),
        (*steps, *memory, *head.steps),
        (TensorSpec("obs", ("batch", observed), "float32", "state", range=seen),),
        (actions_spec(head.actions),),
        _used(weights, [*steps, *memory, *head.steps]),
        options,
        told,
    )


@dataclass(frozen=True, slots=True)
class Head:
    """The MLP that gives the mean of each action. ``trainer``: it lies where rsl_rl's trainers put it."""

    what: str
    steps: tuple[Step, ...]
    width: int
    actions: int
    hidden: tuple[int, ...]
    trainer: bool


def known(name: str) -> bool:
    """Whether a tensor of this name is part of rsl_rl's actor on a flat observation, or of what lies beside it."""
    return _KNOWN.match(name) is not None


def head_of(held: Weights, prefix: str) -> Head | None:
    """Return the MLP of an rsl_rl actor; None where there is none, or its last layer gives more than means."""
    base = next((b for b in ("mlp", "actor") if chain(held, b)), "actor")
    layers = chain(held, base)
    if layers is None:
        return None
    width, actions = layers[0][1].shape[1], layers[-1][1].shape[0]
    spread = next((held[n] for n in SPREADS if n in held), None)
    if spread is not None and spread.size != actions:
        return None
    steps = (*perceptron(held, base, layers, "activation"), {"op": "activate", "name": {"option": "last_activation"}})
    trainer = prefix in ("actor_state_dict.", "model_state_dict.")
    hidden = tuple(w.shape[0] for _, w in layers[:-1])
    return Head(f"MLP {sizes(layers)}", steps, width, actions, hidden, trainer)


def told_of(head: Head, normalizer: list[Step]) -> tuple[dict[str, tuple[Any, ...]], dict[str, str]]:
    """Return the options of an rsl_rl actor and who settled those that rsl_rl itself settles."""
    options: dict[str, tuple[Any, ...]] = {"activation": ACTIVATIONS} if head.hidden else {}
    options["last_activation"] = ("identity",) if head.trainer else ("identity", "tanh")
    told = {"last_activation": "rsl_rl, whose actors have none"} if head.trainer else {}
    if normalizer:
        options["eps"], told["eps"] = (EPS,), "rsl_rl's EmpiricalNormalization"
    return options, told


def _used(weights: Weights, steps: list[Step]) -> dict[str, Weight]:
    names = {n for s in steps for n in s.get("weights", {}).values()}
    return {n: w for n, w in weights.items() if n in names}


def used(weights: Weights, steps: list[Step]) -> dict[str, Weight]:
    """Return the tensors that ``steps`` use, by their names in the file."""
    return _used({w.name: w for w in weights.values()}, steps)


def _memory(held: Weights, width: int) -> tuple[list[Step] | None, int, str]:
    """Return the steps of a recurrent memory before an MLP of ``width`` inputs, the length of what it observes, words.

    The steps are None where there is a memory that does not fit.
    """
    base = next((b for b in ("rnn.rnn", "memory_a.rnn") if f"{b}.weight_ih_l0" in held), None)
    if base is None:
        return [], width, ""
    count = sum(f"{base}.weight_ih_l{i}" in held for i in range(64))
    first = held[f"{base}.weight_ih_l0"]
    kind = {3: "gru", 4: "lstm"}.get(first.shape[0] // width if first.shape[0] % width == 0 else 0)
    names = [f"{p}_l{i}" for i in range(count) for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    if kind is None or len(first.shape) != 2 or any(f"{base}.{n}" not in held for n in names):
        return None, width, ""
    step: dict[str, Any] = {
        "op": kind,
        "name": base,
        "path": base,
        "input": first.shape[1],
        "hidden": width,
        "layers": count,
    }
    step["weights"] = {n: held[f"{base}.{n}"].name for n in names}
    return [step], first.shape[1], f"{kind.upper()} of {width}"


def normalizer_of(held: Weights, weights: Weights, width: int | None) -> tuple[list[Step], Range | None] | None:
    """Return the step of the observation normalizer, with the option ``eps``, and the range that it tells.

    None where there is a normalizer of something else than ``width`` numbers (None: of as many as it has): it must not
    be left out in silence.
    """
    names = ("actor_obs_normalizer", "obs_normalizer")
    found = next(((held[f"{n}._mean"], held[f"{n}._std"]) for n in names if f"{n}._mean" in held), None)
    path = "obs_normalizer" if "obs_normalizer._mean" in held else "normalizer"  # as exports of 4.0 on and before it
    if found is None and "obs_norm_state_dict._mean" in weights and "obs_norm_state_dict._std" in weights:
        found = weights["obs_norm_state_dict._mean"], weights["obs_norm_state_dict._std"]  # rsl_rl before 3.0
    if found is None:
        return [], None
    mean, std = found
    width = mean.size if width is None else width
    if any(w.shape not in ((width,), (1, width)) for w in found):
        return None
    step = {"op": "normalize", "eps": {"option": "eps"}, "weights": {"mean": mean.name, "std": std.name}, "path": path}
    return [step], _range(mean, std)


def _range(mean: Weight, std: Weight) -> Range | None:
    import numpy as np

    center = mean.as_float().astype(np.float64).reshape(-1)
    spread = std.as_float().astype(np.float64).reshape(-1) + EPS
    if not (np.isfinite(center).all() and np.isfinite(spread).all() and (spread >= 0).all()):
        return None
    source = f"{mean.name}, {std.name}"
    return Range("mean_std", tuple(center.tolist()), tuple(spread.tolist()), (center.size,), source)
