"""Episodes and blocks: whose each row is, and reading ahead of whoever works on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.dataset.ahead import ahead
from parity.dataset.model import BLOCK, Episodes, Feature, block_rows
from parity.dataset.registry import readers


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.data())
def test_every_row_is_of_one_episode(lengths: list[int], data: st.DataObject) -> None:
    episodes = Episodes(lengths, [10 + i for i in range(len(lengths))])
    start = data.draw(st.integers(0, episodes.frames))
    stop = data.draw(st.integers(start, episodes.frames))
    expected = [(10 + i, f) for i, n in enumerate(lengths) for f in range(n)][start:stop]
    spans = episodes.spans(start, stop)
    found = [(s.episode, s.frame + k) for s in spans for k in range(s.stop - s.start)]
    assert found == expected
    for span in spans:
        assert span.last == (span.frame + span.stop - span.start == lengths[span.episode - 10])


def test_episodes_by_place_and_by_number() -> None:
    episodes = Episodes([3, 4], [7, 9], [("push",), ("pull",)])
    assert (len(episodes), episodes.frames) == (2, 7)
    assert [e.index for e in episodes[:]] == [7, 9]
    assert episodes[-1].start == 3
    assert episodes.numbered(9) == episodes[1]
    assert episodes.numbered(8) is None
    with pytest.raises(IndexError):
        episodes[2]


def test_large_frames_come_in_smaller_blocks() -> None:
    assert block_rows([Feature("state", (26,), "float32")]) == BLOCK
    assert block_rows([Feature("image", (480, 640, 3), "uint8")]) == 36
    assert block_rows([Feature("image", (1 << 14, 1 << 14), "float32")]) == 1


def test_items_come_in_order_and_a_failure_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("here")

    found: list[int] = []
    with pytest.raises(ValueError, match="here"):
        found.extend(ahead(items()))
    assert found == list(range(5))
    assert list(ahead(iter([]))) == []


def test_leaving_early_ends_the_thread() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    before = threading.active_count()
    for item in ahead(items()):
        if item == 3:
            break
    assert threading.active_count() == before
    assert len(made) < 12


def test_all_readers_are_there_the_general_ones_last() -> None:
    ranks = [r.rank for r in readers()]
    assert len(ranks) >= 4
    assert ranks == sorted(ranks)


def test_blocks_of_a_source_say_whose_they_are() -> None:
    from parity.dataset.model import Dataset

    class Source:
        def rows(self, names: object, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
            for at in range(start, stop, 4):
                yield {"x": np.arange(at, min(at + 4, stop))[:, None]}

    dataset = Dataset(
        path=None,
        kind="made",
        features={"x": Feature("x", (1,), "int64")},  # type: ignore[arg-type]
        episodes=Episodes([3, 7]),
        source=Source(),
    )
    blocks = list(dataset.blocks(["x"], 2))
    assert [b.start for b in blocks] == [2, 6]
    assert [len(b) for b in blocks] == [4, 4]
    assert [[s.episode for s in b.spans] for b in blocks] == [[0, 1], [1]]
    assert dataset.episode(1)["x"][:, 0].tolist() == list(range(3, 10))
