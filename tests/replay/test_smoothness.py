"""Smoothness, jumps at seams, clipped and constant dimensions, collapsed modes, grippers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from explained import codes, in_shards, judged, one
from motions import demonstrations, policy
from parity.replay.measures import extent, gripper, seams
from parity.replay.model import Timing
from parity.tensor import Array
from replayed import context, played

DEMOS = demonstrations(13, episodes=20)
CHUNKS = policy(DEMOS, 16)
TIMING = Timing(n_action_steps=8)
ASKED = {"fps": 30.0, "units": ("rad",) * 6 + (None,)}


def of(measure: object, change: Callable[[Array], Array], **given: object) -> list:
    shown = played(CHUNKS, [change(c.copy()) for c in CHUNKS], DEMOS, timing=TIMING, every=8)
    return list(judged(measure, shown, **{**ASKED, **given}).findings)  # type: ignore[arg-type]


def at(d: int, change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def changed(chunk: Array) -> Array:
        chunk[..., d] = change(chunk[..., d])
        return chunk

    return changed


def test_jerk_is_in_units_per_second_cubed() -> None:
    t = np.arange(300) / 30.0
    wave = np.stack([np.sin(t), np.cos(2 * t)], axis=1)[:, None]
    shown = judged(seams.MEASURE, played([wave], [wave]), fps=30.0).shown["smoothness"]
    assert shown["candidate velocity"] == pytest.approx([np.sqrt(0.5), 2 * np.sqrt(0.5)], rel=0.05)
    assert shown["candidate jerk"] == pytest.approx([np.sqrt(0.5), 8 * np.sqrt(0.5)], rel=0.05)


def test_jumps_where_a_chunk_begins() -> None:
    rng = np.random.default_rng(0)
    found = of(seams.MEASURE, lambda c: c + rng.normal(0, 0.1, (len(c), 1, 1)))
    told = one(found, "REPLAY042")
    assert "all 7 dimensions" in told.title
    assert " rad in action[" in told.title
    assert "episode" in told.detail
    frame = int(told.detail.rsplit("frame ", 1)[1].rstrip("."))
    assert frame % 8 == 0
    assert frame > 0


def test_rougher_and_smoother() -> None:
    rng = np.random.default_rng(0)
    rough = one(of(seams.MEASURE, lambda c: c + rng.normal(0, 0.05, c.shape)), "REPLAY043")
    assert "rougher" in rough.title
    assert "rad/s^3" in rough.title
    noisy = [c + rng.normal(0, 0.05, c.shape) for c in CHUNKS]
    found = judged(seams.MEASURE, played(noisy, CHUNKS, timing=TIMING), **ASKED).findings
    assert "smoother" in one(found, "REPLAY043").title


@pytest.mark.parametrize("change", [lambda c: 2 * c, lambda c: c[..., ::-1].copy(), lambda c: -c], ids=range(3))
def test_a_scaled_or_flipped_candidate_is_as_smooth_and_jumps_as_much(change: Callable[[Array], Array]) -> None:
    swapped = of(seams.MEASURE, change)
    assert not [f for f in swapped if f.code == "REPLAY042"]
    assert not codes(swapped)


@pytest.mark.parametrize("d", [0, 2, 4])
@pytest.mark.parametrize(("low", "high"), [(0.05, 0.95), (0.0, 0.9), (0.1, 1.0)])
def test_a_clipped_candidate(d: int, low: float, high: float) -> None:
    values = np.concatenate(CHUNKS)[..., d]
    ends = np.quantile(values, [low, high])
    told = one(of(extent.MEASURE, at(d, lambda v: np.clip(v, *ends))), "REPLAY044")
    assert told.where == f"action[{d}]"
    for end, share in zip(ends, (low, 1 - high), strict=True):
        assert (f"{end:.3g} rad" in told.title.split("the reference")[0]) == (share > 0)
    assert "% of frames" in told.title
    assert told.evidence["explained"] > 0.999


def test_a_clip_that_is_missing_in_the_candidate() -> None:
    clipped = [at(2, lambda v: np.clip(v, -0.5, 9))(c.copy()) for c in CHUNKS]
    found = judged(extent.MEASURE, played(clipped, CHUNKS, DEMOS, timing=TIMING), **ASKED).findings
    assert "the reference is clipped at -0.5 rad" in one(found, "REPLAY044").title


def test_a_rare_clip_shows_by_the_largest_difference() -> None:
    values = np.concatenate([c[:, 0, 1] for c in CHUNKS])
    end = float(np.quantile(values, 0.992))
    found = of(extent.MEASURE, at(1, lambda v: np.minimum(v, end)))
    assert f"clipped at {end:.3g} rad" in one(found, "REPLAY044").title


def test_a_constant_dimension() -> None:
    found = of(extent.MEASURE, at(2, lambda v: 0 * v + 0.3))
    assert one(found, "REPLAY045").title == "constant in action[2], where the reference moves: 0.3 rad in action[2]"
    assert codes(found) == {"REPLAY045"}


@pytest.mark.parametrize("fault", ["gain", "offset", "sign", "noise", "stuck"])
def test_other_faults_are_not_called_clipped(fault: str) -> None:
    rng = np.random.default_rng(0)
    change: Callable[[Array], Array] = {
        "gain": lambda c: 0.5 * c,
        "offset": lambda c: c - 0.3,
        "sign": lambda c: -c,
        "noise": lambda c: c + rng.normal(0, 0.03, c.shape),
        "stuck": at(6, lambda v: np.minimum(v + 0.9, 0.97)),
    }[fault]
    assert not codes(of(extent.MEASURE, change))


def test_modes_that_collapsed() -> None:
    rng = np.random.default_rng(0)
    same = np.mean([c[np.linspace(0, len(c) - 1, 150).astype(int)] for c in CHUNKS], axis=0)
    wrong = [same[np.linspace(0, 149, len(c)).astype(int)] + 0.01 * rng.normal(size=c.shape) for c in CHUNKS]
    same_mean = np.concatenate([c[:, 0] for c in wrong]).std(axis=0)
    assert same_mean.min() > 0
    shown = played(_with_a_path(CHUNKS), _with_a_path(wrong), timing=TIMING)
    found = one(judged(extent.MEASURE, shown, **ASKED).findings, "REPLAY046")
    assert found.severity == "warning"
    assert "% of its variance at the same phase" in found.title
    halved = [0.4 * c for c in _with_a_path(CHUNKS)]
    assert not judged(extent.MEASURE, played(_with_a_path(CHUNKS), halved, timing=TIMING), **ASKED).findings


def _with_a_path(chunks: list[Array]) -> list[Array]:
    """Return chunks with a motion on top that all episodes share."""
    return [c + np.sin(np.linspace(0, 3, len(c)))[:, None, None] for c in chunks]


def test_how_often_a_gripper_opens_and_closes_is_shown() -> None:
    (told,) = judged(gripper.MEASURE, played(CHUNKS, CHUNKS, DEMOS, timing=TIMING)).shown["grippers"]
    assert told["recorded"] == pytest.approx(2, abs=0.3)
    assert told["candidate"] == told["reference"] == pytest.approx(2, abs=0.3)


def test_the_share_of_frames_at_the_ends_is_shown() -> None:
    clipped = [at(2, lambda v: np.maximum(v, 0.0))(c.copy()) for c in CHUNKS]
    result = judged(extent.MEASURE, played(CHUNKS, clipped, DEMOS, timing=TIMING))
    sent = np.concatenate([c[:, 0, 2] for c in CHUNKS])
    assert result.shown["ends"]["candidate low"][2] == 0
    assert result.shown["ends"]["candidate at low"][2] == pytest.approx(float((sent < 0).mean()), abs=0.05)


def test_a_gripper_half_open() -> None:
    found = of(gripper.MEASURE, at(6, lambda v: 1 / (1 + np.exp(-v))))
    assert "the candidate's gripper is half open in 100 % of frames" in one(found, "REPLAY047").title
    assert codes(found) == {"REPLAY047"}


def test_a_gripper_that_does_not_close() -> None:
    found = of(gripper.MEASURE, at(6, lambda v: np.minimum(v + 0.9, 0.97)))
    assert "opens or closes 0 times per episode, reference 2 times" in one(found, "REPLAY048").title


def test_a_gripper_the_wrong_way_around() -> None:
    rng = np.random.default_rng(0)
    found = of(gripper.MEASURE, at(6, lambda v: np.round(1 - v) + 0.01 * rng.normal(size=v.shape)))
    assert "the candidate opens where reference closes" in one(found, "REPLAY049").title


def test_a_gripper_that_is_named_by_the_user() -> None:
    ramps = [at(6, lambda v: np.linspace(0, 1, v.size).reshape(v.shape))(c.copy()) for c in CHUNKS]
    half = [at(6, lambda v: 0.5 + 0.1 * v)(c.copy()) for c in ramps]
    shown = played(ramps, half, timing=TIMING)
    names = ("0", "1", "2", "3", "4", "5", "6 (claw)")
    assert judged(gripper.MEASURE, shown, names=names).shown["grippers"] == []
    for option in ("claw", 6, ["6"]):
        result = judged(gripper.MEASURE, shown, names=names, options={"gripper": option})
        (told,) = result.shown["grippers"]
        assert told["dimension"] == "action[6] (claw)"
        assert told["reference"] == 0  # a ramp


def test_a_gripper_that_both_share_is_seen_against_the_recording() -> None:
    half = [at(6, lambda v: 0.35 + 0.3 * v)(c.copy()) for c in CHUNKS]
    half = [at(6, lambda v: v + 0.04 * np.sin(np.arange(v.size).reshape(v.shape)))(c) for c in half]
    ramp = [at(6, lambda v: 0.3 + 0.4 * np.linspace(0, 1, v.size).reshape(v.shape))(c) for c in half]
    found = judged(gripper.MEASURE, played(ramp, ramp, DEMOS, timing=TIMING)).findings
    assert one(found, "REPLAY047").severity == "warning"
    assert "reference's gripper is half open" in one(found, "REPLAY047").title


@pytest.mark.parametrize("measure", [seams.MEASURE, extent.MEASURE, gripper.MEASURE], ids=lambda m: m.name)
def test_shards_add_up(measure: object) -> None:
    rng = np.random.default_rng(0)
    wrong = [at(6, lambda v: 1 - v)(np.minimum(c + rng.normal(0, 0.05, c.shape), 0.8)) for c in CHUNKS]
    demos = [d[:110] for d in DEMOS]
    cut = [[c[:110] for c in side] for side in (CHUNKS, wrong)]
    given = {"timing": TIMING, "every": 8}
    parts = [
        played(cut[0][i : i + 4], cut[1][i : i + 4], demos[i : i + 4], first_episode=i, **given)
        for i in range(0, len(demos), 4)
    ]
    whole = played(*cut, demos, **given)
    known = context(whole)
    asked = {**ASKED, "limits": known.limits, "scale": known.scale}
    together = in_shards(measure, parts, **asked)  # type: ignore[arg-type]
    alone = judged(measure, whole, **asked)  # type: ignore[arg-type]
    assert [f.title for f in together.findings] == [f.title for f in alone.findings]
    assert together.rows[0].n == alone.rows[0].n > 0


@pytest.mark.parametrize("measure", [seams.MEASURE, extent.MEASURE, gripper.MEASURE], ids=lambda m: m.name)
def test_nothing_finite_is_not_judged(measure: object) -> None:
    shown = played(CHUNKS, [c * np.nan for c in CHUNKS], DEMOS)
    assert judged(measure, shown).rows[0].verdict == "NOT_JUDGED"  # type: ignore[arg-type]
