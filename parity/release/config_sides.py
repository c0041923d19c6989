"""The tables of `parity.toml` that say how a side is run: one artifact, or several stages with the loop around them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MAX_STEPS = 10_000
Text = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A table of `parity.toml`."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, populate_by_name=True)


class PipelineTable(Table):
    """Pre- and post-processing where its artifact does not say all: ``mode`` (openpi), ``inputs`` and ``outputs``
    (key of the statistics by name of the array), ``source`` (which of several sets of statistics), ``era``, ``widths``
    (of raw arrays by name, where the graph's are padded).
    """

    path: Text
    mode: str | None = None
    era: str | None = None
    source: str | None = None
    inputs: dict[str, str] | None = None
    outputs: dict[str, str] | None = None
    widths: dict[str, Annotated[int, Field(ge=1)]] | None = None


class ExecutedTable(Table):
    """How to run one artifact: a side, or a stage of it."""

    runner: str | None = None
    path: str | None = None
    kwargs: dict[str, Any] = {}
    python: str | None = None
    command: list[str] = []
    provider: str | None = None
    device: str | None = None
    options: dict[str, Any] = {}
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    memory_limit_mb: Annotated[int, Field(gt=0)] | None = None


class StageTable(ExecutedTable):
    """One graph of a policy in stages. ``rename``: values by the graph's own names; ``inputs`` and ``outputs``: those
    names, in order, where the artifact does not tell them. What it leaves out it has from the table around it.
    """

    name: Annotated[str, Field(pattern=NAME)]
    rename: dict[Text, Text] = {}
    inputs: list[Text] = []
    outputs: list[Text] = []

    @model_validator(mode="after")
    def _runs(self) -> StageTable:
        if not self.path and not self.command:
            raise ValueError(f"stage {self.name!r} has neither `path` nor `command`")
        return self


class LoopTable(Table):
    """The loop around some stages (the last one, if none is named): see `parity.stages.model.Loop`."""

    stages: list[Text] = []
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    state: Annotated[dict[Text, Text], Field(min_length=1)]
    update: Literal["euler", "replace"] = "euler"
    between: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=2, max_length=2)] | None = (
        None
    )
    time: Text | None = None
    times: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    start: dict[Text, Text] = {}
    result: dict[Text, Text] = {}

    @model_validator(mode="after")
    def _consistent(self) -> LoopTable:
        if self.times is not None and len(self.times) != self.steps:
            raise ValueError(f"`times` has {len(self.times)} numbers for {self.steps} steps")
        if self.times is not None and self.time is None:
            raise ValueError("`times` are told to nobody: name the graph's input as `time`")
        if self.between is not None and self.between[0] == self.between[1]:
            raise ValueError(
                "`between` begins where it ends: say from where to where the time goes, such as [1.0, 0.0]"
            )
        if self.update == "replace" and self.time is not None and self.times is None and self.between is None:
            raise ValueError("say what the graph is told at each step: times = [90, 80, …], or between = [from, to]")
        for key, table in (("start", self.start), ("result", self.result)):
            for name in table:
                if name not in self.state:
                    raise ValueError(f"`{key}` names {name!r}, which is no `state` ({', '.join(self.state)})")
            if len(set(table.values())) < len(table):
                raise ValueError(f"`{key}` gives two states one name")
        if len(set(self.state.values())) < len(self.state):
            raise ValueError("`state` changes two states by one value")
        return self


class RunnerTable(ExecutedTable):
    """How to run one side: shared by ``[reference]`` and ``[[candidate]]``.

    ``checkpoint``: where its weights lie, for one that shows none itself (a factory, a recording). ``pipeline``: the
    pre- and post-processing around a graph that takes normalized observations. ``stages`` instead of ``path``: the
    graphs of a policy that ships as several.
    """

    precision: str | None = None
    noise: list[str] = []
    checkpoint: str | None = None
    pipeline: Text | PipelineTable | None = None
    stages: list[StageTable] = []
    loop: LoopTable | None = None

    @model_validator(mode="after")
    def _staged(self) -> RunnerTable:
        names = [s.name for s in self.stages]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"two stages are called {', '.join(sorted(twice))}")
        if self.stages and (self.path or self.command):
            raise ValueError("has `stages` and a `path` or `command` of its own: which of them is to be run?")
        if self.loop is not None and not self.stages:
            raise ValueError("has a `loop`, but no `stages` to repeat")
        if self.stages and self.pipeline is not None:
            raise ValueError("a `pipeline` around `stages` is not judged by this version: leave it out")
        return self


class ReferenceTable(RunnerTable):
    """The trusted side."""


class CandidateTable(RunnerTable):
    """What is under test.

    ``artifact``: the file that answered, where `path` is a recording or `command` a program; its weights and contract
    are judged beside the outputs. ``soc``: the chip that it has to run on, such as Ascend310P3.
    """

    artifact: Text | None = None
    soc: Annotated[str, Field(pattern=r"^Ascend[0-9A-Za-z_-]{2,40}$")] | None = None
    name: Annotated[str, Field(pattern=NAME)]
    checkpoints: None = None  # many candidates in one table: see `parity.release.many`

    @model_validator(mode="after")
    def _named(self) -> CandidateTable:
        if self.name in ("default", "reference"):
            raise ValueError(f"{self.name!r} is no valid candidate name")
        if self.artifact is not None and self.stages:
            raise ValueError("artifact is of a candidate that is one file, and this one has stages")
        return self
