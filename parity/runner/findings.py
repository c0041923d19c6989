"""What running a policy has shown that a reader should know: as findings, from what the worker told.

RUN001  saved in train mode, and that would change the result
RUN002  the policy keeps state between calls; it was reset before each case
RUN003  the file holds state that was left over from a run
RUN004  the runtime computes in another precision than it was asked for
RUN005  nodes that only handle shapes ran on another provider than the one asked for
RUN006  the graph's state goes in and out; parity kept it between calls
RUN008  something that the runtime would let through could not be checked
REBUILD001  the actor was rebuilt from a checkpoint, and who told what its weights do not say
REBUILD002  none of the ways to rebuild it fits the other side; the nearest was judged
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from parity.finding import Finding
from parity.runner.origin import origin_findings


class Told(Protocol):
    """What a session tells of itself: a `parity.runner.base.SessionInfo`, or facts saved from one."""

    @property
    def environment(self) -> Mapping[str, Any]: ...

    @property
    def stateful(self) -> str | None: ...


def session_findings(told: Told, where: str, candidate: str | None = None) -> Iterator[Finding]:
    """Yield what is to be said of the session that ran ``where``; ``candidate`` is None for the reference."""
    environment = told.environment
    yield from origin_findings(environment, where, candidate)
    if environment.get("rebuilt") and "choices" not in environment:
        yield _rebuilt(environment["rebuilt"], where, candidate)
    read = environment.get("kind") == "torchscript"  # its contract says this already, read from the program
    if environment.get("training_matters") and not read:
        yield Finding(
            "RUN001",
            "warning",
            f"{where} is in train mode, where dropout or batch norm change its outputs; it was run in eval mode.",
            where=where,
            evidence={"training_flag": environment.get("training_flag")},
            remedy="call eval() before saving; a robot that loads the file as it is runs another policy",
            candidate=candidate,
        )
    kept = environment.get("state_kept")
    if kept:
        yield Finding(
            "RUN006",
            "info",
            f"{where} takes and gives its state: {told.stateful}.",
            where=where,
            evidence={"state": dict(kept)},
            remedy="make sure that the robot does the same; `options = {state = {...}}` says it otherwise",
            candidate=candidate,
        )
    elif told.stateful and not read:
        yield Finding(
            "RUN002", "info", f"{where}: {told.stateful}.", where=where, remedy="nothing", candidate=candidate
        )
    left = environment.get("left_over_state")
    if left:
        yield Finding(
            "RUN003",
            "warning",
            f"{where} was saved with state left over from a run in {', '.join(left)}; it was reset.",
            where=where,
            evidence={"state": list(left)},
            remedy="make sure that the robot resets the policy before its first step",
            candidate=candidate,
        )
    asked, ran = environment.get("precision_hint"), environment.get("inference_precision")
    if asked and ran and asked != ran:
        yield Finding(
            "RUN004",
            "warning",
            f"{where} was to run in {asked}, but the runtime runs it in {ran}.",
            where=where,
            evidence={"asked": asked, "ran": ran},
            remedy="declare the precision class that it runs in",
            candidate=candidate,
        )
    for what in environment.get("unchecked", ()):
        yield Finding(
            "RUN008",
            "warning",
            f"{where}: {what}.",
            where=where,
            evidence={"runtime": environment.get("runtime")},
            remedy="install a pyACL that can tell, or check it by hand",
            candidate=candidate,
        )
    elsewhere = environment.get("nodes_elsewhere")
    if elsewhere:
        yield Finding(
            "RUN005",
            "info",
            f"{len(elsewhere)} nodes of {where} ran on another provider than {environment.get('provider')}.",
            where=where,
            evidence={"nodes": list(elsewhere)[:32]},
            remedy="nothing, where they only handle shapes",
            candidate=candidate,
        )


def _rebuilt(how: Mapping[str, Any], where: str, candidate: str | None) -> Finding:
    """Return what is to be said of an actor that was rebuilt from a checkpoint."""
    told, against = how.get("told", {}), how.get("against")
    parts = [f"{_words(k)} {_value(v)} ({_source(k, told, how)})" for k, v in how.get("settled", {}).items()]
    title = f"{where} was rebuilt from its weights: {how.get('actor')}"
    title += "".join(f"; {p}" for p in parts)
    evidence = {k: how[k] for k in ("settled", "told", "against", "tried", "rel", "next_rel", "notes") if k in how}
    about: dict[str, Any] = {"where": where, "evidence": evidence, "candidate": candidate}
    if against is None:
        return Finding("REBUILD001", "info", f"{title}.", remedy="nothing; `kwargs` in parity.toml decides", **about)
    if how.get("fits"):  # an export that was built otherwise than trained would have been fitted just as well
        remedy = f"say with `kwargs` how it was trained: that {against} is built otherwise cannot be seen here"
        return Finding("REBUILD001", "warning", f"{title}.", remedy=remedy, **about)
    return Finding(
        "REBUILD002",
        "warning",
        f"{title}. None of {how.get('tried')} ways to rebuild it fits {against}, whose weights are others: "
        f"the nearest, {how.get('rel'):.1e} of the largest output away, was judged.",
        remedy="give the checkpoint that was exported; if this is the one, say how it is built with `kwargs`",
        **about,
    )


def _words(name: str) -> str:
    return "strides" if name == "geometry" else name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):  # strides and paddings
        return " with paddings ".join(" ".join(str(n) for n in part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(name: str, told: Mapping[str, str], how: Mapping[str, Any]) -> str:
    """Return who told the value of an option."""
    if name in told:
        return told[name]
    if how.get("against") is None:
        return "nothing else is possible"
    if not how.get("fits"):
        return f"the nearest to {how['against']}"
    further = "" if how.get("next_rel") is None else f", the next choice {how['next_rel']:.1e}"
    return f"fits {how['against']}: {how['rel']:.1e} of the largest output{further}"
