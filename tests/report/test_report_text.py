from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from parity.report.text import annotation, annotation_property, clean, log_line, markdown, markdown_code

ANY = st.text(st.characters(), max_size=200)


@given(ANY)
def test_clean_leaves_nothing_that_moves_a_cursor_or_cannot_be_stored(text: str) -> None:
    seen = clean(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in seen)
    assert not set(seen) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029\ufeff\ufffe\uffff")
    seen.encode("utf-8")


@given(ANY, st.integers(1, 50))
def test_clean_keeps_its_limit(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= limit


def test_clean_spells_out_what_cannot_be_seen() -> None:
    assert clean("a\x1b[31mb\r\nc\u202ed\ud800") == "a\\x1b[31mb c\\u202ed\\ud800"
    assert clean(None) == ""
    assert clean(3.5) == "3.5"
    assert clean("abcdef", 4) == "abc…"
    assert clean("x" * 10_000_000, 5) == "xxxx…"
    assert clean("観察.状態 – ±1 Δ") == "観察.状態 – ±1 Δ"


@given(ANY)
def test_markdown_has_no_cell_tag_mention_or_code(text: str) -> None:
    seen = markdown(text)
    assert "|" not in seen
    assert "<" not in seen
    assert ">" not in seen
    assert "\n" not in seen
    bare = seen.replace("\\\\", "")
    for mark in "`*_[]~$#":
        assert bare.count(mark) == bare.count("\\" + mark) + (bare.count("&#") if mark == "#" else 0)
    assert seen.count("@") == seen.count("@&#8203;")


def test_markdown_of_known_attacks() -> None:
    assert markdown("@everyone") == "@&#8203;everyone"
    assert markdown("a|b") == "a&#124;b"
    assert markdown("<img src=x>") == "&lt;img src=x&gt;"
    assert markdown("fixes #12") == "fixes \\#&#8203;12"
    assert markdown("![x](http://evil.example)") == "!\\[x\\](http&#58;//evil.example)"
    assert markdown("www.evil.example") == "www&#46;evil.example"
    assert markdown("1. one") == "1\\. one"
    assert markdown("- one") == "\\- one"
    assert markdown("3.11.9") == "3.11.9"


def test_code_spans_are_for_plain_text_only() -> None:
    assert markdown_code("ort/graph/nominal-0000/action[3]") == "`ort/graph/nominal-0000/action[3]`"
    assert markdown_code("a`b") == "a\\`b"
    assert markdown_code("@everyone") == "@&#8203;everyone"
    assert markdown_code("") == ""


def test_annotations_are_one_line() -> None:
    assert annotation("50 %\r\nnext") == "50 %25 next"
    assert annotation_property("a:b,c") == "a%3Ab%2Cc"


def test_no_log_line_is_a_command() -> None:
    assert log_line("::error::x") == "· ::error::x"
    assert not log_line("  ::stop-commands::x").lstrip().startswith("::")
    assert "##[" not in log_line("name ##[error]x")
    assert log_line("output action: PASS") == "output action: PASS"
