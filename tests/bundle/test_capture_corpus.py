"""The output of a real Ascend 310, as a tool left it: taken as it is, and not judged, for its graph draws noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from parity.cli.shell import run
from parity.trace import Trace

pytestmark = pytest.mark.corpus


def test_a_real_device_s_output_of_a_graph_with_noise(corpus: Path, tmp_path: Path) -> None:
    om = corpus / "om"
    given = np.fromfile(om / "vae_hh_input.bin", "<f4").reshape(1, 100, 784)
    came = np.fromfile(om / "vae_hh_output.bin", "<f4").reshape(1, 100, 28, 28, 1)
    np.savez(tmp_path / "golden.npz", **{"inputs/input": given, "outputs/generation/output:0": came})
    head = '[release]\nname = "vae"\n[reference]\npath = "golden.npz"\n'
    head += '[[candidate]]\nname = "npu"\nprecision = "float16"\n'
    (tmp_path / "parity.toml").write_text(f'{head}path = "{om / "vae_hh.om"}"\n')
    assert run(["bundle", str(tmp_path), "-o", str(tmp_path / "bundle.zip")]) == 0
    (tmp_path / "out").mkdir()
    shutil.copy(om / "vae_hh_output.bin", tmp_path / "out" / "dataset-0000_0.bin")
    words = ["--bundle", str(tmp_path / "bundle.zip"), "-o", str(tmp_path / "npu.h5")]
    assert run(["capture", str(tmp_path / "out"), *words]) == 0
    with Trace.open(tmp_path / "npu.h5") as trace:
        assert np.array_equal(trace.mapped("dataset-0000", "generation/output:0"), came[0])
        assert "random_normal/RandomStandardNormal" in trace.meta["random_ops"][0]
    (tmp_path / "board.toml").write_text(f'{head}runner = "recorded"\npath = "npu.h5"\n')
    assert run(["run", str(tmp_path / "board.toml"), "--out", str(tmp_path / "report")]) == 3
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["verdict"] == "NOT_JUDGED"
    assert any("random_normal" in r for r in report["reasons"]), report["reasons"]
    assert "CAPT021" in {f["code"] for f in report["findings"]}
