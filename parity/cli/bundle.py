"""`parity bundle`: the cases of a release and one script, for a device without parity."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("bundle", short_help=COMMANDS["bundle"])
@click.argument("release", default="parity.toml", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="FILE.zip", type=click.Path(path_type=Path), help="Where to.")
@click.option("--candidate", metavar="NAME", help="Which candidate.  [default: the only OM, else the only ONNX]")
@json_option()
def command(release: Path, output: Path, candidate: str | None, json_file: str | None) -> int:
    """Write the cases of RELEASE (a parity.toml), a candidate's OM or ONNX, and run_on_device.py into one zip.

    The script needs Python 3.7, NumPy and acl (ONNX: onnxruntime) on the device. It checks every file, runs every case
    and writes results.zip, which `parity capture` verifies and imports. The same release gives the same bytes.

    Exit codes: 0 written, 2 usage or an artifact that cannot be read.
    """
    from parity.bundle.writing import write_bundle
    from parity.cli.carrying import print_written, question, spare_bundle

    claim(json_file)
    spare_bundle(output)
    found = write_bundle(question(release, candidate), output)
    write_json(found.as_json(), json_file)
    print_written(found, people(json_file))
    return 0
