"""Exported tensors that were computed from several of a source's: the arithmetic that exporters fold into weights.

A BatchNorm after a layer: ``w * s`` and ``(b - mean) * s + beta`` with ``s = gamma / sqrt(var + eps)``. Weight
normalization: ``g * v / ||v||``, the norm over all axes but the first (torch.nn.utils.weight_norm). Adapters:
``w + scale * B @ A`` (LoRA, https://arxiv.org/abs/2106.09685). A normalizer's constants: ``std + eps``, ``max - min``.
Each is computed again in float64 and compared to within the rounding of the exported precision class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.batch_norm import Norms, norms_of, scaled, shifted
from parity.provenance.compare_weights import EPSILONS, is_folded_std, is_variance, rounding_of, squeezed
from parity.provenance.fits import CLOSE, Fits
from parity.provenance.pool import Key, Pool, agreeing, grouped, held, numbers_of, probe, views
from parity.provenance.rebuilt import recurrent_weights

if TYPE_CHECKING:
    from parity.tensor import Array

STATISTICS_CLOSE = {"float64": 4e-7, "float32": 4e-7, "float16": 1e-3, "bfloat16": 8e-3}
MAX_STATISTICS = 1 << 16  # elements of a normalizer's constant
MAX_SIBLINGS = 8  # statistics of one feature that are tried in pairs
_DEVIATION = re.compile(r"(^|[._])(std|stddev|sigma|var|variance|scale)$", re.IGNORECASE)
_WEIGHT_NORM = re.compile(r"^(?P<stem>.*?)(?P<v>weight_v|parametrizations\.weight\.original1)$")
_LORA = re.compile(r"^(?P<stem>.*)\.lora_A(\.\w+)?\.weight$")


class Folds:
    """What the tensors of one pool become where an exporter computes with them; each is worked out when needed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def rearranged(self, exported: Weight, seen: Array) -> Iterator[Weight]:
        """Yield recurrent weights with their gates in ONNX's order that may be the exported tensor."""
        yield from agreeing(self._recurrent, exported, seen)

    def of(self, exported: Weight, plain: Weight, seen: Array) -> str | None:
        """Return what the exported tensor was computed from, such as ``conv.weight and norm.*``; None where nothing.

        Args:
            exported: the tensor.
            plain: the same as numbers, without axes of length 1: integers as what they stand for.
            seen: its probe.
        """
        if plain.dtype not in CLOSE or not plain.shape:
            return None
        fits = Fits(exported, plain)
        if exported.quantization is not None:
            return self._computed(fits, probe(plain)) or self._batch_norm(fits)
        return (
            self._statistic(plain) or self._computed(fits, seen) or self._batch_norm(fits) or self._adapted(plain, fits)
        )

    @cached_property
    def _recurrent(self) -> dict[Key, tuple[list[Weight], Array]]:
        return grouped([held(w) for w in recurrent_weights(self._pool.all)])

    @cached_property
    def _weight_norms(self) -> dict[Key, tuple[list[Weight], Array]]:
        return grouped([held(w) for w in weight_norms(self._pool.all)])

    def _computed(self, fits: Fits, seen: Array) -> str | None:
        sources = agreeing(self._weight_norms, fits.plain, seen, fits.step)
        return next((s.name for s in sources for v in views(s, fits.plain.shape) if fits(numbers_of(v))), None)

    @cached_property
    def _norms(self) -> dict[int, Norms]:
        return norms_of(self._pool.all)

    def _batch_norm(self, fits: Fits) -> str | None:
        if not self._norms:
            return None
        fold = scaled if len(fits.plain.shape) > 1 else shifted
        return fold(fits, self._pool, self._norms)

    # adapters --------------------------------------------------------------------------------------------------------

    @cached_property
    def _adapters(self) -> list[tuple[str, Weight, Array]]:
        return [
            (stem, base, numbers_of(b) @ numbers_of(a))
            for stem, base, a, b in adapters(self._pool.all)
            if a.size and b.size
        ]

    def _adapted(self, exported: Weight, fits: Fits) -> str | None:
        """A weight with its low-rank adapter merged; the scale, alpha / r, is found by least squares."""
        for stem, base, update in self._adapters:
            power = float((update * update).sum())
            for view in views(held(base), exported.shape):
                turned = update if view.array.shape == update.shape else update.T
                if turned.shape != exported.shape or power == 0:
                    continue
                moved = numbers_of(exported) - numbers_of(view)
                scale = float((moved * turned).sum()) / power
                if abs(scale) > 1e-6 and fits(numbers_of(view) + scale * turned):
                    return f"{base.name} and {stem}.lora_*"
        return None

    # a normalizer's constants ----------------------------------------------------------------------------------------

    @cached_property
    def _deviations(self) -> frozenset[str]:
        return frozenset(w.name for w in self._pool.weights if _is_deviation(w))

    def _statistic(self, exported: Weight) -> str | None:
        tolerance = rounding_of(exported, STATISTICS_CLOSE)
        if exported.size > MAX_STATISTICS or tolerance is None:
            return None
        fitting = [w for w in self._pool.of_shape(exported) if w.name in self._deviations]
        for source in sorted(fitting, key=is_variance):  # a deviation, where both are kept, is what was folded
            if is_folded_std(exported, source) or (_is_deviation(exported) and is_folded_std(source, exported)):
                return source.name
        values = numbers_of(exported).reshape(-1)
        for a, b in _siblings(fitting):
            x, y = numbers_of(a).reshape(-1), numbers_of(b).reshape(-1)
            # Most are ruled out by their first element.
            if all(_is_of_two(values[:n], x[:n], y[:n], tolerance) for n in (1, values.size)):
                return f"{a.name} and {b.name}"
        return None


