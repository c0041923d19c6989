"""The one line of a failure that says why it failed."""

from __future__ import annotations

import pytest

from parity.release.refused import reason

TORCHSCRIPT = """RuntimeError: The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__.py", line 12, in forward
    return torch.linear(input, weight, bias)
           ~~~~~~~~~~~~ <--- HERE
RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x6 and 5x8)
 (case nominal-0000)"""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TORCHSCRIPT, "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x6 and 5x8)"),
        ("ValueError: no\n  at line 3\nKeyError: 'x'", "ValueError: no"),
        ("RuntimeError: The following operation failed in the TorchScript interpreter.", None),
        ("  \n", "no message"),
        ("", "no message"),
    ],
)
def test_the_line_that_says_why(message: str, expected: str | None) -> None:
    assert reason(message) == (expected or message)
