"""Fine-tuning in which each weight is held as strongly as it has helped to learn an earlier task.

Zenke, Poole and Ganguli 2017, "Continual learning through synaptic intelligence", arXiv:1703.04200: while
the earlier task is learned, each weight adds up -gradient x its own step; divided by its squared way (and
XI), that is its importance Omega. Then the task is learned with weight x sum Omega (w - w*)^2 in the loss,
w* being the weights at the end of the earlier task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch, Phase
from headstart.strategies import _old
from headstart.strategies._regularised import Regularised, pull
from headstart.strategies._tuning import Tuning, at_least

XI = 1e-3  # keeps the importance of weights that hardly moved finite


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, without decay to zero.

    Attributes:
        weight: c of the paper.
        before: epochs on the earlier task.
    """

    weight_decay: float = 0.0
    weight: float = 1.0
    before: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")
        at_least(self, 1, "before")


class Strategy(Regularised):
    """A phase on the earlier task, then `fine_tune` with the part "si" in the loss while training.

    Of each weight that trains there are two buffers: what it has added up, and where it was after the last
    step; from the end of the earlier task on they are its importance and w*.
    """

    settings: Settings
    streams = ("train", _old.PREVIOUS)
    consolidated: Tensor

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        self.head = _old.head(network, streams).requires_grad_(True)
        cut, backbone = self.cut(network), network.backbone
        every = dict(backbone.named_parameters())
        self.names = tuple(
            name
            for name in every
            if backbone.stage_of(name) >= cut and not name.startswith("source_head.")
        )
        for place, name in enumerate(self.names):
            start = every[name].detach()
            self.register_buffer(f"start_{place}", start.clone(), persistent=False)
            self.register_buffer(f"place_{place}", start.clone())
            self.register_buffer(f"weight_{place}", torch.zeros_like(start))
        self.register_buffer("consolidated", torch.zeros((), dtype=torch.bool))
        self.gradients: dict[int, Tensor] = {}
        self.hooks: list[Any] = []

    def phases(self, network: Network) -> tuple[Phase, ...]:
        """The earlier task first. The head is solved on features of the source as it was."""
        *first, last = super().phases(network)
        stages = self.groups(network, self.cut(network))
        before = replace(
            last,
            name="earlier task",
            groups=stages,
            epochs=self.settings.before,
            patience=0,
            streams=(_old.PREVIOUS,),
        )
        return (before, *first, replace(last, streams=("train",)))

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        if "train" in batches:
            return super().loss(network, batches, progress)
        self._listen(network)
        batch = batches[_old.PREVIOUS]
        said = self.head(_old.pooled(network, batch))
        return {"earlier task": self.head.loss(said, batch.targets[_old.PREVIOUS])}  # type: ignore[operator]

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        if not self.consolidated:
            self._consolidate(dict(network.backbone.named_parameters()))
        held = pull(self, network, self.names, "place", "weight")
        return {"si": self.settings.weight * held}

    @torch.no_grad()
    def after_step(self, network: Network, progress: float) -> None:
        """Adds up -gradient x step, while the earlier task is learned."""
        now = dict(network.backbone.named_parameters())
        for place, gradient in self.gradients.items():
            value, last = now[self.names[place]], self.get_buffer(f"place_{place}")
            self.get_buffer(f"weight_{place}").sub_(gradient * (value - last))
            last.copy_(value)
        self.gradients.clear()

    def finish(self, network: Network) -> Network:
        self._deafen()
        return network

    def _listen(self, network: Network) -> None:
        """Hears gradients as they are made: what a step finds has been clipped."""
        if not self.hooks:
            every = dict(network.backbone.named_parameters())
            for place, name in enumerate(self.names):
                heard = every[name].register_hook(partial(self._heard, place))
                self.hooks.append(heard)

    def _heard(self, place: int, gradient: Tensor) -> None:
        self.gradients[place] = gradient.detach().clone()

    def _deafen(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()

    @torch.no_grad()
    def _consolidate(self, now: Mapping[str, Tensor]) -> None:
        """What was added up becomes importance, what is below 0 counts as 0; w* is where the weights are now,
        be it after the last step or as whoever ended the phase left them."""
        self._deafen()
        for place, name in enumerate(self.names):
            self.get_buffer(f"place_{place}").copy_(now[name])
            way = self.get_buffer(f"place_{place}") - self.get_buffer(f"start_{place}")
            self.get_buffer(f"weight_{place}").div_(way.square() + XI).clamp_(min=0)
        self.consolidated.fill_(True)
