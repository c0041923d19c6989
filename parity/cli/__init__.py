"""The command line: one file per command, each a screen long. `parity.cli.<name>` holds the click command `command`."""

from __future__ import annotations


def main(args: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 passed, 1 failed, 2 usage, 3 could not be judged.

    ``args`` default to those of the process. Never raises, and never returns 0 or 1 for a reason of its own.
    """
    try:
        from parity.cli.shell import run

        return run(args)
    except KeyboardInterrupt:  # before the shell could catch it
        return 3
