"""The part of a drafted `parity.toml` on recorded data: the datasets among the paths that were given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from parity.artifact import recognize
from parity.contract.toml_text import toml_string
from parity.errors import ParityError

FILES = ("hdf5", "zarr")  # kinds that hold recorded data and no policy


def datasets_apart(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the paths that may be policies, and those that are datasets."""
    datasets = [p for p in paths if _is_dataset(p)]
    return [p for p in paths if p not in datasets], datasets


def _is_dataset(path: Path) -> bool:
    from parity.dataset.lerobot_roots import is_dataset

    try:
        artifact = recognize(path)
        if artifact.kind in FILES:
            return True
        buffer = artifact.kind == "folder" and (path / "meta" / "episode_ends" / ".zarray").is_file()
        return buffer or (artifact.kind == "folder" and not (path / "config.json").is_file() and is_dataset(artifact))
    except (ParityError, OSError):
        return False


def replay_part(datasets: Sequence[Path], folder: Path) -> str:
    """Return the table ``[replay]``, its path relative to ``folder``; as comments where no dataset was given."""
    given = [Path(os.path.relpath(p.absolute(), folder.absolute())).as_posix() for p in datasets]
    lines = [
        "[replay]",
        f"dataset = {toml_string(given[0] if given else 'data/my_dataset')}",
        *(f"# dataset = {toml_string(other)}" for other in given[1:]),
        '# episodes = "0:20"                # by position; all, where this is left out',
        "# n_action_steps = 8              # how many actions of a chunk are executed, where no artifact says it",
    ]
    if not given:
        lines = [line if line.startswith("#") else f"# {line}" for line in lines]
    return "\n".join(["# Recorded data, played through reference and candidates as policies:", *lines, ""])
