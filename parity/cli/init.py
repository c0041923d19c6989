"""`parity init`: finds what is there and writes a commented parity.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.errors import PASSED, UsageError


@click.command("init", short_help=COMMANDS["init"])
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("-o", "--out", default="parity.toml", show_default=True, metavar="FILE", help="Where to; - is stdout.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(artifacts: tuple[str, ...], out: str, force: bool) -> int:
    """Write a commented parity.toml for ARTIFACTS: the trained policy and what was exported from it.

    The torch side becomes the reference (TorchScript, .pt2, a LeRobot folder, a trace, package.module:factory), else
    the first; a folder stands for the artifacts in it.
    """
    from parity.release.init import draft
    from parity.report.atomic import replace_file

    target = Path(out)
    if out != "-" and target.is_dir():
        target = target / "parity.toml"
    if out != "-" and target.exists() and not force:
        raise UsageError(f"{target} exists", remedy="write elsewhere with -o FILE, or replace it with --force")
    text = draft([Path(a) for a in artifacts], Path() if out == "-" else target.parent)
    if out == "-":
        sys.stdout.write(text)
        return PASSED
    replace_file(target, text.encode("utf-8"))
    print(
        f"wrote {target}: read it, then `parity run{'' if out == 'parity.toml' else ' ' + str(target)}`",
        file=sys.stderr,
    )
    return PASSED
