"""Rebuilds an actor from steps and weights that parity read from a checkpoint. Part of the stand-alone torch worker.

A step is done on named values; ``x`` is the (first) input at first and the actions at last. ``of`` names what it takes
and ``into`` what it makes, both ``x`` where absent:

    with ``weights``: linear, conv (stride, padding, dilation), batch_norm, layer_norm,
        lstm and gru (input, hidden, layers)
    normalize (eps): ``(x - mean) / (std + eps)``
    activate (name, slope of a leaky ReLU), pool (kind), max_pool (3×3, stride 2), global_pool (kind)
    slice (from, to), reshape (shape), flatten, add, copy, concat (width that it must have)

A padding that is a word (``zeros``, ``reflect``, ``replicate``, ``circular``) is as wide as rsl_rl makes it.

``path`` is where the step stood in the trained module. A setting may be ``{"option": name}``, its value that of the
choice, with ``at`` as the way into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Refused
    from parity.runner.worker.torch_loaded import Loaded
    from parity.runner.worker.torch_rebuilt_layers import Watch
else:
    from protocol import Refused
    from torch_loaded import Loaded
    from torch_rebuilt_layers import Watch


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

    chosen: dict[str, Any] = {"i": 0, "watch": None}  # no attributes, which would be put back before every case

    class Rebuilt(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleDict()
            for i, step in enumerate(steps):
                if "weights" in step:
                    held = {k: weights[n] for k, n in step["weights"].items()}
                    self.parts[str(i)] = _layer(torch, step, held)
            self.memory: Any = None

        def choose(self, i: int) -> None:
            chosen["i"] = i

        def watch(self, seen: Any, names: list[str]) -> None:
            chosen["watch"] = lambda: Watch(seen, dict(zip(takes, names)), self.setting)  # noqa: B905 (Python 3.8)

        def reset(self) -> None:
            self.memory = None

        def setting(self, value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            found = choices[chosen["i"]][value["option"]]
            for i in value.get("at", ()):
                found = found[i]
            return found

        def forward(self, *inputs: Any) -> Any:
            values = dict(zip(takes, inputs))  # noqa: B905 (Python 3.8)
            watch = chosen["watch"] and chosen["watch"]()
            for i, step in enumerate(steps):
                of = step.get("of", "x")
                taken = [values[n] for n in of] if isinstance(of, list) else [values[of]]
                value = values[step.get("into", "x")] = self.do(i, step, taken)
                if watch is not None:
                    if step["op"] == "normalize":
                        watch.centred(step, of, taken[0] - self.parts[str(i)].mean)
                    watch.see(step, of if isinstance(of, list) else [of], value)
            made = [values[n] for n in gives]
            return made[0] if len(made) == 1 else tuple(made)

        def do(self, i: int, step: dict[str, Any], taken: list[Any]) -> Any:
            op, x = step["op"], taken[0]
            f = torch.nn.functional
            if op in ("linear", "batch_norm", "layer_norm"):
                return self.parts[str(i)](x)
            if op == "conv":
                layer = self.parts[str(i)]
                stride, padding = self.setting(step["stride"]), self.setting(step["padding"])
                dilation = step.get("dilation", 1)
                if isinstance(padding, str):
                    x, padding = _padded(f, x, padding, layer.weight.shape[2], stride, dilation), 0
                return f.conv2d(x, layer.weight, layer.bias, stride=stride, padding=padding, dilation=dilation)
            if op in ("lstm", "gru"):
                out, self.memory = self.parts[str(i)](x.unsqueeze(0), self.memory)
                return out.squeeze(0)
            if op == "normalize":
                held = self.parts[str(i)]
                return (x - held.mean) / (held.std + self.setting(step["eps"]))
            if op == "activate":
                return _activate(f, self.setting(step["name"]), x, self.setting(step.get("slope", 0.01)))
            if op == "pool":
                return (f.max_pool2d if self.setting(step["kind"]) == "max" else f.avg_pool2d)(x, 2)
            if op == "max_pool":
                return f.max_pool2d(x, 3, 2, 1)
            if op == "global_pool":
                return (f.adaptive_max_pool2d if step["kind"] == "max" else f.adaptive_avg_pool2d)(x, 1)
            if op == "slice":
                return x[:, step["from"] : step["to"]]
            if op == "reshape":
                return x.reshape(x.shape[0], *step["shape"])
            if op == "flatten":
                return x.flatten(1)
            if op == "add":
                return taken[0] + taken[1]
            if op == "copy":
                return x
            if op == "concat":
                return _joined(torch, taken, step["width"])
            raise Refused("load", f"no step is called {op!r}")

    return Rebuilt()


def _padded(f: Any, x: Any, mode: str, kernel: int, stride: int, dilation: int) -> Any:
    """Return an image with what rsl_rl adds around it (``modules/cnn.py:_compute_padding``)."""
    wide = []
    for n in x.shape[:1:-1]:  # columns, then rows, as torch wants them
        added = -((n + stride - stride * (n // stride) - dilation * (kernel - 1) - 1) // 2)
        if added < 0 and mode == "zeros":  # torch refuses it, and takes pixels away in the other modes
            raise Refused("run", f"a kernel of {kernel} and a stride of {stride} on {n} pixels would pad by {added}")
        wide += [added, added]
    return f.pad(x, wide, mode="constant" if mode == "zeros" else mode)


def _joined(torch: Any, parts: list[Any], width: int) -> Any:
    """Return observations and features side by side: as many as the MLP takes."""
    found = sum(p.shape[-1] for p in parts)
    if found != width:
        sizes = " + ".join(str(p.shape[-1]) for p in parts)
        text = "observations and images make {} = {} features, but the MLP takes {}: of another size is an image"
        raise Refused("run", text.format(sizes, found, width))
    return torch.cat(parts, dim=-1)


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


def _activate(f: Any, name: str, x: Any, slope: float) -> Any:
    """Return the activation that rsl_rl calls ``name``, with torch's defaults but for the slope of ``lrelu``."""
    if name == "lrelu":
        return f.leaky_relu(x, slope)
    if name == "identity":
        return x
    known = {
        "elu": f.elu,
        "relu": f.relu,
        "tanh": f.tanh,
        "selu": f.selu,
        "swish": f.silu,
        "gelu": f.gelu,
        "mish": f.mish,
        "softplus": f.softplus,
        "sigmoid": f.sigmoid,
    }
    if name not in known:
        raise Refused("load", f"no activation is called {name!r}")
    return known[name](x)
