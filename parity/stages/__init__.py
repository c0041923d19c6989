"""Policies that ship as several graphs: how they are wired, run on each other's outputs, and looked into."""

from parity.stages.model import Loop, Program, StageSpec, Wire, Wired
from parity.stages.names import ALONE, CHAINED, called, is_of_stages, parts_of, state_name
from parity.stages.session import StagedSession
from parity.stages.wiring import wire

__all__ = [
    "ALONE",
    "CHAINED",
    "Loop",
    "Program",
    "StageSpec",
    "StagedSession",
    "Wire",
    "Wired",
    "called",
    "is_of_stages",
    "parts_of",
    "state_name",
    "wire",
]
