"""Every dataset of the corpus opens as its index says, or says why it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corpus_index import corpus_index
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError

pytest.importorskip("pyarrow")
SETS = [e for e in corpus_index() if e["kind"] in ("LEROBOT_DATASET", "ISAACLAB_MIMIC_HDF5")]
pytestmark = pytest.mark.corpus


@pytest.mark.parametrize("entry", SETS, ids=lambda e: e["id"])
def test_it_opens_as_the_index_says(entry: dict[str, Any], corpus: Path) -> None:
    first = Path(entry["files"][0]["file"])
    path = corpus / (first if entry["kind"] != "LEROBOT_DATASET" else Path(*first.parts[:2]))
    verdict = entry["expected"].get("verdict", "CONSISTENT")
    if verdict == "META_ONLY":
        with pytest.raises(ArtifactError, match="the file is missing") as caught:
            open_dataset(path)
        assert "fetch the whole dataset again" in str(caught.value)
        return
    dataset = open_dataset(path)
    assert sum(len(b) for b in dataset.blocks()) == dataset.episodes.frames > 0
    if verdict == "CONSISTENT":
        assert not [f for f in dataset.findings if f.severity != "info"]
        assert len(dataset.episodes) == entry["expected"].get("episodes", entry["expected"].get("demos"))


def test_there_are_some(corpus: Path) -> None:
    assert {e["expected"].get("verdict") for e in SETS} == {"CONSISTENT", "META_ONLY", "PARSE", None}


def test_the_folder_of_them_all_lists_them(corpus: Path) -> None:
    with pytest.raises(ArtifactError, match=r"4 datasets lie here: v16_pusht_arrow, v20_droid_meta, v21_g1"):
        open_dataset(corpus / "lerobot_datasets")
