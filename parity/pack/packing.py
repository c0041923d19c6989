"""A release packed into one folder that holds all it was judged on, with a manifest, and runs from there."""

from __future__ import annotations

import json
import secrets
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.artifact import file_digest
from parity.convert.meta import parity_version
from parity.convert.source_code import SourceCode
from parity.errors import ArtifactError, OutputError, ParityError, UsageError
from parity.finding import Finding
from parity.pack.layout import Layout, lay_out
from parity.pack.manifest import NAME, Entry, encode
from parity.pack.toml_file import dump
from parity.pack.verify import verify
from parity.release.beside import BEHIND
from parity.release.config import Config, load_config
from parity.release.prepare import prepare
from parity.release.rejudge import rejudge
from parity.release.sides import Side
from parity.release.stages_sides import resolve_side
from parity.report.json_file import read_json
from parity.verdict import Verdict

NO_COMMIT, DIRTY, NO_PASS = "PACK001", "PACK002", "PACK003"


@dataclass(frozen=True, slots=True)
class Request:
    """What to pack, where to, with which report (the first that is there), and from which code."""

    release: Path
    target: Path
    reports: Sequence[Path] = ()
    code: SourceCode | None = None
    allow_dirty: bool = False


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed folder, the SHA-256 of its manifest, and what there is to say about it."""

    folder: Path
    manifest_sha256: str
    manifest: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON of `parity pack`."""
        return {
            "schema": 1,
            "verdict": str(Verdict.PASS),
            "reasons": [],
            "folder": str(self.folder),
            "manifest_sha256": self.manifest_sha256,
            "manifest": dict(self.manifest),
            "findings": [f.as_json() for f in self.findings],
        }


def pack(request: Request) -> Packed:
    """Pack a release; the folder appears whole or not at all.

    Raises:
        UsageError: no release, a dirty git tree, or a target that holds something else.
        ArtifactError: an artifact cannot be read, or changed while it was packed.
        OutputError: the target cannot be written.
    """
    path = request.release / "parity.toml" if request.release.is_dir() else request.release
    config = load_config(path)
    root = path.parent.resolve()
    code = request.code
    if code is not None and code.dirty and not request.allow_dirty:
        raise UsageError(
            f"{path}: the git tree has changes that are not committed ({', '.join(code.changed[:3])})",
            expected="a clean tree, so that the commit says what the code is",
            remedy="commit them, or --allow-dirty to pack what cannot be signed off",
        )
    replaced = _may_replace(request.target)
    with path.open("rb") as f:
        layout = lay_out(tomllib.load(f), root)
    before = _sides(config, root)
    part = request.target.absolute().with_name(f".{request.target.name}.{secrets.token_hex(6)}.part")
    try:
        part.mkdir(parents=True)
        _fill(part, layout)
        after = _sides(load_config(part), part)
        _held(before, after)
        report, findings = _report(request.reports, after, config)
        if report is not None:
            shutil.copyfile(report, part / "report.json")
        findings += [*_about_code(code, path), *layout.findings]
        fields = _fields(config.release.name, code, after, part, findings, report)
        sha256 = _seal(part, fields)
        _put(part, request.target, replaced)
    except OSError as e:
        raise OutputError(
            f"{request.target}: cannot be packed: {e.strerror or e}", remedy="free space, or choose another -o"
        ) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(part)
    return Packed(request.target, sha256, fields, tuple(findings))


def _may_replace(target: Path) -> bool:
    """Return whether an earlier packed folder is there, which the new one replaces.

    Raises:
        UsageError: something else is there, or a packed folder with more in it than was packed.
    """
    if not (target.exists() or target.is_symlink()):
        return False
    if target.is_symlink() or not target.is_dir():
        raise UsageError(f"{target}: there is something that is no folder", remedy="choose another -o")
    if not any(target.iterdir()):
        return True
    found = verify(target)
    foreign = [f.where for f in found.findings if f.code in ("PACK012", "PACK015")]
    if found.manifest is None or foreign:
        what = f"it also holds {foreign[0]}" if foreign else "`parity pack` did not make it"
        raise UsageError(f"{target}: the folder is left as it is: {what}", remedy="choose another -o, or remove it")
    return True


def _fill(part: Path, layout: Layout) -> None:
    for name, source in layout.files.items():
        target = part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
    (part / "parity.toml").write_text(dump(layout.data), encoding="utf-8")
    contract = prepare(load_config(part), part, strict=True).contract.as_json()
    text = json.dumps(_relative(contract, part), indent=1, ensure_ascii=True, default=str)
    (part / "contract.json").write_text(text + "\n", encoding="utf-8")


def _relative(value: Any, folder: Path) -> Any:
    """Return plain data with the paths below ``folder`` made relative to it: a packed folder may be moved."""
    if isinstance(value, str):
        return value.replace(f"{folder}/", "")
    if isinstance(value, Mapping):
        return {str(k): _relative(v, folder) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_relative(v, folder) for v in value]
    return value


