"""The shell around every command: loads it when used, and turns whatever goes wrong into a message and an exit code.

Nothing here may import NumPy, pydantic, rich or entry points: `parity --help` is to cost no more than click itself.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module

import click
from click.exceptions import Exit

from parity import __version__
from parity.cli.commands import COMMANDS
from parity.cli.ending import Terminated, ended_in_order
from parity.errors import NOT_JUDGED, USAGE, ParityError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def debug_option() -> click.Option:
    """Return the option ``--debug``, understood before and after the command's name; `run` looks for it itself."""
    return click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; the listing comes from the static table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"parity.cli.{cmd_name}").command
        if not any(p.name == "debug" for p in command.params):
            command.params.append(debug_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` name; an unknown one is a usage error that names the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Commands: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {printable(args[0])!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


group = LazyGroup(
    name="parity",
    help="Is the policy about to be shipped still the policy that was trained? Answers before the robot moves.",
    epilog="Exit codes: 0 passed, 1 judged and failed, 2 usage or unreadable input, 3 could not be judged.",
    params=[debug_option()],
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(__version__, prog_name="parity", message="%(prog)s %(version)s")(group)


def printable(text: str) -> str:
    """Return ``text`` with control characters shown as escapes (line feeds kept): it may come from an artifact.

    A tensor name that holds terminal escape sequences must not move the cursor over a verdict.
    """
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def complain(text: str) -> None:
    """Write one block of text to stderr. A stderr that is closed or full changes no exit code."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def hold_descriptors() -> None:
    """Let closed descriptors 0 to 2 lead nowhere, so that no file opened later gets the number of stderr.

    Without an stderr nothing is complained about, and that changes no exit code. Without an stdout the result has no
    reader: writing it fails, and nothing passes.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def run(args: list[str] | None = None) -> int:
    """Run the command named by ``args`` and return its exit code; never raises."""
    args = sys.argv[1:] if args is None else list(args)
    hold_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    try:
        with ended_in_order():
            code = _invoke(args)
        sys.stdout.flush()
        return code
    except BaseException as e:
        code = explain(e)
        if "--debug" in args:
            import traceback

            complain(traceback.format_exc())
        return code


def _invoke(args: list[str]) -> int:
    """Run the command; its callback returns the exit code (anything else is a fault of the command, never a pass)."""
    if "_PARITY_COMPLETE" in os.environ:  # the completion script of the user's shell
        group.main(args, prog_name="parity", standalone_mode=False)
    try:
        with group.make_context("parity", args) as ctx:
            result = group.invoke(ctx)
    except Exit as e:  # --help, --version, ctx.exit(code)
        return e.exit_code
    if isinstance(result, int) and not isinstance(result, bool):
        return int(result)
    raise TypeError(f"the command returned {result!r} instead of an exit code")


def explain(error: BaseException) -> int:
    """Write to stderr what ``error`` means to the user and return the exit code that it deserves."""
    match error:
        case ParityError():
            complain(f"error: {_block(error)}")
            return error.exit_code
        case click.ClickException():
            usage = error.ctx.get_usage() + "\n" if isinstance(error, click.UsageError) and error.ctx else ""
            complain(f"{usage}error: {error.format_message()}")
            return USAGE
        case KeyboardInterrupt() | click.Abort():
            complain("interrupted")
        case Terminated():
            complain(f"ended by {error}: nothing was judged")
        case BrokenPipeError():
            _drop_stdout()
            complain("error: whoever read the standard output went away before the result was written")
        case MemoryError():
            complain("error: out of memory\n  what to do: give it more memory, or fewer and smaller cases")
        case RecursionError():
            complain(
                "error: the input is nested too deeply to be read\n  what to do: check where the artifact comes from"
            )
        case OSError() if error.errno in FULL_DISK:
            complain(f"error: no space left on the device{_at(error)}\n  what to do: free some space and run again")
        case OSError() if error.strerror and error.filename:
            complain(f"error: {error.strerror}{_at(error)}")
        case _:
            name, text = type(error).__name__, " ".join(str(error).split())
            complain(f"internal error: {name}: {text[:300]}, run with --debug")
    return NOT_JUDGED


def _block(error: ParityError) -> str:
    """Return the message with its continuation lines indented, so that it reads as one block."""
    return str(error).replace("\n", "\n  ")


def _at(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _drop_stdout() -> None:
    """Let the interpreter's own last flush go nowhere instead of failing a second time."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
