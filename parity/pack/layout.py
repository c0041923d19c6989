"""What a release is made of, where each part goes in a packed folder, and its `parity.toml` with those paths.

What lies in one folder stays together, so that an artifact keeps the configurations and data files beside it. A
factory's module stays at the top, from where it is imported.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.artifact import files_of, is_factory, recognize
from parity.contract.siblings import EXPORT_FOLDERS, siblings
from parity.errors import UsageError
from parity.finding import Finding
from parity.stats.choose import SEPARATOR, split

NOT_PACKED = "PACK004"
FOLDER = "artifacts"
RESERVED = (FOLDER, "parity.toml", "MANIFEST.json", "contract.json", "report.json")


@dataclass(slots=True)
class Layout:
    """The packed `parity.toml` as data, the files to copy by their packed path, and what stays behind."""

    root: Path
    data: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _bases: dict[Path, str] = field(default_factory=dict)

    def artifact(self, path: str) -> str:
        """Plan to copy an artifact with all that belongs to it, and return its packed path.

        Raises:
            ArtifactError: it is not there or cannot be read.
        """
        source = (self.root / Path(path).expanduser()).absolute()
        artifact = recognize(source, foreign=True)
        base = source.parent
        beside = siblings(source)
        if base.name in EXPORT_FOLDERS and any(not s.is_relative_to(base) for s in beside):
            base = base.parent
        for file in (*files_of(artifact), *beside):
            self.files[f"{self._base(base)}/{file.relative_to(base).as_posix()}"] = file
        return f"{self._base(base)}/{source.relative_to(base).as_posix()}"

    def program_argument(self, text: str) -> str:
        """Return an argument with its packed path where it names a file that is there; any other as it is."""
        if "{" in text or not text or text.startswith("-"):
            return text
        try:
            there = (self.root / Path(text).expanduser()).exists()
        except OSError:
            there = False
        inside = there and (self.root / text).resolve() != self.root.resolve()
        return self.artifact(text) if inside and not Path(text).is_absolute() else text

    def factory(self, path: str) -> None:
        """Plan to copy the source of ``package.module:function``, where it lies in the release's folder."""
        top = path.partition(":")[0].split(".")[0]
        file, package = self.root / f"{top}.py", self.root / top
        if file.is_file():
            self.files[file.name] = file
        elif (package / "__init__.py").is_file():
            if top in RESERVED:
                raise UsageError(f"{path}: a package called {top!r} has no place in a packed folder")
            for source in sorted(p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
                self.files[source.relative_to(self.root).as_posix()] = source
        else:
            self.left(path, "the factory is installed elsewhere: the environment has to bring it")

    def left(self, what: str, why: str) -> None:
        """Note something that the release uses and the packed folder does not hold."""
        title = f"{what} is not packed: {why}"
        self.findings.append(Finding(NOT_PACKED, "warning", title, where=what, remedy="provide it where this runs"))

    def _base(self, folder: Path) -> str:
        """Return the packed folder that stands for a folder of the release."""
        key = folder.resolve()
        if key not in self._bases:
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-.") or "files"
            taken = set(self._bases.values())
            number, place = 1, f"{FOLDER}/{name}"
            while place in taken:
                number += 1
                place = f"{FOLDER}/{name}-{number}"
            self._bases[key] = place
        return self._bases[key]


def lay_out(data: Mapping[str, Any], root: Path) -> Layout:
    """Return where everything of the release ``data`` (a parsed and checked `parity.toml` in ``root``) goes.

    Raises:
        ArtifactError: a part is not there or cannot be read.
        UsageError: a part has no place in a packed folder.
    """
    layout = Layout(root, copy.deepcopy(dict(data)))
    for table in (layout.data["reference"], *layout.data["candidate"]):
        _side(layout, table)
    cases = layout.data.get("cases", {})
    if cases.get("inputs"):
        cases["inputs"] = layout.artifact(cases["inputs"])
    stats = layout.data.get("stats", {})
    if stats.get("sources"):
        stats["sources"] = [_source(layout, s) for s in stats["sources"]]
    for table in (layout.data.get("replay", {}), stats):
        if table.get("dataset"):
            layout.left(table["dataset"], "recorded episodes stay where they are")
            table["dataset"] = str((root / Path(table["dataset"]).expanduser()).resolve())
    return layout


def _source(layout: Layout, source: str) -> str:
    """Plan to copy a source of statistics, and return how it is named in the packed folder: with the set of it."""
    if (layout.root / Path(source).expanduser()).exists():
        return layout.artifact(source)
    path, name = split(source)
    return layout.artifact(path) if name is None else f"{layout.artifact(path)}{SEPARATOR}{name}"


def _side(layout: Layout, table: dict[str, Any]) -> None:
    path = table.get("path")
    if path and is_factory(path):
        layout.factory(path)
    elif path:
        table["path"] = layout.artifact(path)
    if table.get("checkpoint"):
        table["checkpoint"] = layout.artifact(table["checkpoint"])
    if table.get("artifact"):
        table["artifact"] = layout.artifact(table["artifact"])
    around = table.get("pipeline")
    if isinstance(around, dict):
        table["pipeline"] = {**around, "path": layout.artifact(around["path"])}
    elif around:
        table["pipeline"] = layout.artifact(around)
    for stage in table.get("stages", []):
        stage["path"] = layout.artifact(stage["path"])
    if table.get("kwargs"):
        table["kwargs"] = {
            k: layout.program_argument(v) if isinstance(v, str) else v for k, v in table["kwargs"].items()
        }
    if table.get("command"):
        table["command"] = [layout.program_argument(word) for word in table["command"]]
        layout.left(table["command"][0], "what the program itself loads is not known")
    python = table.get("python")
    if python and "/" in python:
        table["python"] = str((layout.root / Path(python).expanduser()).absolute())
        layout.left(python, "the interpreter is of this machine")
