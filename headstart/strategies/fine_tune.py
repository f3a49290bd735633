"""Fine-tuning above a cut: head first and then all (LP-FT), rates decaying with depth.

Kumar et al. 2022, arXiv:2202.10054 (head first); Howard and Ruder 2018, arXiv:1801.06146, and Clark et
al. 2020, arXiv:2003.10555 (rates by depth); Loshchilov and Hutter 2019, arXiv:1711.05101 (decay).
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.core.strategy import Strategy as Base
from headstart.errors import PlanError


@dataclass(frozen=True)
class Settings:
    """How far and how fast.

    Attributes:
        cut: stages below it stay frozen and may be kept; negative counts from the end; 0: all train.
        epochs: passes over the training rows, at most.
        rate: learning rate of the last stage (AdamW).
        head_rate: factor on `rate` for the head, which starts from its solved weights.
        depth_decay: factor on the rate per stage towards the input.
        weight_decay: decoupled, on matrices only.
        dropout: on the features, before the head.
        patience: epochs without a better validation loss before training ends; 0: never.
        augment: whether the modality's augmentation is used (then states are not kept).
        statistics: whether batch-norm statistics of the trained stages may move.
        head_first: start from the solved head.
    """

    cut: int = 0
    epochs: int = 30
    rate: float = 3e-4
    head_rate: float = 3.0
    depth_decay: float = 0.8
    weight_decay: float = 0.01
    dropout: float = 0.1
    patience: int = 6
    augment: bool = True
    statistics: bool = False
    head_first: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "rate", "depth_decay"):
            if getattr(self, name) <= 0:
                came = getattr(self, name)
                raise PlanError(f"fine_tune.{name} came as {came}; it must be above 0.")
        if not 0 <= self.dropout < 1:
            raise PlanError(f"fine_tune.dropout came as {self.dropout}; expected 0 <= dropout < 1.")


# What `strategy = "auto"` tries beside the probe, cheapest first: a careful pass over the last stages from
# kept states, and a bold one in which everything moves at one rate from a fresh head, for sources that lie
# far from the task.
AUTO = (
    Settings(cut=-2, augment=False, epochs=20),
    Settings(
        cut=0,
        epochs=20,
        rate=2e-3,
        head_rate=1.0,
        depth_decay=1.0,
        weight_decay=0.05,
        patience=8,
        statistics=True,
        head_first=False,
    ),
)


class Strategy(Base):
    """Two phases: the solved head, then head and upper stages together."""

    settings: Settings

    def refuse(self, network: Network) -> str:
        """A network that gives no gradients cannot be tuned."""
        why = network.backbone.frozen
        return f"{why}. Use linear_probe, which trains a head on its features." if why else ""

    def cut(self, network: Network) -> int:
        """The cut as a stage number. Raises PlanError when there is no such stage."""
        stages = network.backbone.stages
        cut = self.settings.cut if self.settings.cut >= 0 else len(stages) + self.settings.cut
        if not 0 <= cut < len(stages):
            raise PlanError(
                f"fine_tune.cut came as {self.settings.cut}, but the source has {len(stages)} "
                f"stages ({', '.join(stages)}). Expected a number from {-len(stages)} to "
                f"{len(stages) - 1}."
            )
        return cut

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, cut = self.settings, self.cut(network)
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        head = Group("head", names, rate=settings.head_rate, decay=settings.weight_decay)
        first = Phase("head", (head,), cut=len(network.backbone.stages), solved=True)
        both = Phase(
            "all" if cut == 0 else f"above {network.backbone.stages[cut - 1]}",
            (head, *self._stages(network, cut)),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
        )
        return (first, both) if settings.head_first else (both,)

    def _stages(self, network: Network, cut: int) -> tuple[Group, ...]:
        """One group a stage for matrices, one for vectors (no decay)."""
        backbone, groups = network.backbone, []
        top = len(backbone.stages) - 1
        for stage in range(cut, top + 1):
            rate = self.settings.depth_decay ** (top - stage)
            every = backbone.named_parameters()
            owned = [(n, p) for n, p in every if backbone.stage_of(n) == stage]
            matrices = tuple(f"backbone.{n}" for n, p in owned if p.ndim > 1)
            vectors = tuple(f"backbone.{n}" for n, p in owned if p.ndim <= 1)
            moving = tuple(
                f"backbone.{n}"
                for n, _ in backbone.named_buffers()
                if self.settings.statistics and backbone.stage_of(n) == stage
            )
            name = backbone.stages[stage]
            groups.append(Group(name, matrices, rate, self.settings.weight_decay, moving))
            groups.append(Group(f"{name}, vectors", vectors, rate))
        return tuple(g for g in groups if g.parameters or g.buffers)
