"""`parity.toml` is parsed strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.errors import UsageError
from parity.release.config import load_config, parse_config

GOOD = {"release": {"name": "r"}, "reference": {"path": "a.pt"}, "candidate": [{"name": "ort", "path": "b.onnx"}]}


def test_defaults() -> None:
    config = parse_config(GOOD, "here")
    assert config.release.seed == 42
    assert config.cases is None
    assert config.candidate[0].precision is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"releas": {}}, ["'releas'", "'release'"]),
        ({"release": {"name": "r", "sead": 1}}, ["'release.sead'", "'seed'"]),
        ({"candidate": [{"name": "ort", "path": "b", "presicion": "int8"}]}, ["presicion", "'precision'"]),
        ({"candidate": [{"name": "default", "path": "b"}]}, ["'default' is no valid candidate name"]),
        ({"candidate": [{"name": "a", "path": "b"}, {"name": "a", "path": "c"}]}, ["two candidates are called a"]),
        ({"candidate": []}, ["candidate"]),
        ({"reference": None}, ["reference"]),
        ({"budgets": {"otr": {"action": {"max_abs": 1}}}}, ["'otr'", "'ort'"]),
        ({"budgets": {"ort": {"action": {"maxabs": 1}}}}, ["maxabs", "'max_abs'"]),
        ({"budgets": {"ort": {"action": {"max_abs": -1}}}}, ["max_abs must be finite and not negative"]),
        ({"budgets": {"ort": {"action": {"max_abs": float("nan")}}}}, ["max_abs must be finite"]),
        ({"adapter": {"nobody": {}}}, ["'nobody'"]),
        ({"cases": {"nominal": -1}}, ["cases.nominal"]),
        ({"replay": {"n_action_step": 4}}, ["'replay.n_action_step'", "'n_action_steps'"]),
        ({"replay": {"sides": {"ort": {"frist": 1}}}}, ["frist", "'first'"]),
        ({"replay": {"sides": {"otr": {"first": 1}}}}, ["[replay.sides]", "'otr'", "'ort'"]),
        ({"replay": {"ensemble": True}}, ["replay.ensemble", "coefficient"]),
        ({"replay": {"ensemble": 0.01, "n_action_steps": 8}}, ["ensemble asks the policy at every frame"]),
        ({"replay": {"first": -1}}, ["replay.first"]),
        ({"waiver": [{"finding": "X", "reason": "", "owner": "o", "until": "2026-01-01"}]}, ["reason"]),
        ({"waiver": [{"finding": "X", "reason": "r", "owner": "o", "until": "soon"}]}, ["until"]),
    ],
)
def test_a_mistake_is_named(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as e:
        parse_config({**GOOD, **change}, "here")
    for word in words:
        assert word in str(e.value)


def test_ensembling_is_a_coefficient_or_off() -> None:
    for given, kept in ((0.01, 0.01), (0, 0), (0.0, 0.0), (False, False)):
        value = parse_config({**GOOD, "replay": {"ensemble": given}}, "here").replay.ensemble
        assert value == kept
        assert (value is False) == (given is False)
    assert parse_config(GOOD, "here").replay.ensemble is None


def test_unreadable_files_are_usage_errors(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"[release", b"a = 1\na = 2\n"):
        path = tmp_path / "parity.toml"
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"parity\.toml"):
            load_config(path)
    with pytest.raises(UsageError, match="parity init"):
        load_config(tmp_path / "absent.toml")


def test_a_folder_means_its_parity_toml(tmp_path: Path) -> None:
    (tmp_path / "parity.toml").write_text(
        '[release]\nname = "x"\n[reference]\npath = "a"\n[[candidate]]\nname = "c"\npath = "b"\n'
    )
    assert load_config(tmp_path).release.name == "x"
