"""Finds the state that a PyTorch policy keeps between calls and restores it. Part of the stand-alone torch worker."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

RESETS = ("reset_memory", "reset")


class State:
    """The state of one policy as it was after loading and resetting.

    Buffers and tensor attributes written in place are found by torch's version counter; attributes bound to another
    tensor by identity. `restore` calls the policy's own ``reset_memory()`` or ``reset()``, then puts back the rest.
    """

    def __init__(self, target: Any) -> None:
        import torch

        self.torch = torch
        self.changed: List[str] = []
        self.notes: List[str] = []
        self.reset_name = next((r for r in RESETS if callable(getattr(target, r, None))), None)
        self._reset = getattr(target, self.reset_name) if self.reset_name else None
        self._scripted = isinstance(target, torch.jit.ScriptModule)
        before = self._clones(target)
        self._call_reset()
        self._held: List[Tuple[Any, str, str, Any, int, Any]] = []
        if isinstance(target, torch.nn.Module):
            self._remember(target)
        dirty = [n for n, t in self._clones(target).items() if n in before and not _same(t, before[n])]
        if dirty:
            self.notes.append("the file holds left-over state in {}; it was reset".format(", ".join(dirty)))
            self.changed.extend(dirty)

    def _clones(self, target: Any) -> Dict[str, Any]:
        if not isinstance(target, self.torch.nn.Module) or self._reset is None:
            return {}
        return {n: b.detach().clone() for n, b in target.named_buffers()}

    def _remember(self, target: Any) -> None:
        for path, module in target.named_modules():
            for name, tensor in self._slots(module):
                full = path + "." + name if path else name
                copy = tensor.detach().clone() if tensor is not None else None
                self._held.append((module, name, full, tensor, -1 if tensor is None else tensor._version, copy))

    def _slots(self, module: Any) -> List[Tuple[str, Any]]:
        """Return the names and values of a module's own buffers and tensor attributes."""
        if self._scripted:
            names = [n for n, _ in module.named_buffers(recurse=False)]
            names += [n for n in _assigned(module) if n not in names]
            values = [(n, getattr(module, n, None)) for n in names]
            return [(n, v) for n, v in values if isinstance(v, self.torch.Tensor)]
        slots = [(n, b) for n, b in module._buffers.items() if b is not None]
        plain = vars(module).items()
        return slots + [(n, v) for n, v in plain if isinstance(v, self.torch.Tensor)]

    def restore(self) -> None:
        """Bring the policy back to its first state."""
        self._call_reset()
        for i, (module, name, full, tensor, version, copy) in enumerate(self._held):
            now = tensor if self._scripted and version >= 0 and name not in _assigned(module) else getattr(module, name)
            if now is tensor and now._version == version:
                continue
            if not _same(now, copy):
                if full not in self.changed:
                    self.changed.append(full)
                with self.torch.no_grad():
                    if now is tensor:
                        now.copy_(copy)
                    else:
                        tensor = copy.clone()
                        setattr(module, name, tensor)
            self._held[i] = (module, name, full, tensor, tensor._version, copy)

    def _call_reset(self) -> None:
        if self._reset is not None:
            try:
                self._reset()
            except TypeError:  # a reset that wants arguments (which robots to reset) is not ours to call
                self._reset, self.reset_name = None, None

    def described(self) -> Optional[str]:
        """Return what state was found and how it is reset; None if none was."""
        if not self.changed and self.reset_name != "reset_memory":
            return None
        what = ", ".join(self.changed) if self.changed else "memory"
        how = "{}()".format(self.reset_name) if self.reset_name else "restoring what was loaded"
        return "{} kept between calls; reset before each case by {}".format(what, how)


def _assigned(module: Any) -> List[str]:
    return []


def _same(a: Any, b: Any) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all()))
