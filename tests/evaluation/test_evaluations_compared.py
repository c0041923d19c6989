"""Two evaluations to a verdict: calibrated, powerful enough, and closed where nothing can be said."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from eval_logs import diffusion_policy, lerobot_episodes, lerobot_tasks, table, vla_eval, write
from parity.evaluation.against import Comparison, Terms, compare_evaluations
from parity.evaluation.model import Episode, EvaluationLog
from parity.evaluation.registry import read_evaluation
from parity.verdict import Verdict


def log(outcomes: Sequence[bool], *, task: str = "t", starts: bool = True, path: str = "a") -> EvaluationLog:
    found = [Episode(task, f"seed {i}" if starts else None, i, bool(s)) for i, s in enumerate(outcomes)]
    return EvaluationLog(path, "made", tuple(found))


def joined(*logs: EvaluationLog) -> EvaluationLog:
    return EvaluationLog("a", "made", tuple(e for x in logs for e in x.episodes))


def of_pairs(lost: int, gained: int, n: int, both: int = 0) -> tuple[EvaluationLog, EvaluationLog]:
    both = both or (n - lost - gained)
    ref = [True] * lost + [False] * gained + [True] * both + [False] * (n - lost - gained - both)
    cand = [False] * lost + [True] * gained + ref[lost + gained :]
    return log(ref), log(cand, path="b")


@cache
def verdict_of_pairs(lost: int, gained: int, n: int, margin: float) -> Verdict:
    return compare_evaluations(*of_pairs(lost, gained, n), Terms(margin=margin)).verdict


@cache
def verdict_of_counts(a: int, b: int, n: int, margin: float) -> Verdict:
    ref, cand = ([True] * k + [False] * (n - k) for k in (a, b))
    return compare_evaluations(log(ref, starts=False), log(cand, starts=False), Terms(margin=margin)).verdict


# --- calibration ----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0.0, 0.5), margin=st.sampled_from([0.0, 0.05]))
def test_pairs_of_equal_policies_rarely_fail(rate: float, margin: float) -> None:
    """The exact probability of FAIL over every outcome of 16 pairs, each discordant pair as likely to be lost."""
    chance = multinomial(16, [rate, rate, 1 - 2 * rate])
    fails = sum(
        float(chance.pmf([b, c, 16 - b - c]))
        for b in range(17)
        for c in range(17 - b)
        if verdict_of_pairs(b, c, 16, margin) is Verdict.FAIL
    )
    assert fails <= 0.025


@settings(max_examples=25, deadline=None)
@given(p=st.floats(0.0, 1.0), margin=st.sampled_from([0.0, 0.05]))
def test_independent_episodes_of_equal_policies_rarely_fail(p: float, margin: float) -> None:
    """The exact probability of FAIL over every outcome of 15 episodes a side."""
    chance = [math.comb(15, k) * p**k * (1 - p) ** (15 - k) for k in range(16)]
    fails = sum(
        chance[a] * chance[b]
        for a in range(16)
        for b in range(16)
        if verdict_of_counts(a, b, 15, margin) is Verdict.FAIL
    )
    assert fails <= 0.025


def test_ten_tasks_of_equal_policies_rarely_fail() -> None:
    """Simulated: 300 evaluations of ten tasks, margin 0; 5 % and four standard deviations are allowed."""
    rng, fails = np.random.default_rng(7), 0
    for _ in range(300):
        rates = rng.uniform(0.2, 1.0, 10)
        sides = [joined(*(log(rng.random(12) < p, task=str(t)) for t, p in enumerate(rates))) for _ in range(2)]
        fails += compare_evaluations(*sides, Terms(margin=0.0)).verdict is Verdict.FAIL
    assert fails <= 15 + 4 * 3.8


@pytest.mark.parametrize("n", [100, 250])
def test_a_drop_of_the_margin_rarely_passes(n: int) -> None:
    """The exact probability of PASS where the candidate is worse by just the margin: 2.5 % but for approximation."""
    chance = multinomial(n, [0.08, 0.03, 0.89])
    passes = sum(
        float(chance.pmf([b, c, n - b - c]))
        for b in range(n // 3)
        for c in range(n // 3)
        if chance.pmf([b, c, n - b - c]) > 1e-6 and verdict_of_pairs(b, c, n, 0.05) is Verdict.PASS
    )
    assert passes <= 0.035


def test_a_drop_of_30_points_over_50_pairs_is_found() -> None:
    """Exact: 32 % of episodes lost, 2 % gained. FAIL asks for more than a difference: a drop beyond the margin."""
    chance = multinomial(50, [0.32, 0.02, 0.66])
    found = sum(
        float(chance.pmf([b, c, 50 - b - c]))
        for b in range(5, 35)
        for c in range(7)
        if verdict_of_pairs(b, c, 50, 0.05) is Verdict.FAIL
    )
    assert 0.93 <= found <= 0.97  # 0.948


def test_more_losses_never_look_better() -> None:
    order = [Verdict.PASS, Verdict.NOT_JUDGED, Verdict.FAIL]
    found = [order.index(verdict_of_pairs(lost, 0, 200, 0.05)) for lost in range(40)]
    assert found[0] == 0
    assert found[-1] == 2
    assert all(a <= b for a, b in pairwise(found))


# --- what is said ---------------------------------------------------------------------------------------------------


def test_a_failure_has_its_figures() -> None:
    found = compare_evaluations(*of_pairs(17, 2, 50))
    (measure,) = found.measures
    assert found.verdict is Verdict.FAIL
    assert (measure["level"], measure["name"], measure["limit"]) == ("task", "success_difference", -0.05)
    assert (measure["value"], measure["lost"], measure["gained"], measure["n"]) == (-0.3, 17, 2, 50)
    assert measure["interval"][1] < -0.05
    assert measure["p_value"] < 0.001
    assert "success 96 % → 66 %: −30 points" in measure["reason"]
    assert "17 lost, 2 gained" in measure["reason"]
    assert list(found.changed["lost"]) == [f"seed {i}" for i in range(17)]


def test_too_few_say_how_many_are_needed_and_that_many_pass() -> None:
    few = compare_evaluations(*of_pairs(1, 1, 50))
    assert few.verdict is Verdict.NOT_JUDGED
    (measure,) = few.measures
    assert f"about {measure['needed']:,} are needed" in measure["reason"]
    assert 0 < measure["power"] < 0.8
    n = int(measure["needed"]) * 2
    assert compare_evaluations(*of_pairs(n // 25, n // 25, n)).verdict is Verdict.PASS


def test_fifty_of_fifty_twice_is_no_pass_unless_paired_with_enough() -> None:
    assert compare_evaluations(*of_pairs(0, 0, 50)).verdict is Verdict.NOT_JUDGED
    assert compare_evaluations(*of_pairs(0, 0, 75)).verdict is Verdict.PASS


def test_seeds_make_pairs_whatever_their_order() -> None:
    ref, cand = of_pairs(17, 2, 50)
    mixed = EvaluationLog("b", "made", tuple(reversed(cand.episodes)))
    assert compare_evaluations(ref, mixed).measures == compare_evaluations(ref, cand).measures
    assert compare_evaluations(ref, mixed).how == "start"


def test_one_bad_task_of_ten_fails_by_itself() -> None:
    rng = np.random.default_rng(2)
    ref = joined(*(log(rng.random(50) < 0.95, task=f"task {t}") for t in range(10)))
    good = joined(*(log(rng.random(50) < 0.95, task=f"task {t}") for t in range(10)))
    assert compare_evaluations(ref, good).verdict is not Verdict.FAIL
    halved = [
        e if e.task != "task 3" or (e.seed or 0) % 2 else Episode(e.task, e.start, e.seed, False) for e in good.episodes
    ]
    bad = EvaluationLog("b", "made", tuple(halved))
    found = compare_evaluations(ref, bad)
    assert found.verdict is Verdict.FAIL
    assert [f.where for f in found.findings if f.code == "EVAL013"] == ["task 3"]
    assert [t["task"] for t in found.tasks if t["worse"]] == ["task 3"]
    assert found.reasons[0].startswith("task 3: success")


# --- closed where nothing can be said -------------------------------------------------------------------------------


def codes(found: Comparison) -> set[str]:
    return {f.code for f in found.findings if f.severity == "error"}


def test_no_episodes() -> None:
    for pair in ((log([]), log([True])), (log([True]), log([])), (log([]), log([]))):
        found = compare_evaluations(*pair)
        assert found.verdict is Verdict.NOT_JUDGED
        assert "EVAL008" in codes(found)


def test_the_same_file_and_the_same_run() -> None:
    ref, cand = of_pairs(0, 0, 200)
    assert compare_evaluations(ref, cand).verdict is Verdict.PASS
    assert codes(compare_evaluations(ref, cand, same_bytes=True)) == {"EVAL009"}
    twice = [EvaluationLog(p, "made", ref.episodes, facts={"eval_s": 12.345678}) for p in "ab"]
    assert codes(compare_evaluations(*twice)) == {"EVAL009"}
    again = EvaluationLog("b", "made", ref.episodes, facts={"eval_s": 12.4})
    assert compare_evaluations(twice[0], again).verdict is Verdict.PASS


def test_other_tasks() -> None:
    found = compare_evaluations(log([True] * 200, task="lift"), log([True] * 200, task="can"))
    assert (found.verdict, codes(found)) == (Verdict.NOT_JUDGED, {"EVAL010"})
    more = joined(log([True] * 200), log([True] * 200, task="can"))
    assert codes(compare_evaluations(log([True] * 200), more)) == {"EVAL010"}


def test_starts_that_are_missing_are_not_left_out() -> None:
    """The candidate crashed in the ten episodes that it would have failed."""
    ref = log([True] * 200)
    cand = EvaluationLog("b", "made", ref.episodes[:190])
    found = compare_evaluations(ref, cand)
    assert (found.verdict, codes(found)) == (Verdict.NOT_JUDGED, {"EVAL011"})
    assert compare_evaluations(ref, cand, Terms(paired=False)).how == "not paired"


def test_paired_was_said_and_is_not_so() -> None:
    ref = log([True] * 100)
    other = EvaluationLog("b", "made", tuple(Episode("t", f"seed {i + 500}", i, True) for i in range(100)))
    assert compare_evaluations(ref, other).how == "not paired"
    assert codes(compare_evaluations(ref, other, Terms(paired=True))) == {"EVAL011"}
    short = log([True] * 90, starts=False)
    assert codes(compare_evaluations(log([True] * 100, starts=False), short, Terms(paired=True))) == {"EVAL011"}


def test_order_pairs_only_where_the_user_says_so() -> None:
    ref, cand = (
        EvaluationLog(x.path, x.kind, tuple(Episode("t", success=e.success) for e in x.episodes))
        for x in of_pairs(3, 3, 300)
    )
    assert compare_evaluations(ref, cand).how == "not paired"
    assert compare_evaluations(ref, cand, Terms(paired=True)).how == "order"


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("fault", ["claim", "twice", "outcome"])
def test_a_log_that_is_wrong_never_passes_nor_fails(tmp_path: Path, side: int, fault: str) -> None:
    for n, lost in ((200, 0), (60, 40)):
        paths = [lerobot_episodes(tmp_path / f"{i}.json", [i == 0 or k >= lost for k in range(n)]) for i in range(2)]
        assert compare_evaluations(*map(read_evaluation, paths)).verdict is (Verdict.FAIL if lost else Verdict.PASS)
        data = json.loads(paths[side].read_text())
        if fault == "claim":
            data["aggregated"]["pc_success"] -= 3
        elif fault == "twice":
            data["per_episode"][1]["seed"] = 1000
        else:
            data["per_episode"][-1]["success"] = None
        write(paths[side], data)
        terms = Terms(paired=False if fault == "twice" else None)
        found = compare_evaluations(*map(read_evaluation, paths), terms)
        assert found.verdict is Verdict.NOT_JUDGED, (n, fault)
        assert found.reasons


def test_nan_rewards(tmp_path: Path) -> None:
    done = [True] * 200
    broken = [float("nan"), *([1.0] * 199)]
    good = lerobot_episodes(tmp_path / "good.json", done)
    bad = lerobot_episodes(tmp_path / "bad.json", done, rewards=broken)
    found = compare_evaluations(read_evaluation(good), read_evaluation(bad))
    assert found.verdict is Verdict.FAIL  # the candidate's alone
    assert "none of the reference's" in found.reasons[0]
    assert compare_evaluations(read_evaluation(bad), read_evaluation(good)).verdict is Verdict.NOT_JUDGED
    again = lerobot_episodes(tmp_path / "again.json", done, rewards=broken)
    assert compare_evaluations(read_evaluation(bad), read_evaluation(again)).verdict is Verdict.NOT_JUDGED


# --- scores and returns ---------------------------------------------------------------------------------------------


def scores(path: Path, values: Sequence[float]) -> EvaluationLog:
    return read_evaluation(diffusion_policy(path, {"test": {100000 + i: float(v) for i, v in enumerate(values)}}))


def test_scores_are_judged_where_the_log_has_no_successes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mine = np.clip(rng.normal(0.85, 0.2, 100), 0, 1)
    ref = scores(tmp_path / "ref.json", mine)
    near = compare_evaluations(ref, scores(tmp_path / "a.json", np.clip(mine + rng.normal(0, 0.01, 100), 0, 1)))
    assert (near.verdict, near.figure, near.measures[0]["name"]) == (Verdict.PASS, "max_reward", "score_difference")
    assert compare_evaluations(ref, scores(tmp_path / "b.json", mine * 0.6)).verdict is Verdict.FAIL
    few = [scores(tmp_path / f"{k}.json", [1.0] * 5) for k in "cd"]
    assert compare_evaluations(*few).verdict is Verdict.NOT_JUDGED


def test_success_at_makes_successes_of_scores(tmp_path: Path) -> None:
    ref = scores(tmp_path / "ref.json", [1.0] * 90 + [0.5] * 10)
    cand = scores(tmp_path / "cand.json", [0.97] * 90 + [0.5] * 10)
    strict = compare_evaluations(ref, cand, Terms(success_at=1.0))
    assert (strict.verdict, strict.figure) == (Verdict.FAIL, "success")
    assert compare_evaluations(ref, cand, Terms(success_at=0.95)).verdict is Verdict.PASS


def test_rewards_that_are_no_score_need_a_word(tmp_path: Path) -> None:
    rows = [{"task": "t", "seed": i, "max_reward": 5.0} for i in range(100)]
    logs = [read_evaluation(table(tmp_path / f"{k}.csv", rows)) for k in "ab"]
    found = compare_evaluations(*logs)
    assert found.verdict is Verdict.NOT_JUDGED
    assert "--success-at" in found.reasons[0]
    assert compare_evaluations(*logs, Terms(success_at=4.0)).verdict is Verdict.PASS


def test_a_lower_return_is_told_where_success_does_not_show_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    returns = rng.normal(100, 5, 120)
    ref = lerobot_episodes(tmp_path / "ref.json", [True] * 120, rewards=list(returns))
    slow = lerobot_episodes(tmp_path / "slow.json", [True] * 120, rewards=list(returns - rng.uniform(1, 3, 120)))
    found = compare_evaluations(read_evaluation(ref), read_evaluation(slow))
    assert found.verdict is Verdict.PASS
    assert [f.code for f in found.findings if f.severity == "warning"] == ["EVAL014"]
    (row,) = found.rewards
    assert row["difference"] == pytest.approx(-2.0, abs=0.2)
    assert row["interval"][0] < row["difference"] < row["interval"][1] < 0


def test_equal_returns_are_no_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    pair = [lerobot_episodes(tmp_path / f"{k}.json", [True] * 120, rewards=list(rng.normal(100, 5, 120))) for k in "ab"]
    found = compare_evaluations(*map(read_evaluation, pair))
    assert [f.code for f in found.findings if f.severity == "warning"] == []


# --- the formats, one against another -------------------------------------------------------------------------------


def test_every_format_gives_the_same_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    mine, theirs = rng.random(80) < 0.9, rng.random(80) < 0.5
    made = {
        "lerobot": [lerobot_tasks(tmp_path / f"l{i}.json", {("s", 0): d}) for i, d in enumerate((mine, theirs))],
        "vla": [vla_eval(tmp_path / f"v{i}.json", {"s/0": d}) for i, d in enumerate((mine, theirs))],
    }
    found = {
        k: compare_evaluations(*map(read_evaluation, pair), Terms(paired=True if k == "lerobot" else None))
        for k, pair in made.items()
    }
    assert {f.verdict for f in found.values()} == {Verdict.FAIL}
    assert found["lerobot"].measures == found["vla"].measures


@pytest.mark.corpus
def test_a_real_table_against_itself_shifted(corpus: Path, tmp_path: Path) -> None:
    """250 real episodes of a weak policy: alike they are within 5 points, and 60 points better is no regression."""
    pytest.importorskip("pyarrow")
    real = read_evaluation(corpus / "eval_logs" / "0a5778ac_classical_pusht_l2.parquet")
    again = EvaluationLog("again", real.kind, real.episodes)
    assert compare_evaluations(real, again).verdict is Verdict.PASS
    done = tuple(Episode(e.task, e.start, e.seed, i % 5 < 3) for i, e in enumerate(real.episodes))
    better = EvaluationLog("better", real.kind, done)
    assert compare_evaluations(real, better).verdict is Verdict.PASS
    assert compare_evaluations(better, real).verdict is Verdict.FAIL
