"""What an OM file says, as plain data. See `parity.om.reading` for how it is read, docs/formats.md for the sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class OmTensor:
    """An input or output of the whole model, as the device takes and gives it.

    Attributes:
        name: as the file has it. An output's may read ``<last node>:<index>:<name in the source model>``.
        shape: -1 where it is dynamic.
        dtype: parity's name (``float32``); ``unknown-<number>`` where the number is not known.
        format: ``ND``, ``NCHW``, ``NC1HWC0``...
        bytes: what the file says the buffer takes; None where it does not.
        ranges: lowest and highest size of each axis, where the file says it; -1 is no limit.
        aipp: whether AIPP prepares it on the device: then the host gives a picture, not the model's tensor.
        source: name, shape and dtype before AIPP or gears, where the file keeps them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    format: str = "ND"
    bytes: int | None = None
    ranges: tuple[tuple[int, int], ...] = ()
    aipp: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source_name(self) -> str:
        """The name in the source model: the last field of ``<last node>:<index>:<name>``."""
        parts = self.name.split(":")
        return ":".join(parts[2:]) if len(parts) >= 3 and parts[1].isdigit() else self.name


@dataclass(frozen=True, slots=True)
class Gears:
    """The sizes that a model with dynamic axes was compiled for: nothing else runs.

    Attributes:
        kind: ``batch`` (one number each), ``image`` (height, width), ``dims`` (the dynamic axes of all inputs).
        values: one for each gear.
    """

    kind: Literal["batch", "image", "dims"]
    values: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class OmDesc:
    """A tensor inside the graph: what flows between nodes.

    ``origin_shape`` and ``origin_format`` are those of the source model, where they differ from the device's.
    """

    shape: tuple[int, ...]
    dtype: str
    format: str
    name: str = ""
    origin_shape: tuple[int, ...] = ()
    origin_format: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OmNode:
    """One node of the compiled graph.

    Attributes:
        inputs: ``<node>:<index>`` each; control edges are left out.
        source_nodes: nodes of the source model that were fused into it.
        modes: how it is implemented: ``high_performance``, ``high_precision``, ``fp32_execution``...
        attributes: decoded, interning undone.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    input_descs: tuple[OmDesc, ...]
    output_descs: tuple[OmDesc, ...]
    source_nodes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OmConstant:
    """A constant. ``read`` returns it in the source model's layout and shape, in the dtype that is stored.

    Attributes:
        name: of the node.
        shape: in the source model's layout.
        dtype: as stored.
        format: as stored (``FRACTAL_Z``, ``FRACTAL_NZ``, ``NC1HWC0``, ``ND``).
        origin_name: the source model's name for it, where the file keeps one.
        folded: whether something was folded into it by the compiler (its origin's name ends ``_filter_host`` or
            ``_bias_host``).
        read: raises `ArtifactError` where the bytes are not there or the layout is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    format: str
    origin_name: str
    folded: bool
    read: Callable[[], Array]


@dataclass(frozen=True, slots=True)
class OmModel:
    """An OM file.

    Attributes:
        name: of the model.
        version: the header's.
        toolkit: what is known of the tools: ``soc_version``, ``atc_version``, ``opp_version``, ``atc_cmdline``,
            ``framework_type``..., as the file has them; what it lacks is not there.
        precision_mode: ``force_fp16``, ``allow_fp32_to_fp16``, ``must_keep_origin``...; None where it is not told.
        sizes: ``weight_size``, ``memory_size`` and the bytes of each partition, by name.
        nodes: of the main graph and its subgraphs.
        random_ops: names of nodes that draw noise.
        output_shapes: for a model with gears, ``<gear>,<output>,<dims…>`` each, where the file says it.
        name_order: inputs in the order in which gears of kind ``dims`` are given, where the file says it.
        in_out_info: whether inputs and outputs are told by the file's own table, as newer files do, or by its graph.
    """

    path: Path
    name: str
    version: int
    inputs: tuple[OmTensor, ...]
    outputs: tuple[OmTensor, ...]
    gears: Gears | None
    toolkit: Mapping[str, str]
    precision_mode: str | None
    sizes: Mapping[str, int]
    nodes: tuple[OmNode, ...]
    constants: Mapping[str, OmConstant]
    random_ops: tuple[str, ...] = ()
    output_shapes: tuple[str, ...] = ()
    name_order: tuple[str, ...] = ()
    in_out_info: bool = False

    @property
    def soc(self) -> str | None:
        """The chip that it was compiled for, e.g. ``Ascend310P3``."""
        return self.toolkit.get("soc_version")
