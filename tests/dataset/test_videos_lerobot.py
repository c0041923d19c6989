"""Videos and images that the real lerobot encoded: each frame goes with the row that it was recorded with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from lerobot_python import lerobot_interpreter
from parity.dataset.registry import open_dataset
from videos import numbers_of, pictures

pytest.importorskip("pyarrow")
pytest.importorskip("av")
LENGTHS = [9, 4, 11]
CAMERAS = ("observation.images.top", "observation.images.wrist", "observation.images.still")
RECORD = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

root, lengths, cameras = sys.argv[1], [int(n) for n in sys.argv[2].split(",")], sys.argv[3].split(",")
shown = np.load(sys.argv[4])
picture = {"dtype": "video", "shape": shown.shape[1:], "names": ["height", "width", "channels"]}
features = {name: picture for name in cameras[:2]} | {cameras[2]: picture | {"dtype": "image"}}
features["action"] = {"dtype": "float32", "shape": (2,), "names": None}
made = LeRobotDataset.create("someone/set", 20, features, root=root, use_videos=True)
row = 0
for length in lengths:
    for _ in range(length):
        frame = {"action": np.full(2, row, np.float32), "task": "push"}
        made.add_frame(frame | {name: shown[row + i] for i, name in enumerate(cameras)})
        row += 1
    made.save_episode()
made.finalize()
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot")
    np.save(folder / "shown.npy", pictures(sum(LENGTHS) + 2, height=64, width=96))
    lengths = ",".join(map(str, LENGTHS))
    command = [lerobot_interpreter(), "-c", RECORD, folder / "set", lengths, ",".join(CAMERAS), folder / "shown.npy"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "set"


def test_every_frame_is_that_of_its_row(root: Path) -> None:
    dataset = open_dataset(root)
    assert dataset.kind == "lerobot_v3.0"
    assert not dataset.findings
    assert [dataset.features[name].storage for name in CAMERAS] == ["video", "video", "image"]
    assert list(dataset.episodes.lengths) == LENGTHS
    rows = []
    for block in dataset.blocks(["action", *CAMERAS]):
        rows += block.columns["action"][:, 0].astype(int).tolist()
        for i, name in enumerate(CAMERAS):
            assert numbers_of(block.columns[name]) == (block.columns["action"][:, 0] + i).astype(int).tolist()
    assert rows == list(range(sum(LENGTHS)))


def test_the_last_episode_alone(root: Path) -> None:
    shown = open_dataset(root).episode(2, [CAMERAS[1]])[CAMERAS[1]]
    assert numbers_of(shown) == list(range(14, 25))
