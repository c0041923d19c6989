"""`parity export`: a policy as ONNX, compared with its source at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from parity.cli.output import json_option


@click.command(
    "export",
    short_help="Write a policy as ONNX, compared with its source at once.",
    help="Write SOURCE as ONNX and compare the two. SOURCE is TorchScript, .pt2, package.module:factory, a LeRobot"
    " folder, an actor's checkpoint, or a parity.toml, whose reference is meant. An export that differs is left as"
    " FILE.rejected.onnx.",
)
@click.argument("source")
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="The ONNX to write.")
@click.option("--config", type=click.Path(path_type=Path), help="Take shapes, cases and budgets from this parity.toml.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=DIMS",
    help="Shape of an input that SOURCE does not tell: obs=1,48.",
)
@click.option("--python", help="Run SOURCE in this interpreter, such as that of the training environment.")
@click.option(
    "--opset", type=click.IntRange(14, 30), help="The opset to write.  [default: 17; 18 of the dynamo exporter]"
)
@click.option(
    "--exporter",
    type=click.Choice(["torchscript", "dynamo"]),
    help="Which of torch's two exporters.  [default: torchscript, which writes what ATC takes best; dynamo for .pt2]",
)
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch axis free.")
@click.option("--cases", type=click.IntRange(min=2), help="How many nominal cases to compare on.  [default: 16]")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Seed of the cases.")
@click.option("--soc", metavar="CHIP", help="Print the atc line for a chip such as Ascend310P1; run it where atc is.")
@click.option(
    "--om-precision",
    type=click.Choice(["fp16", "origin", "mixed_float16", "mixed_bfloat16", "cube_fp16in_fp32out"]),
    default="fp16",
    show_default=True,
    help="What atc is to compute in (--precision_mode_v2).",
)
@json_option()
def command(source: str, **options: Any) -> int:
    """Export, compare, and return the exit code."""
    from parity.cli.exporting import export_policy

    return export_policy(source, options)
