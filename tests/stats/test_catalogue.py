"""The catalogue's faults of normalization, N1 to N22: planted in a real artifact each is seen, the untouched is silent.

Every test plants one fault in a copy of an artifact of the corpus, as it occurred in the field (the catalogue names the
reports), and looks at what parity says of both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planting
from parity.contract import read_contract
from parity.diagnose.faults.unnormalization import Statistics
from parity.diagnose.structure import fit_structure
from parity.finding import Finding
from parity.provenance.health import health
from parity.provenance.normalizer import normalizer_finding
from parity.provenance.origin import trace
from parity.provenance.source import read_source
from parity.provenance.tell import findings_of
from parity.stats.check import check_stats
from parity.stats.model import FeatureStats, NormStats
from parity.stats.registry import read_stats

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the TorchScript exporter
]

ACT = "made/lerobot-0.4.4/act_envstate"
CAMERA = "made/lerobot-0.4.4/act_aloha_image_narrowresnet"
DIFFUSION = "made/lerobot-0.4.4/dp_pusht_keypoints_ddim10"
LEGACY = "made/lerobot-0.3.3-legacy/act_envstate"
OPENPI = "norm_stats_openpi/52fff58b_norm_stats.json"
G1 = "lerobot_datasets/v21_g1_inspire_100ep"
OGRE = "pairs/ogre_15af4916_pass"


def checked(path: Path, **more: Any) -> list[Finding]:
    """Return every finding of every set of statistics at a path, its policy's contract at hand."""
    contract = read_contract(path) if path.is_dir() and (path / "config.json").is_file() else None
    return [f for stats in read_stats(path) for f in check_stats(stats, contract=contract, **more)]


def told(found: Iterable[Finding]) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.where) for f in found]


def planted(corpus: Path, name: str, tmp_path: Path) -> Path:
    """Return a copy of an artifact of the corpus; the untouched one is silent."""
    assert checked(corpus / name) == []
    return planting.copy(corpus / name, tmp_path)


def g1_actions(corpus: Path, rows: int = 2000) -> np.ndarray:
    """Return actions that a real robot was given, ``(rows, 26)``."""
    pq = pytest.importorskip("pyarrow.parquet")
    files = sorted((corpus / G1 / "data").rglob("*.parquet"))[:10]
    column = [pq.read_table(f, columns=["action"]).column("action").to_pylist() for f in files]
    return np.asarray([row for part in column for row in part], np.float32)[:rows]


def test_n1_statistics_under_the_name_of_a_dataset(corpus: Path, tmp_path: Path) -> None:
    """lerobot 4415: ``so100.buffer.action`` is stored, ``action`` looked up: silently the identity."""
    folder = planted(corpus, ACT, tmp_path)
    names = ("action", "observation.environment_state", "observation.state")
    for file in planting.state_files(folder):
        planting.edit_tensors(file, planting.renamed({name: f"so100.buffer.{name}" for name in names}))
    found = checked(folder)
    assert told(found) == [("STATS002", "error", name) for name in names]
    assert all("silently the identity" in f.title for f in found)
    assert "'so100.buffer.action'" in found[0].remedy


def test_n1_the_migration_that_renamed_a_camera_is_found_in_the_real_file(corpus: Path) -> None:
    """lerobot 4460: LeRobot's own migration made ``wrist.cam`` of ``wrist_cam``."""
    found = checked(corpus / "made/lerobot-0.4.4-migrated-badstats/dp_pusht_image_wrist_cam")
    assert told(found) == [("STATS002", "error", "observation.images.wrist_cam")]
    assert "'observation.images.wrist.cam'" in found[0].remedy


def test_n2_a_state_that_is_left_raw_when_the_policy_runs(corpus: Path, tmp_path: Path) -> None:
    """dexbotic 82: the normalizer returns early at inference. Its constants are still there; nothing reads them."""
    source = corpus / OGRE / "policy.onnx"
    raw = planting.bypassed(source, tmp_path / "policy.onnx", drop=False)
    reference = read_contract(corpus / OGRE / "policy.pt")
    assert normalizer_finding(reference, read_contract(source)) is None
    found = normalizer_finding(reference, read_contract(raw))
    assert found is not None
    assert (found.code, found.severity) == ("WEIGHT004", "error")


