"""`parity provenance`: which tensors of which checkpoint are inside an exported file."""

from __future__ import annotations

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("provenance", short_help=COMMANDS["provenance"])
@click.argument("exported", metavar="EXPORTED")
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Prove that EXPORTED differs from CHECKPOINT in tensors of this pattern only, such as 'aux_decoder.*'.",
)
@click.option("--strict", is_flag=True, help="Exit 1 if there is a warning, such as raw weights in place of averaged.")
@json_option()
def command(
    exported: str, checkpoints: tuple[str, ...], only: tuple[str, ...], strict: bool, json_file: str | None
) -> int:
    """Tell which tensors of which CHECKPOINT are inside EXPORTED, by their values. Nothing is executed.

    EXPORTED and each CHECKPOINT is ONNX, OM, TorchScript, .pt2, a checkpoint, safetensors, .npz or a LeRobot folder;
    a folder of checkpoints stands for all in it.

    Exit codes: 0 all tensors that tell anything were found (MATCH), 1 not all (PARTIAL, STALE, FOREIGN), or
    something outside of --only moved, 2 EXPORTED or every CHECKPOINT is unreadable, 3 nothing there to be told by.
    """
    from parity.cli.tracing import ask, print_trace

    claim(json_file)
    document = ask(exported, checkpoints, only, strict=strict)
    write_json(document, json_file)
    return print_trace(document, people(json_file))
