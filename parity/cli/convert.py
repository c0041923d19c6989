"""`parity convert`: a training checkpoint becomes inference weights."""

from __future__ import annotations

from pathlib import Path

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("convert", short_help=COMMANDS["convert"])
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to: .safetensors, or .pth (written by torch).",
)
@click.option("--tree", help="The weight set to take.  [default: the one that evaluation uses]")
@click.option("--dtype", type=click.Choice(["float64", "float32", "float16", "bfloat16"]), help="Cast floats to this.")
@click.option("--max-shard-size", metavar="SIZE", help="Split .safetensors into files of at most SIZE (5GB, 200MB).")
@click.option("--code", metavar="DIR", type=click.Path(path_type=Path), help="Git tree of the code that trained.")
@click.option("--force", is_flag=True, help="Replace a file that parity did not write.")
@json_option()
def command(
    checkpoint: Path,
    output: Path,
    tree: str | None,
    dtype: str | None,
    max_shard_size: str | None,
    code: Path | None,
    force: bool,
    json_file: str | None,
) -> int:
    """Write the weights of CHECKPOINT that evaluation uses to FILE, with a record of what they are.

    Nothing of the checkpoint is executed. What was written is read back and compared bit by bit, then gets its name.

    Exit codes: 0 written, 1 not written since it would not be the same, 2 usage or an unreadable checkpoint.
    """
    from parity.cli.converting import byte_size, code_of, print_conversion
    from parity.convert.conversion import Request, convert

    claim(json_file)
    size = None if max_shard_size is None else byte_size(max_shard_size)
    outcome = convert(Request(checkpoint, output, tree, dtype, size, code_of(code), force))
    write_json(outcome.as_json(), json_file)
    print_conversion(outcome, people(json_file))
    return outcome.verdict.exit_code