def test_n2_a_step_that_leaves_the_state_out(corpus: Path, tmp_path: Path) -> None:
    """LeRobot's own way of leaving an observation raw: ``normalize_observation_keys`` does not list it."""
    folder = planted(corpus, ACT, tmp_path)
    keys = {"normalize_observation_keys": ["observation.environment_state"]}
    planting.edit_json(folder / planting.PRE, lambda p: planting.normalizer_of(p).update(keys))
    assert told(checked(folder)) == [("STATS022", "error", "observation.state")]


def test_n3_the_normalizer_is_missing_from_the_exported_steps(corpus: Path, tmp_path: Path) -> None:
    """physical-ai-studio 522: the exported list of steps lacks the state's normalization."""
    folder = planted(corpus, ACT, tmp_path)
    planting.edit_json(folder / planting.PRE, planting.without_normalizer)
    assert told(checked(folder)) == [
        ("STATS001", "error", "observation.environment_state"),
        ("STATS001", "error", "observation.state"),
    ]


def test_n4_actions_that_are_never_unnormalized(corpus: Path) -> None:
    """starVLA 355: the server never un-normalizes. Real actions of a G1, and what the model gave before that."""
    stats = read_stats(corpus / G1)[0].features["action"]
    mean, std = stats.values["mean"], np.maximum(stats.values["std"], 1e-3)
    known = Statistics(tuple(std.tolist()), tuple(mean.tolist()), "meta/stats of action")
    actions = g1_actions(corpus)
    moving = actions.std(axis=0) > 1e-3
    assert moving.sum() >= 10
    kept = Statistics(tuple(std[moving].tolist()), tuple(mean[moving].tolist()), known.source)
    reference = actions[:, moving]
    assert fit_structure(reference, reference + np.float32(0), statistics=[kept]) == []
    normalized = ((reference - mean[moving]) / std[moving]).astype(np.float32)
    causes = fit_structure(reference, normalized, statistics=[kept])
    assert [c.kind for c in causes] == ["unnormalization"]
    assert "not un-normalized" in causes[0].sentence


def test_n5_a_policy_that_returns_normalized_actions(corpus: Path, tmp_path: Path) -> None:
    """vla-evaluation-harness 3: ``predict()`` lacks the way out."""
    folder = planted(corpus, ACT, tmp_path)
    planting.edit_json(folder / planting.POST, planting.without_normalizer)
    assert told(checked(folder)) == [("STATS001", "error", "action")]


def test_n6_extremes_where_quantiles_were_trained(corpus: Path, tmp_path: Path) -> None:
    """vla-evaluation-harness: min and max where q01 and q99 were trained, or the other way round."""
    folder = planted(corpus, DIFFUSION, tmp_path)
    for name in (planting.PRE, planting.POST):
        planting.edit_json(folder / name, lambda p: planting.normalizer_of(p)["norm_map"].update(ACTION="QUANTILES"))
    found = told(checked(folder))
    assert ("STATS022", "error", "action") in found
    assert ("STATS003", "error", "action") in found


def test_n6_extremes_stored_as_quantiles(corpus: Path) -> None:
    """The real conflict of the corpus: q01 and q99 of one file are no quantiles of data with its mean and std."""
    good, bad = (corpus / "norm_stats_conflicts/norm_conflict_zwbx" / n for n in ("0_52fff58b.json", "1_f338a091.json"))
    assert {f.code for f in checked(bad)} - {f.code for f in checked(good)} == {"STATS018"}
    used = replace(
        read_stats(bad)[0],
        features={k: replace(v, mode="QUANTILES") for k, v in read_stats(bad)[0].features.items()},
    )
    assert {f.severity for f in check_stats(used) if f.code == "STATS018"} == {"error"}


