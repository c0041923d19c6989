"""Tells what the steps of an actor rebuilt from a checkpoint compute. Part of the stand-alone torch worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# What exports call the operations; what is not listed keeps its name.
OPS = {
    "linear": "Linear",
    "conv": "Conv",
    "batch_norm": "BatchNormalization",
    "layer_norm": "LayerNormalization",
    "lstm": "LSTM",
    "gru": "GRU",
    "max_pool": "MaxPool",
    "slice": "Slice",
    "reshape": "Reshape",
    "flatten": "Flatten",
    "add": "Add",
    "concat": "Concat",
}
ACTIVATIONS = {
    "elu": "Elu",
    "relu": "Relu",
    "tanh": "Tanh",
    "lrelu": "LeakyRelu",
    "selu": "Selu",
    "swish": "Silu",
    "gelu": "Gelu",
    "mish": "Mish",
    "softplus": "Softplus",
    "sigmoid": "Sigmoid",
}
POOLS = {"max": "MaxPool", "average": "AveragePool", "avg": "GlobalAveragePool"}


class Watch:
    """Follows one call: which value was made from which, by which operation, with which stored tensors."""

    def __init__(
        self, seen: Callable[[dict[str, Any], Any], None], made: dict[str, str], setting: Callable[[Any], Any]
    ) -> None:
        self._seen, self._setting = seen, setting
        self._made = made  # the input or layer that made each value
        self._count: dict[str, int] = {}

    def centred(self, step: dict[str, Any], of: str, value: Any) -> None:
        """Tell of the first half of a normalizer, which exports compute by itself."""
        name = self._unique(step["path"] + ".sub")
        self._tell(name, "Sub", [self._made[of]], [step["weights"]["mean"]], step["path"], value)
        self._made[of] = name

    def see(self, step: dict[str, Any], of: list[str], value: Any) -> None:
        """Tell of one step; ``of`` names the values that it took."""
        into, op = step.get("into", "x"), step["op"]
        if op == "copy" or (op == "activate" and self._setting(step["name"]) == "identity"):
            self._made[into] = self._made[of[0]]  # nothing is computed
            return
        path, weights = step.get("path", ""), dict(step.get("weights", {}))
        if op == "normalize":
            del weights["mean"]
        shown = self._op(step)
        name = self._unique(path or shown)
        self._tell(name, shown, [self._made[n] for n in of], list(weights.values()), path, value)
        self._made[into] = name

    def _tell(self, name: str, op: str, inputs: list[str], weights: list[str], path: str, value: Any) -> None:
        node = f"{op} {path or name}"
        scopes = _scopes(path)
        self._seen(
            {"name": name, "op": op, "inputs": inputs, "weights": weights, "scopes": scopes, "node": node}, value
        )

    def _op(self, step: dict[str, Any]) -> str:
        op: str = step["op"]
        if op == "activate":
            word = self._setting(step["name"])
            return ACTIVATIONS.get(word, str(word))
        if op in ("pool", "global_pool"):
            word = self._setting(step["kind"])
            return "GlobalMaxPool" if (op, word) == ("global_pool", "max") else POOLS.get(word, str(word))
        return "Div" if op == "normalize" else OPS.get(op, op)

    def _unique(self, name: str) -> str:
        self._count[name] = self._count.get(name, 0) + 1
        return name if self._count[name] == 1 else f"{name}#{self._count[name]}"


def _scopes(path: str) -> list[str]:
    parts = [p for p in path.split(".") if p]
    return [".".join(parts[: i + 1]) for i in range(len(parts))]
