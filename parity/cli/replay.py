"""`parity replay`: recorded data through reference and candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option


@click.command("replay", short_help=COMMANDS["replay"])
@click.argument("config", metavar="[CONFIG]", default="parity.toml", type=click.Path(path_type=Path))
@click.option("--dataset", type=click.Path(path_type=Path), help="What was recorded.  [default: [replay] dataset]")
@click.option("--episodes", metavar="A:B", help="Episodes by position, such as 0:20, 5: or 0:5,8.  [default: all]")
@click.option("--every", type=click.IntRange(min=1), help="Ask the policies at every such frame.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: reports/<name>-replay]")
@click.option("-n", "lanes", type=click.IntRange(min=1), default=1, help="Processes of each side.")
@json_option()
def command(config: Path, json_file: str | None, **options: Any) -> int:
    """Play recorded data through the reference and the candidates of CONFIG (default: parity.toml) as policies.

    Raw observations go in, physical actions come out; they are compared frame by frame, in the actions' units. A replay
    that is killed goes on where it stopped when it is started again.

    Exit codes: 0 passed, 1 failed, 2 CONFIG or the dataset's path is wrong, 3 something could not be judged.
    """
    from parity.cli.replaying import replay_now

    claim(json_file)
    return replay_now(config, options, json_file)
