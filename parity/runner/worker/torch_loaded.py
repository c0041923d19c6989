"""What loading a PyTorch policy has shown, and the precision class of its tensors. Part of the torch worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = ("float32", "float16", "bfloat16", "int8")  # precision classes, from fine to coarse


class Loaded:
    """A policy that can be called, and what loading it has shown."""

    def __init__(self, kind: str, target: Any) -> None:
        self.kind, self.target = kind, target
        self.sha256: str | None = None
        self.keywords: list[str] | None = None  # names of the arguments, where they can be told
        self.lists: list[str] = []  # arguments that are lists of tensors, each given as a list of one
        self.positional = False  # arguments must be passed by position
        self.takes_dict = False
        self.fixed_mode = False  # the training flag cannot be changed
        self.again: Callable[[], Any] | None = None  # loads a second copy, where deepcopy does not do
        self.training_flag = "unknown"
        self.random_ops: list[str] = []
        self.precision: str | None = None
        self.environment: dict[str, Any] = {}
        self.notes: list[str] = []


def float_tensors(module: Any) -> list[Any]:
    """Return the parameters and buffers that hold real numbers."""
    return [t for t in [*module.parameters(), *module.buffers()] if t.is_floating_point() or t.is_quantized]


def class_of(dtype: Any) -> str:
    """Return the precision class of a torch dtype."""
    name = str(dtype).split(".")[-1]
    return {"float16": "float16", "bfloat16": "bfloat16"}.get(name, "int8" if name.startswith("q") else "float32")


def lowest(found: list[str]) -> str | None:
    """Return the coarsest of the classes; None if there are none."""
    return max(found, key=CLASSES.index) if found else None
