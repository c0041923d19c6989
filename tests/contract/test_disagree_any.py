"""Whatever two contracts say: no crash, the same kinds from both sides, a join that keeps the first, valid JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parity.cli.inspect import inspection
from parity.cli.inspecting import facts, rows
from parity.contract import Contract, Normalization, Sampler, Window
from parity.contract.adapter import infer_adapter
from parity.contract.disagree import disagreements, only_one_says
from parity.contract.join import join
from parity.errors import UsageError
from parity.report.json_file import encode
from parity.tensor import Range, TensorSpec

dims = st.one_of(st.none(), st.sampled_from(["batch", "n", ""]), st.integers(0, 3))
numbers = st.floats(width=32)
ranges = st.builds(
    lambda kind, values: Range(kind, tuple(values), tuple(values[::-1]), (len(values),), "s"),
    st.sampled_from(["mean_std", "min_max", "quantiles"]),
    st.lists(numbers, min_size=1, max_size=3),
)
specs = st.builds(
    TensorSpec,
    name=st.one_of(st.sampled_from(["obs", "x", "action", "observation.state", "15", ""]), st.text(max_size=3)),
    shape=st.one_of(st.none(), st.lists(dims, max_size=5).map(tuple)),
    dtype=st.sampled_from([None, "float32", "float16", "int64", "bool", "bfloat16"]),
    role=st.sampled_from([None, "state", "image", "action", "noise", "timestep"]),
    units=st.sampled_from([None, "rad", "deg"]),
    elements=st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=3).map(tuple)),
    range=st.one_of(st.none(), ranges),
    batched=st.booleans(),
)
tensors = st.lists(specs, max_size=4, unique_by=lambda t: t.name).map(tuple)
steps = st.one_of(st.none(), st.integers(0, 4), st.just("${n}"))
metadata = st.dictionaries(
    st.sampled_from(["joint_names", "action_scale", "kp", "control_dt", "default_joint_pos", "deep"]),
    st.recursive(
        st.one_of(st.none(), st.booleans(), numbers, st.integers(), st.text(max_size=4), st.just("1,2,3")),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.just("kp"), inner, max_size=1)),
        max_leaves=4,
    ),
    max_size=4,
)
contracts = st.builds(
    Contract,
    path=st.sampled_from([Path("a.onnx"), Path("b/a.onnx"), Path("c.pt")]),
    kind=st.just("onnx"),
    policy=st.sampled_from([None, "act", "diffusion"]),
    inputs=tensors,
    outputs=tensors,
    window=st.builds(Window, steps, steps, steps, steps, st.one_of(st.none(), numbers)),
    normalization=st.dictionaries(
        st.sampled_from(["STATE", "ACTION", "obs", "action"]), st.sampled_from(["MIN_MAX", "limits", "MEAN_STD"])
    ).map(Normalization),
    sampler=st.one_of(st.none(), st.builds(Sampler, beta_start=numbers, clip_sample=st.booleans())),
    complete=st.booleans(),
    metadata=metadata,
)


def kinds(found: list[Any]) -> list[tuple[str, str]]:
    return sorted((d.kind, d.severity) for d in found)


@given(contracts, contracts)
def test_two_contracts(a: Contract, b: Contract) -> None:
    found = disagreements(a, b)
    a2, b2 = replace(a, complete=True), replace(b, complete=True)
    assert kinds(disagreements(a2, b2)) == kinds(disagreements(b2, a2))
    joined = join([a, b])
    assert len(joined.inputs) == len(a.inputs or b.inputs)
    assert len({t.name for t in joined.inputs}) == len(joined.inputs)
    encode(inspection([a, b], joined, found, only_one_says(a, b), strict=True))
    for contract in (a, b, joined):
        assert len(rows(contract)) == len(contract.inputs) + len(contract.outputs)
        assert all(isinstance(line, str) for line in facts(contract))
    try:
        adapter, _ = infer_adapter(joined, b)
    except UsageError:
        return
    assert {t.name for t in b.inputs} >= set(adapter.rules.cast)


@given(contracts)
def test_a_contract_with_itself(a: Contract) -> None:
    contradictions = [d for d in disagreements(a, a) if d.severity == "error"]
    for d in contradictions:  # only what is no number, or a chunk that contradicts the artifact's own window
        assert "nan" in d.sentence or "inf" in d.sentence or d.kind in ("chunk", "window")
