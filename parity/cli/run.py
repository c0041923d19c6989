"""`parity run`: judges the release that a parity.toml describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command(
    "run",
    short_help="Judge the release that parity.toml describes and write its reports.",
    help="Judge the release that each CONFIG (default: parity.toml) describes: plan, execute, judge, report.",
)
@click.argument("configs", metavar="[CONFIG]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the reports; of several CONFIGs, a folder each.  [default: reports/<release name>]",
)
@click.option("-k", "expression", metavar="EXPR", help="Judge only what this expression selects (needs --partial).")
@click.option("-n", "workers", type=click.IntRange(min=1), help="Judge, and replay, with this many processes.")
@click.option("--partial", is_flag=True, help="Let a filtered run pass on what it selected.")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="Judge a saved report.json again, running nothing."
)
@click.option("--baseline", type=click.Path(path_type=Path), help="Show what moved since this report.json.")
@click.option("--record", type=click.Path(path_type=Path), help="Keep the reference's inputs and outputs as a trace.")
@click.option("--layers", is_flag=True, help="On a difference, find the first layer that differs.")
def command(configs: tuple[Path, ...], **options: Any) -> int:
    """Judge one release, or several, and return the exit code."""
    if len(configs) > 1:
        from parity.cli.several import judge_releases

        return judge_releases(configs, options)
    from parity.cli.releasing import judge_release

    return judge_release(configs[0] if configs else Path("parity.toml"), options)
