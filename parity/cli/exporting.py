"""The body of `parity export`: the configuration, the export, the comparison that follows, the line for `atc`."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.artifact import recognize
from parity.cli.judging import Outcome, judge_now, show
from parity.cli.output import claim, people
from parity.contract import read_contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.release.atc import atc_command, check_soc, run_atc
from parity.release.config import Config, load_config, parse_config
from parity.release.export import Exported, export, rejected_path, scopes_path
from parity.release.predicted import added, predict_file
from parity.verdict import Verdict

LOWERING = ("fp16", "mixed_float16")  # of atc's precision modes: what takes float32 down to float16
NAME = "export"  # the candidate's, in the comparison


def export_policy(source: str, options: Mapping[str, Any]) -> int:
    """Export ``source``, compare, tell, and return the exit code: that of the comparison.

    Raises:
        ParityError: nothing could be exported.
    """
    claim(options["json_file"])
    if options["soc"]:
        check_soc(options["soc"])
    config, root = _settings(source, options)
    done = export(
        config,
        root,
        options["target"],
        opset=options["opset"],
        exporter=options["exporter"],
        dynamic_batch=options["dynamic_batch"],
    )
    with tempfile.TemporaryDirectory(prefix="parity-") as work:
        outcome = judge_now(config, root, Path(work), strict=True)
    report = outcome.report
    report["findings"] += [f.as_json() for f in done.findings]
    report["export"] = done.as_json()
    if outcome.exit_code == 0:
        _tell(done, options, report)
        outcome.report = report = _predicted(done, options, outcome)
    else:
        _reject(done, report)
    report["reproduce"] = [_again(source, options)]
    show(outcome, out=None, json_file=options["json_file"])
    return _exit_code(outcome)


def _exit_code(outcome: Outcome) -> int:
    return Verdict(outcome.report["verdict"]).exit_code


def _settings(source: str, options: Mapping[str, Any]) -> tuple[Config, Path]:
    """Return the configuration of the comparison, and the folder that its paths are relative to."""
    own = source.endswith(".toml")
    given: dict[str, Any] = {}
    root = Path.cwd()
    if own or options["config"] is not None:
        path = Path(source) if own else options["config"]
        given = load_config(path).model_dump(exclude_unset=True)
        root = path.resolve().parent if own else root
    reference = dict(given["reference"]) if own else {"path": source}
    if options["python"]:
        reference["python"] = options["python"]
    noise = reference.pop("noise", [])
    target = options["target"].absolute()
    contract = dict(given.get("contract", {}))
    contract["inputs"] = {**contract.get("inputs", {}), **_shapes(options["shapes"])}
    data: dict[str, Any] = {
        "release": {"name": f"{Path(source).name} → {target.name}", "seed": options["seed"]},
        "reference": reference,
        "candidate": [{"name": NAME, "runner": "onnxruntime", "path": str(target), "noise": noise}],
        "contract": contract,
        "budgets": {k: v for k, v in given.get("budgets", {}).items() if k == "default"},
    }
    cases = {**given.get("cases", {}), **({"nominal": options["cases"]} if options["cases"] else {})}
    if cases:
        data["cases"] = cases
    return parse_config(data, "export"), root


def _shapes(told: Sequence[str]) -> dict[str, Any]:
    """Return the ``[contract.inputs]`` tables that ``--shape NAME=DIMS`` stands for; a dim may be a word (batch).

    Raises:
        UsageError: no name, or no sizes.
    """
    tables: dict[str, Any] = {}
    for text in told:
        name, _, dims = text.partition("=")
        sizes = [int(d) if d.strip().isdecimal() else d.strip() for d in dims.split(",")]
        if not name.strip() or not all(d if isinstance(d, str) else d > 0 for d in sizes):
            raise UsageError(f"--shape {text}: not understood", expected="NAME=DIMS, such as obs=1,48")
        tables[name.strip()] = {"shape": sizes}
    return tables


def _tell(done: Exported, options: Mapping[str, Any], report: dict[str, Any]) -> None:
    """Say what was written, and how an OM is made of it."""
    out = people(options["json_file"])
    print(f"wrote {done.path} (opset {done.opset}, {done.exporter}) and {done.scopes.name}", file=out)
    if not options["soc"]:
        return
    contract = read_contract(recognize(done.path))
    line = atc_command(done.path, contract, options["soc"], options["om_precision"])
    report["export"]["atc"] = line
    print(shlex.join(line), file=out)
    said = run_atc(line)
    if said is None:
        print("atc is not installed here: run this line where CANN is", file=sys.stderr)
    else:
        report["export"]["om"] = str(done.path.with_suffix(".om"))
        print(said, file=sys.stderr)


def _predicted(done: Exported, options: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Return the report with what is predicted of the OM that the line makes; nothing where it computes in float32."""
    if not options["soc"] or options["om_precision"] not in LOWERING:
        return outcome.report
    prepared = outcome.prepared
    told, findings = predict_file(done.path, prepared, prepared.candidates[0], NAME, done.path.name)
    return added(outcome.report, [told] if told else [], findings, prepared.root)


def _reject(done: Exported, report: dict[str, Any]) -> None:
    """Move an export that was not found equal out of the way: what lies at the target may be shipped."""
    there = rejected_path(done.path)
    done.path.replace(there)
    done.scopes.replace(scopes_path(there))
    report["export"]["scopes"] = str(scopes_path(there))
    report["export"]["path"] = str(there)
    report["findings"].append(
        Finding(
            "EXPT002",
            "error",
            f"The export was not found equal to its source; it lies at {there.name}, nothing lies at {done.path.name}.",
            where=there.name,
            remedy="see the cause above; try the other exporter or another opset",
        ).as_json()
    )


def _again(source: str, options: Mapping[str, Any]) -> str:
    parts = ["parity", "export", source, "-o", str(options["target"])]
    for key in ("config", "python", "opset", "exporter", "cases", "seed", "soc"):
        parts += [f"--{key}", str(options[key])] if options[key] is not None else []
    parts += [part for shape in options["shapes"] for part in ("--shape", shape)]
    return shlex.join([*parts, *(["--dynamic-batch"] if options["dynamic_batch"] else [])])
