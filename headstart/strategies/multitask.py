"""Several targets at once: one backbone, a head for each, and the balance between their losses.

What trains is as in `fine_tune`. The losses, each the mean over the rows of a batch that have the target, are
balanced by one of four ways:

`uncertainty`  sum of exp(-s) L + s / 2, with a learned log variance s each; of numbers L is half the squared
               error (Kendall, Gal and Cipolla 2018, arXiv:1705.07115).
`gradnorm`     sum of w L. The weights w, whose sum is the number of targets, move so that the norm G of the
               gradient of w L in the last stage that trains comes near to mean(G) (r / mean(r))^alpha, with r
               the share that is left of the loss of a head that knows nothing (Chen et al. 2018,
               arXiv:1711.02257; the paper's L(0) of a fresh head, as a solved one begins near its end).
`pcgrad`       the sum of the losses; where the gradients of two conflict (their inner product is negative),
               each loses its part along the other's, the others taken in a random order (Yu et al. 2020,
               arXiv:2001.06782).
`equal`        the sum of the losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.core.weighing import uncertain
from headstart.errors import ContractError, PlanError, nearest
from headstart.strategies import fine_tune
from headstart.strategies._tuning import Tuning, at_least

BALANCES = ("uncertainty", "gradnorm", "pcgrad", "equal")
WEIGHT_RATE = 0.025  # of log variances and weights, the rate of GradNorm's authors
LEAST = 1e-3  # of a weight, so that no target is lost for good

Gradients = Mapping[str, Tensor]


@dataclass(frozen=True)
class Settings(Tuning):
    """How far and how fast, and how the targets are balanced.

    Attributes:
        balance: "uncertainty", "gradnorm", "pcgrad" or "equal".
        alpha: of gradnorm: how strongly targets that learn slowly are drawn along; 0: gradients of one norm.
    """

    balance: str = "uncertainty"
    alpha: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "alpha")
        if self.balance not in BALANCES:
            raise PlanError(
                f"multitask.balance came as '{self.balance}'. {nearest(self.balance, BALANCES)}"
            )


class Strategy(fine_tune.Strategy):
    """`fine_tune` with a head for each of several targets of whole rows.

    Attributes:
        logs: (targets,) log variances, where the balance is "uncertainty".
        weights: (targets,) whose sum is their number, where it is "gradnorm".
    """

    settings: Settings
    several = True
    composes = False

    balance = "equal"  # a single target, as a network is compared with, has nothing to balance

    @property
    def combines(self) -> bool:
        return self.balance in ("gradnorm", "pcgrad")

    @property
    def own_rate(self) -> float:  # type: ignore[override]
        return WEIGHT_RATE / self.settings.rate

    @property
    def backwards(self) -> int:  # type: ignore[override]
        return self._heads if self.combines else 1

    _heads = 1

    def refuse(self, network: Network) -> str:
        """It takes heads of whole rows, and more than one."""
        if any(head.reads != "pooled" for head in network.heads.values()):
            return (
                "it learns several targets of whole rows at once, but this outcome's head reads single "
                "positions; choose fine_tune"
            )
        if len(network.heads) < 2:
            return (
                "it learns several targets at once, but one alone is named; name further ones with --also "
                "COLUMN, or choose fine_tune"
            )
        return super().refuse(network)

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Makes the weights; each begins as if all targets were alike."""
        self._heads = count = len(network.heads)
        self.balance = self.settings.balance if count > 1 else "equal"
        targets = getattr(streams["train"], "targets", {})
        missing = [name for name in network.heads if name not in targets]
        if missing:
            raise ContractError(f"The strategy needs the targets '{missing[0]}' of its rows.")
        if self.balance == "uncertainty":
            self.logs = nn.Parameter(torch.zeros(count))
        elif self.balance == "gradnorm":
            self.weights = nn.Parameter(torch.ones(count))
            rows = {n: torch.from_numpy(targets[n]) for n in network.heads}
            self.register_buffer("fresh", torch.tensor(_fresh(network, rows)))
            self.register_buffer("left", torch.ones(count))
            self.last = _last(network, self.phases(network)[-1].groups)
        elif self.balance == "pcgrad":
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        parts = losses(network, batches["train"])
        if not network.heads.training:
            return parts
        if self.balance == "uncertainty":
            halves = {
                n: part if network.heads[n].classed else part / 2 for n, part in parts.items()
            }
            told = uncertain(halves, self.logs)
            there = {n: bool(known(batches["train"].targets[n]).any()) for n in parts}
            # a batch without a row of a target says nothing of its variance
            return {n: told[n] if there[n] else part for n, part in parts.items()}
        if self.balance == "gradnorm":
            with torch.no_grad():
                now = torch.stack([part.detach().float() for part in parts.values()])
                self.get_buffer("left").copy_(now / self.get_buffer("fresh"))
            each = zip(parts.items(), self.weights.detach(), strict=True)
            return {name: weight * part for (name, part), weight in each}
        return parts

    def combine(self, gradients: Mapping[str, Gradients]) -> Gradients:
        """Gradients of the backbone from those of each target."""
        if self.balance == "gradnorm":
            self._weigh(gradients)
            return added(list(gradients.values()))
        steps = self.get_buffer("steps")
        steps += 1
        drawn = torch.Generator().manual_seed(int(steps))
        return added(projected(list(gradients.values()), drawn))

    def _weigh(self, gradients: Mapping[str, Gradients]) -> None:
        """The gradient of sum |G - mean(G) (r / mean(r))^alpha| in each weight, the target held fixed; a
        target without a row in the batch (its norm is 0) has no say."""
        norms = torch.stack([_norm(each, self.last, self.weights) for each in gradients.values()])
        there = norms > 0
        if int(there.sum()) < 2:
            return
        left = self.get_buffer("left")
        share = left / left[there].mean().clamp(min=1e-12)
        wanted = norms[there].mean() * share**self.settings.alpha
        with torch.no_grad():
            slope = torch.sign(norms - wanted) * norms / self.weights
            self.weights.grad = torch.where(there, slope, torch.zeros_like(slope))

    def after_step(self, network: Network, progress: float) -> None:
        """Weights of gradnorm are positive, and their sum is the number of targets."""
        if self.balance == "gradnorm":
            with torch.no_grad():
                self.weights.clamp_(min=LEAST)
                self.weights.mul_(len(self.weights) / self.weights.sum())


