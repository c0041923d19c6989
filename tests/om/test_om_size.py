"""A file of 1 GB takes no more memory than its graph and the constants that are looked through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from om_writer import Constant, Node, Om, write

PROGRAM = """
import json, sys
from pathlib import Path
from parity.contract.om import contract_of
from parity.om.reading import open_om

model = open_om(sys.argv[1])
found = contract_of(model).metadata["constants"]
row = model.constants["layers.7.weight"].read()[-1]
peak = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")).split()[1]
print(json.dumps({"peak_mb": int(peak) / 1024, "constants": found, "row": float(row.sum()), "nodes": len(model.nodes)}))
"""


def test_a_file_of_1_gb_in_100_mb(tmp_path: Path) -> None:
    each = np.broadcast_to(np.float16(0), (1 << 14, 1 << 11))  # 64 MB
    constants = tuple(Constant(f"layers.{i}.weight", each, hole=True) for i in range(16))
    nodes = tuple(Node(f"n{i}", "MatMulV2", ("obs:0",), sources=(f"a{i}", f"b{i}"), mode=1) for i in range(1000))
    path = write(
        tmp_path / "large.om", Om(constants=(*constants, Constant("bias", np.ones(9, np.float16))), nodes=nodes)
    )
    assert path.stat().st_size > 1 << 30
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["nodes"] == 1000 + 16 + 1 + 2
    assert found["constants"] == {"count": 17, "bytes": (1 << 30) + 18, "checked": 1}
    assert found["peak_mb"] <= 100
    assert found["row"] == 0
