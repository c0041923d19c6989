"""`parity capture`: what came back from a device, verified and imported."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("capture", short_help=COMMANDS["capture"])
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--bundle", "bundle", metavar="FILE.zip", type=click.Path(path_type=Path), help="What was run.")
@click.option(
    "--config", "config", metavar="FILE", type=click.Path(path_type=Path), help="The release it was made from."
)
@click.option("--candidate", metavar="NAME", help="Which candidate of --config.  [default: as `parity bundle` chooses]")
@click.option("--case", "cases", metavar="ID", multiple=True, help="Of a folder without names: what was run, in order.")
@click.option("-o", "--output", metavar="FILE.h5", type=click.Path(path_type=Path), help="[default: RESULTS with .h5]")
@json_option()
def command(
    results: tuple[Path, ...],
    bundle: Path | None,
    config: Path | None,
    candidate: str | None,
    cases: tuple[str, ...],
    output: Path | None,
    json_file: str | None,
) -> int:
    """Verify RESULTS, which came back from a device, and write them as a trace for `runner = "recorded"`.

    RESULTS is what run_on_device.py of a bundle wrote, or a folder of outputs of ais_bench or msame, of dumps of acl,
    or of dumps converted to .npy: these say not which inputs they answer, so the trace says that this is not verified.
    What was asked is known from --bundle, or from --config (parity.toml here, if neither is given).

    Exit codes: 0 imported, 1 refused: a case, an artifact or an output is not what it has to be, 2 usage or unreadable.
    """
    from parity.bundle.capture import capture
    from parity.cli.carrying import asked_by, chosen, print_captured, trace_path

    claim(json_file)
    with asked_by(bundle, config, candidate) as source:
        found = capture(results, chosen(source, cases, results), trace_path(results, output))
    write_json(found.as_json(), json_file)
    print_captured(found, people(json_file))
    return found.verdict.exit_code
