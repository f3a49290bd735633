"""Settings that go with every strategy that trains a head step by step, and the loss under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from headstart.core.network import FEATURES, MASK, Network
from headstart.errors import PlanError

AVERAGES = ("", "ema", "swa")
BLENDS = ("mixup_inputs", "cutmix")  # what blends the inputs of two rows
WHOLE = "mixup_inputs (mixup of --augment)"
OF_FEATURES = "mixup, which blends features (--set mixup=0.2)"
OF_LOSS = ("label_smoothing", "balanced", "mixup", *BLENDS)  # what `Strategy.task` carries out


@dataclass(frozen=True)
class Common:
    """What may be added to any of them; the defaults add nothing but the clipping.

    Attributes:
        label_smoothing: share of a label that is spread over all classes (Szegedy et al. 2016,
            arXiv:1512.00567).
        balanced: classes weigh alike, however many rows each has; a row's weight is rows / (classes x
            rows of its class).
        mixup: alpha of Beta(alpha, alpha), by which features of two rows and their losses are mixed
            (Zhang et al. 2018, arXiv:1710.09412; of features Verma et al. 2019, arXiv:1806.05236); 0: not.
        mixup_inputs: the same of the raw inputs themselves (pixels, numbers), before the network.
        cutmix: alpha of the same draw; a rectangle of so much of a picture's area comes from another one,
            whose loss counts as much (Yun et al. 2019, arXiv:1905.04899); 0: not. With `mixup_inputs`, each
            step does one of both.
        clip: largest norm of all gradients together; 0: they are taken as they are.
        average: of the weights that a phase trains. "ema": a running mean over its steps (Polyak and
            Juditsky 1992); "swa": the equal mean of those at the ends of the last quarter of its epochs
            (Izmailov et al. 2018, arXiv:1803.05407); "": none.
        average_decay: share of the running mean that a step keeps, once there are many.
        wise: share of the way from the source's weights under a solved head to the trained weights that is
            gone (Wortsman et al. 2022, arXiv:2109.01903); 1: the whole way.
        soup: whether the weights of several candidates are averaged, those that lower the held-out loss
            (greedy soup, Wortsman et al. 2022, arXiv:2203.05482).
        find_rate: whether the rate is looked for first (Smith 2017, arXiv:1506.01186).
    """

    label_smoothing: float = 0.0
    balanced: bool = False
    mixup: float = 0.0
    mixup_inputs: float = 0.0
    cutmix: float = 0.0
    clip: float = 1.0
    average: str = ""
    average_decay: float = 0.999
    wise: float = 1.0
    soup: bool = False
    find_rate: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise PlanError(
                f"label_smoothing came as {self.label_smoothing}; expected 0 <= label_smoothing < 1."
            )
        for name in ("mixup", *BLENDS, "clip"):
            if not getattr(self, name) >= 0:
                raise PlanError(f"{name} came as {getattr(self, name)}; expected 0 or more.")
        if self.average not in AVERAGES:
            raise PlanError(f"average came as '{self.average}'; expected ema or swa.")
        if not 0 < self.average_decay < 1:
            raise PlanError(
                f"average_decay came as {self.average_decay}; expected 0 < average_decay < 1."
            )
        if not 0 <= self.wise <= 1:
            raise PlanError(f"wise came as {self.wise}; expected a share from 0 to 1.")

    @property
    def blends(self) -> bool:
        """Whether the inputs of two rows are blended."""
        return any(getattr(self, name) for name in BLENDS)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the settings that are not at their defaults."""
        usual = type(self)()
        return tuple(
            f.name for f in fields(self) if getattr(self, f.name) != getattr(usual, f.name)
        )


def beside(own: type) -> frozenset[str]:
    """Names of the settings that go with any strategy, but for those that its own settings have too."""
    return frozenset(f.name for f in fields(Common)) - {f.name for f in fields(own)}


def unblended(common: Common, *, dense: Sequence[str], grid: Sequence[str]) -> str:
    """Why inputs cannot be blended as these settings ask for, or "".

    Args:
        dense, grid: names of inputs that may be blended, as the transform names them.
    """
    if common.cutmix and not grid:
        other = f"{WHOLE}, which blends whole inputs" if dense else OF_FEATURES
        return (
            "cutmix puts a part of one picture into another, but these inputs are no pictures; choose "
            f"{other}, or leave it out"
        )
    if common.mixup_inputs and not dense:
        return (
            f"{WHOLE} blends inputs number by number, but half of one of these and half of another is "
            f"none at all; choose {OF_FEATURES}, or leave it out"
        )
    return ""


def refuse(common: Common, network: Network) -> str:
    """Why these settings do nothing sensible for the network's heads, or ""."""
    labels = [name for name in ("label_smoothing", "balanced") if name in common.changed]
    if labels and not all(head.classed for head in network.heads.values()):
        return f"{labels[0]} needs classes, which this outcome has none of; leave it out"
    if common.mixup and network.reads == "positions":
        return (
            "mixup mixes the features of whole rows, but this outcome's head reads single positions; "
            "leave it out"
        )
    if common.blends and network.reads == "positions":
        name = next(name for name in BLENDS if getattr(common, name))
        return f"{name} blends whole rows, but this outcome's head reads single positions; leave it out"
    if common.blends and common.mixup:
        return "mixup blends the features of rows whose inputs are blended already; leave one of the two out"
    if "average_decay" in common.changed and common.average != "ema":
        return "average_decay is of the running mean; set average=ema too, or leave it out"
    return ""


def read(features: Tensor) -> dict[str, Tensor]:
    """Features as `want="features"` gave them -> inputs from which the heads alone run."""
    if features.ndim < 3:
        return {FEATURES: features}
    # behind a row's end there is NaN, which a weight's gradient would take over
    return {FEATURES: torch.nan_to_num(features), MASK: torch.isfinite(features).all(dim=-1)}


def losses(
    common: Common,
    network: Network,
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Loss of each head on its outputs, with smoothed labels and weighted classes.

    Args:
        weights: by head name, as `Head.balance` gave them; heads without weigh all rows alike.
    """
    made: dict[str, Tensor] = {}
    for name, target in targets.items():
        head, weight = network.heads[name], weights.get(name)
        if weight is None and not common.label_smoothing:
            made[name] = head.loss(outputs[name], target)  # type: ignore[operator]
        else:
            said = outputs[name]
            made[name] = head.softened(said, target, common.label_smoothing, weight)  # type: ignore[operator]
    return made


def mixed(features: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, width), each with those of another row; the share of its own (), and the other rows (N,).

    What is drawn comes from torch's global generator.
    """
    share = torch.distributions.Beta(alpha, alpha).sample()
    other = torch.randperm(len(features))
    return share * features + (1 - share) * features[other], share, other
