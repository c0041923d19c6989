"""Faults of structure planted into the actions of a policy are named, with dimension, number, units and frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from explained import codes, findings, in_shards, judged, one
from motions import demonstrations, policy
from parity.replay.measures.structure import MEASURE
from parity.replay.model import Timing
from parity.tensor import Array
from replayed import context, played

DEMOS = demonstrations(3)
CHUNKS = policy(DEMOS, 8)
TIMING = Timing(n_action_steps=4)
NAMES = ("0 (pan)", "1 (lift)", "2 (elbow)", "3 (roll)", "4 (wrist)", "5 (turn)", "6 (gripper)")
ASKED = {"names": NAMES, "units": ("rad",) * 6 + (None,)}
ALL = np.concatenate(DEMOS)


def every(change: Callable[[Array], Array], chunks: list[Array] = CHUNKS) -> list[Array]:
    return [change(c.copy()) for c in chunks]


def at(d: int, change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def changed(chunk: Array) -> Array:
        chunk[..., d] = change(chunk[..., d])
        return chunk

    return changed


def order(*source: int) -> Callable[[Array], Array]:
    return lambda chunk: chunk[..., list(source)]


PLANTED: dict[str, tuple[str, Callable[[Array], Array], list[int], str]] = {
    "sign": ("REPLAY020", at(2, np.negative), [2], "the sign is flipped in action[2] (elbow)"),
    "degrees": ("REPLAY021", at(4, np.degrees), [4], "gain 57.2958 in action[4] (wrist)"),
    "radians": ("REPLAY021", at(4, np.radians), [4], "gain 1/57.2958 in action[4] (wrist)"),
    "default_pos": (
        "REPLAY022",
        lambda c: c + np.array([0.1, -0.2, 0, 0, 0.3, 0, 0]),
        [0, 1, 4],
        "-0.2 rad in action[1]",
    ),
    "action_scale": ("REPLAY023", lambda c: c * 0.25, list(range(7)), "an action scale"),
    "gain": ("REPLAY023", at(3, lambda v: 0.5 * v), [3], "gain 0.5 in action[3] (roll)"),
    "gain and offset": ("REPLAY023", at(3, lambda v: 0.5 * v + 0.1), [3], "gain 0.5 and offset +0.1 in action[3]"),
    "flipped and scaled": ("REPLAY023", at(3, lambda v: -2 * v), [3], "gain -2 (sign flipped)"),
    "normalized": (
        "REPLAY024",
        lambda c: (c - ALL.mean(0)) / ALL.std(0),
        list(range(7)),
        "mean and standard deviation",
    ),
    "min max": (
        "REPLAY024",
        lambda c: 2 * (c - ALL.min(0)) / (ALL.max(0) - ALL.min(0)) - 1,
        list(range(7)),
        "normalized to [-1, 1]",
    ),
    "twice": ("REPLAY024", lambda c: c * ALL.std(0) + ALL.mean(0), list(range(7)), "un-normalized twice"),
    "other statistics": (
        "REPLAY024",
        lambda c: c * np.array([1.1, 1.3, 1.2, 1.5, 1.15, 1.25, 1.4]) + 0.05,
        list(range(7)),
        "with other statistics (gains 1.1 to 1.5)",
    ),
    "swapped": ("REPLAY025", order(1, 0, 2, 3, 4, 5, 6), [0, 1], "action[0] (pan) holds action[1] (lift)"),
    "blocks": ("REPLAY025", order(3, 4, 5, 0, 1, 2, 6), list(range(6)), "blocks 3 apart are swapped"),
    "reversed": ("REPLAY025", order(5, 4, 3, 2, 1, 0, 6), list(range(6)), "the order is reversed"),
    "swapped and flipped": (
        "REPLAY025",
        lambda c: c[..., [1, 0, 2, 3, 4, 5, 6]] * np.array([-1, 1, 1, 1, 1, 1, 1]),
        [0, 1],
        "holds action[1] (lift) (gain -1 (sign flipped))",
    ),
    "gripper inverted": ("REPLAY027", at(6, lambda g: 1 - g), [6], "inverted: 1 - g instead of g"),
    "gripper doubled": ("REPLAY027", at(6, lambda g: 1 - 2 * g), [6], "1 - 2g"),
    "gripper centred": ("REPLAY027", at(6, lambda g: 2 * g - 1), [6], "[-1, 1] instead of [0, 1]"),
    "gripper in bytes": ("REPLAY027", at(6, lambda g: 255 * g), [6], "[0, 255] instead of [0, 1]"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str) -> None:
    code, change, dims, said = PLANTED[name]
    result = judged(MEASURE, played(CHUNKS, every(change), DEMOS, timing=TIMING, every=4), **ASKED)
    assert codes(result.findings) == {code}
    found = one(result.findings, code)
    assert said in found.title
    assert found.evidence["dimensions"] == dims
    assert found.evidence["explained"] > 0.999
    assert "worst at episode" in found.detail
    assert found.remedy
    assert result.rows[0].verdict == "FAIL"


def test_the_place_is_that_of_the_largest_difference() -> None:
    shown = played(CHUNKS, every(at(2, np.negative)), DEMOS, timing=TIMING, first_episode=40)
    size = np.abs(2 * shown.reference[..., 2]).max(axis=1)
    row = int(size.argmax())
    detail = one(judged(MEASURE, shown, **ASKED).findings, "REPLAY020").detail
    assert f"episode {shown.at.episode[row]}, frame {shown.at.frame[row]}: {size[row]:.3g} rad in action[2]" in detail


@pytest.mark.parametrize("noise", [0.0, 3e-7])
def test_a_fault_is_named_under_float16_rounding_too(noise: float) -> None:
    candidate = every(lambda c: at(3, lambda v: 0.5 * v)(c).astype(np.float16) * (1 + noise))
    limits = 1.6e-2 * np.ptp(ALL, axis=0)
    found = judged(MEASURE, played(CHUNKS, candidate), limits=limits, **ASKED).findings
    assert "gain 0.5" in one(found, "REPLAY023").title


def test_two_faults_are_both_named() -> None:
    both = every(lambda c: at(4, np.degrees)(order(1, 0, 2, 3, 4, 5, 6)(c)))
    found = findings(CHUNKS, both, DEMOS, timing=TIMING, asked=ASKED)
    assert {"REPLAY021", "REPLAY025"} <= codes(found)


def test_a_joint_that_rests_in_the_reference_is_a_warning() -> None:
    resting = every(at(5, lambda v: 0 * v + 0.4))
    found = judged(MEASURE, played(resting, every(at(5, lambda v: v + 0.1), resting)), **ASKED).findings
    assert one(found, "REPLAY022").severity == "warning"
    assert "not covered" in one(found, "REPLAY022").detail


def _rotating(seed: int) -> Rotation:
    rng = np.random.default_rng(seed)
    axis = np.cumsum(rng.normal(0, 0.08, (400, 3)), axis=0) + np.array([0.5, 1.2, -0.4])
    return Rotation.from_rotvec(axis)


def _as_chunks(values: Array) -> list[Array]:
    return [v[:, None] for v in np.array_split(values, 8)]


def _six(r: Rotation, interleaved: bool) -> Array:
    columns = r.as_matrix()[:, :, :2]
    return columns.reshape(-1, 6) if interleaved else columns.transpose(0, 2, 1).reshape(-1, 6)


@pytest.mark.parametrize(
    ("said", "make"),
    [
        ("a quaternion as wxyz instead of xyzw", lambda r: (r.as_quat(), r.as_quat()[:, [3, 0, 1, 2]])),
        ("a quaternion as xyzw instead of wxyz", lambda r: (r.as_quat()[:, [3, 0, 1, 2]], r.as_quat())),
        ("a 6D rotation interleaved instead of contiguous", lambda r: (_six(r, False), _six(r, True))),
        ("a 6D rotation contiguous instead of interleaved", lambda r: (_six(r, True), _six(r, False))),
        ("quaternions of the other sign", lambda r: (r.as_quat(), r.as_quat(canonical=True))),
        ("quaternions of the other sign", lambda r: (r.as_quat(), -r.as_quat())),
        ("Euler angles (xyz) instead of axis-angle", lambda r: (r.as_rotvec(), r.as_euler("xyz"))),
        ("axis-angle instead of Euler angles (xyz)", lambda r: (r.as_euler("xyz"), r.as_rotvec())),
        ("a whole turn", lambda r: (r.as_euler("xyz"), r.as_euler("xyz") % (2 * np.pi))),
        ("axis-angle vectors the other way around", lambda r: (r.as_rotvec(), _long_way(r.as_rotvec()))),
    ],
)
def test_rotations_written_in_another_way(said: str, make: Callable[[Rotation], tuple[Array, Array]]) -> None:
    reference, candidate = make(_rotating(1))
    if "other sign" in said:  # a reference that goes on smoothly through both halves
        flips = np.sign((reference[1:] * reference[:-1]).sum(axis=1))
        signs = np.append(1, np.cumprod(flips))[:, None]
        reference = reference * signs
        candidate = candidate if np.any(candidate != reference) else -candidate
    extra = np.sin(np.arange(len(reference)) / 9)[:, None]  # a position before it
    both = [_as_chunks(np.concatenate([extra, side], axis=1)) for side in (reference, candidate)]
    found = judged(MEASURE, played(*both)).findings
    assert codes(found) == {"REPLAY026"}, [f.title for f in found]
    assert said in found[0].title


def _long_way(vectors: Array) -> Array:
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    other = vectors * (1 - 2 * np.pi / angle)
    return np.where(np.arange(len(vectors))[:, None] % 3 == 0, other, vectors)


@pytest.mark.parametrize("seed", range(5))
def test_shards_say_what_one_shard_says_in_whatever_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    demos = [d[:100] for d in demonstrations(seed, length=140)]
    chunks = policy(demos, 4, seed)
    wrong = every(lambda c: at(1, lambda v: v + 0.2)(at(3, lambda v: 0.7 * v)(c)), chunks)
    shards = [played([chunks[i]], [wrong[i]], [demos[i]], first_episode=i) for i in range(len(chunks))]
    whole = played(chunks, wrong, demos)
    known = context(whole)
    given = {"limits": known.limits, "scale": known.scale}
    alone = judged(MEASURE, whole, **given)
    for order_ in (np.arange(len(shards)), rng.permutation(len(shards))):
        parts = in_shards(MEASURE, [shards[i] for i in order_], **given)
        assert [f.title for f in parts.findings] == [f.title for f in alone.findings]
        assert [f.detail for f in parts.findings] == [f.detail for f in alone.findings]
        assert parts.rows[0].n == alone.rows[0].n
    assert codes(alone.findings) == {"REPLAY022", "REPLAY023"}


def test_another_policy_is_not_called_a_fault_of_structure() -> None:
    for seed in range(5):
        other = policy(DEMOS, 8, seed=50 + seed, error=0.3)
        assert not codes(judged(MEASURE, played(CHUNKS, other, DEMOS)).findings)


def test_what_both_share_shows_against_the_recording() -> None:
    flipped = every(at(2, np.negative))
    found = judged(MEASURE, played(flipped, flipped, DEMOS), **ASKED).findings
    assert codes(found) == set()
    assert "the opposite sign" in one(found, "REPLAY028").title
    degrees = every(at(4, np.degrees))
    assert (
        "degrees against radians" in one(judged(MEASURE, played(degrees, degrees, DEMOS)).findings, "REPLAY028").title
    )
    moved = every(order(1, 0, 2, 3, 4, 5, 6))
    assert "another order" in one(judged(MEASURE, played(moved, moved, DEMOS)).findings, "REPLAY028").title
    still = every(lambda c: (c - ALL.mean(0)) / (4 * ALL.std(0)))
    assert "another scale" in one(judged(MEASURE, played(still, still, DEMOS)).findings, "REPLAY028").title


def test_nothing_finite_is_not_judged() -> None:
    row = judged(MEASURE, played(CHUNKS, every(lambda c: c * np.nan))).rows[0]
    assert row.verdict == "NOT_JUDGED"
    assert "finite" in row.reason


def test_rows_that_are_not_finite_do_not_hide_a_fault() -> None:
    wrong = every(at(2, np.negative))
    wrong[0][5, 0, 1] = np.nan
    wrong[3][7, 2, 4] = np.inf
    found = judged(MEASURE, played(CHUNKS, wrong), **ASKED).findings
    assert "action[2]" in one(found, "REPLAY020").title
