"""Texts without the folder of the release: only where a path begins, and only that folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity.release.shown import relative_to


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/x/broken/a.onnx", "a.onnx"),
        ("/x/broken/../artifacts/a", "../artifacts/a"),
        ("loading /x/broken/a.onnx: failed", "loading a.onnx: failed"),
        ("in /x/broken: nothing", "in .: nothing"),
        ('File "/x/broken/a.py", line 1', 'File "a.py", line 1'),
        ("/x/broken2/a.onnx", "/x/broken2/a.onnx"),
        ("/x/broken.d/a.onnx", "/x/broken.d/a.onnx"),
        ("/mnt/x/broken/a.onnx", "/mnt/x/broken/a.onnx"),
        ("../x/broken/a.onnx", "../x/broken/a.onnx"),
    ],
)
def test_only_the_folder_itself_is_left_out(text: str, expected: str) -> None:
    show = relative_to(Path("/x/broken"))
    assert show(text) == expected
    assert show({"/x/broken/key": [text, 1, None]}) == {"/x/broken/key": [expected, 1, None]}


def test_the_root_of_all_is_never_left_out() -> None:
    assert relative_to(Path("/"))("/a/b and a/b") == "/a/b and a/b"
