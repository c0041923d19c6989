"""Tables with a row for each episode: CSV, JSON lines, a JSON list, Parquet.

No framework owns this layout; it is what benchmarks and people write (lerobot-bench's ``results.parquet``, the CSV of
openpi's LIBERO forks, a sheet of trials on a robot). Columns are known by name, `NAMES` lists which; only ``success``
or a reward has to be there. One file holds the episodes of one policy.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.contract.text import MAX_JSON_BYTES, parse_json, read_text
from parity.errors import ArtifactError, UsageError
from parity.evaluation.model import Episode, EvaluationLog
from parity.evaluation.registry import read_head
from parity.evaluation.values import MAX_EPISODES, number, records, whole, yes_or_no

NAMES: Mapping[str, tuple[str, ...]] = {
    "suite": ("suite", "task_suite", "task_suite_name", "task_group", "env", "environment", "env_name"),
    "task": ("task", "task_name", "task_id", "task_description"),
    "episode": ("episode_index", "episode_ix", "episode_idx", "episode_id", "episode", "trial", "trial_id", "pose_id"),
    "seed": ("seed", "episode_seed", "env_seed"),
    "success": ("success", "is_success", "succeeded", "task_success"),
    "total_reward": ("total_reward", "sum_reward", "return", "return_", "episode_return"),
    "max_reward": ("max_reward", "sim_max_reward"),
    "length": ("length", "n_steps", "num_steps", "episode_length", "steps", "steps_taken"),
    "problem": ("errored", "failure_reason", "error"),
    "policy": ("policy", "policy_name", "model", "model_name"),
}
_LISTS = ("episodes", "results", "per_episode", "trials")  # under which a JSON object may hold its rows
_TAIL = 65536  # bytes of Parquet in which its footer lies


class Reader:
    """Reads a table of episodes."""

    rank = 80

    def matches(self, artifact: Artifact) -> bool:
        """Whether its columns are those of episodes."""
        if artifact.kind not in ("json", "other", "yaml"):
            return False
        head = read_head(artifact.path)
        if head.startswith(b"PAR1"):
            return _is_parquet_rows(artifact.path)
        first = head.decode("utf-8-sig", "replace").splitlines()[:1]
        if artifact.kind == "json":
            return _is_json_rows(artifact.path, first[0] if first else "")
        return bool(first) and _are_columns(_split(first[0]))

    def read(self, artifact: Artifact) -> EvaluationLog:
        """Return the log."""
        where = str(artifact.path)
        kind, rows = _rows(artifact)
        if not rows:
            return EvaluationLog(where, kind)
        columns = {role: next((n for n in names if n in rows[0]), None) for role, names in NAMES.items()}
        policies = {str(r.get(columns["policy"])) for r in rows} if columns["policy"] else set()
        if len(policies) > 1:
            raise ArtifactError(
                f"{where}: episodes of {len(policies)} policies: {', '.join(sorted(policies)[:5])}",
                expected="the episodes of one policy",
                remedy="give each policy a file of its own",
            )
        found = [_episode(row, columns, f"{where}: row {i + 1}") for i, row in enumerate(rows)]
        return EvaluationLog(
            where, kind, tuple(_known_starts(found)), facts={"policy": p} if (p := next(iter(policies), "")) else {}
        )


def _are_columns(names: Iterable[str]) -> bool:
    """Whether there is an outcome, and something that says which episode it is of."""
    found = set(names)
    has = {role for role, known in NAMES.items() if found & set(known)}
    return bool(has & {"success", "total_reward", "max_reward"}) and bool(has & {"episode", "seed", "task", "suite"})


def _split(line: str) -> list[str]:
    return [c.strip() for c in next(csv.reader([line], delimiter=_delimiter(line)), [])]


def _delimiter(line: str) -> str:
    return max((",", ";", "\t"), key=line.count)


def _is_parquet_rows(path: Path) -> bool:
    """Whether the footer has the columns of episodes; without pyarrow, whether it may: `read` says what lacks."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        with path.open("rb") as f:
            f.seek(max(0, path.stat().st_size - _TAIL))
            return b"success" in f.read(_TAIL)
    try:
        return _are_columns(parquet.read_schema(path).names)
    except (OSError, ValueError, RuntimeError):
        return False


