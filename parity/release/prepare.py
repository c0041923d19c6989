"""From artifacts to a plan: contracts joined, adapters found, cases made. Nothing runs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parity.cases import cases_from_npz, make_cases
from parity.cases.layout import batch_axis
from parity.contract import Contract
from parity.contract.adapter import Adapter, infer_adapter
from parity.contract.join import join, with_siblings
from parity.contract.recurrent import keeps_state
from parity.errors import ParityError, UsageError
from parity.finding import Finding
from parity.release.batches import Batches, batches_of, is_batch
from parity.release.config import CasesTable, Config, ContractTable, InputTable
from parity.release.configured import files_json, with_files
from parity.release.facts import Facts
from parity.release.names import budgeted, refuse_unknown
from parity.release.normalization import Surveying, surveying
from parity.release.piped import check_units, levels_of, with_graphs, with_pipelines
from parity.release.plan import WORST_KEPT, Plan, make_plan
from parity.release.replay_asked import Replaying, by_draws, replaying
from parity.release.sides import Side
from parity.release.stages_plan import StagesPlan, plan_stages, seldom_looked_at, whole_reference
from parity.release.stages_sides import resolve_side, with_programs
from parity.release.state import SEQUENCE, not_carried, sequence, with_state_kept
from parity.release.weights import Weighing, weighing
from parity.runner.base import Failure, RunnerSpec
from parity.runner.composed import GRAPH
from parity.tensor import Case, Range, TensorSpec
from parity.trace import Trace

FOLDER_NOISE = ("noise", "step_noise")  # what the worker hands to lerobot's sampler, see worker/torch_lerobot.py
HASHED_ALIKE = (
    "onnx",
    "torchscript",
    "pt2",
    "openvino",
    "om",
    "command",
    "checkpoint",
)  # kinds whose worker hashes as `digest` does


@dataclass(slots=True)
class Prepared:
    """A release that is ready to run: sides, the contract they share, adapters, cases and the plan.

    ``batches`` are the batch cases: only candidates that take batches run them. ``graphs``: by candidate at policy
    level, the outputs of its graph that are judged besides. ``weighing``: whose weights are asked; ``surveying``: whose
    normalization statistics; ``replaying``: which recorded data; ``by_draws``: candidates of which only these can tell.
    ``configured``: the artifact entries of the configurations that the user named. ``stages``: what is compared of
    the graphs that a policy ships as.
    """

    root: Path
    reference: Side
    candidates: list[Side]
    contract: Contract
    adapters: dict[str, Adapter]
    cases: list[Case]
    plan: Plan
    batches: Batches = field(default_factory=Batches)
    graphs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    worst_evaluations: int = 0
    weighing: Weighing = field(default_factory=Weighing)
    configured: list[dict[str, Any]] = field(default_factory=list)
    surveying: Surveying = field(default_factory=Surveying)
    replaying: Replaying = field(default_factory=Replaying)
    by_draws: frozenset[str] = frozenset()
    stages: StagesPlan = field(default_factory=StagesPlan)

    @property
    def ranges(self) -> dict[str, Range]:
        """Ranges of the contract's inputs, by name, where they are known."""
        return {t.name: t.range for t in self.contract.inputs if t.range is not None}

    @property
    def assembled(self) -> Mapping[str, tuple[str, ...]]:
        """The single cases that are the rows of each batch case that the reference does not run."""
        return self.batches.rows

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All outputs that are compared: the contract's, those of graphs with a pipeline around them, of stages."""
        shown = dict.fromkeys(o for names in self.graphs.values() for o in names)
        known = {o: self.contract.output(o.removeprefix(GRAPH)) for o in shown}
        inner = (replace(t, name=o, units=None, range=None) if t else TensorSpec(o) for o, t in known.items())
        return (*self.contract.outputs, *inner, *self.stages.specs)

    def output(self, name: str) -> TensorSpec | None:
        """Return the output called ``name``, or None."""
        return next((t for t in self.outputs if t.name == name), None)

    def cases_of(self, side: Side) -> list[Case]:
        """Return the cases that ``side`` runs."""
        if side is self.reference:
            return [c for c in self.cases if c.id not in self.assembled]
        return [c for c in self.cases if side.name in self.batches.takers.get(c.id, (side.name,))]

    def add_worst(self, cases: Sequence[Case]) -> None:
        """Take in the inputs that the search found."""
        self.cases.extend(cases)

    def spec_of(self, side: Side) -> RunnerSpec:
        """Return the side's runner with the inputs and outputs it is to be fed and to give, in its own names."""
        own = side.graph
        adapted = (side.name in self.adapters or side.pipeline is not None) and own is not None
        inputs = own.inputs if adapted and own and own.inputs else self.contract.inputs
        outputs = own.outputs if adapted and own and own.outputs else self.contract.outputs
        return replace(side.spec, inputs=tuple(inputs), outputs=tuple(outputs))

    def check_loaded(self, side: Side, facts: Facts) -> None:
        """Note a failure where the bytes that the worker loaded are not those that were hashed."""
        kind = side.artifact.kind if side.artifact else side.spec.runner
        loaded = facts.loaded_sha256
        if kind in HASHED_ALIKE and loaded is not None and side.sha256 is not None and loaded != side.sha256:
            facts.failure = Failure(
                "load",
                f"{side.spec.path} changed while it was being tested: {side.sha256[:12]} was hashed, "
                f"{loaded[:12]} was loaded",
            )


