"""Several releases judged by one `parity run`: each on its own, one table at the end, the worst exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parity.cli.releasing import folder_name, judge_release
from parity.cli.shell import complain
from parity.errors import FAILED, NOT_JUDGED, PASSED, USAGE, ParityError, UsageError
from parity.release.config import load_config

ONE_ONLY = {"source": "--from", "baseline": "--baseline", "record": "--record"}
WORST_FIRST = (USAGE, FAILED, NOT_JUDGED, PASSED)
WORDS = {USAGE: "NOT READ", FAILED: "FAIL", NOT_JUDGED: "NOT_JUDGED", PASSED: "PASS"}


def judge_releases(paths: Sequence[Path], options: Mapping[str, Any]) -> int:
    """Judge every release and return the worst exit code; the reports go into a folder of each below ``--out``.

    All configurations are read before anything runs. One release that cannot be judged keeps none of the others.

    Raises:
        ParityError: a configuration that cannot be read, or two releases that would write into one folder.
    """
    for key, name in ONE_ONLY.items():
        if options[key] is not None:
            raise UsageError(f"{name} is about one release, and {len(paths)} are given")
    names = [load_config(path).release.name for path in paths]
    folders = [folder_name(name) for name in names]
    twice = {n for n, f in zip(names, folders, strict=True) if folders.count(f) > 1}
    if twice:
        raise UsageError(
            f"two releases are called {', '.join(sorted(twice))}", remedy="give each a name of its own: [release] name"
        )
    base = options["out"] or Path("reports")
    codes = [_judge(path, {**options, "out": base / f}) for path, f in zip(paths, folders, strict=True)]
    print(file=sys.stderr)
    for name, path, code in zip(names, paths, codes, strict=True):
        complain(f"{WORDS[code]:10}  {name}  ({path})")
    return min(codes, key=WORST_FIRST.index)


def _judge(path: Path, options: Mapping[str, Any]) -> int:
    print(f"\n{path}", file=sys.stderr)
    try:
        return judge_release(path, options)
    except ParityError as e:
        complain(f"error: {e}")
        return e.exit_code
