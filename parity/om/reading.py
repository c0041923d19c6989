"""Reads an OM file: mapped, and lazy in what is large. Nothing is executed, and CANN is not needed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from parity.om.attributes import Budget
from parity.om.enums import PRECISION_MODES, PRECISION_WORDS
from parity.om.graph import ModelDef, Op, read_model
from parity.om.header import IN_OUT_INFO, MODEL_DEFINITION, WEIGHTS, OmFile, open_file
from parity.om.model import OmConstant, OmModel
from parity.om.ports import ports
from parity.om.weights import constants_of

_RANDOM = re.compile(r"Random|Multinomial|Bernoulli|TruncatedNormal|NonDeterministic|Drop_?[Oo]ut(Gen|$)")
_TEXTS = ("soc_version", "atc_version", "opp_version", "atc_cmdline", "framework_type", "arch_type", "target_type")
_SIZES = ("weight_size", "memory_size", "zero_copy_memory_size", "p2p_memory_size", "session_scope_memory_size")
_EMPTY = memoryview(b"")


def open_om(path: str | Path) -> OmModel:
    """Return what an OM file says; constants are read when they are asked for.

    Raises:
        ArtifactError: missing, truncated, corrupt, without outputs, or recognized but not readable (encrypted, OM2,
            PICO, a flow or bundle of models).
    """
    file = open_file(path)
    budget = Budget(file.size)
    models = [read_model(file.path, m[MODEL_DEFINITION], budget) for m in file.models]
    main = models[0]
    told = ports(file.path, main, file.models[0].get(IN_OUT_INFO))
    ops = [op for model in models for op in model.ops]
    return OmModel(
        path=file.path,
        name=main.name or file.header.name,
        version=file.header.version,
        inputs=told.inputs,
        outputs=told.outputs,
        gears=told.gears,
        toolkit=_toolkit(file, main),
        precision_mode=_precision_mode(main),
        sizes={**_sizes(main), **file.sizes},
        nodes=tuple(op.node for op in ops),
        constants=_constants(file, models),
        random_ops=tuple(op.node.name for op in ops if draws(op)),
        output_shapes=told.output_shapes,
        name_order=told.name_order,
        in_out_info=IN_OUT_INFO in file.models[0],
    )


def draws(op: Op) -> bool:
    """Whether a node draws noise, told by its type, or by the one that it has in another framework."""
    return any(_RANDOM.search(kind) for kind in (op.node.type, op.own_type))


def _toolkit(file: OmFile, model: ModelDef) -> dict[str, str]:
    found = {key: said for key in _TEXTS if (said := model.attributes.text(key))}
    for key, said in (("platform_version", file.header.platform), ("custom_version", model.custom_version)):
        if said:
            found[key] = said
    return found


def _sizes(model: ModelDef) -> dict[str, int]:
    return {key: said for key in _SIZES if (said := model.attributes.integer(key)) is not None}


def _precision_mode(model: ModelDef) -> str | None:
    """Return the mode that the graph says, else the one that atc was told; None where neither says one."""
    for graph in model.graphs:
        number = graph.integer("graph_precision_mode")
        if number is not None:
            return PRECISION_MODES.get(number)
    options = atc_options(model.attributes.text("atc_cmdline") or "")
    said = options.get("precision_mode") or options.get("precision_mode_v2")
    return None if said is None else PRECISION_WORDS.get(said, said)


def atc_options(line: str) -> dict[str, str]:
    """Return the options of an ``atc`` command line, ``--name=value`` or ``--name value``, without the dashes."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is not closed
        words = line.split()
    found: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found[name[2:]] = value if equals else ("" if after.startswith("--") else after)
    return found


def _constants(file: OmFile, models: Iterable[ModelDef]) -> Mapping[str, OmConstant]:
    """Return all constants by name; of names that occur again the later ones are told apart by a number."""
    found: dict[str, OmConstant] = {}
    for constant in _all_constants(file, models):
        name, again = constant.name, 1
        while name in found:
            again += 1
            name = f"{constant.name}#{again}"
        found[name] = constant
    return found


def _all_constants(file: OmFile, models: Iterable[ModelDef]) -> Iterator[OmConstant]:
    for model, partitions in zip(models, file.models, strict=True):
        yield from constants_of(file.path, model.ops, partitions.get(WEIGHTS, _EMPTY))
