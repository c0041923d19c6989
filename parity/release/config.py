"""`parity.toml`, parsed strictly: an unknown key is an error that names it and the nearest known one."""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from parity.errors import UsageError
from parity.release.config_sides import (
    CandidateTable,
    LoopTable,
    PipelineTable,
    ReferenceTable,
    RunnerTable,
    StageTable,
)
from parity.release.config_sides import Table as Strict
from parity.release.many import expanded

MAX_BYTES = 4 << 20


class Table(Strict, BaseModel):
    """A table of `parity.toml`."""


class ReleaseTable(Table):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42


class CasesTable(Table):
    nominal: Annotated[int, Field(ge=0, le=1_000_000)] = 16
    edge: bool = True
    worst: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    inputs: str | None = None
    batch: Annotated[int, Field(ge=1)] | None = None
    dims: dict[str, Annotated[int, Field(ge=1)]] = {}


Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BudgetTable(Table):
    max_abs: float | list[float] | None = None
    mean_abs: Limit | None = None
    rmse: Limit | None = None
    p99_abs: Limit | None = None
    rel: Limit | None = None
    max_ulp: Annotated[int, Field(ge=0)] | None = None
    cosine_min: Annotated[float, Field(ge=-1, le=1)] | None = None
    allow_nan: bool = False
    units: str | None = None
    scale: float | list[float] | None = None

    @model_validator(mode="after")
    def _limits(self) -> BudgetTable:
        numbers = self.max_abs if isinstance(self.max_abs, list) else [self.max_abs]
        if any(n is not None and not (n >= 0 and n != float("inf")) for n in numbers):
            raise ValueError("max_abs must be finite and not negative")
        gains = self.scale if isinstance(self.scale, list) else [self.scale]
        if any(g is not None and not 0 < abs(g) < float("inf") for g in gains):
            raise ValueError("scale must be finite and not zero: it turns the graph's numbers into physical units")
        if [] in (self.max_abs, self.scale):
            raise ValueError("a list without numbers limits nothing")
        return self


class InputTable(Table):
    """What the user says of one input or output, where no artifact does: ``[contract.inputs.obs]``."""

    shape: list[int | str] | None = None
    dtype: str | None = None
    role: str | None = None
    low: float | list[float] | None = None
    high: float | list[float] | None = None
    units: str | None = None
    elements: list[str] | None = None


class ContractTable(Table):
    """What is told of the policy beside its artifacts: in configurations of its deployment, and here."""

    files: list[str] = []
    inputs: dict[str, InputTable] = {}
    outputs: dict[str, InputTable] = {}


class StatsTable(Table):
    """Sources of normalization statistics that are to agree, and a dataset to compute them again from."""

    sources: list[Annotated[str, Field(min_length=1)]] = []
    dataset: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _something(self) -> StatsTable:
        if not self.sources and self.dataset is None:
            raise ValueError('names no source: give sources = ["dp_model", "data/pusht"], or leave it out')
        return self


