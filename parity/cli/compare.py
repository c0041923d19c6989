"""`parity compare`: two artifacts, traces or logs of evaluations, no configuration needed."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from parity.cli.output import json_option


@click.command(
    "compare",
    short_help="Compare two artifacts or traces; no configuration needed.",
    help="Compare CANDIDATE with REFERENCE, the trusted one: same inputs, same numbers? No configuration needed. "
    "Two logs of evaluations are compared by their episodes: does the candidate still do its task as well?",
)
@click.argument("reference")
@click.argument("candidate")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Take budgets, adapter and cases from this parity.toml."
)
@click.option(
    "--inputs", type=click.Path(path_type=Path), help="Judge on these observations: an .npz, one array per input."
)
@click.option("--cases", type=click.IntRange(min=1), help="How many nominal cases to make.  [default: 16]")
@click.option("--worst", type=click.IntRange(min=0), help="Search for the worst input with this many evaluations.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the cases.  [default: 42]")
@click.option("--precision", metavar="CLASS", help="Precision class of CANDIDATE: float32, float16, bfloat16, int8.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds a case may take.  [default: 120]")
@click.option("--layers", is_flag=True, help="Find the first layer that differs.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write report.html, report.json and the rest into this folder."
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0, max=1, max_open=True),
    help="Logs of evaluations: the drop in success that is allowed, as a share.  [default: 0.05]",
)
@click.option(
    "--paired/--unpaired",
    default=None,
    help="Logs of evaluations: episodes began alike in the same order, or are independent.  [default: as seeds say]",
)
@click.option(
    "--success-at",
    type=float,
    metavar="REWARD",
    help="Logs of evaluations: an episode succeeded where its largest reward is at least this.",
)
@json_option()
def command(reference: str, candidate: str, **options: Any) -> int:
    """Compare two artifacts and return the exit code."""
    from contextlib import ExitStack

    from parity.cli.comparing_evaluations import compare_logs, pair_of_logs

    if (logs := pair_of_logs(reference, candidate, options)) is not None:
        return compare_logs(logs, options)
    from parity.runner.torch import torch_ahead

    with ExitStack() as exits:
        exits.enter_context(torch_ahead([(reference, None), (candidate, None)], Path.cwd()))  # before slow imports
        from parity.cli.judging import judge_now, load_settings, show
        from parity.cli.output import claim
        from parity.report.write import OutputFolder

        claim(options["json_file"])
        config = load_settings(reference, candidate, options)
        held = exits.enter_context(OutputFolder(options["out"])) if options["out"] else None
        work = exits.enter_context(tempfile.TemporaryDirectory(prefix="parity-"))
        outcome = judge_now(config, Path.cwd(), Path(work), strict=True, layers=options["layers"])
        outcome.report["reproduce"] = [again(reference, candidate, options)]
        show(outcome, out=held.path if held else None, json_file=options["json_file"])
    return outcome.exit_code


def again(reference: str, candidate: str, options: Mapping[str, Any]) -> str:
    """Return the command line that makes this comparison again."""
    flags = {"config": "--config", "inputs": "--inputs", "cases": "--cases", "worst": "--worst", "seed": "--seed"}
    flags |= {"precision": "--precision", "timeout": "--timeout"}
    told = [part for key, flag in flags.items() if options[key] is not None for part in (flag, str(options[key]))]
    return shlex.join(["parity", "compare", reference, candidate, *told, *(["--layers"] if options["layers"] else [])])
