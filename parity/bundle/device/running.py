"""The cases run: every array checked against the model, the first cases twice, state carried where there is some."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from parity.bundle.device.files import Results, Stop, fed_sha256, load_inputs

REPEATED = 2  # cases that run twice: a policy must say the same of the same
EVERY = 5.0  # seconds between two lines about how far it is


class Policy:
    """The model with its state, where it has one: zeros after a reset, then each output fed back to its input."""

    def __init__(self, model: Any, state: dict[str, str]) -> None:
        self.model, self.state = model, state
        self.held: dict[str, Any] = {}

    def reset(self) -> None:
        """Forget the state."""
        for spec in self.model.inputs:
            if spec["name"] in self.state:
                if any(not isinstance(d, int) or d < 0 for d in spec["shape"]):
                    raise Stop(f"the size of the state {spec['name']!r} is not fixed: {spec['shape']}")
                self.held[spec["name"]] = np.zeros(spec["shape"], spec["dtype"])

    def run(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs of one step, by name."""
        feeds = dict(arrays, **self.held)
        check_sizes(self.model, feeds)
        outputs = dict(self.model.run(feeds))
        missing = [t["name"] for t in self.model.outputs if t["name"] not in outputs]
        if missing:
            raise Stop(f"the runtime gave no {', '.join(missing)}")
        for before, after in self.state.items():
            self.held[before] = np.array(outputs.pop(after))
        return outputs


def check_sizes(model: Any, arrays: dict[str, Any]) -> None:
    """Make sure that every array has exactly the bytes that the model takes: the runtime itself lets some pass."""
    for spec in model.inputs if getattr(model, "gears", None) is None else []:  # of gears the model knows itself
        array, size = arrays[spec["name"]], spec["bytes"]
        if spec["dtype"] != "bfloat16" and size is not None and array.nbytes != size:
            raise Stop(f"input {spec['name']!r}: the case has {array.nbytes} bytes, the model takes exactly {size}")


def as_fed(case: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays as the model takes them: bfloat16, which NumPy does not have, as float32 of the same values."""
    wide = {n for n, told in case["inputs"].items() if told["dtype"] == "bfloat16"}
    return {n: (a.astype(np.uint32) << 16).view(np.float32) if n in wide else a for n, a in arrays.items()}


def largest_difference(first: Any, second: Any) -> float:
    """Return by how much two runs of one case differ: 0 where they are the same bytes."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return float("inf")
    if first.tobytes() == second.tobytes():
        return 0.0
    gap = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return float(np.where(np.isnan(gap), np.inf, gap).max())


def repeat(folder: Path, manifest: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Run the first cases twice and return which outputs changed, by how much."""
    cases = [c for c in manifest["cases"] if c["reset"]][:REPEATED]
    differs: dict[str, float] = {}
    for case in cases:
        arrays, seen = load_inputs(folder, case), []
        for _ in range(2):
            policy.reset()
            seen.append({n: np.array(a) for n, a in policy.run(as_fed(case, arrays)).items()})
        for name in seen[0]:
            gap = largest_difference(seen[0][name], seen[1][name])
            if gap > 0:
                differs[name] = max(gap, differs.get(name, 0.0))
    finite = {n: min(g, 1e308) for n, g in differs.items()}  # JSON has no infinity
    return {"cases": [c["id"] for c in cases], "differs": finite}


def run_cases(folder: Path, manifest: dict[str, Any], policy: Policy, results: Results) -> list[dict[str, Any]]:
    """Run every case, one in memory at a time, and return what the manifest says of them."""
    answers, told = [], time.time()
    for number, case in enumerate(manifest["cases"]):
        arrays = load_inputs(folder, case)
        sha = fed_sha256(case, arrays)
        if sha != case["sha256"]:
            raise Stop(f"case {case['id']}: its inputs are not those that were bundled")
        if case["reset"]:
            policy.reset()
        begun = time.perf_counter()
        outputs = policy.run(as_fed(case, arrays))
        seconds = time.perf_counter() - begun
        entries = {}
        for k, name in enumerate(sorted(outputs)):
            entries[name] = results.add_array(f"outputs/{number:06d}/{k}.npy", outputs[name])
        answers.append({"id": case["id"], "sha256": sha, "seconds": seconds, "outputs": entries})
        if time.time() - told > EVERY:
            told = time.time()
            print(f"{number + 1} of {len(manifest['cases'])} cases", flush=True)
    return answers
