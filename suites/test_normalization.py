"""The same numbers on both sides of the model: are the statistics that normalize those of training, and sound?"""

from __future__ import annotations

from typing import Any

import pytest


def test_normalization(normalization_verdict: dict[str, Any]) -> None:
    if normalization_verdict["verdict"] != "PASS":  # no assert: Python leaves those out under -O
        pytest.fail("\n".join(normalization_verdict["reasons"]), pytrace=False)
