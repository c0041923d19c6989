"""The commands that exist, with their short help, as a static table: `parity --help` imports none of them."""

from __future__ import annotations

COMMANDS: dict[str, str] = {
    "demo": "Judge a good and a broken release of a small policy, and write both reports.",
    "init": "Write a commented parity.toml for the artifacts given.",
    "inspect": "Show the contract of each artifact; with several, where they disagree.",
    "compare": "Compare two artifacts or traces; no configuration needed.",
    "run": "Judge the release that parity.toml describes and write its reports.",
    "replay": "Play recorded data through reference and candidates and judge the actions.",
    "provenance": "Tell which tensors of which checkpoint are inside an exported file.",
    "stats": "Tell what is wrong with normalization statistics, and who agrees with whom.",
    "convert": "Turn a training checkpoint into inference weights, with a record of what they are.",
    "export": "Write a policy as ONNX, compared with its source at once.",
    "pack": "Copy all of a release into one folder, with a manifest of hashes.",
    "bundle": "Write the cases of a release and one script, for a device without parity.",
    "capture": "Verify what came back from a device, and import it as a recorded candidate.",
    "verify": "Check a packed folder against its manifest: what changed.",
}