def losses(network: Network, batch: Batch) -> dict[str, Tensor]:
    """Loss of each head, the mean over the rows that have its target; 0 where none has."""
    outputs, made = network(batch.inputs, start=batch.start), {}
    for name, head in network.heads.items():
        said, target = outputs[name], batch.targets[name]
        rows = known(target)
        made[name] = head.loss(said[rows], target[rows]) if rows.any() else 0.0 * said.sum()  # type: ignore[operator]
    return made


def known(targets: Tensor) -> Tensor:
    """(N,) of bool: rows that have the target; -1 stands for no class, NaN for no number, and for no tag in
    all columns."""
    there = torch.isfinite(targets) if targets.is_floating_point() else targets >= 0
    return there if there.ndim == 1 else there.flatten(1).any(dim=1)


def projected(gradients: Sequence[Gradients], drawn: torch.Generator) -> list[dict[str, Tensor]]:
    """Gradients, each without its part along those of the others that it conflicts with.

    Args:
        gradients: of each target, by parameter; a parameter that one lacks counts as 0 there.
        drawn: of the order in which the others are taken.
    """
    made = []
    for place, own in enumerate(gradients):
        mine = dict(own)
        others = [p for p in torch.randperm(len(gradients), generator=drawn).tolist() if p != place]
        for other in (gradients[p] for p in others):
            along = sum((mine[n] * g).sum() for n, g in other.items() if n in mine)
            length = sum(g.square().sum() for g in other.values())
            if along < 0:
                for name, gradient in other.items():
                    mine[name] = mine.get(name, torch.zeros_like(gradient)) - (
                        along / length * gradient
                    )
        made.append(mine)
    return made


def added(gradients: Sequence[Gradients]) -> dict[str, Tensor]:
    """Their sum, parameter by parameter."""
    made: dict[str, Tensor] = {}
    for each in gradients:
        for name, gradient in each.items():
            made[name] = made[name] + gradient if name in made else gradient
    return made


def _norm(gradients: Gradients, names: Sequence[str], like: Tensor) -> Tensor:
    """Length of the gradients of some parameters together, ()."""
    squares = [gradients[n].float().square().sum() for n in names if n in gradients]
    return torch.stack(squares).sum().sqrt() if squares else like.new_zeros(())


def _fresh(network: Network, targets: Mapping[str, Tensor]) -> list[float]:
    """Loss of each head that knows nothing of its rows: what it says of features that are all 0."""
    found = []
    with torch.no_grad():
        for name, head in network.heads.items():
            rows = targets[name][known(targets[name])]
            said = head(torch.zeros(len(rows), network.backbone.width))
            found.append(max(float(head.loss(said, rows)), 1e-6))  # type: ignore[operator]
    return found


def _last(network: Network, groups: Sequence[Any]) -> tuple[str, ...]:
    """Names of the parameters of the last stage that trains."""
    stage: dict[int, list[str]] = {}
    for name in (n for group in groups for n in group.parameters if n.startswith("backbone.")):
        place = network.backbone.stage_of(name.removeprefix("backbone."))
        stage.setdefault(place, []).append(name)
    return tuple(stage[max(stage)]) if stage else ()