def _is_json_rows(path: Path, first: str) -> bool:
    try:
        row = json.loads(first)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict) and _are_columns(row):
        return True  # JSON lines
    try:
        found = _json_rows(parse_json(read_text(path, MAX_JSON_BYTES), str(path)))
    except ArtifactError:
        return False
    return bool(found) and isinstance(found[0], dict) and _are_columns(found[0])


def _json_rows(data: Any) -> list[Any]:
    if isinstance(data, dict):
        data = next((data[k] for k in _LISTS if isinstance(data.get(k), list)), None)
    return data if isinstance(data, list) else []


def _rows(artifact: Artifact) -> tuple[str, list[dict[str, Any]]]:
    """Return what kind of table it is, and its rows."""
    path, where = artifact.path, str(artifact.path)
    if read_head(path).startswith(b"PAR1"):
        return "table of episodes, Parquet", _parquet(path)
    text = read_text(path, MAX_JSON_BYTES)
    if artifact.kind != "json":
        lines = csv.DictReader(io.StringIO(text), delimiter=_delimiter(text.split("\n", 1)[0]), skipinitialspace=True)
        try:
            rows = [{str(k).strip(): v for k, v in row.items()} for row in lines]
        except csv.Error as e:
            raise ArtifactError(
                f"{where}: no readable CSV ({e})", expected="a header and a row for each episode"
            ) from None
        return "table of episodes, CSV", records(rows, where)
    first = text.split("\n", 1)[0].strip()
    if first.startswith("{") and first.endswith("}") and text.strip() != first:
        lines_of = [line for line in text.splitlines() if line.strip()]
        return "table of episodes, JSON lines", records(
            [parse_json(line, f"{where}: line {i + 1}") for i, line in enumerate(lines_of)], where
        )
    return "table of episodes, JSON", records(_json_rows(parse_json(text, where)), where)


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(
            f"{path}: pyarrow is not installed, which reads Parquet", remedy="pip install 'policy-parity[data]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_EPISODES:
                raise ArtifactError(f"{path}: {file.metadata.num_rows:,} rows", expected=f"at most {MAX_EPISODES:,}")
            names = [n for n in file.schema_arrow.names if any(n in known for known in NAMES.values())]
            rows: list[dict[str, Any]] = file.read(columns=names).to_pylist()
    except (OSError, ValueError, RuntimeError, MemoryError) as e:
        raise ArtifactError(f"{path}: Parquet that cannot be read ({str(e)[:200]})", remedy="fetch it again") from None
    return rows


def _episode(row: Mapping[str, Any], columns: Mapping[str, str | None], where: str) -> Episode:
    value = {role: row.get(name) if name is not None else None for role, name in columns.items()}
    names = [str(value[r]) for r in ("suite", "task") if columns[r] is not None]
    seed = whole(value["seed"], f"{where}: {columns['seed']}")
    parts = [] if seed is None else [f"seed {seed}"]
    parts += [f"episode {value['episode']}"] if value["episode"] not in (None, "") else []
    problem = _problem(value["problem"])
    return Episode(
        task="/".join(names) or "task",
        start=", ".join(parts) or None,
        seed=seed,
        success=None if problem else yes_or_no(value["success"], f"{where}: {columns['success']}"),
        total_reward=number(value["total_reward"], f"{where}: {columns['total_reward']}"),
        max_reward=number(value["max_reward"], f"{where}: {columns['max_reward']}"),
        length=whole(value["length"], f"{where}: {columns['length']}"),
        problem=problem,
    )


def _problem(value: Any) -> str:
    text = str(value if value is not None else "").strip()
    return "" if text.lower() in ("", "false", "0", "none", "nan", "null", "no") else text


def _known_starts(episodes: list[Episode]) -> list[Episode]:
    """Return the episodes; where rows share a bare seed, it is that of the run and says nothing of how each began."""
    counts = Counter((e.task, e.start) for e in episodes)
    shared = {
        e.task for e in episodes if e.seed is not None and e.start == f"seed {e.seed}" and counts[e.task, e.start] > 1
    }
    return [replace(e, start=None) if e.task in shared else e for e in episodes]


READER = Reader()
