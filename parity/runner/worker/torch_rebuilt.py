"""Rebuilds an actor from steps and weights that parity read from a checkpoint. Part of the stand-alone torch worker.

`torch_rebuilt_steps.py` says what steps there are and does them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Refused
    from parity.runner.worker.torch_loaded import Loaded
    from parity.runner.worker.torch_rebuilt_layers import Watch
    from parity.runner.worker.torch_rebuilt_steps import Doing, do
else:
    from protocol import Refused
    from torch_loaded import Loaded
    from torch_rebuilt_layers import Watch
    from torch_rebuilt_steps import Doing, do


def load(request: dict[str, Any]) -> Loaded:
    """Return the actor that the request describes; it computes what the first choice says until another is made."""
    import numpy as np
    import torch

    with np.load(request["weights"], allow_pickle=False) as file:
        weights = {n: torch.from_numpy(file[f"w{i}"]) for i, n in enumerate(request["names"])}
    target = module(request["steps"], weights, request["choices"], request["takes"], request["gives"])
    target.to(request.get("device") or "cpu").eval()
    target.stored = weights.get
    loaded = Loaded("checkpoint", target)
    loaded.sha256 = request["sha256"]
    loaded.keywords = request["inputs_taken"]
    loaded.positional = True
    loaded.training_flag = "eval"
    loaded.precision = "float32"
    loaded.environment.update(rebuilt=request["rebuilt"], choices=request["choices"])
    return loaded


def module(
    steps: list[dict[str, Any]],
    weights: dict[str, Any],
    choices: list[dict[str, Any]],
    takes: list[str],
    gives: list[str],
) -> Any:
    """Return the steps as a ``torch.nn.Module``: ``choose(i)`` makes a choice, ``reset()`` forgets its state.

    ``watch(seen, names)`` has ``seen(layer, value)`` called for all that is computed from the inputs called ``names``.
    """
    import torch

    told = _Told(steps, choices, takes, gives)  # in no attribute, which would be put back before every case

    class Rebuilt(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleDict(_layers(torch, steps, weights))
            self.memory: Any = None

        def choose(self, i: int) -> None:
            told.choice = i

        def watch(self, seen: Any, names: list[str]) -> None:
            told.watching = (seen, names)

        def reset(self) -> None:
            self.memory = None

        def forward(self, *inputs: Any) -> Any:
            return told.done(torch, self, inputs)

    return Rebuilt()


class _Told:
    """What an actor does: its steps, the choice that is made of what they leave open, who watches."""

    def __init__(
        self, steps: list[dict[str, Any]], choices: list[dict[str, Any]], takes: list[str], gives: list[str]
    ) -> None:
        self._steps, self._choices, self._takes, self._gives = steps, choices, takes, gives
        self.choice = 0
        self.watching: tuple[Any, list[str]] | None = None

    def setting(self, value: Any) -> Any:
        """Return a setting of a step as the choice has it."""
        if not isinstance(value, dict):
            return value
        found = self._choices[self.choice][value["option"]]
        for i in value.get("at", ()):
            found = found[i]
        return found

    def done(self, torch: Any, actor: Any, inputs: tuple[Any, ...]) -> Any:
        """Return what the steps make of the inputs, with the layers and the memory of ``actor``."""
        values = dict(zip(self._takes, inputs))  # noqa: B905 (Python 3.8)
        watch = self._watch()
        for i, step in enumerate(self._steps):
            of = step.get("of", "x")
            names = of if isinstance(of, list) else [of]
            doing = Doing(torch, actor, step, str(i), [values[n] for n in names], self.setting)
            value = values[step.get("into", "x")] = do(doing)
            if watch is not None:
                if step["op"] == "normalize":
                    watch.centred(step, of, doing.x - doing.part.mean)
                watch.see(step, names, value)
        made = [values[n] for n in self._gives]
        return made[0] if len(made) == 1 else tuple(made)

    def _watch(self) -> Watch | None:
        """Return what follows this call, where somebody watches."""
        if self.watching is None:
            return None
        seen, names = self.watching
        return Watch(seen, dict(zip(self._takes, names)), self.setting)  # noqa: B905 (Python 3.8)


def _layers(torch: Any, steps: list[dict[str, Any]], weights: dict[str, Any]) -> dict[str, Any]:
    """Return the layer of each step that has weights, by the number of the step."""
    layers = {}
    for i, step in enumerate(steps):
        if "weights" in step:
            layers[str(i)] = _layer(torch, step, {k: weights[n] for k, n in step["weights"].items()})
    return layers


def _layer(torch: Any, step: dict[str, Any], held: dict[str, Any]) -> Any:
    """Return the layer of a step with its weights in place."""
    nn, op = torch.nn, step["op"]
    if op == "normalize":
        layer = nn.Module()
        for name, tensor in held.items():
            layer.register_buffer(name, tensor)
        return layer
    weight: Any = held.get("weight")
    if op == "linear":
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in held)
    elif op == "conv":
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), bias="bias" in held)
    elif op == "layer_norm":
        layer = nn.LayerNorm(tuple(weight.shape), bias="bias" in held)
    elif op == "batch_norm":
        layer = nn.BatchNorm2d(held["running_mean"].shape[0], affine="weight" in held)
    else:
        layer = (nn.LSTM if op == "lstm" else nn.GRU)(step["input"], step["hidden"], step["layers"])
    if op == "batch_norm":
        held = dict(held, num_batches_tracked=torch.tensor(0))  # counts in train mode only
    try:
        layer.load_state_dict(held)
    except RuntimeError as e:
        raise Refused("load", "layer {}: its weights do not fit: {}".format(step["name"], e)) from None
    return layer
