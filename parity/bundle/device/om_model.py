"""An OM file as a model: through pyACL, or through ais_bench where only that is installed."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.bundle.device.files import Stop, place

if TYPE_CHECKING:
    from parity.runner.worker.acl_calls import AclError
    from parity.runner.worker.acl_model import AclModel
    from parity.runner.worker.ais_model import AisModel


class OmModel:
    """An OM file loaded by `AclModel` or `AisModel`; what these refuse becomes a `Stop`."""

    def __init__(self, path: Path, device: int, soc: str | None, order: list[str] | None, config: Path | None) -> None:
        self.soc, self.began = soc, config is not None
        acl = importlib.util.find_spec("acl") is not None
        if not acl and importlib.util.find_spec("ais_bench") is None:
            raise Stop("neither acl (pyACL) nor ais_bench can be imported: source CANN's set_env.sh first")
        if config is not None:  # begun here, with the dump's settings: the model then takes the runtime as it is
            status = importlib.import_module("acl").init(str(config)) if acl else "there is no pyACL"
            if status != 0:
                raise Stop(f"acl.init with {config.name} failed: {status}")
        try:
            loaded: Any = (AclModel if acl else AisModel)(str(path), device, soc, order)
        except AclError as e:
            raise Stop(str(e)) from None
        self.model = loaded
        self.names = source_names([t["name"] for t in loaded.outputs])
        self.inputs: list[dict[str, Any]] = loaded.inputs
        self.outputs = [dict(t, name=self.names[t["name"]]) for t in loaded.outputs]
        self.gears = loaded.gears

    def environment(self) -> dict[str, Any]:
        """Return what ran: device, chip, versions of driver and CANN."""
        found = dict(self.model.environment())
        unchecked = []
        if self.soc and not found.get("soc"):
            unchecked.append(f"compiled for {self.soc}; what chip the device is cannot be told there")
        if found.get("runtime") == "ais_bench":
            unchecked.append("through ais_bench, outputs that nothing was written to cannot be noticed")
        return dict(found, unchecked=unchecked) if unchecked else found

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        try:
            return {self.names[name]: array for name, array in self.model.run(feeds).items()}
        except AclError as e:
            raise Stop(str(e)) from None

    def close(self) -> None:
        """Give all back."""
        try:
            self.model.close()
        except AclError as e:
            raise Stop(str(e)) from None
        finally:
            if self.began:
                importlib.import_module("acl").finalize()


def source_names(raw: list[str]) -> dict[str, str]:
    """Return the outputs' names in the source model: the last field of ``<last node>:<index>:<name>``.

    Where two are called alike there, they keep the names that the file gives them.
    """
    parts = {name: name.split(":", 2) for name in raw}
    short = {name: p[2] if len(p) == 3 and p[1].isdigit() else name for name, p in parts.items()}
    known = list(short.values())
    named = {name: name if known.count(of) > 1 else of for name, of in short.items()}
    return named if len(set(named.values())) == len(raw) else {name: name for name in raw}


def load_model(folder: Path, manifest: dict[str, Any], options: Any, config: Path | None) -> Any:
    """Return the model of the bundle, on the device asked for."""
    path = place(folder, "artifact/" + manifest["artifact"]["main"])
    soc = None if options.any_soc else manifest["artifact"].get("soc")
    return OmModel(path, options.device, soc, manifest["artifact"].get("input_order") or None, config)
