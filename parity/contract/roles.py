"""What a graph's tensor means to the policy, told from its name, shape and element type. None where that is a guess."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from parity.tensor import Role, Shape, TensorSpec

_HIDDEN = re.compile(
    r"^(h|c|hx|cx|hn|cn|h0|c0|h_?(in|out|0|n|t)|c_?(in|out|0|n|t)|\w*(hidden|cell|rnn|memory|recurrent)_?(state|in|out)s?\w*)$"
)
_NOISE = re.compile(r"(^|[_./])(noise|noisy\w*|x_?t|latents?|init_noise|eps(ilon)?)($|[_./])")
_TIME = re.compile(r"(^|[_./])(t|time_?steps?|time|tau|sigma|k|denoising_step)($|[_./])")
_TOKENS = re.compile(r"(token|input_ids|lang|prompt|instruction)")
_MASK = re.compile(r"(mask|is_pad)")
_IMAGE = re.compile(r"(image|rgb|camera|(^|[_./])cam|pixel|depth)")
_ENVIRONMENT = re.compile(r"environment_?state|env_?state|privileged")
_ACTION = re.compile(r"action|actuator|torque|command|trajectory|chunk|policy_?out|joint_?(target|pos)")
_NO_ACTION = re.compile(
    r"value|critic|log_?prob|logit|entropy|feature|embed|attention|attn|weight|std|var(iance)?($|_)|mask|latent|kv|cache"
)
_STATE = re.compile(r"(^|[_./])(obs\w*|state|proprio\w*|qpos|joints?)($|[_./])")
CHANNELS = (1, 3, 4)


def input_role(name: str, shape: Shape | None, dtype: str | None) -> Role | None:
    """Return the role of an input, or None. Names count in lower case; a shape's first axis is the batch."""
    low = name.lower()
    floating = dtype is None or "float" in dtype
    rank = None if shape is None else len(shape)
    if dtype == "bool" or _MASK.search(low):
        return "mask"
    if _HIDDEN.match(low):
        return "hidden_state"
    if rank is not None and rank <= 2 and _TIME.search(low) and _numbers_per_row(shape) == 1:
        return "timestep"
    if dtype in ("int64", "int32"):
        if rank is not None and rank <= 1:
            return "timestep"
        return "tokens" if _TOKENS.search(low) or rank == 2 else None
    if _NOISE.search(low) and floating:
        return "noise"
    if shape is not None and len(shape) >= 4 and (shape[-3] in CHANNELS or _IMAGE.search(low)):
        return "image"
    if _ENVIRONMENT.search(low):
        return "environment_state"
    if rank is None:  # the name alone tells, or the partner artifact does
        return "image" if _IMAGE.search(low) else "state" if _STATE.search(low) else None
    return "state" if floating and rank <= 3 else None


def _numbers_per_row(shape: Shape | None) -> int | None:
    if shape is None:
        return None
    return 1 if all(d == 1 for d in shape[1:]) else None


def output_roles(outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the outputs with their roles: hidden states by name, actions by name, or the only float output left."""
    told = [replace(t, role="hidden_state") if _HIDDEN.match(t.name.lower()) else t for t in outputs]
    plain = [t for t in told if t.role is None and (t.dtype is None or "float" in t.dtype)]
    named = [t for t in plain if _ACTION.search(t.name.lower()) and not _NO_ACTION.search(t.name.lower())]
    if not named:
        left = [t for t in plain if not _NO_ACTION.search(t.name.lower())]
        named = left if len(left) == 1 or len(plain) == 1 else []
    actions = {t.name for t in named}
    return tuple(replace(t, role="action") if t.name in actions else t for t in told)
