"""What came back from other tools than a bundle's script, told apart by what lies in the folder."""

from __future__ import annotations

from pathlib import Path

from parity.bundle.asked import Source
from parity.bundle.dump_folder import DumpAnswers, dump_folders
from parity.bundle.tool_folder import ToolAnswers, looks_like_outputs
from parity.errors import ArtifactError, UsageError


def folder_answers(path: Path, source: Source) -> ToolAnswers | DumpAnswers:
    """Return the answers in a folder of ais_bench or msame, or in a folder of dumps.

    Raises:
        ArtifactError: nothing of that kind is in it, or it cannot be read.
        UsageError: several are, or which case an output answers is ambiguous.
    """
    path = path.resolve()
    try:
        dumps = dump_folders(path)
        tools = [p for p in (path, *sorted(c for c in path.iterdir() if c.is_dir())) if _is_tool(p)]
    except OSError as e:
        raise ArtifactError(f"{path}: cannot be read: {e.strerror or e}") from None
    tools = [p for p in tools if p not in dumps]
    if len(tools) + bool(dumps) > 1:
        found = ", ".join(str(p.relative_to(path)) for p in (*tools, *dumps[:1]))
        raise UsageError(f"{path}: several runs lie in it ({found})", remedy="give the folder of one")
    if tools:
        return ToolAnswers(tools[0], source)
    if dumps:
        return DumpAnswers(path, dumps, source)
    raise ArtifactError(
        f"{path}: nothing in it came back from a device",
        expected="results.zip of a bundle, a folder of ais_bench or msame outputs, or dumps of acl",
    )


def _is_tool(folder: Path) -> bool:
    return not folder.is_symlink() and looks_like_outputs(folder)
