"""A normalizer baked into an exported ONNX graph: what the graph does to an input before its first layer.

``(x - mean) / std`` by Sub and Div, by Mul and Add, by BatchNormalization; the eps of training is part of ``std`` by
then, so it is 0 here. See `parity.checkpoint.onnx_normalizer`.
"""

from __future__ import annotations

from parity.artifact import Artifact
from parity.checkpoint.onnx_constants import Constants
from parity.checkpoint.onnx_file import open_onnx
from parity.checkpoint.onnx_normalizer import entry_normalizers
from parity.stats.model import FeatureStats, NormStats

KIND, ERA = "onnx", "rsl_rl"


class _Reader:
    """Reads ONNX graphs; one without a normalizer holds no statistics."""

    rank = 50

    def matches(self, artifact: Artifact) -> bool:
        return artifact.kind == "onnx"

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        file = open_onnx(path)
        features = {}
        for one in entry_normalizers(file.model.graph, Constants(file)):
            source = f"{path.name}: {', '.join(one.constants)}"
            values = {"mean": one.mean, "std": one.std}
            features[one.input] = FeatureStats(one.input, values, dict.fromkeys(values, source), None, "MEAN_STD", 0.0)
        facts = {"eps_in_std": True}
        return (NormStats(path, str(path), KIND, features, ERA, facts=facts),) if features else ()


READER = _Reader()
