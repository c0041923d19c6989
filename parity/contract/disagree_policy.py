"""Disagreements about what the policy is: its kind, temporal window, executed chunk, normalization and sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from parity.contract.disagreement import Disagreement, Sides
from parity.contract.matching import match_tensors
from parity.contract.model import Contract, Sampler, Window
from parity.finding import Severity
from parity.tensor import TensorSpec

STEPS = ("n_obs_steps", "horizon", "chunk_size", "n_action_steps")

# Modes that mean the same in the words of LeRobot, diffusion_policy and openpi.
MODES = {
    "minmax": "min_max",
    "limits": "min_max",
    "gaussian": "mean_std",
    "zscore": "mean_std",
    "z_score": "mean_std",
    "meanstd": "mean_std",
    "none": "identity",
    "quantile": "quantiles",
}
# LeRobot gives modes by type of feature; other formats by the feature's name.
ROLE_OF_TYPE = {"visual": "image", "state": "state", "env": "environment_state", "action": "action"}


def policy_disagreements(sides: Sides) -> Iterator[Disagreement]:
    """Yield the disagreements about the policy as a whole."""
    a, b = sides.a, sides.b
    left, right = sides.names
    if a.policy and b.policy and a.policy.lower() != b.policy.lower():
        text = f"{left} is a policy of type {a.policy}, {right} of type {b.policy}"
        yield sides.disagree("policy", "policy", a.policy, b.policy, text)
    yield from _windows(sides)
    yield from _observed(sides)
    yield from _chunks(sides)
    yield from _modes(sides)
    yield from _samplers(sides)


def steps(window: Window, name: str) -> int | None:
    """Return a number of steps, or None where it is unknown or an unresolved reference."""
    value = getattr(window, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _windows(sides: Sides) -> Iterator[Disagreement]:
    left, right = sides.names
    for name in STEPS:
        x, y = steps(sides.a.window, name), steps(sides.b.window, name)
        if x is not None and y is not None and x != y:
            yield sides.disagree("window", name, x, y, f"{name} is {x} in {left}, {y} in {right}")


def _observed(sides: Sides) -> Iterator[Disagreement]:
    """Yield inputs whose time axis is not as long as the other artifact's ``n_obs_steps``."""
    left, right = sides.names
    for m in match_tensors(sides.a.inputs, sides.b.inputs).pairs:
        graph, bare, window, flip = (
            (m.a, m.b, sides.b.window, False) if m.a.batched else (m.b, m.a, sides.a.window, True)
        )
        told = steps(window, "n_obs_steps")
        if not graph.batched or bare.batched or graph.shape is None or bare.shape is None or told is None:
            continue
        time = graph.shape[1:-1] if len(graph.shape) - len(bare.shape) == 2 else ()
        found = graph.shape[1] if time and len(graph.shape) > 2 else (1 if _no_time(graph, bare) else None)
        if isinstance(found, int) and found != told:
            x, y = (told, found) if flip else (found, told)
            who, other = (right, left) if flip else (left, right)
            text = f"{m.a.name}: {found} observation step(s) in {who}, n_obs_steps is {told} in {other}"
            yield sides.disagree("window", m.a.name, x, y, text)


def _no_time(graph: TensorSpec, bare: TensorSpec) -> bool:
    """Whether the graph's tensor has a batch axis but no time axis, so that it takes one step."""
    return graph.shape is not None and bare.shape is not None and len(graph.shape) == len(bare.shape) + 1


def _chunks(sides: Sides) -> Iterator[Disagreement]:
    """Yield action outputs whose length is not what the other artifact's window says is executed."""
    if any(t.role in ("timestep", "noise") for c in (sides.a, sides.b) for t in c.inputs):
        return  # one step of a sampler works on the whole horizon
    for graph, window, flip in ((sides.b, sides.a.window, False), (sides.a, sides.b.window, True)):
        for output in graph.outputs:
            length = _steps_of(output, graph)
            told = steps(window, "n_action_steps")
            if length is not None and told is not None and length != told:
                text = chunk_sentence(length, window)
                who, other = sides.names if flip else sides.names[::-1]
                whole = length == steps(window, "chunk_size") and steps(window, "horizon") is None
                x, y = (length, told) if flip else (told, length)
                sentence = f"{output.name} of {who} has {length} steps, n_action_steps is {told} in {other}: {text}"
                yield sides.disagree("chunk", output.name, x, y, sentence, "warning" if whole else "error")