def prepare(config: Config, root: Path, *, strict: bool) -> Prepared:
    """Return the release that ``config`` describes, ready to run. Paths are relative to ``root``.

    With ``strict`` an unreadable candidate raises; else it is kept with its problem and cannot be judged.

    Raises:
        UsageError: what is needed to make cases is nowhere to be found, or the configuration contradicts itself.
        ArtifactError: the reference, or with ``strict`` a candidate, cannot be read.
    """
    reference = resolve_side(config.reference, "reference", root, {}, strict=strict)
    adapting = config.adapter
    candidates = [resolve_side(c, c.name, root, adapting.get(c.name, {}), strict=strict) for c in config.candidate]
    _refuse_replay(config, [reference, *candidates])
    (reference, *candidates), joined = with_programs([reference, *candidates], strict=strict)
    joined += whole_reference(reference, candidates)
    reference, *candidates = with_state_kept([reference, *candidates])
    (reference, *candidates), assumed = with_pipelines([reference, *candidates], strict=strict)
    contract, findings = joint_contract(reference, candidates, config.contract)
    contract, told = with_files(contract, config.contract.files, root)
    adapters, more = _adapters(contract, candidates)
    settings = config.cases or CasesTable()
    cases, made = _cases(config, reference, candidates, contract, root)
    batches = batches_of(cases, contract, candidates)
    cases += batches.cases
    outputs = [t.name for t in contract.outputs]
    if not outputs:
        raise UsageError(
            "the outputs of the policy cannot be told without running it",
            remedy='name them, in order, in parity.toml: [contract.outputs.action] shape = ["batch", 16, 2]',
        )
    stages = plan_stages(reference, candidates, cases)
    refuse_unknown(budgeted(config), [*outputs, *stages.values])
    noise = [(f"noise of {c.name}", n) for c in config.candidate for n in c.noise]
    refuse_unknown(noise, [t.name for t in contract.inputs])
    live = all(s.spec.runner != "recorded" for s in (reference, *candidates))
    worst = settings.worst if live else 0
    if settings.worst and not worst:
        made.append(_no_search())
    drawing = by_draws(reference, candidates) if config.replay.dataset else frozenset()
    names = [c.name for c in candidates if c.name not in drawing]
    kept = min(WORST_KEPT, worst)
    levels = levels_of(reference, candidates)
    reference, candidates, graphs = with_graphs(reference, candidates, adapters)
    check_units(config, levels, graphs)
    named = (config.release.name, config.release.seed, names)
    plan = make_plan(*named, cases, outputs, kept, batches.takers, levels, graphs, stages.of, stages.looks_at)
    joined += seldom_looked_at(stages, cases)
    findings += joined + assumed + told + more + made
    return Prepared(
        root,
        reference,
        candidates,
        contract,
        adapters,
        cases,
        plan,
        batches,
        graphs,
        findings,
        worst,
        weighing=weighing(config, root),
        surveying=surveying(config, root),
        replaying=replaying(config, root),
        by_draws=drawing,
        stages=stages,
        configured=files_json(config.contract.files, root),
    )


