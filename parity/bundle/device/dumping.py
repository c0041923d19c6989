"""What every operator gave in the first cases, dumped by the runtime in a process of its own, and taken along.

``acl.json``: the description of aclInit and aclmdlSetDump. The model goes by the name of its file; without a name in
``dump_list`` newer runtimes dump nothing. Some variables of the environment go before ``dump_path``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from parity.bundle.device.files import Results, Stop, load_inputs
from parity.bundle.device.running import Policy, as_fed

ELSEWHERE = ("NPU_COLLECT_PATH", "ASCEND_DUMP_PATH", "ASCEND_WORK_PATH")  # where dumps would lie instead


def dump_into(manifest: dict[str, Any], folder: Path, load: Any, count: int, into: Path) -> None:
    """Run the first cases once more, with ``acl.json`` telling the runtime to dump inputs and outputs of operators."""
    place = into / "dumps"
    place.mkdir()
    config = into / "acl.json"
    models = [{"model_name": Path(manifest["artifact"]["main"]).stem}]
    asked = {"dump_path": str(place), "dump_mode": "all", "dump_list": models, "dump_op_switch": "off"}
    config.write_text(json.dumps({"dump": asked}), encoding="utf-8")
    model = load(config)
    try:
        policy = Policy(model, manifest["state"])
        for case in manifest["cases"][:count]:
            policy.reset()
            policy.run(as_fed(case, load_inputs(folder, case)))
    finally:
        model.close()


def take_dumps(script: Path, arguments: list[str], results: Results) -> list[dict[str, Any]]:
    """Let another process make the dumps, and take their files along; return what the manifest says of them."""
    into = Path(tempfile.mkdtemp(prefix="parity-dump-"))
    try:
        flags = (["-S"] if sys.flags.no_site else []) + (["-E"] if sys.flags.ignore_environment else [])
        command = [sys.executable, *flags, str(script), *arguments, "--dump-into", str(into)]
        environment = {k: v for k, v in os.environ.items() if k not in ELSEWHERE}
        if subprocess.call(command, env=environment) != 0:
            raise Stop("the run with dumps failed; without --dump nothing is dumped")
        files = sorted(p for p in (into / "dumps").rglob("*") if p.is_file() and not p.is_symlink())
        if not files:
            raise Stop("the runtime dumped nothing, though it was asked to")
        return [results.add_file(p.relative_to(into).as_posix(), p) for p in files]
    finally:
        shutil.rmtree(str(into), ignore_errors=True)
