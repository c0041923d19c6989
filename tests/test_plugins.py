"""Extensions by entry point: the same loader for readers and runners, and one clear error for a broken one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from parity import plugins
from parity.contract import registry as contracts
from parity.dataset import registry as datasets
from parity.errors import ParityError, RunnerError, UsageError
from parity.runner.base import RunnerSpec, runner_for, runners
from parity.stats import registry as statistics

READERS = {
    "parity.contracts": contracts.readers,
    "parity.datasets": datasets.readers,
    "parity.stats": statistics.readers,
}
Register = Callable[..., None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Return a function that registers one more entry point, whose module holds the given text."""
    _forget()
    monkeypatch.syspath_prepend(str(tmp_path))
    real, more = plugins.entry_points, []

    def made(group: str, name: str, text: str) -> None:
        module = f"third_party_{len(more)}"
        (tmp_path / f"{module}.py").write_text(text)
        more.append(EntryPoint(name, f"{module}:OBJECT", group))
        _forget()

    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [*real(group=group), *(p for p in more if p.group == group)]
    )
    yield made
    _forget()
    for i in range(len(more)):
        sys.modules.pop(f"third_party_{i}", None)


def _forget() -> None:
    for function in (plugins.points, plugins.loaded, plugins.ranked):
        function.cache_clear()


@pytest.mark.parametrize("group", READERS)
def test_a_reader_of_a_third_party_is_asked_by_its_rank(group: str, register: Register) -> None:
    before = READERS[group]()
    register(group, "zz", "class Reader:\n    rank = -1000\n\nOBJECT = Reader()\n")
    first, *others = READERS[group]()
    assert type(first).__module__ == "third_party_0"
    assert others == list(before)
    assert [r.rank for r in others] == sorted(r.rank for r in before)


@pytest.mark.parametrize("group", READERS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("def (:\n", "SyntaxError"),
        ("ANOTHER = 1\n", "AttributeError"),
        ("OBJECT = object()\n", "has no `rank`"),
    ],
)
def test_a_reader_that_cannot_be_loaded_is_one_clear_error(
    group: str, text: str, told: str, register: Register
) -> None:
    register(group, "theirs", text)
    with pytest.raises(UsageError, match=r"reader 'theirs' .third_party_0:OBJECT") as raised:
        READERS[group]()
    assert told in raised.value.message
    assert raised.value.remedy


def test_a_runner_that_cannot_be_loaded_is_one_clear_error_and_keeps_no_other_from_running(register: Register) -> None:
    register("parity.runners", "theirs", "1 / 0\n")
    assert runner_for(RunnerSpec("side", "recorded")).name == "recorded"
    with pytest.raises(RunnerError, match=r"the runner 'theirs' .*ZeroDivisionError"):
        runner_for(RunnerSpec("side", "theirs"))
    with pytest.raises(RunnerError, match="the runner 'theirs' "):
        runners()


def test_a_runner_does_not_take_the_place_of_another_in_silence(register: Register) -> None:
    register("parity.runners", "onnxruntime", "OBJECT = None\n")
    with pytest.raises(UsageError, match=r"'onnxruntime' of parity\.runners is registered twice: .*third_party_0"):
        runner_for(RunnerSpec("side", "onnxruntime"))


def test_what_two_copies_of_one_package_register_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget()
    one = EntryPoint("a", "parity.plugins:points", "parity.runners")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [one, one])
    assert plugins.points("parity.runners") == {"a": one}
    _forget()


def test_the_error_is_of_the_class_that_was_asked_for(register: Register) -> None:
    register("parity.stats", "theirs", "1 / 0\n")
    for kind in (UsageError, RunnerError):
        with pytest.raises(kind) as raised:
            plugins.loaded("parity.stats", "theirs", "thing", kind)
        assert isinstance(raised.value, ParityError)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
