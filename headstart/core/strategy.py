"""Strategy: what to train, when, with which rates and loss; never how."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from headstart.core import common as commons
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.errors import ContractError


@dataclass(frozen=True)
class Group:
    """Parameters that train together.

    Attributes:
        parameters: names in `network.named_parameters()`.
        rate: factor on the phase's learning rate.
        decay: weight decay.
        buffers: names of buffers that may move (batch-norm statistics); all others are frozen.
    """

    name: str
    parameters: tuple[str, ...]
    rate: float = 1.0
    decay: float = 0.0
    buffers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phase:
    """One stretch of training. What no group names is frozen, to the bit.

    Attributes:
        cut: below this stage nothing trains and kept states may be used. Of a solved phase the number of
            stages: the source's stored features serve; less: an earlier phase has trained the stages above,
            so features are computed anew.
        solved: the heads are solved on features; `epochs` and `rate` do not matter.
        rate: base learning rate; each group multiplies it.
        patience: epochs without better validation loss before the phase ends; 0: never.
        augment: whether the modality's augmentation is asked for.
        schedule: "cosine" (with warm-up), "slanted" (a short linear rise, a long linear fall) or "constant".
        whole: batches of full size only, for losses that compare the rows of a batch; the rows left over
            at the end of an epoch's order are not seen in that epoch.
        streams: whose batches the loss takes. An epoch is a pass over the first, the others are cycled; rows
            are held out of "train" alone, so a phase that begins with another has no validation.
    """

    name: str
    groups: tuple[Group, ...]
    cut: int
    solved: bool = False
    epochs: int = 0
    rate: float = 0.0
    patience: int = 0
    augment: bool = False
    schedule: str = "cosine"
    whole: bool = False
    streams: tuple[str, ...] = ("train",)


class Strategy(nn.Module):
    """Base of all strategies; a strategy's own parameters are trained and checkpointed like any other.
    Those that ask for no gradient (a teacher's) are checkpointed alone.

    A subclass lives in `strategies/<name>.py`, is called `Strategy` there, and takes its settings, a
    frozen dataclass `Settings` in the same file, as its only argument. `NEEDS_STAGES` is the least
    number of stages a backbone must have; what cannot work is refused by `refuse` before training.
    `streams` names what it reads, `optional` what it reads where it is there, `asks` further targets of
    the training rows that it takes beside the heads' own.
    `forwards` is how many times an input goes through a network of the backbone's size in a step,
    `backwards` how many times gradients go back through what trains.
    `chooses` is whether rate and epochs are chosen on held-out rows; where not, it has all its epochs at
    one rate, and a single held-out part tells how good it is.
    `several` says that it learns several heads at once, and no fewer.
    `from_random` says that it begins with random weights: nothing of the source is left in the network.
    `running` says that batch norms store running means over all steps; else each epoch begins them anew.
    `own_rate` is a factor on the phase's rate for the strategy's own parameters.
    `common` are settings that go with any strategy; one whose `loss` does not go by `task`, which carries
    them out, says so by `composes`; one that needs to know a row's own target or what was said of it alone,
    so that no other row may be blended into it, by `blends`.
    """

    streams: tuple[str, ...] = ("train",)
    optional: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    forwards: int = 1
    backwards: int = 1
    several: bool = False
    from_random: bool = False
    running: bool = False
    own_rate: float = 1.0
    common: Common = Common()
    composes: bool = True
    blends: bool = True
    chooses: bool = True

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def altered(self, **changes: Any) -> Self:
        """The same, untrained, with other settings of its own."""
        made = type(self)(replace(self.settings, **changes))
        made.common = self.common
        return made

    @property
    def merges(self) -> bool:
        """Whether `finish` leaves no modules on the network that the source did not have."""
        return type(self).rebuild is Strategy.rebuild

    @property
    def combines(self) -> bool:
        """Whether gradients of the loss's parts are to be put together by `combine`, not added up."""
        return False

    def combine(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The gradient of each trained parameter of the backbone, from those of the loss's parts.

        Called by the engine in each step where `combines`; heads and the strategy's own parameters have
        the sum of theirs, and what is set here on the latter's `grad` is stepped.

        Args:
            gradients: part -> name in the network -> its gradient; a part has none where it does not
                depend on a parameter.
        """
        raise ContractError(f"{type(self).__name__} has no combine().")

    def refuse(self, network: Network) -> str:
        """Why this network cannot be trained this way, or ""."""
        return ""

    def unfit(self, targets: Mapping[str, np.ndarray]) -> str:
        """Why the encoded targets of the training rows, by head name, cannot be learned this way, or ""."""
        return ""

    def lacks(self, network: Network, streams: Collection[str]) -> str:
        """The first stream that it cannot do without here and that is not among `streams`, or ""."""
        return next((name for name in self.streams if name not in streams), "")

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Wraps modules or measures the streams, before the first phase. What it draws from torch's
        generator follows from the training's seed. Where all phases are solved there may be no streams."""

    def phases(self, network: Network) -> tuple[Phase, ...]:
        """The phases, in order; all optimizer groups of all phases exist from the start."""
        raise ContractError(f"{type(self).__name__} has no phases().")

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        """Named parts of the loss; the engine adds them up. progress goes from 0 to 1."""
        return self.task(network, batches["train"])

    def task(
        self, network: Network, batch: Batch, features: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss of each head; in training as `common` asks for.

        Args:
            features: of the batch as `want="features"` gives them, where they are known already.
        """
        common = self.common
        targets = {name: t for name, t in batch.targets.items() if name in network.heads}
        if not network.heads.training:
            common, weights = Common(), {}
        else:
            weights = {n: self.get_buffer(f"weights_{n}") for n in targets if common.balanced}
        if common.mixup and features is None:
            features = network(batch.inputs, start=batch.start, want="features")
        share, theirs = batch.share, {name: batch.lent[name] for name in targets if batch.lent}
        if not common.mixup or features is None:
            inputs = batch.inputs if features is None else commons.read(features)
            outputs = network(inputs, start=batch.start)
        else:
            blend, share, other = commons.mixed(features, common.mixup)
            outputs = network(commons.read(blend))
            theirs = {name: target[other] for name, target in targets.items()}
        own = commons.losses(common, network, outputs, targets, weights)
        if share is None:
            return own
        lent = commons.losses(common, network, outputs, theirs, weights)
        return {name: share * own[name] + (1 - share) * lent[name] for name in own}

    def weigh(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Weights of classes from the targets of the stream "train", where `common` asks for them; the
        engine calls it after `prepare`."""
        if self.common.balanced:
            for name in network.heads:
                targets = streams["train"].targets[name]
                weights = network.heads[name].balance(targets)  # type: ignore[operator]
                self.register_buffer(f"weights_{name}", weights, persistent=False)

    def after_step(self, network: Network, progress: float) -> None:
        """Called after every optimizer step: averages of weights move here."""

    def finish(self, network: Network) -> Network:
        """Merges what was wrapped, in place; hands back a plain network. Modules that cannot be merged
        stay on it, their tensors under names that the plain network does not have; its own keep theirs."""
        return network

    @staticmethod
    def rebuild(network: Network, tensors: Mapping[str, Tensor]) -> None:
        """Puts onto a fresh network the modules that `finish` leaves on it, when a training or a pack is
        read back; the caller then fills in the values. Where all is merged there is nothing to do.

        Args:
            tensors: what was kept, by names in the network; names and shapes tell what there was.
        """


@dataclass(frozen=True)
class Batch:
    """One batch as the engine hands it to `Strategy.loss`.

    Attributes:
        inputs: model inputs, a state kept at `start`, or {"features": (N, width)}.
        targets: by head name, (N,), or by the name of what else a strategy asks for.
        start: stage at which `inputs` enter.
        dense, grid: names of inputs that may be blended, as the transform names them.
        lent: targets of the rows that were blended into these, named as `targets`.
        share: of each row that is its own; None: nothing was blended.
    """

    inputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    start: int = 0
    dense: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    lent: Mapping[str, Tensor] = field(default_factory=dict)
    share: Tensor | None = None
