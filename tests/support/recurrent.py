"""Recurrent policies for tests: TorchScript that keeps its state in buffers, and ONNX whose state goes in and out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

OBS, HIDDEN, ACTIONS = 9, 24, 4
TORCH_GATES, ONNX_GATES = "ifgo", "iofg"  # torch.nn.LSTM and ONNX: input, output, forget gate, cell (g)


class LstmInside(torch.nn.Module):
    """As rsl_rl exports it: hidden and cell state in buffers."""

    def __init__(self, memory: torch.nn.LSTM, actor: torch.nn.Sequential) -> None:
        super().__init__()
        self.memory, self.actor = memory, actor
        for name in ("hidden_state", "cell_state"):
            self.register_buffer(name, torch.zeros(memory.num_layers, 1, memory.hidden_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, (h, c) = self.memory(x.unsqueeze(0), (self.hidden_state, self.cell_state))
        self.hidden_state[:] = h
        self.cell_state[:] = c
        return self.actor(out.squeeze(0))

    @torch.jit.export
    def reset_memory(self) -> None:
        self.hidden_state[:] = 0.0
        self.cell_state[:] = 0.0


class GruInside(torch.nn.Module):
    """The same with a GRU."""

    def __init__(self, memory: torch.nn.GRU, actor: torch.nn.Sequential) -> None:
        super().__init__()
        self.memory, self.actor = memory, actor
        self.register_buffer("hidden_state", torch.zeros(memory.num_layers, 1, memory.hidden_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, h = self.memory(x.unsqueeze(0), self.hidden_state)
        self.hidden_state[:] = h
        return self.actor(out.squeeze(0))

    @torch.jit.export
    def reset_memory(self) -> None:
        self.hidden_state[:] = 0.0


class LstmOutside(torch.nn.Module):
    """The same LSTM, its state going in and out; ``fault`` is one of ``forgets``, ``swapped``, ``stale``."""

    def __init__(self, inside: LstmInside, fault: str = "") -> None:
        super().__init__()
        self.memory, self.actor, self.fault = inside.memory, inside.actor, fault

    def forward(self, obs: torch.Tensor, h_in: torch.Tensor, c_in: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out, (h, c) = self.memory(obs.unsqueeze(0), (h_in, c_in))
        if self.fault == "forgets":
            h, c = 0.0 * h, 0.0 * c
        elif self.fault == "swapped":
            h, c = c, h
        elif self.fault == "stale":
            h, c = h_in + 0.0, c_in + 0.0
        return self.actor(out.squeeze(0)), h, c


class GruOutside(torch.nn.Module):
    """The same GRU, its state going in and out."""

    def __init__(self, inside: GruInside, fault: str = "") -> None:
        super().__init__()
        self.memory, self.actor, self.fault = inside.memory, inside.actor, fault

    def forward(self, obs: torch.Tensor, hidden_state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out, h = self.memory(obs.unsqueeze(0), hidden_state)
        return self.actor(out.squeeze(0)), 0.0 * h if self.fault == "forgets" else h


def lstm(layers: int = 1) -> LstmInside:
    """Return an LSTM policy with fixed random weights, in eval mode."""
    torch.manual_seed(7)
    actor = torch.nn.Sequential(torch.nn.Linear(HIDDEN, 16), torch.nn.ELU(), torch.nn.Linear(16, ACTIONS))
    return LstmInside(torch.nn.LSTM(OBS, HIDDEN, layers), actor).eval()


def gru() -> GruInside:
    """Return a GRU policy with fixed random weights, in eval mode."""
    torch.manual_seed(8)
    actor = torch.nn.Sequential(torch.nn.Linear(HIDDEN, 16), torch.nn.ELU(), torch.nn.Linear(16, ACTIONS))
    return GruInside(torch.nn.GRU(OBS, HIDDEN), actor).eval()


def scripted(policy: torch.nn.Module, path: Path) -> Path:
    """Save the policy as TorchScript."""
    torch.jit.save(torch.jit.script(policy), str(path))
    return path


def exported(
    policy: torch.nn.Module, path: Path, inputs: list[str], outputs: list[str], *, dynamic: bool = False
) -> Path:
    """Export a policy whose first input is the observation and the others its state; a batch of one, or any."""
    layers = policy.memory.num_layers
    state = [torch.zeros(layers, 1, HIDDEN) for _ in inputs[1:]]
    axes = {n: {0 if n in (inputs[0], outputs[0]) else 1: "batch"} for n in (*inputs, *outputs)} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter old; it is the one that rsl_rl and ATC use
        torch.onnx.export(
            policy.eval(),
            (torch.zeros(1, OBS), *state),
            str(path),
            input_names=inputs,
            output_names=outputs,
            opset_version=17,
            dynamic_axes=axes,
            dynamo=False,
        )
    return path


def lstm_graph(
    weights: Mapping[str, Any], path: Path, *, gates: str = ONNX_GATES, outputs: tuple[str, str] = ("h_out", "c_out")
) -> Path:
    """Write the graph of an LSTM policy by hand, from rsl_rl's weights (``memory.*``, ``actor.0``, ELU, ``actor.2``).

    ``gates`` is the order in which the blocks of gates are put, of which ONNX wants i, o, f, g (LSTM-14); ``outputs``
    are the names of the new hidden and cell state.
    """

    def reordered(name: str) -> Any:
        blocks = dict(zip(TORCH_GATES, np.split(weights[f"memory.{name}_l0"], 4), strict=True))
        return np.concatenate([blocks[g] for g in gates])

    hidden = weights["memory.weight_hh_l0"].shape[1]
    width = weights["memory.weight_ih_l0"].shape[1]
    arrays = {
        "W": reordered("weight_ih")[None],
        "R": reordered("weight_hh")[None],
        "B": np.concatenate([reordered("bias_ih"), reordered("bias_hh")])[None],
        "axis": np.array([0]),
        "axes": np.array([0, 1]),
        **{n: weights[n] for n in ("actor.0.weight", "actor.0.bias", "actor.2.weight", "actor.2.bias")},
    }
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "axis"], ["step"]),
        helper.make_node(
            "LSTM", ["step", "W", "R", "B", "", "h_in", "c_in"], ["Y", *outputs], name="lstm", hidden_size=hidden
        ),
        helper.make_node("Squeeze", ["Y", "axes"], ["features"]),
        helper.make_node("Gemm", ["features", "actor.0.weight", "actor.0.bias"], ["a"], transB=1),
        helper.make_node("Elu", ["a"], ["e"]),
        helper.make_node("Gemm", ["e", "actor.2.weight", "actor.2.bias"], ["actions"], transB=1),
    ]

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "policy",
        [value("obs", 1, width), value("h_in", 1, 1, hidden), value("c_in", 1, 1, hidden)],
        [
            value("actions", 1, weights["actor.2.bias"].shape[0]),
            value("h_out", 1, 1, hidden),
            value("c_out", 1, 1, hidden),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path
