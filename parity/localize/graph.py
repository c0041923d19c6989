"""A policy's computation as a list of named values, the same for ONNX, TorchScript and eager torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int | None, ...]

# What different exporters and torch call the same operation. Names not listed stay as they are.
CANONICAL: Mapping[str, str] = {
    "Gemm": "Linear",
    "linear": "Linear",
    "addmm": "Linear",
    "_convolution": "Conv",
    "conv1d": "Conv",
    "conv2d": "Conv",
    "conv3d": "Conv",
    "Conv1d": "Conv",
    "Conv2d": "Conv",
    "Conv3d": "Conv",
    "ELU": "Elu",
    "elu": "Elu",
    "ReLU": "Relu",
    "relu": "Relu",
    "GELU": "Gelu",
    "gelu": "Gelu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "SiLU": "Silu",
    "silu": "Silu",
    "mish": "Mish",
    "softplus": "Softplus",
    "sub": "Sub",
    "rsub": "Sub",
    "div": "Div",
    "mul": "Mul",
    "add": "Add",
    "matmul": "MatMul",
    "bmm": "MatMul",
    "softmax": "Softmax",
    "LayerNorm": "LayerNormalization",
    "layer_norm": "LayerNormalization",
    "batch_norm": "BatchNormalization",
    "BatchNorm1d": "BatchNormalization",
    "BatchNorm2d": "BatchNormalization",
    "GroupNorm": "GroupNormalization",
    "group_norm": "GroupNormalization",
    "max_pool2d": "MaxPool",
    "MaxPool2d": "MaxPool",
    "cat": "Concat",
    "view": "Reshape",
    "reshape": "Reshape",
    "flatten": "Flatten",
    "permute": "Transpose",
    "transpose": "Transpose",
    "mean": "ReduceMean",
    "clamp": "Clip",
}


def canonical(op: str) -> str:
    """Return one name for what exporters and torch name differently (in-place variants lose their underscore)."""
    bare = op.removeprefix("aten::").rstrip("_")
    return CANONICAL.get(bare, bare)


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor that a policy computes on its way from inputs to outputs.

    Attributes:
        name: how the runtime calls it.
        op: the operation that makes it, by its canonical name.
        node: how that operation is called, for people: ``Gemm /actor/4``.
        inputs: the values (or graph inputs) that it is made from; empty where unknown.
        weights: the stored tensors that it is made from.
        shape: None for dims or shapes that are not known before running.
        scopes: the modules in which it is made, outermost first, such as ``("actor", "actor.4")``.
        folded: whether it stands for a layer and the norm behind it, whose weights the other side holds as one.
    """

    name: str
    op: str
    node: str
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    shape: Shape | None = None
    scopes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """All values that depend on the inputs, in the order in which they are computed."""

    inputs: tuple[str, ...]
    values: tuple[Value, ...]
    by_name: Mapping[str, Value] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {v.name: v for v in self.values})


def parent_scopes(path: str) -> tuple[str, ...]:
    """Return ``a``, ``a.b``, ``a.b.c`` for the module path ``a.b.c``."""
    parts = [p for p in path.split(".") if p]
    return tuple(".".join(parts[: i + 1]) for i in range(len(parts)))
