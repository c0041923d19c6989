"""Keeps a recurrent state that goes in and out of a graph, as a robot does. Needs NumPy, imported when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Call, Policy, Refused
else:
    from protocol import Policy, Refused


class StateKept(Policy):
    """A policy without its state inputs and outputs: zeros after a reset, then each output fed back to its input."""

    def __init__(self, policy: Policy, pairs: dict[str, str], inputs: list[dict[str, Any]]) -> None:
        self.policy, self.pairs = policy, pairs
        self.states = [t for t in inputs if t["name"] in pairs]
        self.others = [t for t in inputs if t["name"] not in pairs]
        self.held: dict[str, Any] = {}

    def call(self, variant: str) -> Call:
        """Return the function that runs one variant and takes the state over to its next call."""
        plain = self.policy.call(variant)

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            held = self.held or self._zeros(inputs)
            outputs = dict(plain(dict(inputs, **held)))
            following = {name: outputs.pop(after) for name, after in self.pairs.items()}
            for name, array in following.items():
                if array.shape != held[name].shape:
                    text = "output {!r} has shape {}, but the state {!r} that it is fed back to {}"
                    raise Refused("run", text.format(self.pairs[name], array.shape, name, held[name].shape))
            self.held = following
            return outputs

        return run

    def _zeros(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the state after a reset; symbolic sizes are those of the inputs, a size without a name the batch."""
        import numpy as np

        sizes: dict[Any, int] = {}
        for spec in self.others:
            array = inputs.get(spec["name"])
            if array is not None and array.ndim:
                sizes.setdefault(None, array.shape[0])
                sizes.update((d, n) for d, n in zip(spec["shape"], array.shape) if isinstance(d, str))  # noqa: B905
        held, batch = {}, sizes.get(None, 0)
        for spec in self.states:
            free = [d for d in spec["shape"] if not isinstance(d, int)]
            guessed = [d for d in free if d is None or d not in sizes]  # one alone can only be the batch
            if len(guessed) > 1 or (guessed and None not in sizes):
                text = "the size of the state {!r} {} cannot be told: export it with fixed sizes"
                raise Refused("run", text.format(spec["name"], spec["shape"]))
            shape = [d if isinstance(d, int) else sizes.get(d, batch) for d in spec["shape"]]
            held[spec["name"]] = np.zeros(shape, spec["dtype"])
        return held

    def reset(self) -> None:
        """Forget the state, and reset what the policy itself keeps."""
        self.held = {}
        self.policy.reset()

    def learnt(self) -> dict[str, Any]:
        """Return what running the policy has shown."""
        return self.policy.learnt()

    def close(self) -> None:
        """Give back what the policy holds."""
        self.policy.close()


def keep_state(policy: Policy, info: dict[str, Any], pairs: dict[str, str] | None) -> Any:
    """Return policy and description without the inputs and outputs of ``pairs`` (state input to output), if any.

    Raises:
        Refused: a name that is none of the policy's, an output used twice, or one of another element type.
    """
    if not pairs:
        return policy, info
    inputs, outputs = ({t["name"]: t for t in info[side]} for side in ("inputs", "outputs"))
    for before, after in pairs.items():
        for name, known, what in ((before, inputs, "input"), (after, outputs, "output")):
            if name not in known:
                text = "`state` names the {} {!r}, but the policy's are {}"
                raise Refused("load", text.format(what, name, ", ".join(known)))
        if inputs[before]["dtype"] != outputs[after]["dtype"] or list(pairs.values()).count(after) > 1:
            raise Refused("load", f"`state` cannot feed the output {after!r} back to the input {before!r}")
    text = ", ".join(f"{before} (from {after})" for before, after in pairs.items())
    described = dict(
        info,
        inputs=[t for n, t in inputs.items() if n not in pairs],
        outputs=[t for n, t in outputs.items() if n not in pairs.values()],
        environment=dict(info["environment"], state_kept=dict(pairs)),
        stateful=f"{text} kept between calls; zeros at reset",
    )
    return StateKept(policy, dict(pairs), info["inputs"]), described
