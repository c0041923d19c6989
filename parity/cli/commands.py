"""The commands that exist, with their short help, as a static table: `parity --help` imports none of them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "demo": "Judge a good and a broken release of a small policy, and write both reports.",
    "init": "Write a commented parity.toml for the artifacts given.",
    "inspect": "Show the contract of each artifact; with several, where they disagree.",
    "export": "Write a policy as ONNX, compared with its source at once.",
    "compare": "Compare two artifacts or traces; no configuration needed.",
    "convert": "Turn a training checkpoint into inference weights, with a record of what they are.",
    "run": "Judge the release that parity.toml describes and write its reports.",
    "pack": "Copy all of a release into one folder, with a manifest of hashes.",
    "verify": "Check a packed folder against its manifest: what changed.",
}
