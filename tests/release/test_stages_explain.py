"""Where an error enters, told from judged comparisons alone."""

from __future__ import annotations

from typing import Any

import pytest

from parity.release.stages_explain import cause_again, entered_at, enters, growth


def row(stage: str, output: str, ratio: float | None, **changes: Any) -> dict[str, Any]:
    verdict = "NOT_JUDGED" if ratio is None else "PASS" if ratio <= 1 else "FAIL"
    made = {
        "candidate": "c", "stage": stage, "output": output, "case": "nominal-0000", "verdict": verdict, "reason": "why",
        "id": f"c/graph/{stage}/nominal-0000/{output}", "limit_ratio": ratio, "max_abs": ratio,
        "fault": "budget" if verdict == "FAIL" else None,
    }  # fmt: skip
    return {**made, **changes}


def rows(*, alone: tuple[Any, Any] = (0.1, 0.1), chained: tuple[Any, Any] = (0.1, 0.1), loop: Any = ()) -> list[Any]:
    made = []
    for i, stage in enumerate(("prefix", "expert")):
        made += [row(stage, f"alone:{stage}_v", alone[i]), row(stage, f"chained:{stage}_v", chained[i])]
    return made + [row("expert", f"step-{k:04d}:x", r) for k, r in enumerate(loop, 1)]


def known(code: str, where: str, title: str) -> dict[str, Any]:
    return {"candidate": "c", "code": code, "where": where, "title": title}


def said(found: list[Any]) -> str:
    (one,) = found
    assert one.severity == "warning"
    assert one.candidate == "c"
    return f"{one.code} {one.title}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            rows(alone=(5, 7)),
            "STAGE010 The error enters at stage 'prefix': on the reference's own inputs it is off by 5 ×",
        ),
        (rows(alone=(0.1, 1234.5)), "by 1,234 × the limit in 'expert_v'; prefix keeps its limits."),
        (
            rows(chained=(0.2, 9), loop=(0.5, 1.5, 4.5)),
            "STAGE011 Each stage is within its budget alone; the error grows",
        ),
        (rows(loop=(0.5, 1.5, 4.5)), "grows in the loop (× 3 per step), over budget from step 2 on."),
        (rows(chained=(0.2, 9)), "STAGE013 Each stage is within its budget alone; chained, 'expert' is off by 9 ×"),
        (rows(chained=(2, 9), loop=(2.0, 3.0)), "STAGE013 Each stage is within its budget alone; chained, 'prefix' is"),
    ],
)
def test_the_first_place_that_is_wrong_is_named(given: list[Any], words: str) -> None:
    assert words in said(enters("c", given, []))


def test_where_all_is_right_or_not_everything_was_asked_nothing_is_said() -> None:
    assert enters("c", rows(loop=(0.5, 0.9)), []) == []
    assert enters("c", [], []) == []
    assert enters("other", rows(alone=(5, 7)), []) == []
    assert enters("c", rows(alone=(0.1, None), loop=(5, 6)), []) == [], "a stage that did not run alone may be wrong"


def test_nan_missing_and_other_dtypes_are_told_in_words() -> None:
    for fault, words in (
        ("nan", "it gives NaN in 'prefix_v'"),
        ("missing_output", "it lacks 'prefix_v'"),
        ("dtype", "it gives another 'prefix_v' (dtype float64, expected float32)"),
    ):
        broken = row(
            "prefix", "alone:prefix_v", 2.0, limit_ratio=None, fault=fault, reason="dtype float64, expected float32"
        )
        assert words in said(enters("c", [broken, *rows()[2:]], []))


def test_what_was_known_before_is_part_of_the_sentence() -> None:
    mask = known("STAGE005", "expert/mask", "Stage 'expert' takes mask as float32, the reference's as bool.")
    assert said(enters("c", rows(alone=(0.1, 9)), [mask])).endswith("as float32, the reference's as bool.")
    assert "float32" not in said(enters("c", rows(alone=(9, 9)), [mask])), "it is about another stage"
    loop = known("STAGE007", "loop", "The loop is not the reference's: steps 9 (reference 10).")
    told = "STAGE011 Each stage is within its budget alone. The loop is not the reference's: steps 9 (reference 10)."
    assert said(enters("c", rows(loop=(0.1, 0.2)), [loop])) == told
    assert said(enters("c", rows(alone=(9, 0.1)), [loop])).startswith("STAGE010"), "a wrong stage comes first"


def test_growth_is_of_the_worst_case_of_each_step_and_nan_is_kept() -> None:
    made = rows(loop=(1.0, 2.0)) + rows(loop=(3.0, 1.0))
    assert growth(made) == [(1, 3.0, 3.0), (2, 2.0, 2.0)]
    (_, gap, ratio) = growth(rows(loop=(None,)))[0]
    assert gap != gap
    assert ratio != ratio


@pytest.mark.parametrize(
    ("cause", "now", "then"),
    [
        ("old", {"c": "new"}, "new"),
        ("old", {}, None),
        ("a: x; c: old; d: y", {"c": "new"}, "a: x; c: new; d: y"),
        ("a: x; c: old; d: y", {}, "a: x; d: y"),
        ("c: old; d: y", {}, "d: y"),
        ("a: x; c: old", {}, "a: x"),
        ("c: old", {}, None),
        ("another cause", {"c": "new"}, "another cause"),
        (None, {"c": "new"}, None),
    ],
)
def test_a_cause_is_said_anew(cause: str | None, now: dict[str, str], then: str | None) -> None:
    assert cause_again(cause, {"c": "old"}, now) == then


def test_what_a_report_says_of_where_an_error_enters() -> None:
    found = [known("STAGE010", "expert", "It enters."), known("STAGE005", "expert/mask", "A mask.")]
    assert entered_at(found) == {"c": "It enters"}
