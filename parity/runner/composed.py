"""A graph with its pre- and post-processing around it: raw observations in, physical actions out.

The graph runs in its runner's worker as ever; the pipeline's steps run here, by the formulas of its framework and era.
What stands between the two is made explicit: which array is which input of the graph, the window of observations that
the policy's queue would hold, padding to the graph's width, the executed steps of a trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from parity.contract.adapter import Adapter
from parity.contract.model import Contract
from parity.errors import ArtifactError
from parity.runner.base import Progress, RunResult, Session, SessionInfo, Variant
from parity.stats.pipeline import Pipeline, applied
from parity.stats.steps import Arrays, Step
from parity.tensor import Array, Block

if TYPE_CHECKING:
    from parity.tensor import TensorSpec

LEADING = 2  # blocks are (N, B, ...)
GRAPH = "graph:"  # before the name of an output: what post-processing takes, in the graph's own numbers


@dataclass(frozen=True, slots=True)
class Composition:
    """A pipeline fitted to one graph.

    Attributes:
        pipeline: the steps before and after, as they were read.
        adapter: from the pipeline's names to the graph's, and back.
        fit: steps on the graph's inputs, under the graph's names: windows, padding.
        cut: steps on the graph's outputs before the pipeline's own, under the pipeline's names.
        graph: the graph's own contract, None where it says nothing.
        trusted: the reference's pipeline, where its graph can be compared too: both graphs then take what it makes.
        shown: outputs that are compared before they are unnormalized.
        called: what the reference's pipeline calls raw arrays that this one calls otherwise.
    """

    pipeline: Pipeline
    adapter: Adapter
    fit: tuple[Step, ...] = ()
    cut: tuple[Step, ...] = ()
    graph: Contract | None = None
    trusted: Pipeline | None = None
    shown: tuple[str, ...] = ()
    called: Mapping[str, str] = field(default_factory=dict)

    def inputs(self, arrays: Mapping[str, Array]) -> Arrays:
        """Return what the graph takes, from raw observations ``(N, B, ...)``.

        Raises:
            ParityError: an observation or a statistic is missing, or does not fit.
        """
        return self._fed(self.pipeline.inputs(arrays))

    def inputs_by(self, trusted: Pipeline, arrays: Mapping[str, Array]) -> Arrays:
        """Return what the graph takes where the reference's pipeline stands before it; see `inputs`."""
        made = trusted.inputs({self.called.get(name, name): array for name, array in arrays.items()})
        own = {theirs: ours for ours, theirs in self.called.items()}
        return self._fed({own.get(name, name): array for name, array in made.items()})

    def _fed(self, observations: Arrays) -> Arrays:
        named = self.adapter.inputs(observations)
        return _as_taken(applied(self.fit, named), self.graph.inputs if self.graph else ())

    def outputs(self, arrays: Mapping[str, Array | list[Array]]) -> dict[str, Array | list[Array]]:
        """Return physical actions ``(N, B, ...)``, from what the graph gave (lists where shapes differ).

        Raises:
            ParityError: an output or a statistic is missing, or does not fit.
        """
        if any(isinstance(a, list) for a in arrays.values()):
            n = min((len(a) for a in arrays.values()), default=0)
            rows = [self.outputs({name: a[i] for name, a in arrays.items()}) for i in range(n)]
            return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}  # type: ignore[misc]
        given = self.adapter.outputs(arrays)
        after = applied((*self.cut, *self.pipeline.after), given)
        return {name: _as_given(array, given.get(name)) for name, array in after.items()}

    def before_unnormalizing(self, arrays: Mapping[str, Array | list[Array]]) -> dict[str, Array | list[Array]]:
        """Return the outputs that are shown, as they are before they are unnormalized, under `GRAPH` and their name."""
        if any(isinstance(a, list) for a in arrays.values()):
            n = min((len(a) for a in arrays.values()), default=0)
            rows = [self.before_unnormalizing({name: a[i] for name, a in arrays.items()}) for i in range(n)]
            return {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}  # type: ignore[misc]
        given = applied(self.cut, self.adapter.outputs(arrays))
        return {f"{GRAPH}{name}": given[name] for name in self.shown if name in given}

    def as_json(self) -> dict[str, Any]:
        """Return all steps in order, JSON-able, without the statistics."""
        return {
            "era": self.pipeline.era,
            "before": [s.as_json() for s in (*self.pipeline.before, *self.fit)],
            "after": [s.as_json() for s in (*self.cut, *self.pipeline.after)],
        }


