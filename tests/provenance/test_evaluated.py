"""Weights against those of a file that keeps several sets: only what evaluation uses counts."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.provenance.evaluated import evaluated_tree
from parity.provenance.match import match_evaluated
from parity.provenance.source import Source, read_source

RNG = np.random.default_rng(0)
RAW, AVERAGED, OTHER = ({"w": RNG.normal(size=(8, 4)).astype(np.float32)} for _ in range(3))


def workspace(path: Path, use_ema: bool | None) -> Source:
    cfg: dict[str, Any] = {"training": {} if use_ema is None else {"use_ema": use_ema}}
    root = {"cfg": cfg, "state_dicts": {"model": RAW, "ema_model": AVERAGED}, "pickles": {}}
    path.write_bytes(pickle.dumps(root, 4))
    return read_source(path)


def weights(path: Path, state: dict[str, Any]) -> Source:
    path.write_bytes(pickle.dumps({"state_dict": state}, 4))
    return read_source(path)


@pytest.mark.parametrize(("use_ema", "right", "wrong"), [(True, AVERAGED, RAW), (False, RAW, AVERAGED)])
def test_the_set_that_is_not_evaluated_is_named(tmp_path: Path, use_ema: bool, right: Any, wrong: Any) -> None:
    trained = workspace(tmp_path / "a.ckpt", use_ema)
    uses, other = ("ema_model", "model") if use_ema else ("model", "ema_model")
    assert evaluated_tree(trained.checkpoint) == uses
    assert match_evaluated(weights(tmp_path / "r.pth", right), trained).finding() is None
    match = match_evaluated(weights(tmp_path / "w.pth", wrong), trained)
    assert match.instead == (other, uses)
    assert match.one_sentence == f"0 of 1 weights match: these are the weights of {other}, and evaluation uses {uses}"
    found = match.finding()
    assert found is not None
    assert (found.code, found.severity) == ("WEIGHT001", "error")


def test_another_checkpoint_is_not_taken_for_another_set(tmp_path: Path) -> None:
    match = match_evaluated(weights(tmp_path / "o.pth", OTHER), workspace(tmp_path / "a.ckpt", True))
    assert match.instead is None
    assert match.one_sentence == "0 of 1 weights match: another checkpoint"


def test_where_nothing_tells_all_sets_count(tmp_path: Path) -> None:
    trained = workspace(tmp_path / "a.ckpt", None)
    assert evaluated_tree(trained.checkpoint) is None
    for state in (RAW, AVERAGED):
        assert match_evaluated(weights(tmp_path / "x.pth", state), trained).finding() is None


def test_a_workspace_on_both_sides_is_compared_by_what_each_evaluates(tmp_path: Path) -> None:
    both = [workspace(tmp_path / f"{use}.ckpt", use) for use in (True, False)]
    assert match_evaluated(both[0], both[0]).finding() is None
    assert match_evaluated(both[1], both[0]).instead == ("model", "ema_model")