class TimingTable(Table):
    """How a policy is driven, where its artifact does not say: all in frames of the dataset.

    ``ensemble``: the coefficient of ACT's temporal ensembling, false for none whatever the artifact says.
    """

    n_obs_steps: Annotated[int, Field(ge=1)] | None = None
    first: Annotated[int, Field(ge=0)] | None = None
    n_action_steps: Annotated[int, Field(ge=1)] | None = None
    ensemble: Annotated[float, Field(allow_inf_nan=False)] | Literal[False] | None = None
    control_hz: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @field_validator("ensemble", mode="before")
    @classmethod
    def _coefficient(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("give the coefficient of the ensembling, such as 0.01, or false for none")
        return float(value) if type(value) is int else value  # 0 weighs all alike: it is not false

    @model_validator(mode="after")
    def _asked_at_every_frame(self) -> TimingTable:
        ensembled = self.ensemble is not None and self.ensemble is not False
        if ensembled and self.n_action_steps not in (None, 1):
            raise ValueError("ensemble asks the policy at every frame: leave out n_action_steps, or set it to 1")
        return self


class ClassTable(Table):
    """An output that is a class: ``label`` is the feature that holds the recorded ones, ``threshold`` the logit from
    which on it is class 1 (of one number; of several the largest counts), ``flips`` the share of frames that may flip.
    """

    label: Annotated[str, Field(min_length=1)] | None = None
    threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    flips: Annotated[float, Field(ge=0, le=1)] = 0.0


class ReplayTable(TimingTable):
    """Recorded data to be replayed. ``every``: the policies are asked at every such frame (default: when they have
    executed what they were asked for). ``observations``: feature by input. ``sides``: timing of one side alone.
    ``classes``: outputs that are a class and no action.
    """

    dataset: Annotated[str, Field(min_length=1)] | None = None
    episodes: str | None = None
    columns: dict[str, str] = {}
    every: Annotated[int, Field(ge=1)] | None = None
    observations: dict[str, str] = {}
    action: str | None = None
    padding: Literal["first", "zeros"] = "first"
    samples: Annotated[int, Field(ge=2, le=4096)] = 64
    gripper: list[int] = []
    train_action_mse_error: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    sides: dict[str, TimingTable] = {}
    classes: dict[str, ClassTable] = {}


class WeightsTable(Table):
    """Which checkpoints candidates may be made from: paths or patterns. ``candidates``: which of them; all if empty."""

    checkpoints: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
    candidates: list[str] = []


class WaiverTable(Table):
    finding: str
    candidate: str | None = None
    where: str | None = None
    reason: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    until: dt.date


class Config(Table):
    """A whole `parity.toml`."""

    release: ReleaseTable
    reference: ReferenceTable
    candidate: Annotated[list[CandidateTable], Field(min_length=1)]
    cases: CasesTable | None = None
    budgets: dict[str, dict[str, BudgetTable]] = {}
    adapter: dict[str, dict[str, Any]] = {}
    contract: ContractTable = ContractTable()
    stats: StatsTable | None = None
    replay: ReplayTable = ReplayTable()
    weights: WeightsTable | None = None
    waiver: list[WaiverTable] = []

    @model_validator(mode="after")
    def _names(self) -> Config:
        names = [c.name for c in self.candidate]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"two candidates are called {', '.join(sorted(twice))}")
        weighed = [] if self.weights is None else self.weights.candidates
        named = [(f"[budgets.{n}]", n, {*names, "default"}) for n in self.budgets]
        named += [(f"[adapter.{n}]", n, set(names)) for n in self.adapter]
        named += [("[weights] candidates", n, set(names)) for n in weighed]
        named += [("[replay.sides]", n, {*names, "reference"}) for n in self.replay.sides]
        for place, name, allowed in named:
            if name not in allowed:
                near = difflib.get_close_matches(name, sorted(allowed), 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{place}: no candidate is called {name!r}{hint}")
        return self


def load_config(path: Path) -> Config:
    """Return the parsed `parity.toml` at ``path``.

    Raises:
        UsageError: it is missing, no TOML, or has an unknown key, a missing one or a wrong value, or a pattern of
            checkpoints that no file has.
    """
    try:
        if path.is_dir():
            path = path / "parity.toml"
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: {path.stat().st_size} bytes are too many for a parity.toml")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file", remedy="write one with `parity init REFERENCE CANDIDATE -o parity.toml`"
        ) from None
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror or e}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text, so not a parity.toml") from None
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path}: not valid TOML: {e}") from None
    return parse_config(expanded(data, path.parent), str(path))


def parse_config(data: Mapping[str, Any], where: str) -> Config:
    """Return ``data`` as a checked `Config`; ``where`` names its source in errors.

    Raises:
        UsageError: an unknown key, a missing one, or a wrong value.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as e:
        raise UsageError(f"{where}: " + "\n".join(_explain(error) for error in e.errors()[:10])) from None


def _explain(error: Any) -> str:
    place = ".".join(str(p) for p in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"
        return f"unknown key {place!r}{hint}"
    if error["type"] == "missing":
        return f"{place!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" + ("" if error["type"] == "value_error" else f" (found {error['input']!r:.80})")


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are known at ``place``, by walking the models."""
    tables: dict[str, type[Strict]] = {
        "release": ReleaseTable,
        "reference": ReferenceTable,
        "candidate": CandidateTable,
        "cases": CasesTable,
        "budgets": BudgetTable,
        "contract": ContractTable,
        "stats": StatsTable,
        "replay": ReplayTable,
        "weights": WeightsTable,
        "waiver": WaiverTable,
    }
    if not place:
        return sorted(Config.model_fields)
    if place[0] == "contract" and len(place) > 2:
        return sorted(InputTable.model_fields)
    if place[0] == "replay" and len(place) > 2:
        return sorted((ClassTable if place[1] == "classes" else TimingTable).model_fields)
    if "stages" in place:
        return sorted(StageTable.model_fields)
    if "loop" in place:
        return sorted(LoopTable.model_fields)
    return sorted(tables[str(place[0])].model_fields) if place[0] in tables else []


__all__ = [
    "BudgetTable",
    "CandidateTable",
    "CasesTable",
    "Config",
    "ContractTable",
    "InputTable",
    "PipelineTable",
    "ReferenceTable",
    "ReplayTable",
    "RunnerTable",
    "TimingTable",
    "WaiverTable",
    "load_config",
    "parse_config",
]