class OwnRange:
    """What LeRobot's pi0-FAST did before its fix: every chunk by its own minimum and maximum."""

    upstream, modes = "lerobot 1498", frozenset({"MIN_MAX", "MEAN_STD", "IDENTITY"})

    def __init__(self, *, own: bool) -> None:
        self.own = own

    def forward(self, x: Any, stats: FeatureStats, mode: str) -> Any:
        low, high = (x.min(0), x.max(0)) if self.own else (stats.values["min"], stats.values["max"])
        return np.float32(2 * (x - low) / (high - low) - 1)

    def backward(self, y: Any, stats: FeatureStats, mode: str) -> Any:
        low, high = stats.values["min"], stats.values["max"]
        return np.float32((y + 1) / 2 * (high - low) + low)

    def loss(self, stats: FeatureStats, mode: str) -> Any:
        return np.zeros(np.shape(stats.values["min"]))


def test_n7_a_chunk_that_is_normalized_by_its_own_range(corpus: Path) -> None:
    """lerobot 1498: what was normalized cannot be undone, since the range is gone."""
    folder = corpus / DIFFUSION
    assert checked(folder, formulas={"lerobot-0.4": OwnRange(own=False)}) == []
    found = checked(folder, formulas={"lerobot-0.4": OwnRange(own=True)})
    assert told(found) == [("STATS031", "error", "action")]


def test_n10_camera_statistics_on_bytes(corpus: Path, tmp_path: Path) -> None:
    """lerobot 61: statistics on 0 to 255, images on 0 to 1."""
    folder = planted(corpus, CAMERA, tmp_path)

    def bytes_(arrays: planting.Arrays) -> None:
        for name in arrays:
            if "images" in name:
                arrays[name] = arrays[name] * 255

    for file in planting.state_files(folder):
        planting.edit_tensors(file, bytes_)
    assert told(checked(folder)) == [("STATS027", "error", "observation.images.top")]


def test_n11_a_camera_that_gives_bytes_to_a_policy_that_does_not_scale(corpus: Path, tmp_path: Path) -> None:
    """lerobot 1065: the identity for cameras takes for granted that images lie on 0 to 1."""
    folder = planted(corpus, CAMERA, tmp_path)
    planting.edit_json(folder / "config.json", lambda c: c["normalization_mapping"].update(VISUAL="IDENTITY"))
    for name in (planting.PRE, planting.POST):
        planting.edit_json(folder / name, lambda p: planting.normalizer_of(p)["norm_map"].update(VISUAL="IDENTITY"))
    assert checked(folder, data=camera(1.0)) == []
    found = checked(folder, data=camera(255.0))
    assert told(found) == [("STATS027", "error", "observation.images.top")]
    assert "identity" in found[0].detail


def camera(top: float) -> NormStats:
    """Return what a camera gives, up to ``top``."""
    values = {"mean": np.full((3, 1, 1), 0.4 * top), "min": np.zeros((3, 1, 1)), "max": np.full((3, 1, 1), top)}
    one = FeatureStats("observation.images.top", values)
    return NormStats(Path("data"), "data", "recomputed", {one.name: one})


