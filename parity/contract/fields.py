"""Fields of foreign configurations, taken only where they are what they must be: missing is None, wrong is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from parity.contract.model import Sampler, Window
from parity.errors import ArtifactError
from parity.tensor import Dim, Shape

MAX_DIM = 2**31 - 1
_REFERENCE = re.compile(r"\$\{.*\}", re.DOTALL)

WINDOW_FIELDS = ("n_obs_steps", "horizon", "chunk_size", "n_action_steps")

# LeRobot's name or diffusers' name -> ours; both spell most of them alike.
_SAMPLER_FIELDS = {
    "noise_scheduler_type": "scheduler",
    "num_train_timesteps": "train_steps",
    "num_inference_steps": "inference_steps",
    "beta_schedule": "beta_schedule",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "prediction_type": "prediction_type",
    "clip_sample": "clip_sample",
    "clip_sample_range": "clip_sample_range",
    "variance_type": "variance_type",
    "use_ema": "use_ema",
}
_SAMPLER_TYPES: dict[str, type] = {
    "train_steps": int,
    "inference_steps": int,
    "beta_start": float,
    "beta_end": float,
    "clip_sample": bool,
    "clip_sample_range": float,
    "use_ema": bool,
}


def is_reference(value: Any) -> bool:
    """Whether the value is text that holds a ``${...}`` reference."""
    return isinstance(value, str) and _REFERENCE.search(value) is not None


def mapping(value: Any, where: str, what: str) -> dict[str, Any]:
    """Return a mapping as it is, an empty one for None.

    Raises:
        ArtifactError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: {what} is {kind_of(value)}", expected="a mapping of names to values")
    return value


def count(value: Any, where: str, what: str) -> int | str | None:
    """Return a number of steps, a ``${...}`` reference that could not be resolved, or None.

    Raises:
        ArtifactError: it is something else, negative, or beyond 2^31.
    """
    if value is None or is_reference(value):
        return value  # type: ignore[no-any-return]
    if type(value) is not int or not 0 <= value <= MAX_DIM:
        raise ArtifactError(f"{where}: {what} is {_show(value)}", expected="a whole number of steps")
    return value


def shape(value: Any, where: str, what: str) -> Shape | None:
    """Return a shape whose dimensions are ints or unresolved references; None where the whole shape is one, or missing.

    Raises:
        ArtifactError: it is no list of sizes, or a size is negative or beyond 2^31.
    """
    if value is None or is_reference(value):
        return None
    if isinstance(value, dict) or not isinstance(value, list) or len(value) > 16:
        raise ArtifactError(f"{where}: the shape of {what} is {_show(value)}", expected="a list of sizes")
    dims: list[Dim] = []
    for size in value:
        if not is_reference(size) and (type(size) is not int or not 0 <= size <= MAX_DIM):
            raise ArtifactError(
                f"{where}: the shape of {what} holds {_show(size)}", expected="sizes as whole numbers up to 2^31"
            )
        dims.append(size)
    return tuple(dims)


def window(layers: Iterable[Mapping[str, Any]], where: str, control_hz: float | None = None) -> Window:
    """Return the temporal window; each field is taken from the first layer that says something resolved about it.

    Raises:
        ArtifactError: a field is not a number of steps.
    """
    found: dict[str, int | str | None] = {}
    for name in WINDOW_FIELDS:
        said = [count(layer[name], where, name) for layer in layers if layer.get(name) is not None]
        found[name] = next((v for v in said if isinstance(v, int)), said[0] if said else None)
    return Window(**found, control_hz=control_hz)


def sampler(layers: Iterable[Mapping[str, Any]], where: str) -> Sampler | None:
    """Return the sampler that the layers describe (earlier layers win), None if they say nothing about one.

    A layer is a LeRobot policy configuration, or a diffusers scheduler whose ``_target_`` names its class
    (``...DDIMScheduler`` is "DDIM"). References that could not be resolved count as not said.

    Raises:
        ArtifactError: a field has the wrong type.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        target = layer.get("_target_")
        if isinstance(target, str) and target.endswith("Scheduler"):
            found.setdefault("scheduler", target.rsplit(".", 1)[-1].removesuffix("Scheduler"))
        for theirs, ours in _SAMPLER_FIELDS.items():
            value = layer.get(theirs)
            if value is None or is_reference(value) or ours in found:
                continue
            found[ours] = _typed(value, _SAMPLER_TYPES.get(ours, str), where, theirs)
    return Sampler(**found) if found else None


def rate(value: Any, where: str, what: str) -> float | None:
    """Return a rate in hertz, None where it is missing or an unresolved reference.

    Raises:
        ArtifactError: it is no positive, finite number.
    """
    if value is None or is_reference(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ArtifactError(f"{where}: {what} is {_show(value)}", expected="a rate in hertz")
    return float(value)


def _typed(value: Any, wanted: type, where: str, what: str) -> Any:
    if wanted is float and type(value) is int:
        value = float(value) if abs(value) < 2**63 else value
    if type(value) is not wanted or (isinstance(value, int) and not 0 <= value <= MAX_DIM):
        raise ArtifactError(f"{where}: {what} is {_show(value)}", expected=f"{wanted.__name__}")
    return value


def kind_of(value: Any) -> str:
    """Return what a parsed value is, in the words of JSON."""
    if value is None:
        return "empty"
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def _show(value: Any) -> str:
    if isinstance(value, dict | list):
        return kind_of(value)
    if type(value) is int and abs(value) >= 10**15:
        return "a number beyond 10^15"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