def _refuse_replay(config: Config, sides: Sequence[Side]) -> None:
    staged = [s.name for s in sides if s.staged is not None]
    if staged and config.replay.dataset is not None:
        raise UsageError(
            f"[replay]: {staged[0]} is in stages, which this version does not replay",
            remedy="leave [replay] out, or give the policy as one graph",
        )


def _no_search() -> Finding:
    return Finding(
        "CASE090",
        "info",
        "A recorded side cannot answer new inputs, so no search for worst cases is possible; none is planned.",
        remedy="judge live runners to search",
    )


def joint_contract(reference: Side, candidates: Sequence[Side], table: ContractTable) -> tuple[Contract, list[Finding]]:
    """Return the contract that all sides share, completed by what the user says."""
    known = [s.contract for s in (reference, *candidates) if s.contract is not None]
    findings = [
        f.for_candidate(s.name if s is not reference else None)
        for s in (reference, *candidates)
        if s.contract is not None
        for f in s.contract.findings
    ]
    contract = join(known) if known else Contract(Path(reference.spec.path), "user")
    if known:
        contract = with_siblings(contract)
        findings += [f for f in contract.findings if f not in findings and f.code.startswith("INSP")]
    inputs = _told((*contract.inputs, *_noise(contract, reference, candidates)), table.inputs)
    outputs = _told(contract.outputs, table.outputs)
    return replace(contract, inputs=inputs, outputs=outputs), findings


def _noise(contract: Contract, reference: Side, candidates: Sequence[Side]) -> list[TensorSpec]:
    """Return the noise that candidates take, where the reference is a LeRobot folder: lerobot takes it in, if given."""
    if not contract.inputs or reference.artifact is None or reference.artifact.kind != "folder":
        return []
    taken = [(s, t) for s in candidates if s.contract is not None for t in s.contract.inputs if t.name in FOLDER_NOISE]
    found = {t.name: replace(t, role="noise") for s, t in taken if t.role == "noise" or t.name in s.noise}
    return [t for name, t in found.items() if contract.input(name) is None]


def _told(specs: Sequence[TensorSpec], table: Mapping[str, InputTable]) -> tuple[TensorSpec, ...]:
    """Return the specs with what ``[contract]`` says put over them; names that are new come last."""
    by_name = {t.name: t for t in specs}
    for name, row in table.items():
        spec = by_name.get(name, TensorSpec(name))
        told: dict[str, Any] = {
            "shape": None if row.shape is None else tuple(row.shape),
            "dtype": row.dtype,
            "role": row.role,
            "units": row.units,
            "elements": None if row.elements is None else tuple(row.elements),
            "range": _user_range(name, row),
        }
        by_name[name] = replace(spec, **{k: v for k, v in told.items() if v is not None})
    return tuple(by_name.values())


def _user_range(name: str, row: InputTable) -> Range | None:
    if row.low is None or row.high is None:
        return None
    low = tuple(row.low) if isinstance(row.low, list) else (row.low,)
    high = tuple(row.high) if isinstance(row.high, list) else (row.high,)
    if len(low) != len(high):
        raise UsageError(f"[contract.inputs.{name}]: low has {len(low)} numbers, high {len(high)}")
    shape = () if not isinstance(row.low, list) else (len(low),)
    return Range("min_max", low, high, shape, f"parity.toml [contract.inputs.{name}]")


