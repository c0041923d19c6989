"""From the command line to the zip of results."""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from parity.bundle.device.dumping import dump_into, take_dumps
from parity.bundle.device.files import Results, Stop, check_files, place, read_manifest, sha256_of
from parity.bundle.device.ort_model import load_model
from parity.bundle.device.running import Policy, repeat, run_cases

HERE = Path(__file__).resolve()


def check_model(manifest: dict[str, Any], model: Any) -> None:
    """Make sure that what the runtime loaded is what parity read in the file: names and element types."""
    state = manifest["state"]
    for what, told, held, found in (
        ("inputs", manifest["inputs"], state.keys(), model.inputs),
        ("outputs", manifest["outputs"], state.values(), model.outputs),
    ):
        names = sorted({t["name"] for t in told}.union(held))
        if names != sorted(t["name"] for t in found):
            there = ", ".join(t["name"] for t in found)
            raise Stop(f"the runtime's {what} are {there}; those of the bundle are {', '.join(names)}")
    given = {n: i["dtype"] for n, i in manifest["cases"][0]["inputs"].items()}
    for spec in model.inputs:
        if given.get(spec["name"], spec["dtype"]) != spec["dtype"]:
            text = f"input {spec['name']!r}: the runtime takes {spec['dtype']}, the cases hold {given[spec['name']]}"
            raise Stop(text)


def machine() -> dict[str, Any]:
    """Return what is known of this machine without its runtime."""
    system = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "numpy": np.__version__, "platform": system}


def now() -> str:
    """Return the time as this machine's clock has it, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def execute(folder: Path, options: Any) -> None:
    """Check, run, and write the results."""
    manifest, bundle = read_manifest(folder)
    print(f"{check_files(folder, manifest)} files are what was bundled", flush=True)
    results = Results(Path(options.output))
    try:
        told: dict[str, Any] = {"schema": 1, "kind": "parity-results", "bundle_sha256": bundle, "started": now()}
        model = load_model(folder, manifest, options, None)
        try:
            check_model(manifest, model)
            policy = Policy(model, manifest["state"])
            told["repeated"] = repeat(folder, manifest, policy)
            told["cases"] = run_cases(folder, manifest, policy, results)
            told["environment"] = dict(machine(), **model.environment())
        finally:
            model.close()
        arguments = ["--dump", str(options.dump), "--device", str(options.device)]
        arguments += ["--any-soc"] if options.any_soc else []
        told["dumps"] = take_dumps(HERE, arguments, results) if options.dump else []
        told.update({k: manifest[k] for k in ("release", "candidate")})
        told["artifact_files"] = [
            dict(f, sha256=sha256_of(place(folder, "artifact/" + f["path"]))) for f in manifest["artifact"]["files"]
        ]
        told["script_sha256"] = sha256_of(HERE)
        told["stand_in"] = bool(told["environment"].get("stand_in"))
        told["finished"] = now()
        results.finish(told)
    except BaseException:  # Ctrl-C too: results are there as a whole or not at all
        results.discard()
        raise
    for name, gap in told["repeated"]["differs"].items():
        print(f"NOTE: {name} changed by up to {gap:.3g} when the same case ran twice")
    print(f"{len(told['cases'])} cases answered: {options.output}")
    print(f"Take it back and say there: parity capture {Path(options.output).name}")


def told_to_end(*_: object) -> None:
    """Let a signal end the script as Ctrl-C does."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 something is not as it has to be."""
    parser = argparse.ArgumentParser(description="Run the cases of this bundle here, and write a zip to take back.")
    parser.add_argument("-o", "--output", default="results.zip", help="where to write the results")
    parser.add_argument("--device", type=int, default=0, help="number of the device")
    parser.add_argument("--dump", type=int, default=0, metavar="N", help="also dump all operators in the first N cases")
    parser.add_argument("--any-soc", action="store_true", help="run a model that was compiled for another chip")
    parser.add_argument("--dump-into", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, told_to_end)
    folder = HERE.parent
    try:
        if options.dump_into:
            manifest = read_manifest(folder)[0]
            into = Path(options.dump_into)
            dump_into(manifest, folder, lambda c: load_model(folder, manifest, options, c), options.dump, into)
        else:
            execute(folder, options)
    except KeyboardInterrupt:
        print("STOPPED: told to end; nothing was written", file=sys.stderr)
        return 130
    except (Stop, OSError) as e:
        print(f"STOPPED: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
