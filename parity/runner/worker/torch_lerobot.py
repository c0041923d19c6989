"""Runs a LeRobot folder through the user's own lerobot, 0.3 to 0.6. Part of the stand-alone torch worker.

The policy takes raw observations by feature name, ``(B, ...)`` or ``(B, n_obs_steps, ...)``, and gives ``action``, the
chunk ``(B, steps, A)`` after un-normalization. Normalization is the folder's own: its processor files (0.4 and later)
or the buffers in the weights (0.3). With the option ``network`` the output is also given as it is before it is
un-normalized, its name behind the text that the option holds. Where the sampler draws noise, it can be given: ``noise``
``(B, horizon, A)``, and ``step_noise`` ``(B, steps, horizon, A)`` for a DDPM sampler.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.protocol import Refused, digest
    from parity.runner.worker.torch_loaded import Loaded, class_of, float_tensors, lowest
else:
    from protocol import Refused, digest
    from torch_loaded import Loaded, class_of, float_tensors, lowest

SAMPLERS = ("diffusion", "pi0", "pi05", "smolvla", "multi_task_dit", "xvla")  # policy types that draw noise


def load(request: dict[str, Any]) -> Loaded:
    """Return the policy in the folder, with its pre- and post-processing."""
    try:
        import lerobot
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies import factory
    except ImportError as e:
        text = "a LeRobot folder needs lerobot, which cannot be imported here ({}); set `python` to the interpreter of"
        raise Refused("absent", (text + " the training environment").format(e)) from None
    path = request["path"]
    config = PreTrainedConfig.from_pretrained(path, local_files_only=True)
    config.device = request.get("device") or "cpu"
    policy = factory.get_policy_class(config.type).from_pretrained(path, config=config, local_files_only=True)
    policy.to(config.device).eval()
    target = LeRobotPolicy(policy, config, *_processors(factory, config, path))
    target.show = request["options"].get("network")
    loaded = Loaded("lerobot", target)
    files = sorted(p for p in Path(path).rglob("*") if p.is_file())
    loaded.sha256 = digest(Path(path), files, folder=True)
    loaded.takes_dict = True
    loaded.keywords = target.inputs()
    loaded.training_flag = "eval"
    loaded.precision = lowest([class_of(t.dtype) for t in float_tensors(policy)])
    loaded.environment.update(lerobot=lerobot.__version__, policy=config.type)
    if config.type in SAMPLERS:
        loaded.random_ops = ["the sampler's noise, where it is not given"]
    return loaded


def _processors(factory: Any, config: Any, path: str) -> Any:
    """Return pre- and post-processing from the folder's files; None where this lerobot keeps it in the policy."""
    make = getattr(factory, "make_pre_post_processors", None)
    if make is None:
        return None, None
    if not (Path(path) / "policy_preprocessor.json").is_file():
        raise Refused("load", "no policy_preprocessor.json in the folder: lerobot's own migration has to make it first")
    override = {"device_processor": {"device": config.device}}
    return make(config, pretrained_path=path, preprocessor_overrides=override)


class LeRobotPolicy:
    """A LeRobot policy as a function from named observations to the chunk of actions that follows them."""

    def __init__(self, policy: Any, config: Any, before: Any, after: Any) -> None:
        self.policy, self.config, self._before, self._after = policy, config, before, after
        self._takes_noise = "noise" in inspect.signature(policy.predict_action_chunk).parameters
        self.show: Any = None
        self._normalized: list[Any] = []
        inside = getattr(policy, "unnormalize_outputs", None)  # 0.3 un-normalizes in the policy itself
        if inside is not None:
            inside.register_forward_pre_hook(lambda module, given: self._normalized.append(given[0]["action"].clone()))

    def inputs(self) -> list[str]:
        """Return the names of the observations, and of the noise where the policy draws some."""
        return [*self.config.input_features, *(["noise"] if self.config.type in SAMPLERS else [])]

    def reset(self) -> None:
        """Empty the queues of observations and actions."""
        self.policy.reset()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return ``action`` ``(B, steps, A)``."""
        noise, step_noise = batch.pop("noise", None), batch.pop("step_noise", None)
        missing = [n for n in self.config.input_features if n not in batch]
        if missing:
            raise Refused("input", "missing {}".format(", ".join(missing)))
        last: dict[str, Any] = {}
        for step in self._steps(batch):
            last = self._queued(self._before(step) if self._before is not None else step)
        given = {"noise": noise} if noise is not None and self._takes_noise else {}
        patched = noise if noise is not None and not self._takes_noise else None
        self._normalized.clear()
        with _initial_noise(patched), _step_noise(step_noise):
            actions = self.policy.predict_action_chunk(last, **given)
        normalized = actions.clone() if self._after is not None else (self._normalized or [None])[0]
        shown = {str(self.show) + "action": normalized} if self.show and normalized is not None else {}
        return {"action": self._after(actions) if self._after is not None else actions, **shown}

    def _steps(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        """Return one batch per time step; observations without a time axis are a single one."""
        features = self.config.input_features
        timed = {n for n, t in batch.items() if n in features and t.ndim == len(features[n].shape) + 2}
        if not timed:
            return [batch]
        count = max(batch[n].shape[1] for n in timed)
        return [{n: t[:, i] if n in timed else t for n, t in batch.items()} for i in range(count)]

    def _queued(self, step: dict[str, Any]) -> dict[str, Any]:
        """Put one time step into the policy's queues, as its own ``select_action`` does, where it keeps such."""
        import torch

        queues = getattr(self.policy, "_queues", None)
        if not queues or not any(k.startswith("observation") for k in queues):
            return step
        from lerobot.policies.utils import populate_queues

        if hasattr(self.policy, "normalize_inputs"):
            step = self.policy.normalize_inputs(step)
        if self.config.image_features and "observation.images" in queues:
            step = dict(step)
            step["observation.images"] = torch.stack([step[k] for k in self.config.image_features], dim=-4)
        kept = {k: v for k, v in step.items() if k in queues and k != "action"}
        self.policy._queues = populate_queues(queues, kept)
        return kept


@contextlib.contextmanager
def _initial_noise(noise: Any) -> Any:
    """Have the sampler's first ``torch.randn`` of that shape give the noise: lerobot 0.3 has no argument for it."""
    import torch

    if noise is None:
        yield
        return
    original, waiting = torch.randn, [noise]

    def randn(*args: Any, **kwargs: Any) -> Any:
        shape = tuple(kwargs.get("size") or (args[0] if args and not isinstance(args[0], int) else args))
        return waiting.pop().clone() if waiting and shape == tuple(noise.shape) else original(*args, **kwargs)

    torch.randn = randn
    try:
        yield
    finally:
        torch.randn = original
    if waiting:
        raise Refused("input", f"the sampler drew no noise of shape {tuple(noise.shape)}")


@contextlib.contextmanager
def _step_noise(noise: Any) -> Any:
    """Have the DDPM scheduler's noise of each step come from ``noise`` ``(B, steps, horizon, A)``."""
    if noise is None:
        yield
        return
    scheduling_ddpm: Any = importlib.import_module("diffusers.schedulers.scheduling_ddpm")
    original, steps = scheduling_ddpm.randn_tensor, iter(noise.unbind(1))
    scheduling_ddpm.randn_tensor = lambda *args, **kwargs: next(steps)
    try:
        yield
    except StopIteration:
        raise Refused("input", "step_noise holds fewer steps than the sampler takes") from None
    finally:
        scheduling_ddpm.randn_tensor = original