def _sides(config: Config, root: Path) -> list[Side]:
    tables = [("reference", config.reference), *((c.name, c) for c in config.candidate)]
    return [resolve_side(table, name, root, {}, strict=True) for name, table in tables]


def _held(before: list[Side], after: list[Side]) -> None:
    """Raise where a packed side is not the bytes that the release has."""
    for one, other in zip(before, after, strict=True):
        if one.sha256 != other.sha256:
            raise ArtifactError(
                f"{one.name}: what was packed has the SHA-256 {other.sha256}, not {one.sha256}",
                remedy="it changed while it was packed: pack again",
            )


def _report(places: Sequence[Path], sides: list[Side], config: Config) -> tuple[Path | None, list[Finding]]:
    """Return the report to pack: a PASS on just these bytes; else None, and a finding that says why not."""
    for place in places:
        if not place.is_file():
            continue
        why = _unfit(read_json(place), sides, config)
        if why is None:
            return place, []
        return None, [_no_pass(f"of {place.name}, {why}")]
    return None, [_no_pass("there is no report of it")]


def _unfit(report: Mapping[str, Any], sides: list[Side], config: Config) -> str | None:
    """Return why a report is no PASS of these sides within the limits of this `parity.toml`; None where it is one."""
    if report["verdict"] != "PASS":
        return f"its verdict is {report['verdict']}"
    try:
        again = rejudge(report, config)["verdict"]
    except ParityError as e:
        return f"it cannot be judged again ({e.message})"
    if again != "PASS":
        return f"its verdict within the limits of this parity.toml is {again}"
    scope = report["release"].get("scope", {})
    if not scope or scope.get("planned") != scope.get("selected"):
        return "it is of a part of the planned comparisons"
    judged = {a.get("side"): a.get("sha256") for a in report["artifacts"]}
    for side in sides:
        if side.sha256 is None:
            return f"the bytes of {side.name} cannot be told"
        if judged.get(side.name) != side.sha256:
            return f"it was judged on other bytes of {side.name}"
        behind = side.behind
        if behind is not None and judged.get(f"{side.name}{BEHIND}") != behind.sha256:
            return f"it was judged on another artifact behind {side.name}"
    return None


def _no_pass(why: str) -> Finding:
    return Finding(
        NO_PASS,
        "warning",
        f"no PASS of these bytes is packed: {why}",
        where="report.json",
        remedy="judge the release with `parity run` and pack again, naming its report with --report",
    )


def _about_code(code: SourceCode | None, path: Path) -> list[Finding]:
    if code is None:
        return [
            Finding(
                NO_COMMIT,
                "warning",
                "the commit of the code is not known: the release lies in no git tree, or git is not installed",
                where=str(path),
                remedy="name the git tree of the training code with --code",
            )
        ]
    if not code.dirty:
        return []
    listed = ", ".join(code.changed[:3])
    return [
        Finding(
            DIRTY,
            "warning",
            f"the code differs from its commit ({listed}): this cannot be signed off",
            where=str(path),
            evidence={"commit": code.commit, "changed": list(code.changed)},
            remedy="commit, and pack again",
        )
    ]


def _fields(
    name: str,
    code: SourceCode | None,
    sides: list[Side],
    part: Path,
    findings: Sequence[Finding],
    report: Path | None,
) -> dict[str, Any]:
    against = [f.title for f in findings if f.code in (NO_COMMIT, DIRTY, NO_PASS)]
    shown = [{**a, "path": _relative(a["path"], part)} for s in sides for a in s.artifacts_json()]
    return {
        "version": parity_version(),
        "release": name,
        "code": None if code is None else code.as_json(),
        "signable": not against,
        "not_signable": [_relative(w, part) for w in against],
        "report": None if report is None else file_digest(part / "report.json")[0],
        "sides": shown,
    }


def _seal(part: Path, fields: Mapping[str, Any]) -> str:
    """Write the manifest of all that is there, check the folder against it, and return the manifest's SHA-256."""
    paths = [p for p in part.rglob("*") if p.is_file()]
    listed = [Entry(p.relative_to(part).as_posix(), *file_digest(p)) for p in paths]
    (part / NAME).write_bytes(encode(fields, listed))
    found = verify(part)
    if found.verdict is not Verdict.PASS or found.manifest_sha256 is None:
        raise ArtifactError(
            f"what was packed does not read back: {found.findings[0].title}", remedy="check the disk, and pack again"
        )
    return found.manifest_sha256


def _put(part: Path, target: Path, replaced: bool) -> None:
    """Give the finished folder its name; an earlier one is set aside first and put back if that fails."""
    if not replaced:
        part.rename(target)
        return
    aside = part.with_suffix(".earlier")
    try:
        target.rename(aside)
        part.rename(target)
    except BaseException:  # Ctrl-C too
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside)
