"""`parity stats`: what is wrong with normalization statistics, who agrees with whom, stored against recomputed."""

from __future__ import annotations

import click

from parity.cli.commands import COMMANDS
from parity.cli.output import claim, json_option, people, write_json


@click.command("stats", short_help=COMMANDS["stats"])
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "--dataset",
    metavar="DIR",
    help="Compute the statistics again from this dataset and hold the stored ones against it.",
)
@click.option("--strict", is_flag=True, help="Exit 1 if there is a warning, such as statistics of slightly other data.")
@json_option()
def command(sources: tuple[str, ...], dataset: str | None, strict: bool, json_file: str | None) -> int:
    """Tell what is wrong with the normalization statistics of each SOURCE, and who agrees with whom.

    SOURCE is a LeRobot policy or dataset folder, norm_stats.json, stats.json, a checkpoint or graph with a normalizer,
    GR00T metadata, or arrays called <feature>.mean and so on; PATH::NAME is one of several sets in it. Nothing is
    executed. Differences are in units of the feature's range: SAME, DRIFT up to 5 %, CONFLICT above.

    Exit codes: 0 all is well (DRIFT is a finding), 1 CONFLICT or an error finding, or a warning under --strict, 2 a
    source is unreadable, 3 a source has nothing in common with the others.
    """
    from parity.cli.surveying import ask, print_survey

    claim(json_file)
    document = ask(sources, dataset, strict=strict)
    write_json(document, json_file)
    return print_survey(document, people(json_file))
