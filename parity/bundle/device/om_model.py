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

    def __init__(self, path: Path, device: int, soc: str | None, config: Path | None) -> None:
        self.began = config is not None
        acl = importlib.util.find_spec("acl") is not None
        if not acl and importlib.util.find_spec("ais_bench") is None:
            raise Stop("neither acl (pyACL) nor ais_bench can be imported: source CANN's set_env.sh first")
        if config is not None:  # begun here, with the dump's settings: the model then takes the runtime as it is
            status = importlib.import_module("acl").init(str(config)) if acl else "there is no pyACL"
            if status != 0:
                raise Stop(f"acl.init with {config.name} failed: {status}")
        try:
            loaded: Any = (AclModel if acl else AisModel)(str(path), device, soc)
        except AclError as e:
            raise Stop(str(e)) from None
        self.model = loaded
        self.inputs: list[dict[str, Any]] = loaded.inputs
        self.outputs: list[dict[str, Any]] = loaded.outputs
        self.gears = loaded.gears

    def environment(self) -> dict[str, Any]:
        """Return what ran: device, chip, versions of driver and CANN."""
        return dict(self.model.environment())

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        try:
            return dict(self.model.run(feeds))
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


def load_model(folder: Path, manifest: dict[str, Any], options: Any, config: Path | None) -> Any:
    """Return the model of the bundle, on the device asked for."""
    path = place(folder, "artifact/" + manifest["artifact"]["main"])
    soc = None if options.any_soc else manifest["artifact"].get("soc")
    return OmModel(path, options.device, soc, config)