def _is_deviation(weight: Weight) -> bool:
    return weight.statistics or _DEVIATION.search(weight.name) is not None


def _siblings(statistics: list[Weight]) -> Iterator[tuple[Weight, Weight]]:
    """Yield every ordered pair of statistics of one feature."""
    features: dict[str, list[Weight]] = {}
    for weight in statistics:
        features.setdefault(weight.name.rpartition(".")[0], []).append(weight)
    for group in features.values():
        for a in group[:MAX_SIBLINGS]:
            yield from ((a, b) for b in group[:MAX_SIBLINGS] if b is not a)


def _is_of_two(values: Array, x: Array, y: Array, tolerance: float) -> bool:
    """Whether values are what normalizers make of two statistics.

    Ranges (max - min), their halves and inverses, offsets, mean / std, the middle.
    """
    eps = np.array((0.0, *EPSILONS))[:, None]
    with np.errstate(all="ignore"):
        span = x - y + eps
        made = [span, span / 2, 2 / span, 1 / span, -x / (y + eps), -2 * y / span - 1, -y / span, (x + y)[None] / 2]
        close = [(np.abs(values - m) <= tolerance * np.abs(m)).all(axis=1).any() for m in made]
    return any(close) and bool(np.isfinite(values).all())


def weight_norms(weights: Mapping[str, Weight]) -> Iterator[Weight]:
    """Yield the weight that each pair of a magnitude and a direction stands for, as float64."""
    for name, v in weights.items():
        found = _WEIGHT_NORM.match(name)
        if found is None:
            continue
        g = weights.get(
            found["stem"] + ("weight_g" if found["v"] == "weight_v" else "parametrizations.weight.original0")
        )
        if g is not None and v.shape and g.size in (1, v.shape[0]):
            yield Weight(f"{name} and {g.name}", v.shape, "float64", partial(_normed, g, v), tree=v.tree)


def _normed(g: Weight, v: Weight) -> Array:
    direction = numbers_of(v)
    axes = tuple(range(1, direction.ndim)) if g.size > 1 or v.shape[0] == 1 else None
    length = np.sqrt((direction * direction).sum(axis=axes, keepdims=True))
    with np.errstate(all="ignore"):
        made: Array = numbers_of(g).reshape((-1,) + (1,) * (direction.ndim - 1)) * direction / length
    return made


def adapters(weights: Mapping[str, Weight]) -> Iterator[tuple[str, Weight, Weight, Weight]]:
    """Yield (stem, base weight, A, B) of each low-rank adapter whose base weight is there, as PEFT names them."""
    for name, a in weights.items():
        found = _LORA.match(name)
        if found is None:
            continue
        b = weights.get(name.replace("lora_A", "lora_B"))
        stem = found["stem"]
        base = next((weights[n] for n in (f"{stem}.base_layer.weight", f"{stem}.weight") if n in weights), None)
        if (
            base is not None
            and b is not None
            and len(a.shape) == len(b.shape) == 2
            and b.shape[1] == a.shape[0]
            and squeezed(base.shape) == (b.shape[0], a.shape[1])
        ):
            yield stem, base, a, b
