"""On real statistics nothing is an error but what is broken; and what is odd in them is named, at most as a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_index import corpus_dir
from parity.contract import read_contract
from parity.errors import ParityError
from parity.finding import Finding
from parity.stats.check import check_stats
from parity.stats.registry import read_stats

pytestmark = pytest.mark.corpus

BROKEN = "made/lerobot-0.4.4-migrated-badstats/dp_pusht_image_wrist_cam"
PATTERNS = (
    "made/lerobot-*/*",
    "made/rsl-rl/*",
    "made/checkpoints/*",
    "lerobot_stats/*",
    "lerobot_episodes_stats/*",
    "lerobot_datasets/*",
    "lerobot_datasets/*/meta/*stats*",
    "norm_stats_openpi/*",
    "norm_stats_conflicts/*/*",
    "gr00t_modality/*",
    "pairs/*/*",
)
SURE = (*PATTERNS[3:5], *PATTERNS[7:9], "made/lerobot-*/*", "lerobot_datasets/*")  # what must be readable


def paths(*patterns: str) -> list[str]:
    return sorted({str(p.relative_to(corpus_dir())) for pattern in patterns for p in corpus_dir().glob(pattern)})


def found_in(path: Path) -> list[Finding]:
    try:
        contract = read_contract(path)
    except ParityError:
        contract = None
    return [f for stats in read_stats(path) for f in check_stats(stats, contract=contract)]


@pytest.mark.parametrize("name", [p for p in paths(*PATTERNS) if p != BROKEN])
def test_nothing_real_is_an_error(corpus: Path, name: str) -> None:
    try:
        found = found_in(corpus / name)
    except ParityError:
        assert name not in paths(*SURE), "a source of statistics that cannot be read"
        return
    assert [f for f in found if f.severity == "error"] == []


def test_the_real_fault_is_found(corpus: Path) -> None:
    assert [(f.code, f.severity) for f in found_in(corpus / BROKEN)] == [("STATS002", "error")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lerobot_datasets/v21_g1_inspire_100ep", set()),
        ("lerobot_datasets/v20_droid_meta", set()),
        ("made/lerobot-0.6.1/act_aloha_image_narrowresnet", set()),
        ("norm_stats_conflicts/norm_drift_robomme/0_9fa36cb8.json", set()),
        ("norm_stats_conflicts/norm_conflict_zwbx/0_52fff58b.json", {("STATS020", "info")}),
        ("norm_stats_conflicts/norm_conflict_zwbx/1_f338a091.json", {("STATS018", "warning"), ("STATS020", "info")}),
        ("norm_stats_openpi/4471a031_norm_stats_backup.json", {("STATS009", "info")}),
        ("lerobot_stats/0c1c2cf7_stats.json", {("STATS016", "warning"), ("STATS020", "info")}),
        ("lerobot_stats/0ae05f45_stats.json", {("STATS017", "warning")}),
    ],
)
def test_what_is_odd_in_real_statistics(corpus: Path, name: str, expected: set[tuple[str, str]]) -> None:
    assert {(f.code, f.severity) for f in found_in(corpus / name)} == expected
