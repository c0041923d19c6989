"""Replays a release's dataset and prints time, peak memory and the verdict: run in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from parity.release.config import load_config
from parity.release.facts import Facts
from parity.release.prepare import prepare
from parity.release.replay_report import replay_report
from parity.release.replayed import load_replay
from parity.release.replaying import replay_release


def main() -> None:
    """Print the figures as JSON."""
    toml = Path(sys.argv[1])
    config = load_config(toml)
    begin = time.perf_counter()
    prepared = prepare(config, toml.parent, strict=False)
    with tempfile.TemporaryDirectory() as work:
        told = replay_release(prepared, Path(work))
        played = time.perf_counter()
        facts = {s.name: Facts(s.name) for s in (prepared.reference, *prepared.candidates)}
        report = replay_report(prepared, config, facts, load_replay(Path(work), told))
    seconds = time.perf_counter() - begin
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024
    figures = {"seconds": seconds, "judging": seconds - (played - begin), "peak_mb": peak, "frames": told["frames"]}
    print(json.dumps({**figures, "verdict": report["verdict"], "reasons": report["reasons"][:3]}))


if __name__ == "__main__":
    main()
