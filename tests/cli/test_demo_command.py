"""`parity demo`: what it carries, both verdicts, what it writes and what it leaves alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from parity.cli import demonstrating, main
from parity.cli.demonstrating import SOURCE
from parity.report.write import FILES

ROOT = Path(__file__).resolve().parents[2]


def carried() -> list[str]:
    return sorted(p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*") if p.is_file())


def verdict(out: Path, name: str) -> dict[str, object]:
    report: dict[str, object] = json.loads((out / name / "report.json").read_text())
    return report


def test_the_carried_files_are_those_of_the_manifest_and_small() -> None:
    listed = json.loads((SOURCE / "MANIFEST.json").read_text())["sha256"]
    assert carried() == sorted([*listed, "MANIFEST.json"])
    for name, sha in listed.items():
        assert hashlib.sha256((SOURCE / name).read_bytes()).hexdigest() == sha, name
    assert sum((SOURCE / name).stat().st_size for name in carried()) <= 2 << 20


def test_good_passes_broken_fails_and_it_can_be_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "reports" / "demo"
    for _ in range(2):
        assert main(["demo", "--out", str(out)]) == 0
        printed = capsys.readouterr().out
        assert "good: PASS" in printed
        assert "broken: FAIL  0 of 31 weights match: another checkpoint" in printed
        for name in ("good", "broken"):
            assert str(out / name / "report.html") in printed
            assert {p.name for p in (out / name).iterdir()} == {*FILES, "parity.toml"}
        assert f"parity run {out}/good/parity.toml" in printed
    good, broken = verdict(out, "good"), verdict(out, "broken")
    assert (good["verdict"], broken["verdict"]) == ("PASS", "FAIL")
    assert len(good["comparisons"]) == len(broken["comparisons"]) == 13  # type: ignore[arg-type]
    assert {c["profile"] for c in good["comparisons"]} == {"dataset"}  # type: ignore[attr-defined]
    assert not [f for f in broken["findings"] if f["code"] == "WEIGHT004"]  # type: ignore[attr-defined]
    assert main(["run", str(out / "good" / "parity.toml"), "--out", str(tmp_path / "again")]) == 0


def test_it_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from parity.cli import main\n"
        f"sys.exit(main(['demo', '--out', {str(tmp_path / 'demo')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["notes.txt", "good/notes.txt", "artifacts/policy.onnx", "good/parity.toml", "good"])
def test_what_the_demo_did_not_write_is_left_alone(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 3
    assert "not written by the demo" in capsys.readouterr().err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert path.read_text() == "mine"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "artifacts").symlink_to(tmp_path / "elsewhere")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 3
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_verdict_that_is_not_the_expected_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source)
    (source / "artifacts/stale.onnx").write_bytes((source / "artifacts/policy.onnx").read_bytes())
    monkeypatch.setattr(demonstrating, "SOURCE", source)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 3
    assert "not as it was packed" in capsys.readouterr().err
    listed = json.loads((source / "MANIFEST.json").read_text())
    listed["sha256"]["artifacts/stale.onnx"] = listed["sha256"]["artifacts/policy.onnx"]
    (source / "MANIFEST.json").write_text(json.dumps(listed))
    assert main(["demo", "--out", str(tmp_path / "out")]) == 3
    assert "unexpected: broken is PASS, it must be FAIL" in capsys.readouterr().err


def test_git_keeps_every_carried_file() -> None:
    """The wheel leaves out what git ignores, so a pattern in .gitignore could empty the demo in silence."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    paths = [str(SOURCE / name) for name in carried()]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.soak
def test_the_wheel_carries_the_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", str(ROOT), "-w", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("policy_parity-*.whl")
    with zipfile.ZipFile(wheel) as content:
        inside = {n for n in content.namelist() if n.startswith("parity/demo/")}
    assert inside == {f"parity/demo/{name}" for name in carried()}
