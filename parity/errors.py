"""Who may fail, and with which exit code.

    ParityError                 anything a user can mend; shown as a message, never as a traceback
    ├── UsageError       (2)    wrong arguments, unreadable or contradictory `parity.toml`
    ├── ArtifactError    (2)    an artifact that cannot be read or is not what it claims to be
    ├── RunnerError      (3)    a runner that is absent, crashed, timed out or ran something else than asked
    └── OutputError      (3)    a result that could not be written (unwritable folder, full disk, folder in use)

The exit codes are those of the fixed public surface: 0 passed, 1 failed, 2 usage, 3 could not be judged.
"""

from __future__ import annotations

PASSED, FAILED, USAGE, NOT_JUDGED = 0, 1, 2, 3


class ParityError(Exception):
    """A failure that the user can understand and mend.

    Args:
        message: what was being read or done, and what was found.
        expected: what would have been right, if that helps.
        remedy: what to do next, as an instruction.
    """

    exit_code: int = USAGE

    def __init__(self, message: str, *, expected: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.remedy:
            lines.append(f"what to do: {self.remedy}")
        return "\n".join(lines)


class UsageError(ParityError):
    """Wrong arguments or configuration."""


class ArtifactError(ParityError):
    """An artifact that cannot be read, is incomplete, or is not what it claims to be."""


class RunnerError(ParityError):
    """A runner that is absent, crashed, hung, or ran something else than what was asked."""

    exit_code = NOT_JUDGED


class OutputError(ParityError):
    """A result that could not be written."""

    exit_code = NOT_JUDGED
