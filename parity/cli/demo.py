"""`parity demo`: judges a good and a broken release of a small policy that comes with parity."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS


@click.command("demo", short_help=COMMANDS["demo"])
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports/demo"),
    show_default=True,
    help="Folder of the releases and their reports.",
)
def command(out: Path) -> int:
    """Judge a good and a broken release of a small diffusion policy and write both reports.

    Its artifacts come with parity: no torch, no network, no GPU. The broken one ships an earlier checkpoint.
    """
    from parity.cli.demonstrating import demonstrate

    return demonstrate(out)
