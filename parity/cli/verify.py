"""`parity verify`: what changed in a packed folder."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("verify", short_help=COMMANDS["verify"])
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--manifest", "sha256", metavar="SHA256", help="What the manifest's own SHA-256 must be.")
@json_option()
def command(folder: Path, sha256: str | None, json_file: str | None) -> int:
    """Check every file of DIR, which `parity pack` made, against its manifest. Nothing is loaded or run.

    Without --manifest (the hash that `parity pack` printed, kept elsewhere) an edit of files and manifest together
    cannot be told.

    Exit codes: 0 unchanged, 1 altered, missing or additional files or another manifest, 2 unreadable.
    """
    from parity.cli.packing import check_sha256, print_verified
    from parity.pack.verify import verify

    claim(json_file)
    found = verify(folder, check_sha256(sha256))
    write_json(found.as_json(), json_file)
    print_verified(found, people(json_file))
    return found.verdict.exit_code
