"""Finds the state that a PyTorch policy keeps between calls and restores it. Part of the stand-alone torch worker."""

from __future__ import annotations

from collections import deque
from typing import Any

RESETS = ("reset_memory", "reset")
VIEWS = ("aten::slice", "aten::select", "aten::view", "aten::unsqueeze", "aten::squeeze", "aten::index", "aten::narrow")


class Slot:
    """One place where state may be kept: a buffer or attribute, with its value as it was after loading.

    A tensor written in place is noticed by torch's version counter, anything else by identity.
    """

    def __init__(self, owner: Any, name: str, full: str, value: Any) -> None:
        self.owner, self.name, self.full = owner, name, full
        places = [getattr(owner, "_buffers", None), getattr(owner, "__dict__", None)]  # dicts: faster than getattr
        self._place = next((p for p in places if type(p) is dict and name in p), None)
        self._note(value)
        self.copy = value.detach().clone() if self.tensor else _shallow(value)

    def _note(self, value: Any) -> None:
        self.value = value
        self.tensor = hasattr(value, "_version")
        self.version = value._version if self.tensor else -1

    def _now(self) -> Any:
        return getattr(self.owner, self.name, None) if self._place is None else self._place.get(self.name)

    def differs(self) -> bool:
        """Whether the place now holds something else than after loading."""
        now = self._now()
        if isinstance(now, (list, deque)) and isinstance(self.copy, (list, deque)):
            return not _same_items(now, self.copy)
        if now is self.value and (not self.tensor or now._version == self.version):
            return False
        if self.tensor and hasattr(now, "_version") and _equal(now, self.copy):
            self._note(now)  # touched, but as it was: nothing to put back
            return False
        return bool(self.tensor or now is not self.value)

    def restore(self) -> None:
        """Put back what was there after loading."""
        if self.tensor:
            now = self._now()
            if now is self.value:
                now.copy_(self.copy)
            else:
                setattr(self.owner, self.name, self.copy.clone())
        else:
            setattr(self.owner, self.name, _shallow(self.copy))
        self._note(getattr(self.owner, self.name))


class State:
    """The state of one policy. `restore` calls its own ``reset_memory()`` or ``reset()``, then puts back the rest."""

    def __init__(self, target: Any) -> None:
        import torch

        self._torch = torch
        self.changed: list[str] = []
        self.notes: list[str] = []
        self.left_over: list[str] = []
        self._scripted = isinstance(target, torch.jit.ScriptModule)
        self.reset_name = next((r for r in RESETS if callable(getattr(target, r, None))), None)
        self._reset = getattr(target, self.reset_name) if self.reset_name else None
        self._slots = self._find(target)
        if self._scripted:
            self.changed.extend(_writes_to_itself(target))
        self._call_reset()
        left = [s.full for s in self._slots if s.differs()]
        if left and self._scripted:
            self.left_over = left
            text = "the file holds left-over state in {}; {}() was called, as a robot does before it starts"
            self.notes.append(text.format(", ".join(left), self.reset_name))
        if left:
            self._slots = self._find(target)

    def _find(self, target: Any) -> list[Slot]:
        module = self._torch.nn.Module
        roots = [("", target)]
        if not isinstance(target, module):
            roots += (
                [(n, v) for n, v in vars(target).items() if isinstance(v, module)]
                if hasattr(target, "__dict__")
                else []
            )
        slots = []
        for root_name, root in roots:
            parts = root.named_modules(prefix=root_name) if isinstance(root, module) else [(root_name, root)]
            for path, part in parts:
                for name in self._names(part):
                    full = path + "." + name if path else name
                    slots.append(Slot(part, name, full, getattr(part, name)))
        return slots

    def _names(self, part: Any) -> list[str]:
        """Return the names of a module's own buffers, and of attributes that may hold state."""
        if self._scripted:
            names = [n for n, _ in part.named_buffers(recurse=False)]
            return names + [n for n in _assigned(part) if n not in names]
        if not hasattr(part, "__dict__"):
            return []
        buffers = [n for n, b in getattr(part, "_buffers", {}).items() if b is not None]
        if type(part).__module__.startswith("torch.nn."):  # torch's own layers keep state in buffers only
            return buffers
        own = vars(self._torch.nn.Module())
        kinds = (self._torch.Tensor, int, float, tuple, list, deque, type(None))
        return buffers + [n for n, v in vars(part).items() if n not in own and isinstance(v, kinds)]

    def restore(self) -> None:
        """Bring the policy back to the state it had after loading, and note what had changed."""
        self._call_reset(noting=True)
        for slot in self._slots:
            if slot.differs():
                if slot.full not in self.changed:
                    self.changed.append(slot.full)
                with self._torch.no_grad():
                    slot.restore()

    def _call_reset(self, noting: bool = False) -> None:
        if self._reset is None:
            return
        if noting:
            self.changed.extend(s.full for s in self._slots if s.full not in self.changed and s.differs())
        try:
            with self._torch.no_grad():
                self._reset()
        except TypeError:  # a reset that wants arguments (which robots to reset) is not ours to call
            self._reset, self.reset_name = None, None

    def described(self) -> str | None:
        """Return what state was found and how it is reset; None if none was."""
        if not self.changed and self.reset_name != "reset_memory":
            return None
        what = ", ".join(sorted(set(self.changed))) if self.changed else "memory"
        how = (self.reset_name + "()") if self.reset_name else "putting back what was loaded"
        return f"{what} kept between calls; reset before each case by {how}"


def _assigned(part: Any, resets: bool = True) -> list[str]:
    """Return the attributes that a TorchScript module's methods assign."""
    found = []
    for graph in _graphs(part, resets):
        me = next(iter(graph.inputs())).debugName()
        for node in graph.findAllNodes("prim::SetAttr", True):
            if next(iter(node.inputs())).debugName() == me and node.s("name") not in found:
                found.append(node.s("name"))
    return found


def _writes_to_itself(target: Any) -> list[str]:
    """Return the names of TorchScript attributes that a call assigns, or writes into through views."""
    found = []
    for path, part in target.named_modules():
        names = _assigned(part, resets=False)
        for graph in _graphs(part, resets=False):
            names += [n for node in _in_place(graph) for n in [_origin(node)] if n]
        found += [path + "." + n if path else n for n in names]
    return [n for n in dict.fromkeys(found) if not n.endswith("num_batches_tracked")]  # counted in train mode only


def _graphs(part: Any, resets: bool) -> list[Any]:
    script = part._c
    return [script._get_method(n).graph for n in script._method_names() if resets or n not in RESETS]


def _in_place(block: Any) -> list[Any]:
    found = []
    for node in block.nodes():
        kind = node.kind()
        if kind.startswith("aten::") and kind.endswith("_") and not kind.endswith("__"):
            found.append(node)
        for inner in node.blocks():
            found += _in_place(inner)
    return found


def _origin(node: Any) -> str:
    """Return the attribute that an in-place operation writes into, through views; empty if it is none."""
    value = next(iter(node.inputs()), None)
    while value is not None and value.node().kind() in VIEWS:
        value = next(iter(value.node().inputs()), None)
    if value is not None and value.node().kind() == "prim::GetAttr":
        return str(value.node().s("name"))
    return ""


def _shallow(value: Any) -> Any:
    return type(value)(value) if type(value) is list else value.copy() if isinstance(value, deque) else value


def _same_items(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(a[i] is b[i] for i in range(len(a)))


def _equal(a: Any, b: Any) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())
