"""The command that compiles an exported ONNX into an Ascend OM file, and running it where CANN's `atc` is installed.

Options as in Huawei's ATC documentation: ``--framework=5`` is ONNX; ``--soc_version`` names the chip as `npu-smi info`
does (``Ascend310P1``); ``--precision_mode_v2`` takes ``fp16`` (what `atc` does by itself: all in float16), ``origin``,
``mixed_float16``, ``mixed_bfloat16`` and ``cube_fp16in_fp32out``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from parity.contract import Contract
from parity.errors import RunnerError, UsageError
from parity.tensor import TensorSpec

PRECISIONS = ("fp16", "origin", "mixed_float16", "mixed_bfloat16", "cube_fp16in_fp32out")
_SOC = re.compile(r"^Ascend[0-9A-Za-z_-]{2,40}$")


def check_soc(soc: str) -> None:
    """Raise `UsageError` where ``soc`` cannot be the name of an Ascend chip."""
    if not _SOC.match(soc):
        raise UsageError(
            f"--soc {soc}: no name of an Ascend chip",
            expected="a name such as Ascend310P1 or Ascend910B4",
            remedy="take it from `npu-smi info`, with Ascend before it",
        )


def atc_command(path: Path, contract: Contract, soc: str, precision: str) -> list[str]:
    """Return the `atc` command line for the ONNX at ``path``; the OM gets its name, beside it.

    Raises:
        UsageError: a shape that `atc` has to be told is not known.
    """
    return [
        "atc",
        f"--model={path}",
        "--framework=5",
        f"--output={path.with_suffix('')}",
        f"--soc_version={soc}",
        f"--input_shape={';'.join(_shape(t) for t in contract.inputs)}",
        f"--precision_mode_v2={precision}",
    ]


def _shape(spec: TensorSpec) -> str:
    """Return ``name:1,3,96,96``; a batch axis that is free is compiled for one observation, as robots run it."""
    if spec.shape is None:
        raise UsageError(f"the shape of {spec.name} is not known, which atc needs", remedy="export again")
    dims = [1 if i == 0 and not isinstance(d, int) else d for i, d in enumerate(spec.shape)]
    if any(not isinstance(d, int) for d in dims):
        raise UsageError(
            f"{spec.name} has the free shape {spec.shape}, which atc needs fixed", remedy="export it with fixed sizes"
        )
    return f"{spec.name}:{','.join(map(str, dims))}"


def run_atc(command: Sequence[str], timeout_s: float = 3600.0) -> str | None:
    """Run the command where `atc` is installed and return the end of what it said; None where it is not.

    Raises:
        RunnerError: it failed, took too long, or left no file.
    """
    program = shutil.which("atc")
    if program is None:
        return None
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise RunnerError(f"atc could not be run: {e}", remedy="run the printed line by hand") from None
    said = "\n".join([line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-8:])
    output = next(part.removeprefix("--output=") for part in command if part.startswith("--output="))
    if done.returncode != 0 or not Path(f"{output}.om").is_file():
        raise RunnerError(f"atc ended with exit status {done.returncode}; it said last:\n{said}")
    return said