def _as_taken(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Arrays:
    """Return the arrays in the graph's float type, float32 where it does not say (openpi gives float64)."""
    import numpy as np

    declared = {t.name: t.dtype for t in specs}
    result: Arrays = {}
    for name, array in arrays.items():
        wanted = declared.get(name) or "float32"
        apart = array.dtype.kind == "f" and wanted in ("float16", "float32", "float64") and array.dtype.name != wanted
        result[name] = array.astype(np.dtype(wanted)) if apart else array
    return result


def _as_given(array: Array, given: Array | None) -> Array:
    """Return an output in the float type in which the graph gave it: openpi un-normalizes in float64."""
    wider = given is not None and array.dtype.kind == "f" and given.dtype.kind == "f" and array.dtype != given.dtype
    return array.astype(given.dtype) if wider and given is not None else array


class ComposedSession:
    """A session whose policy is a graph with its pipeline; see `parity.runner.base.Session`."""

    def __init__(self, session: Session, composition: Composition) -> None:
        self._session, self._composition = session, composition

    @property
    def info(self) -> SessionInfo:
        """What really ran, with the pipeline's steps in ``environment``."""
        info = self._session.info
        return replace(info, environment={**info.environment, "pipeline": self._composition.as_json()})

    @info.setter
    def info(self, value: SessionInfo) -> None:
        self._session.info = value

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the block of raw observations; see `parity.runner.base.Session.run`.

        Raises:
            ParityError: an observation, an output or a statistic is missing, or does not fit.
        """
        fed = replace(block, inputs=self._composition.inputs(block.inputs))
        result = self._session.run(fed, variant, repeat=repeat, progress=progress)
        if not result.completed:
            return result
        outputs = self._composition.outputs(result.outputs)
        differs = self._differs(result, outputs)
        if not self._composition.shown:
            return replace(result, outputs=outputs, repeat_differs=differs)
        alone = self._alone(block, fed, result, variant)
        if alone.failure is not None and result.failure is None:
            result = replace(result, completed=alone.completed, failure=alone.failure)
        outputs |= self._composition.before_unnormalizing(alone.outputs)
        kept = {name: array[: result.completed] for name, array in outputs.items()}
        return replace(result, outputs=kept, repeat_differs=differs)

    def _alone(self, block: Block, fed: Block, result: RunResult, variant: Variant) -> RunResult:
        """Return what the graph gives for what the reference's pre-processing makes; its own where that is the same."""
        import numpy as np

        trusted = self._composition.trusted
        if trusted is None:
            return result
        inputs = self._composition.inputs_by(trusted, block.inputs)
        if all(np.array_equal(array, fed.inputs[name], equal_nan=True) for name, array in inputs.items()):
            return result
        return self._session.run(replace(fed, inputs=inputs), variant)

    def _differs(self, result: RunResult, outputs: Mapping[str, Array | list[Array]]) -> dict[str, float]:
        """Return the largest difference of each output between two runs, in physical units."""
        import numpy as np

        if not result.repeat_differs:
            return {}
        gaps = result.repeat_differs
        moved = {n: _moved(a, gaps.get(n, 0.0)) for n, a in result.outputs.items()}
        found: dict[str, float] = {}
        for name, other in self._composition.outputs(moved).items():
            pairs = zip(other, outputs[name], strict=True)
            found[name] = max((float(np.abs(np.asarray(a) - np.asarray(b)).max(initial=0.0)) for a, b in pairs))
        return {name: gap for name, gap in found.items() if gap > 0 or not np.isfinite(gap)}

    def close(self) -> None:
        """End the session."""
        self._session.close()


def _moved(values: Array | list[Array], gap: float) -> Any:
    if isinstance(values, list):
        return [_moved(v, gap) for v in values]
    return values + values.dtype.type(gap) if values.dtype.kind == "f" else values


def refuse_whole(kind: str, name: str) -> None:
    """Refuse a pipeline around what already is a whole policy: it would normalize twice.

    Raises:
        ArtifactError: the artifact is a LeRobot folder, or recorded outputs.
    """
    if kind in ("folder", "trace", "npz"):
        what = "a LeRobot folder normalizes by itself" if kind == "folder" else "what was recorded is as it was given"
        raise ArtifactError(f"{name}: {what}; a `pipeline` around it would be applied twice", remedy="leave it out")
