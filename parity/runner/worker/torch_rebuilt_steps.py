"""The steps of an actor that is rebuilt from a checkpoint, and how each is done. Part of the stand-alone torch worker.

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
    from collections.abc import Callable

    from parity.runner.worker.protocol import Refused
else:
    from protocol import Refused


class Doing:
    """One step that is to be done: its settings, the values ``taken``, the first of them as ``x``.

    ``actor`` holds the layers, under the numbers of their steps, and the memory of those that are recurrent.
    """

    def __init__(
        self,
        torch: Any,
        actor: Any,
        step: dict[str, Any],
        number: str,
        taken: list[Any],
        setting: Callable[[Any], Any],
    ) -> None:
        self.torch, self.actor, self.step, self.taken = torch, actor, step, taken
        self.f = torch.nn.functional
        self.x = taken[0]
        self._number, self._setting = number, setting

    @property
    def part(self) -> Any:
        """The layer of this step."""
        return self.actor.parts[self._number]

    def told(self, name: str, default: Any = None) -> Any:
        """Return a setting of this step, as the choice that is made has it."""
        return self._setting(self.step.get(name, default))


def do(doing: Doing) -> Any:
    """Return what a step makes of what it takes.

    Raises:
        Refused: no step is called so, or the values do not fit it.
    """
    op = doing.step["op"]
    if op not in STEPS:
        raise Refused("load", f"no step is called {op!r}")
    return STEPS[op](doing)


def _layer(doing: Doing) -> Any:
    return doing.part(doing.x)


def _conv(doing: Doing) -> Any:
    layer, x = doing.part, doing.x
    stride, padding, dilation = doing.told("stride"), doing.told("padding"), doing.step.get("dilation", 1)
    if isinstance(padding, str):
        x, padding = _padded(doing.f, x, padding, layer.weight.shape[2], stride, dilation), 0
    return doing.f.conv2d(x, layer.weight, layer.bias, stride=stride, padding=padding, dilation=dilation)


def _recurrent(doing: Doing) -> Any:
    out, doing.actor.memory = doing.part(doing.x.unsqueeze(0), doing.actor.memory)
    return out.squeeze(0)


def _normalize(doing: Doing) -> Any:
    held = doing.part
    return (doing.x - held.mean) / (held.std + doing.told("eps"))


def _pool(doing: Doing) -> Any:
    return (doing.f.max_pool2d if doing.told("kind") == "max" else doing.f.avg_pool2d)(doing.x, 2)


def _global_pool(doing: Doing) -> Any:
    f = doing.f
    return (f.adaptive_max_pool2d if doing.step["kind"] == "max" else f.adaptive_avg_pool2d)(doing.x, 1)


def _padded(f: Any, x: Any, mode: str, kernel: int, stride: int, dilation: int) -> Any:
    """Return an image with what rsl_rl adds around it (``modules/cnn.py:_compute_padding``)."""
    wide = []
    for n in x.shape[:1:-1]:  # columns, then rows, as torch wants them
        added = -((n + stride - stride * (n // stride) - dilation * (kernel - 1) - 1) // 2)
        if added < 0 and mode == "zeros":  # torch refuses it, and takes pixels away in the other modes
            raise Refused("run", f"a kernel of {kernel} and a stride of {stride} on {n} pixels would pad by {added}")
        wide += [added, added]
    return f.pad(x, wide, mode="constant" if mode == "zeros" else mode)


def _joined(doing: Doing) -> Any:
    """Return observations and features side by side: as many as the MLP takes."""
    parts, width = doing.taken, doing.step["width"]
    found = sum(p.shape[-1] for p in parts)
    if found != width:
        sizes = " + ".join(str(p.shape[-1]) for p in parts)
        text = "observations and images make {} = {} features, but the MLP takes {}: of another size is an image"
        raise Refused("run", text.format(sizes, found, width))
    return doing.torch.cat(parts, dim=-1)


def _activate(doing: Doing) -> Any:
    """Return the activation by the name that rsl_rl gives it, with torch's defaults but for the slope of ``lrelu``."""
    f, x, name = doing.f, doing.x, doing.told("name")
    if name == "lrelu":
        return f.leaky_relu(x, doing.told("slope", 0.01))
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


STEPS: dict[str, Callable[[Doing], Any]] = {
    "linear": _layer,
    "batch_norm": _layer,
    "layer_norm": _layer,
    "conv": _conv,
    "lstm": _recurrent,
    "gru": _recurrent,
    "normalize": _normalize,
    "activate": _activate,
    "pool": _pool,
    "max_pool": lambda doing: doing.f.max_pool2d(doing.x, 3, 2, 1),
    "global_pool": _global_pool,
    "slice": lambda doing: doing.x[:, doing.step["from"] : doing.step["to"]],
    "reshape": lambda doing: doing.x.reshape(doing.x.shape[0], *doing.step["shape"]),
    "flatten": lambda doing: doing.x.flatten(1),
    "add": lambda doing: doing.taken[0] + doing.taken[1],
    "copy": lambda doing: doing.x,
    "concat": _joined,
}
