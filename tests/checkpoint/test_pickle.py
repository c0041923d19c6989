"""Pickles are read as data: what they ask for is noted, and nothing of it happens."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.checkpoint.pickle import Global, Persistent, Record, read_pickle
from parity.errors import ArtifactError


def read(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data), len(data), "test")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner) | st.tuples(inner, inner)
    ),
    max_leaves=30,
)


@given(PLAIN, st.integers(2, 5))
def test_plain_data_reads_as_python_reads_it(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    if protocol == 2 and (b"_codecs" in data or b"__builtin__" in data):
        return  # bytes in protocol 2 are a call of a codec
    assert read(data) == value


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_containers_of_every_protocol(protocol: int) -> None:
    value = {"a": [1, 2.5, "x", None, True], "b": (1, 2, 3, 4), "c": {"d": -(2**70)}, "e": collections.OrderedDict(z=1)}
    assert read(pickle.dumps(value, protocol)) == value


def test_sets_come_as_lists_and_shared_things_stay_shared() -> None:
    shared = [1]
    found = read(pickle.dumps({"s": {3}, "f": frozenset({4}), "x": shared, "y": shared}, 4))
    assert (found["s"], list(found["f"])) == ([3], [4])
    assert found["x"] is found["y"]


class Calls:
    """Pickles as a call of something."""

    def __init__(self, what: Any, *args: Any) -> None:
        self.what, self.args = what, args

    def __reduce__(self) -> Any:
        return self.what, self.args


class Builds:
    """Pickles as an object with a state that its ``__setstate__`` would see."""

    def __reduce__(self) -> Any:
        return subprocess.Popen, (["touch", "pwned"],), {"state": 1}


def hostile(folder: Path) -> dict[str, bytes]:
    """Return pickles that would make a file called ``pwned*`` if anything in them ran."""
    target = str(folder / "pwned")
    touch = f"__import__('pathlib').Path({target!r}).touch()"
    nested = Calls(eval, touch)
    raw_target = target.encode()
    return {
        "os.system": pickle.dumps(Calls(os.system, f"touch {target}")),
        "builtins.eval": pickle.dumps(Calls(eval, touch)),
        "builtins.exec": pickle.dumps({"state_dict": {"w": Calls(exec, touch)}}),
        "nested reduce": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")),
        "reduce of a reduce": pickle.dumps([nested, (nested, {"k": nested})]),
        "setstate": pickle.dumps(Builds()),
        "INST": b"(S'touch " + raw_target + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'touch " + raw_target + b"'\no.",
        "getattr chain": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch "
        + raw_target
        + b"'\ntR.",
        "dotted": b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__init__.__self\x93.",
        "build into a class": b"\x80\x02cos\nsystem\n)\x81}S'touch x'\nK\x01sb.",
        "newobj_ex": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85}\x92.",
        "patch a function": b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__code__K\x01s\x86b.",
    }


@pytest.mark.parametrize("name", sorted(hostile(Path())))
def test_hostile_pickles_run_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was called")

    data = hostile(tmp_path)[name]
    for where, what in ((os, "system"), (subprocess, "Popen"), (pickle, "loads"), (pickle.Unpickler, "load")):
        if where is not pickle.Unpickler:
            monkeypatch.setattr(where, what, refuse)
    before = set(sys.modules)
    try:
        found = read(data)
    except ArtifactError:
        found = None
    assert set(sys.modules) == before
    assert not list(tmp_path.iterdir())
    pending = [found]
    while pending:  # nothing but plain data and notes came out
        node = pending.pop()
        assert node is None or type(node) in (dict, list, tuple, str, int, Record, Global)
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list | tuple):
            pending.extend(node)
        elif isinstance(node, Record):
            pending.extend([node.args, node.state])


def test_what_is_asked_for_is_noted() -> None:
    found = read(pickle.dumps(Calls(os.system, "true")))
    assert isinstance(found, Record)
    assert (found.name.rpartition(".")[2], found.args) == ("system", ("true",))
    reference = read(b"\x80\x02X\x01\x00\x00\x00aQ.")
    assert isinstance(reference, Persistent)
    assert reference.id == "a"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04",
        b".",
        b"\x80\x04N",  # no STOP
        b"\x80\x02h\x05.",  # a memo that was never put
        b"\x80\x02]a.",  # nothing to append
        b"\x80\x02(K\x01u.",  # odd items
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x05\x97.",  # out-of-band buffer
        b"\x80\x02}]K\x01s.",  # a list as a key
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",  # 2^60 bytes
        b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"x.",
        b"\x80\x04T" + struct.pack("<i", -1) + b".",
        b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".",  # puts nothing at 2^32
        b"\x80\x02K\x01" + b"\x85" * 50 + b"}" + b"\x30" * 3 + b"(" + b"t" * 3 + b".",
        b"garbage",
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_broken_pickles_are_refused_with_a_message(data: bytes) -> None:
    with pytest.raises(ArtifactError) as e:
        read(data)
    assert "pickle" in str(e.value)
    assert "what to do" in str(e.value)


def test_a_memo_at_four_billion_takes_no_memory() -> None:
    assert read(b"\x80\x02K\x07r" + struct.pack("<I", 2**32 - 1) + b".") == 7


def test_a_key_nested_without_end_does_not_overflow_the_stack() -> None:
    """Python's own ``hash`` of a tuple nested 200,000 deep does."""
    with pytest.raises(ArtifactError, match="nested too deeply"):
        read(b"\x80\x02}K\x01" + b"\x85" * 300_000 + b"K\x01s.")


def test_copies_without_end_are_refused() -> None:
    big = b"](" + b"K\x00" * 100_000 + b"eq\x010"
    copy = b"h\x00h\x01\x85R0"
    data = b"\x80\x02c__builtin__\nlist\nq\x000" + big + copy * 300 + b"N."
    with pytest.raises(ArtifactError, match="without end"):
        read(data)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_data_or_refused(data: bytes) -> None:
    with contextlib.suppress(ArtifactError):
        read(b"\x80\x04" + data)


def test_every_truncation_is_refused() -> None:
    data = pickle.dumps({"a": [1, 2, {"b": (1, "x" * 300, 2.0)}], "c": collections.OrderedDict(k=b"v")}, 4)
    for n in range(len(data)):
        with pytest.raises(ArtifactError):
            read(data[:n])


def test_a_text_with_an_escape_that_python_does_not_know_warns_of_nothing() -> None:
    assert read(b"S'a\\qb'\n.") == "a\\qb"  # warnings are errors in these tests
