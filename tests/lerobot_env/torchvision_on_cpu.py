"""Lets the registry's torchvision, which was built for CUDA, be imported beside a torch for the CPU alone.

It registers fakes for two operators that only its compiled part defines, and fails with "operator torchvision::nms does
not exist" without them. Their schemas are declared right before it is imported. A ``.pth`` file beside the installed
copy of this module runs it when the interpreter starts.
"""

from __future__ import annotations

import sys
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
kept: list[Any] = []  # a library that is collected takes its operators with it


class BeforeTorchvision:
    """An import hook that finds nothing: it only acts once, before torchvision is looked for."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        if torch.version.cuda is None:
            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                library.define(schema)
            kept.append(library)


sys.meta_path.insert(0, BeforeTorchvision())
