"""What an OM's contract says beside its tensors, for people: chip, tools, precision, nodes, gears, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FUSED, GEARS = 3, 8  # how many are listed; the rest is in the JSON


def facts(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an OM's contract says beside its tensors, a line each."""
    tools = metadata["toolkit"]
    parts = [("CANN", metadata["cann_version"]), ("atc", tools.get("atc_version")), ("opp", tools.get("opp_version"))]
    told = [f"{name} {said}" for name, said in parts if said]
    made = [f"from {tools['framework_type']}"] if "framework_type" in tools else []
    yield f"compiled for: {metadata['soc'] or 'a chip that the file does not name'}"
    yield f"compiled by: {', '.join([*told, *made]) or 'tools that the file does not name'}"
    if "atc_cmdline" in tools:
        yield f"command line: {tools['atc_cmdline']}"
    yield f"precision mode: {_mode(metadata)}"
    first = [f"{name} first at {where}" for name, where in metadata["precision_from"].items()]
    if first:
        yield f"lower precision: {', '.join(first)}"
    yield from _about_nodes(metadata)
    yield from _about_ports(metadata)
    yield from _about_memory(metadata)


def _mode(metadata: Mapping[str, Any]) -> str:
    if metadata["precision_mode"]:
        return str(metadata["precision_mode"])
    asked = "atc_cmdline" in metadata["toolkit"]
    return "none asked for, so atc's default: force_fp16" if asked else "not told"


def _about_nodes(metadata: Mapping[str, Any]) -> Iterator[str]:
    dtypes = ", ".join(f"{count} {name}" for name, count in metadata["node_dtypes"].items())
    rows = metadata["nodes"]
    yield f"nodes: {len(rows)} that compute ({dtypes})"
    several = [row for row in rows if len(row["sources"]) > 1]
    if several:
        sources = sum(len(row["sources"]) for row in several)
        yield f"fused: {len(several)} of them, from {sources} nodes of the source model (--json lists all)"
    for row in several[:FUSED]:
        yield f"- {row['name']}: {', '.join(row['sources'])}"
    if metadata["node_modes"]:
        yield "implementation: " + ", ".join(f"{name} {count}" for name, count in metadata["node_modes"].items())
    if metadata["random_ops"]:
        yield f"draws noise: {', '.join(metadata['random_ops'])}"


def _about_ports(metadata: Mapping[str, Any]) -> Iterator[str]:
    device = metadata["device"]
    yield "formats: " + ", ".join(
        f"{port['name']} {port['format']}" for port in (*device["inputs"], *device["outputs"])
    )
    for port in (*device["inputs"], *device["outputs"]):
        if port["device_name"] != port["name"]:
            yield f"{port['name']} is called {port['device_name']} on the device"
    for name, before in metadata["aipp"].items():
        said = ", ".join(f"{key} {value}" for key, value in before.items())
        yield f"AIPP prepares {name} on the device ({said})"
    gears = metadata["gears"]
    if gears:
        values = gears["values"]
        listed = ", ".join("×".join(map(str, v)) for v in values[:GEARS])
        yield f"gears ({gears['kind']}): {listed}" + (f", … ({len(values)})" if len(values) > GEARS else "")


def _about_memory(metadata: Mapping[str, Any]) -> Iterator[str]:
    sizes, constants = metadata["sizes"], metadata["constants"]
    if constants["count"]:
        left = constants["count"] - constants["checked"]
        note = f"; the {left} largest were not looked through for NaN" if left else ""
        yield f"constants: {constants['count']}, {human(constants['bytes'])}{note}"
    named = [("weights", "weight_size"), ("working memory", "memory_size"), ("zero copy", "zero_copy_memory_size")]
    memory = [f"{name} {human(sizes[key])}" for name, key in named if sizes.get(key)]
    if memory:
        yield f"memory on the device: {', '.join(memory)}"


def human(count: int) -> str:
    """Return a number of bytes in words: ``387 kB``, ``1.2 GB``."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
