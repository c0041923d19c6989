"""JSON and YAML from untrusted files: plain data or one clear message, never an object, never a traceback."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from parity.contract.text import (
    MAX_DEPTH,
    load_json,
    load_yaml,
    load_yaml_lenient,
    parse_json,
    parse_yaml,
)
from parity.errors import ArtifactError

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
printable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text("abc :#-[]{}'\"!&*%@\n"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc.", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_json_comes_back_as_it_was_written(data: Any) -> None:
    assert parse_json(json.dumps(data), "f") == data


@given(printable)
def test_yaml_comes_back_as_it_was_written(data: Any) -> None:
    assert parse_yaml(yaml.safe_dump(data), "f") == data


@given(st.text())
def test_any_text_is_data_or_a_message(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        try:
            parse(text, "f")
        except ArtifactError as e:
            message = str(e)
        else:
            continue
        assert message.startswith("f: ")


def test_json_constants_are_floats() -> None:
    nan, inf, minus = parse_json("[NaN, Infinity, -Infinity]", "f")
    assert math.isnan(nan)
    assert (inf, minus) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": [1,\n 2', "line 2, column 3"),
        ('{"a": ', "cut short"),
        ('{"a": 1}}', "line 1, column 9"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' appears twice"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 101 + "]" * 101, "nested deeper"),
        ("1" * 5000, "4300 digits"),
    ],
)
def test_bad_json_says_what_and_where(text: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=r"^f: ") as e:
        parse_json(text, "f")
    assert said in str(e.value)


def test_what_is_as_deep_as_allowed_is_read() -> None:
    text = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert parse_json(text, "f") == parse_yaml(text, "f")
    for parse in (parse_json, parse_yaml):
        with pytest.raises(ArtifactError, match="deeper than 100"):
            parse(f"[{text}]", "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "line 2, column 1"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1"),
        ("a: &x [*x]", "refers to itself"),
        ("a: *nothing", "refers to itself or to nothing"),
        ("[" * 100_000, "nested deeper"),
        ("- " * 5_000, "nested deeper"),
        ("a: " + "1" * 5000, "5000 characters"),
        ("a: !!int foo", "not a value of type int"),
        ("a: 1\n---\nb: 2", "second YAML document"),
        ("? [a]\n: b", "key is a list"),
        ("a: {<<: 3}", "merges something"),
        ('a: "\x01"', "not valid YAML"),
        ("a: !!python/object/apply:os.system [id]", "builds nothing"),
        ("!!python/object:__main__.X {a: 1}", "builds nothing"),
        ("a: !Custom {b: 1}", "builds nothing"),
        ("a: !!set {b}", "builds nothing"),
        ("a: !!binary aGk=", "builds nothing"),
    ],
)
def test_bad_yaml_says_what_and_where(text: str, said: str) -> None:
    with pytest.raises(ArtifactError, match=r"^f: ") as e:
        parse_yaml(text, "f")
    assert said in str(e.value)


def test_a_yaml_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(ArtifactError, match="aliases multiply"):
        parse_yaml("\n".join(lines), "f")


def test_yaml_numbers_dates_and_references() -> None:
    text = "a: 1e-4\nb: 1.5e-3\nc: 0x10\nd: 2024-01-01\ne: ${env.dim}\nf: on\ng: =\nh: .nan\ni: -.inf\nj: '1e-4'\nk: ~"
    data = parse_yaml(text, "f")
    assert math.isnan(data.pop("h"))
    assert data == {
        "a": 1e-4,
        "b": 1.5e-3,
        "c": 16,
        "d": "2024-01-01",
        "e": "${env.dim}",
        "f": True,
        "g": "=",
        "i": -math.inf,
        "j": "1e-4",
        "k": None,
    }


def test_aliases_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nmany: {<<: [{y: 9}, *b]}\nsame: *b\n'<<': text"
    assert parse_yaml(text, "f") == {
        "base": {"x": 1, "y": 2},
        "more": {"x": 1, "y": 3},
        "many": {"x": 1, "y": 9},
        "same": {"x": 1, "y": 2},
        "<<": "text",
    }


def test_lenient_reads_python_tags_as_data(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    file = tmp_path / "env.yaml"
    file.write_text(
        f"a: !!python/tuple [1, 2]\n"
        f"b: !!python/object/apply:builtins.slice [null, null, null]\n"
        f"c: !!python/object/apply:os.system ['touch {marker}']\n"
        f"d: !!python/name:os.system ''\n"
        f"e: !!python/str text\n"
        f"f: !!python/int '3'\n"
    )
    assert load_yaml_lenient(file) == {
        "a": [1, 2],
        "b": {"tag": "python/object/apply:builtins.slice", "value": [None, None, None]},
        "c": {"tag": "python/object/apply:os.system", "value": [f"touch {marker}"]},
        "d": {"tag": "python/name:os.system", "value": ""},
        "e": "text",
        "f": 3,
    }
    assert not marker.exists()


@pytest.mark.parametrize("load", [load_json, load_yaml, load_yaml_lenient])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "Git LFS pointer"),
        (b'{"a":\n "\xff"}', "line 2"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
    ],
)
def test_bad_files(tmp_path: Path, load: Any, content: bytes | None, said: str) -> None:
    file = tmp_path / "x"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArtifactError, match=said):
        load(file)


def test_a_folder_and_a_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactError, match="folder"):
        load_json(tmp_path)
    monkeypatch.setattr("parity.contract.text.MAX_JSON_BYTES", 10)
    (tmp_path / "x.json").write_text("[1, 2, 3, 4, 5]")
    with pytest.raises(ArtifactError, match="15 bytes"):
        load_json(tmp_path / "x.json")


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load_json(tmp_path / "x") == load_yaml(tmp_path / "x") == {"a": 1}


@pytest.mark.corpus
def test_every_text_of_the_corpus_is_what_its_own_library_reads(corpus: Path) -> None:
    class Loader(yaml.SafeLoader):
        pass

    def inert(loader: Any, suffix: str, node: Any) -> Any:
        return {"tag": f"python/object/apply:{suffix}", "value": loader.construct_sequence(node, deep=True)}

    Loader.add_multi_constructor("tag:yaml.org,2002:python/object/apply:", inert)
    Loader.add_constructor(
        "tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node, deep=True)
    )
    Loader.yaml_implicit_resolvers = {
        k: [r for r in v if r[0] != "tag:yaml.org,2002:timestamp"] for k, v in Loader.yaml_implicit_resolvers.items()
    }
    from parity.contract import text

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", text._FLOAT_WITHOUT_POINT, list("-+0123456789"))
    files = sorted(corpus.rglob("*.yaml"))
    assert len(files) > 100
    for file in files:
        assert load_yaml_lenient(file) == yaml.load(file.read_text("utf-8"), Loader=Loader), file
    for file in sorted(corpus.rglob("*.json")):
        ours, theirs = load_json(file), json.loads(file.read_text("utf-8"))
        assert json.dumps(ours) == json.dumps(theirs), file