def _adapters(contract: Contract, candidates: Sequence[Side]) -> tuple[dict[str, Adapter], list[Finding]]:
    """Return the adapter of each candidate that names or splits things differently than the contract."""
    adapters: dict[str, Adapter] = {}
    findings: list[Finding] = []
    for side in candidates:
        if side.adapter and side.pipeline is None:  # else it joins the graph to its pipeline
            adapters[side.name] = Adapter.from_table(side.adapter, side.contract, contract)
        elif side.contract is not None and side.contract.complete and side.contract.inputs:
            try:
                adapters[side.name], notes = infer_adapter(contract, side.contract)
            except ParityError as e:
                raise UsageError(f"{side.name}: {e.message}", expected=e.expected, remedy=e.remedy) from None
            findings += [f.for_candidate(side.name) for f in notes]
    return adapters, findings


def _cases(
    config: Config, reference: Side, candidates: Sequence[Side], contract: Contract, root: Path
) -> tuple[list[Case], list[Finding]]:
    """Return the cases, and what is to be said of them."""
    settings = config.cases or CasesTable()
    known = [s.contract for s in (reference, *candidates) if s.contract is not None]
    stateful = any(keeps_state(c) for c in known)
    recorded = next((s for s in (reference, *candidates) if s.spec.runner == "recorded" and s.problem is None), None)
    if recorded is not None:
        cases = _recorded_cases(recorded, config.cases)
        return cases, list(not_carried(cases)) if stateful else []
    if settings.inputs is not None:
        made = cases_from_npz(root / settings.inputs, contract)
        return [*made.cases, *(sequence(made.cases) if stateful else [])], list(made.findings)
    batch = settings.batch or _fixed_batch([contract, *known]) or 1
    made = make_cases(
        contract,
        seed=config.release.seed,
        nominal=settings.nominal,
        edge=settings.edge,
        batch=batch,
        bind=settings.dims,
    )
    cases, findings = list(made.cases), list(made.findings)
    nominal = [c for c in cases if c.profile == "nominal"]
    if stateful:
        cases[len(nominal) : len(nominal)] = sequence(nominal or cases)
    return cases, findings


def _recorded_cases(side: Side, settings: CasesTable | None) -> list[Case]:
    """Return the cases of a recorded side: only these can be judged. ``[cases]`` must agree with them or be absent."""
    path = Path(side.spec.path)
    with Trace.open(path) as trace:
        cases = [Case(c.id, c.profile, c.seed, trace.inputs(c.id), c.note) for c in trace.cases]
    if settings is not None:
        made = [c for c in cases if not c.id.startswith(SEQUENCE) and not is_batch(c.id)]
        nominal = sum(c.profile == "nominal" for c in made)
        edge = any(c.profile == "edge" for c in cases)
        if (settings.nominal, settings.edge) != (nominal, edge):
            raise UsageError(
                f"[cases] asks for nominal = {settings.nominal}, edge = {str(settings.edge).lower()}, but {path.name} "
                f"records nominal = {nominal}, edge = {str(edge).lower()}",
                remedy="leave [cases] out with a recording, or record again",
            )
    return cases


def _fixed_batch(contracts: Sequence[Contract]) -> int | None:
    """Return the batch size that some artifact is fixed to, if any.

    Raises:
        UsageError: two artifacts are fixed to different ones.
    """
    sizes = {t.shape[batch_axis(t) or 0] for c in contracts for t in c.inputs if t.batched and t.shape}
    fixed = {s for s in sizes if isinstance(s, int)}
    if len(fixed) > 1:
        raise UsageError(
            f"the artifacts are exported for different batch sizes: {', '.join(map(str, sorted(fixed)))}",
            remedy="export them for the same batch, or with a dynamic batch axis",
        )
    return fixed.pop() if fixed else None
