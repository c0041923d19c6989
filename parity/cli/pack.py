"""`parity pack`: a release becomes one folder with a manifest."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("pack", short_help=COMMANDS["pack"])
@click.argument("release", default="parity.toml", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where to.")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The report.json of its PASS.  [default: reports/<release name>/report.json]",
)
@click.option(
    "--code",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Git tree of the code.  [default: the one that RELEASE lies in]",
)
@click.option("--allow-dirty", is_flag=True, help="Pack from code that is not committed; not for sign-off.")
@json_option()
def command(
    release: Path, output: Path, report: Path | None, code: Path | None, allow_dirty: bool, json_file: str | None
) -> int:
    """Copy all that RELEASE (a parity.toml or its folder) was judged on into DIR, with a manifest of SHA-256 hashes.

    DIR is a release itself: `parity run DIR` judges it again, `parity verify DIR` says what changed. A git tree with
    changes that are not committed is refused.

    Exit codes: 0 packed, 2 usage or an artifact that cannot be read.
    """
    from parity.cli.packing import code_tree, print_packed, report_places
    from parity.pack.packing import Request, pack

    claim(json_file)
    found = pack(Request(release, output, report_places(release, report), code_tree(release, code), allow_dirty))
    write_json(found.as_json(), json_file)
    print_packed(found, people(json_file))
    return 0