def test_n12_the_normalization_of_a_pretrained_backbone_is_missing(corpus: Path, tmp_path: Path) -> None:
    """act-plus-plus 48: one policy class lacks the normalization that its backbone's weights were trained with."""
    folder = planted(corpus, CAMERA, tmp_path)
    weights = {"pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}
    planting.edit_json(folder / "config.json", lambda c: c.update(weights))
    assert checked(folder) == []
    for name in (planting.PRE, planting.POST):
        planting.edit_json(folder / name, lambda p: planting.normalizer_of(p)["norm_map"].update(VISUAL="IDENTITY"))
    assert told(checked(folder)) == [
        ("STATS022", "error", "observation.images.top"),
        ("STATS028", "warning", "observation.images.top"),
    ]


def test_n13_a_camera_key_that_was_shortened(corpus: Path, tmp_path: Path) -> None:
    """physical-ai-studio 998: ``images`` is stored, ``images.wrist`` looked up; its variance is tiny besides."""
    folder = planted(corpus, CAMERA, tmp_path)
    for file in planting.state_files(folder):
        planting.edit_tensors(file, planting.renamed({"observation.images.top": "observation.images"}))
    found = checked(folder)
    assert told(found) == [("STATS002", "error", "observation.images.top")]
    assert found[0].evidence["stored"] == "observation.images"


def test_n13_a_camera_of_tiny_variance(corpus: Path, tmp_path: Path) -> None:
    folder = planted(corpus, CAMERA, tmp_path)

    def flatten(arrays: planting.Arrays) -> None:
        name = "observation.images.top.std"
        if name in arrays:
            arrays[name] = arrays[name] * 0 + 1e-7

    for file in planting.state_files(folder):
        planting.edit_tensors(file, flatten)
    assert told(checked(folder)) == [("STATS021", "warning", "observation.images.top")]


@pytest.mark.parametrize(("eps", "severity"), [(0.0, "error"), (1e-6, "error")])
def test_n14_quantiles_that_are_equal_of_a_gripper_that_moves(
    corpus: Path, tmp_path: Path, eps: float, severity: str
) -> None:
    """wall-x 113: q99 is q01, and 0/0 is NaN, only when the policy runs; with eps it is a value near 1e6."""
    source = read_stats(corpus / OPENPI)[0]
    assert [f for f in check_stats(as_quantiles(source, eps)) if f.severity == "error"] == []
    file = planting.copy(corpus / OPENPI, tmp_path)

    def close(data: Any) -> None:
        state = data["norm_stats"]["state"]
        state["q99"][7] = state["q01"][7]

    planting.edit_json(file, close)
    found = [f for f in check_stats(as_quantiles(read_stats(file)[0], eps)) if f.severity == severity]
    assert told(found) == [("STATS020", severity, "state[6]")]
    assert ("NaN" in found[0].detail) == (eps == 0.0)


def as_quantiles(stats: NormStats, eps: float) -> NormStats:
    """Return the statistics as a policy with quantile normalization uses them, without the state's unused element 6."""

    def used(feature: FeatureStats) -> FeatureStats:
        return replace(
            feature,
            mode="QUANTILES",
            eps=eps,
            values={k: np.delete(v, 6) if v.size == 8 else v for k, v in feature.values.items()},
        )

    return replace(stats, features={k: used(v) for k, v in stats.features.items()})


def test_n15_a_standard_deviation_of_zero(corpus: Path, tmp_path: Path) -> None:
    """lerobot 211: a constant dimension; added eps makes a large number of what was infinite."""
    folder = planted(corpus, ACT, tmp_path)

    def stop(arrays: planting.Arrays) -> None:
        arrays["observation.state.std"][3] = 0.0
        for name in ("min", "max"):
            arrays[f"observation.state.{name}"][3] = arrays["observation.state.mean"][3]

    for file in planting.state_files(folder):
        planting.edit_tensors(file, stop)
    found = checked(folder)
    assert told(found) == [("STATS020", "warning", "observation.state[3]")]
    assert "1e-08" in found[0].detail


def test_n16_an_export_without_the_normalizer_of_its_checkpoint(corpus: Path, tmp_path: Path) -> None:
    """IsaacLab 3836: the exporter looks for another attribute than the runner has."""
    checkpoint, export = (corpus / "made/rsl-rl" / n for n in ("model_rsl551.pt", "policy_rsl551.onnx"))
    assert "PROV009" not in {f.code for f in findings_of(trace(export, [checkpoint]))}
    bare = planting.bypassed(export, tmp_path / "bare.onnx", drop=True)
    found = [f for f in findings_of(trace(bare, [checkpoint])) if f.code == "PROV009"]
    assert [f.severity for f in found] == ["warning"]


def test_n17_a_real_export_without_its_normalizer(corpus: Path) -> None:
    """IsaacLab pull request 624: the normalizer was not exported."""
    reference = read_contract(corpus / OGRE / "policy.pt")
    assert normalizer_finding(reference, read_contract(corpus / OGRE / "policy.onnx")) is None
    stripped = corpus / "derived/ogre_15af4916_pass_normaliser_stripped/policy.onnx"
    found = normalizer_finding(reference, read_contract(stripped))
    assert found is not None
    assert (found.code, found.severity) == ("WEIGHT004", "error")


@pytest.mark.parametrize("checkpoint", ["model_rsl233.pt", "model_rsl330.pt"])
def test_n20_an_exporter_that_finds_no_normalizer(corpus: Path, tmp_path: Path, checkpoint: str) -> None:
    """physical-ai-toolchain: ``None`` is taken for the normalizer of an older era, and the export is fine."""
    source = corpus / "made/rsl-rl" / checkpoint
    actor = exported(source, tmp_path / "whole.onnx", normalizer=True)
    assert "PROV009" not in {f.code for f in findings_of(trace(actor, [source]))}
    bare = exported(source, tmp_path / "bare.onnx", normalizer=False)
    assert "PROV009" in {f.code for f in findings_of(trace(bare, [source]))}


def exported(checkpoint: Path, to: Path, *, normalizer: bool) -> Path:
    """Export the actor of an rsl_rl checkpoint, with its normalizer or without."""
    torch = pytest.importorskip("torch")
    saved = torch.load(checkpoint, weights_only=True)
    state = saved["model_state_dict"]
    numbers = saved.get("obs_norm_state_dict") or {
        k.removeprefix("actor_obs_normalizer."): v for k, v in state.items() if k.startswith("actor_obs_normalizer.")
    }
    layers: list[Any] = []
    for key in sorted(
        (k for k in state if k.startswith("actor.") and k.endswith(".weight")), key=lambda k: int(k.split(".")[1])
    ):
        layer = torch.nn.Linear(state[key].shape[1], state[key].shape[0])
        layer.load_state_dict({"weight": state[key], "bias": state[key.replace("weight", "bias")]})
        layers += [layer, torch.nn.ELU()]

    class Actor(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(*layers[:-1])
            self.register_buffer("mean", numbers["_mean"])
            self.register_buffer("std", numbers["_std"] + 1e-2)

        def forward(self, obs: Any) -> Any:
            return self.net((obs - self.mean) / self.std if normalizer else obs)

    example = torch.zeros(1, numbers["_mean"].shape[-1])
    torch.onnx.export(Actor().eval(), (example,), str(to), input_names=["obs"], dynamo=False)
    return to


def test_n17_turned_round_a_normalizer_in_the_graph_and_before_it(corpus: Path) -> None:
    """An export that has its normalizer, run behind a pipeline that has it too: normalized twice."""
    pipeline, graph = (read_stats(corpus / "made/rsl-rl" / n)[0] for n in ("model_rsl551.pt", "policy_rsl551.onnx"))
    assert [f for f in check_stats(pipeline) if f.severity == "error"] == []
    found = [f for f in check_stats(pipeline, graph=graph) if f.severity == "error"]
    assert [(f.code, len(found)) for f in found] == [("STATS034", 1)]
    other = replace(graph, features={k: shortened(v) for k, v in graph.features.items()})
    assert [f for f in check_stats(pipeline, graph=other) if f.severity == "error"] == []


def shortened(feature: FeatureStats) -> FeatureStats:
    """Return the feature with one element less: the normalizer of another input."""
    return replace(feature, values={k: v[..., :-1] for k, v in feature.values.items()})


def test_n18_statistics_that_are_learned_again_when_the_policy_runs(corpus: Path) -> None:
    """IsaacLab 2635: they were not saved, and begin anew: a count of almost nothing."""
    source = read_stats(corpus / ACT)[0]
    assert check_stats(source) == ()
    state = replace(source.features["observation.state"], count=24)
    few = check_stats(replace(source, features={**source.features, "observation.state": state}))
    assert ("STATS025", "warning", "observation.state") in told(few)


def test_n18_a_normalizer_that_was_never_fitted(corpus: Path, tmp_path: Path) -> None:
    folder = planted(corpus, ACT, tmp_path)

    def fresh(arrays: planting.Arrays) -> None:
        arrays["observation.state.mean"][:] = 0.0
        arrays["observation.state.std"][:] = 1.0

    for file in planting.state_files(folder):
        planting.edit_tensors(file, fresh)
    assert ("STATS026", "warning", "observation.state") in told(checked(folder))


def test_n19_buffers_that_newer_classes_drop(corpus: Path) -> None:
    """strands 1096: old checkpoints keep statistics in the weights; newer classes drop them, without a word."""
    found = [f for f in health(read_source(corpus / LEGACY)) if f.code == "PROV014"]
    assert [f.severity for f in found] == ["warning"]
    assert "PROV014" not in {f.code for f in health(read_source(corpus / ACT))}


def test_n19_a_folder_whose_buffers_were_dropped(corpus: Path, tmp_path: Path) -> None:
    folder = planted(corpus, LEGACY, tmp_path)

    def drop(arrays: planting.Arrays) -> None:
        for name in [n for n in arrays if "normalize" in n]:
            del arrays[name]

    planting.edit_tensors(folder / "model.safetensors", drop)
    names = ("action", "observation.environment_state", "observation.state")
    assert told(checked(folder)) == [("STATS001", "error", name) for name in names]


def test_n21_relative_actions_with_the_statistics_of_absolute_ones(corpus: Path, tmp_path: Path) -> None:
    """lerobot pull request 2970, review: statistics computed before actions are made relative to the state."""
    real = json.loads((corpus / "lerobot_stats/0ae05f45_stats.json").read_text(encoding="utf-8"))
    folder = planted(corpus, ACT, tmp_path)

    def of_the_robot(data: Any) -> None:
        features = data.get("input_features", {}) | data.get("output_features", {})
        for name in ("observation.state", "action"):
            if name in features:
                features[name]["shape"] = [8]

    def relative(data: Any) -> None:
        of_the_robot(
            planting.normalizer_of(data)["features"] and {"input_features": planting.normalizer_of(data)["features"]}
        )

    def statistics(offsets: bool) -> Any:
        def change(arrays: planting.Arrays) -> None:
            for feature in ("observation.state", "action"):
                for name in ("mean", "std", "min", "max"):
                    arrays[f"{feature}.{name}"] = np.array(real[feature][name])
            if offsets:  # those of action - state: around 0, as wide as a step
                arrays["action.mean"] = arrays["action.mean"] - arrays["observation.state.mean"]
                for name, sign in (("min", -3), ("max", 3)):
                    arrays[f"action.{name}"] = arrays["action.mean"] + sign * arrays["action.std"]

        return change

    planting.edit_json(folder / "config.json", of_the_robot)
    for name in (planting.PRE, planting.POST):
        planting.edit_json(folder / name, relative)
    for file in planting.state_files(folder):
        planting.edit_tensors(file, statistics(offsets=False))
    assert checked(folder) == []  # absolute actions, absolute statistics
    step = {"registry_name": "relative_actions_processor", "config": {"enabled": True, "exclude_joints": []}}
    planting.edit_json(folder / planting.PRE, lambda p: p["steps"].insert(2, step))
    assert told(checked(folder)) == [("STATS032", "error", "action")]
    for file in planting.state_files(folder):
        planting.edit_tensors(file, statistics(offsets=True))
    assert checked(folder) == []


def test_n22_statistics_for_each_step_that_were_thrown_together(corpus: Path) -> None:
    """lerobot pull request 3967: [chunk, dim] became [dim]. Both are in the corpus, of one dataset."""
    meta = corpus / "lerobot_datasets/v20_droid_meta/meta"
    rows = read_stats(meta / "relative_stats.json")[0]
    flat = read_stats(meta / "relative_stats_dreamzero.json")[0]
    assert check_stats(rows, data=rows) == ()
    assert check_stats(flat) == ()
    found = check_stats(flat, data=rows)
    assert told(found) == [("STATS033", "error", "joint_position")]


def test_n22_statistics_of_another_chunk(corpus: Path) -> None:
    rows = replace(read_stats(corpus / "lerobot_datasets/v20_droid_meta/meta/relative_stats.json")[0], era="gr00t")
    action = {"action.joint_position": replace(rows.features["joint_position"], name="action.joint_position")}
    assert check_stats(replace(rows, features=action, chunk=32)) == ()
    found = check_stats(replace(rows, features=action, chunk=40))
    assert told(found) == [("STATS007", "error", "action.joint_position")]
