"""The README shows what exists: its commands, its options and its TOML are understood by parity itself."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest

from parity.cli.commands import COMMANDS
from parity.contract.adapter import Adapter
from parity.release.config import ReplayTable, parse_config

TEXT = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
CALLS = re.findall(r"(?:^    |`)parity ([a-z]+)((?: [^`\n|#]+)?)", TEXT, flags=re.MULTILINE)
TOML = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_command_is_shown_and_exists() -> None:
    assert {name for name, _ in CALLS} == set(COMMANDS)


@pytest.mark.parametrize(("name", "rest"), CALLS)
def test_every_command_line_is_understood(name: str, rest: str) -> None:
    command: click.Command = import_module(f"parity.cli.{name}").command
    command.make_context(name, rest.split())  # raises where an option or argument does not exist


@pytest.mark.parametrize("text", TOML)
def test_the_toml_is_understood(text: str) -> None:
    table = tomllib.loads(text)
    assert table
    for adapter in table.get("adapter", {}).values():
        assert not Adapter.from_table(adapter).identity
    if "replay" in table:
        assert ReplayTable.model_validate(table["replay"]).dataset
    if "release" in table:
        assert len(parse_config(table, "README.md").candidate) == 2


def test_every_exit_code_is_explained() -> None:
    assert re.findall(r"^\| (\d) \|", TEXT, flags=re.MULTILINE) == ["0", "1", "2", "3"]
