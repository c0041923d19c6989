"""How often right conversions fail in replay, and how small a bias of one joint is found: 200 small policies."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from corpus_index import corpus_dir, corpus_index
from faults import to_float16
from replay_policies import Conversion, conversions, demonstrations, judged_conversion

POLICIES = 200
FOUND = 0.95  # of trials


def measure() -> list[dict[str, str]]:
    """Return one row per kind of conversion."""
    logging.disable(logging.WARNING)  # the converter tells of every small weight
    by_kind: dict[str, list[tuple[int, Conversion, dict[Any, Any], Any]]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(POLICIES):
            for made in conversions(seed):
                by_kind[made.kind].append((seed, made, *judged_conversion(made)))
        for seed, made in enumerate(_of_the_corpus()):
            by_kind[made.kind].append((seed, made, *judged_conversion(made)))
    return [_row(kind, found) for kind, found in by_kind.items()]


def _of_the_corpus() -> Iterator[Conversion]:
    """Yield the exported policies of the corpus, which robots ran, converted to float16."""
    for entry in (e for e in corpus_index() if e["kind"] == "pair"):
        with tempfile.TemporaryDirectory() as work:
            source = corpus_dir() / "pairs" / entry["id"] / "policy.onnx"
            sides = [_replayed(source), _replayed(to_float16(source, Path(work) / "half.onnx"))]
        yield Conversion("float16, corpus", "float16", *sides, np.zeros((1, 1, sides[0].shape[-1])))


def _replayed(path: Path) -> np.ndarray[Any, Any]:
    """Return a policy's actions on smooth observations, ``(10, 30, 1, D)``."""
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    fed = {}
    for tensor in session.get_inputs():
        shape = [d if isinstance(d, int) else 1 for d in tensor.shape]
        smooth = demonstrations(rng, 10, 30, int(np.prod(shape))).reshape(300, *shape)
        fed[tensor.name] = (
            2 * smooth.astype(np.float32) if "float" in tensor.type else np.zeros((300, *shape), np.int64)
        )
    actions = [session.run(None, {n: a[i] for n, a in fed.items()})[0] for i in range(300)]
    return np.asarray(actions, np.float64).reshape(10, 30, 1, -1)


def _row(kind: str, found: list[tuple[int, Conversion, dict[Any, Any], Any]]) -> dict[str, str]:
    rows = [r for _, _, judged, _ in found for r in judged.values()]
    failed = sum(any(r.verdict == "FAIL" for r in judged.values()) for _, _, judged, _ in found)
    still = sum(any(r.verdict == "NOT_JUDGED" for r in judged.values()) for _, _, judged, _ in found)
    trials = [t for _, _, judged, span in found for t in _needed(judged, span)]
    enough = float(np.quantile(trials, FOUND))
    return {
        "conversion": kind,
        "policies": str(len(found)),
        "failed": str(failed),
        "not judged: hardly moves": str(still),
        "action dimensions judged": str(sum(r.name == "bias" for r in rows)),
        "worst |Δ| / limit": f"{_worst(rows, 'max_abs'):.2g}",
        "worst bias / limit": f"{_worst(rows, 'bias'):.2g}",
        "bias found in 95 % of trials, of the range": f"{100 * enough:.2g} %",
        "when planted, found in": f"{100 * _found(found, enough):.1f} %",
    }


def _worst(rows: list[Any], name: str) -> float:
    return max(abs(r.value) / r.limit for r in rows if r.name == name and r.value is not None)


def _needed(judged: dict[Any, Any], span: Any) -> list[float]:
    """Return for each joint, up and down, how much of its range a bias has to be to be found, from what is there."""
    rows = [(d, r) for (name, d), r in judged.items() if name == "bias"]
    return [(r.limit - sign * r.value) / span[d] for d, r in rows for sign in (1, -1)]


def _found(found: list[tuple[int, Conversion, dict[Any, Any], Any]], share: float) -> float:
    """Plant a bias of that share of the range in one joint of each policy, and return how often that joint fails."""
    caught = []
    for seed, made, judged, span in found:
        rng = np.random.default_rng(seed)
        dims = [d for name, d in judged if name == "bias"]
        if not dims:
            continue
        d = int(rng.choice(dims))
        planted = np.zeros(len(span))
        planted[d] = rng.choice([-1, 1]) * share * span[d]
        rows, _ = judged_conversion(made, planted)
        caught.append(any(rows[name, d].verdict == "FAIL" for name in ("bias", "max_abs")))
    return float(np.mean(caught))
