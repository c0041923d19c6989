"""The commands that exist, with their short help, as a static table: `parity --help` imports none of them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "demo": "Judge a good and a broken release of a small policy, and write both reports.",
    "init": "Write a commented parity.toml for the artifacts given.",
    "inspect": "Show the contract of each artifact; with several, where they disagree.",
    "compare": "Compare two artifacts or traces; no configuration needed.",
    "provenance": "Tell which tensors of which checkpoint are inside an exported file.",
    "run": "Judge the release that parity.toml describes and write its reports.",
}
