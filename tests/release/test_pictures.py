"""Pictures of image inputs: the right frames, the right way up, the same bytes for the same values."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from parity.release.pictures import LONGEST, PER_CASE, pictures_of


def pixels(picture: dict[str, Any]) -> Any:
    image = Image.open(io.BytesIO(base64.b64decode(picture["png"])))
    assert image.format == "PNG"
    assert image.size == (picture["width"], picture["height"])
    return np.asarray(image)


FRAME = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "values",
    [FRAME[None], np.moveaxis(FRAME, -1, 0)[None], np.moveaxis(FRAME, -1, 0)[None].astype(np.float32) / 255],
    ids=["H,W,C", "C,H,W", "C,H,W float"],
)
def test_a_frame_is_shown_as_it_is(values: Any) -> None:
    (picture,) = pictures_of({"top": values})["top"]
    assert (pixels(picture) == FRAME).all()
    assert picture["label"] == "top"
    assert pictures_of({"top": values})["top"] == [picture]


def test_depth_and_one_channel_are_grey() -> None:
    depth = np.linspace(0, 1, 96, dtype=np.float32).reshape(1, 8, 12)
    for values in (depth, depth[:, None], depth[..., None]):
        (picture,) = pictures_of({"d": values})["d"]
        assert (pixels(picture) == np.rint(255 * depth[0])).all()


def test_values_outside_0_to_1_are_scaled_and_that_is_said() -> None:
    (picture,) = pictures_of({"n": np.array([[-1.0, 0.0], [1.0, 3.0]])[None]})["n"]
    assert pixels(picture).tolist() == [[0, 64], [128, 255]]
    assert picture["label"] == "n, -1 to 3 shown as black to white"
    (broken,) = pictures_of({"n": np.array([[np.nan, 0.5], [np.inf, 1.0]])[None]})["n"]
    assert pixels(broken).tolist() == [[0, 128], [0, 255]]
    assert broken["label"] == "n, not finite: black"
    (huge,) = pictures_of({"n": np.array([[-1.7e308, 1.7e308]])[None]})["n"]
    assert pixels(huge).tolist() == [[0, 255]]


def test_large_frames_shrink_and_there_are_few() -> None:
    video = np.zeros((2, 9, 3, 480, 640), np.uint8)
    found = pictures_of({"a": video, "b": video, "c": np.zeros((1, 1, 3, 4, 1000), np.float32)})
    assert sum(len(p) for p in found.values()) <= PER_CASE
    assert [p["label"] for p in found["a"]] == ["a, observation 0, step 0", "a, observation 0, step 1"]
    assert (found["a"][0]["width"], found["a"][0]["height"]) == (LONGEST, 120)
    (thin,) = found["c"]
    assert (thin["width"], thin["height"], thin["label"]) == (LONGEST, 1, "c, step 0")


def test_what_is_no_image_has_no_picture() -> None:
    nothing = {"text": np.array([["x"]]), "empty": np.zeros((1, 3, 0, 4)), "scalar": np.zeros(3)}
    assert pictures_of(nothing) == {"text": [], "empty": [], "scalar": []}