def _steps_of(output: TensorSpec, graph: Contract) -> int | None:
    """Return the length of an action output's time axis, ``(B, T, D)``."""
    is_action = output.role == "action" or len(graph.outputs) == 1
    if not is_action or not output.batched or output.shape is None or len(output.shape) != 3:
        return None
    return output.shape[1] if isinstance(output.shape[1], int) else None


def chunk_sentence(length: int, window: Window) -> str:
    """Return what an output of ``length`` steps must be, given a window that executes another number.

    The executed actions are ``[n_obs_steps-1 : n_obs_steps-1+n_action_steps]`` of the horizon (diffusion_policy and
    LeRobot's diffusion), and the first ``n_action_steps`` of the chunk (ACT, VLA).
    """
    n_obs, n_act = steps(window, "n_obs_steps") or 1, steps(window, "n_action_steps") or 0
    horizon, chunk = steps(window, "horizon"), steps(window, "chunk_size")
    cut = f"[{n_obs - 1}:{n_obs - 1 + n_act}]"
    if length == horizon:
        return f"that is the whole horizon, of which only steps {cut} are executed"
    if length == chunk:
        return f"that is the whole chunk, of which only steps [0:{n_act}] are executed"
    if horizon is not None and n_obs > 1 and length == horizon - (n_obs - 1):
        return f"that is the horizon without its first {n_obs - 1} step(s), not cut at the end: executed are {cut}"
    if n_obs > 1 and length == n_act + n_obs - 1:
        return f"its first {n_obs - 1} step(s) seem to lie in the past: executed are {cut} of the horizon"
    if n_obs > 1 and length == n_act - (n_obs - 1):
        return f"it is {n_obs - 1} step(s) short, as if the slice began at {n_obs - 1} but ended at {n_act}"
    return "that is neither the executed part nor the whole of what the window describes"


def mode(word: str) -> str:
    """Return a normalization mode in one spelling: ``MIN_MAX``, ``limits`` and ``minmax`` are ``min_max``."""
    plain = word.lower().replace("-", "_")
    return MODES.get(plain, plain)


def _modes(sides: Sides) -> Iterator[Disagreement]:
    left, right = sides.names
    ours, theirs = _by_feature(sides.a), _by_feature(sides.b)
    for name, word in ours.items():
        other = theirs.get(name)
        if other is not None and mode(word) != mode(other):
            text = f"{name} is normalized by {word} in {left}, by {other} in {right}"
            yield sides.disagree("normalization", name, word, other, text)


def _by_feature(contract: Contract) -> dict[str, str]:
    """Return the modes under names that two contracts share: a type where given, a role for each feature of one."""
    from parity.contract.matching import canonical

    found: dict[str, str] = {}
    for name, word in contract.normalization.modes.items():
        role = ROLE_OF_TYPE.get(name.lower())
        if role is None:
            found[canonical(name)] = word
            continue
        found[f"all of type {name.upper()}"] = word
        for t in (*contract.inputs, *contract.outputs):
            if t.role == role:
                found.setdefault(canonical(t.name), word)
    return found


def _samplers(sides: Sides) -> Iterator[Disagreement]:
    a, b = sides.a.sampler, sides.b.sampler
    if a is None or b is None:
        return
    left, right = sides.names
    for field in fields(Sampler):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if x is None or y is None or _same(x, y):
            continue
        text = f"{field.name} of the sampler is {x} in {left}, {y} in {right}"
        severity: Severity = "warning" if field.name == "inference_steps" else "error"
        yield sides.disagree("sampler", f"sampler.{field.name}", x, y, text, severity)


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, str) and isinstance(y, str):
        return x.lower() == y.lower()
    if isinstance(x, float) or isinstance(y, float):
        return math.isclose(float(x), float(y), rel_tol=1e-9)
    return bool(x == y)
