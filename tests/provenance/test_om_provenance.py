"""Which checkpoint an OM was compiled from: real OM files against what they were made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph_def import constants
from parity.cli import main
from parity.provenance.origin import Trace, trace
from parity.report.schema import validate
from tensor_files import save_tensors

FILES = [("a3c_pong_v1.om", "a3c_pong.pb", 10), ("a3c_pong_v2.om", "a3c_pong.pb", 10), ("vae_hh.om", "vae_hh.pb", 12)]


def floats(pb: Path) -> dict[str, Any]:
    return {n: a for n, a in constants(pb).items() if a.dtype == np.float32}


def later(arrays: dict[str, Any], by: float = 1e-3) -> dict[str, Any]:
    """Return the weights of another epoch: every one moved a little."""
    rng = np.random.default_rng(0)
    return {n: (a * (1 + by * rng.standard_normal(a.shape))).astype(np.float32) for n, a in arrays.items()}


def retrained(arrays: dict[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {n: (rng.standard_normal(a.shape) * a.std()).astype(np.float32) for n, a in arrays.items()}


def codes(found: Trace) -> dict[str, str]:
    from parity.provenance.tell import findings_of

    return {f.code: f.title for f in findings_of(found)}


@pytest.mark.corpus
@pytest.mark.parametrize(("om", "pb", "total"), FILES)
def test_real_oms_against_what_they_were_compiled_from(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], om: str, pb: str, total: int
) -> None:
    source = floats(corpus / "om" / pb)
    right = save_tensors(tmp_path / "step_100.safetensors", source)
    np.savez(tmp_path / "step_100.npz", **source)
    epoch = save_tensors(tmp_path / "step_200.safetensors", later(source))
    other = save_tensors(tmp_path / "other.safetensors", retrained(source))
    given = [epoch, other, right, tmp_path / "step_100.npz"]
    code = main(["provenance", str(corpus / "om" / om), *map(str, given), "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    validate(document, "provenance")
    assert (code, document["verdict"]) == (0, "PASS")
    assert [c["relation"] for c in document["candidates"]] == ["STALE", "FOREIGN", "MATCH", "MATCH"]
    best = document["best"]
    assert Path(best["checkpoint"]) == right
    assert best["matched"] + best["folded"] == best["total"]
    told = best["total"] + sum(document["left_out"].values())
    assert told >= total
    assert {f["code"] for f in document["findings"]} >= {"PROV001", "PROV010"}
