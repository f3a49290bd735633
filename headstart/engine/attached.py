"""A strategy at work in a loop that is not ours: phases, frozen parts, rates and penalties, one hook each.

Whoever runs the loop computes loss and gradients; here is what a strategy asks for beside that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch, Phase, Strategy
from headstart.engine import freeze, optimized
from headstart.engine.schedules import SCHEDULES
from headstart.errors import ContractError

WEIGHTS, FEATURES = "weights", "features"
NOTHING = Batch({}, {})


def refuse(strategy: Strategy, network: Network) -> str:
    """Why the strategy cannot work in a loop that is not ours, or ""."""
    extra = [name for name in strategy.streams if name != "train"]
    if extra:
        return (
            f"it reads '{extra[0]}' rows beside the training rows, which a Trainer does not give it; use "
            "l2_sp or fine_tune, or headstart.adapt"
        )
    if not strategy.merges:
        return (
            "it puts modules of its own beside the source's, which another module's forward pass does not go "
            "through; use lora or bitfit"
        )
    if type(strategy).loss is not Strategy.loss and reads(strategy) not in (WEIGHTS, FEATURES):
        return (
            "it has a loss of its own over whole batches, and the loss is another's here; use l2_sp, bss or "
            "fine_tune"
        )
    why = strategy.refuse(network)
    return why.rstrip(".")


def reads(strategy: Strategy) -> str:
    """What its penalties depend on; "" where it has none."""
    return str(getattr(strategy, "reads", ""))


class Attached:
    """One strategy on one network that another loop trains.

    Args:
        network: staged; its modules are those that the other loop runs.
        strategy: prepared by `prepare`.
    """

    def __init__(self, network: Network, strategy: Strategy) -> None:
        self.network, self.strategy = network, strategy
        self.phases: tuple[Phase, ...] = ()
        self.held: AbstractContextManager[None] | None = None
        self.phase: Phase | None = None

    def prepare(self) -> None:
        """Wraps what the strategy wraps, and asks for its phases. Raises ContractError where none trains."""
        self.strategy.prepare(self.network, {})
        self.phases = self.strategy.phases(self.network)
        if not self.trained:
            raise ContractError("All phases are solved, so there is nothing for the loop to train.")

    @property
    def trained(self) -> tuple[Phase, ...]:
        return tuple(p for p in self.phases if not p.solved)

    @property
    def epochs(self) -> int:
        """Of all phases together."""
        return sum(p.epochs for p in self.trained)

    def at(self, epoch: int) -> tuple[Phase, int]:
        """The phase of an epoch counted from 0 over all phases, and the epoch inside it."""
        for phase in self.trained:
            if epoch < phase.epochs:
                return phase, epoch
            epoch -= phase.epochs
        raise ContractError(f"The phases have {self.epochs} epochs in all.")

    def before(self, phase: Phase) -> list[Phase]:
        """Solved phases right before a trained one."""
        found: list[Phase] = []
        for one in self.phases:
            if one is phase:
                break
            found = [*found, one] if one.solved else []
        return found

    def regroup(self, optimizer: torch.optim.Optimizer) -> None:
        """Puts the network's parameters into groups by phase; parameters of others keep theirs."""
        self.strategy.to(device=next(self.network.parameters()).device)
        own = {id(p) for p in (*self.network.parameters(), *self.strategy.parameters())}
        usual = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
        kept = [
            {**group, "params": [p for p in group["params"] if id(p) not in own]}
            for group in optimizer.param_groups
        ]
        made = optimized.groups(self.network, self.strategy, self.trained)
        optimizer.param_groups.clear()
        for group in [g for g in kept if g["params"]] + [{**usual, **g, "lr": 0.0} for g in made]:
            optimizer.add_param_group(group)

    def enter(self, phase: Phase) -> None:
        """Begins a phase, once: frozen is what it does not name. Raises FrozenDrift by the one before."""
        if phase is self.phase:
            return
        self.leave()
        held = freeze.frozen(self.network, phase)
        held.__enter__()
        self.held, self.phase = held, phase

    def leave(self, error: BaseException | None = None) -> None:
        """Ends the phase; what was frozen is compared, unless an error ended it. Raises FrozenDrift."""
        held, self.held, self.phase = self.held, None, None
        if held is None:
            return
        try:
            held.__exit__(type(error) if error else None, error, None)
        except BaseException as raised:
            if raised is not error:
                raise

    def step(self, groups: Sequence[dict[str, Any]], progress: float) -> None:
        """Before a step: modes as the phase wants them, rates by its schedule; progress from 0 to 1."""
        if self.phase is None:
            raise ContractError("No phase was entered.")
        freeze.hold(self.network, self.phase)
        factor = self.phase.rate * SCHEDULES[self.phase.schedule](progress)
        optimized.set_rates(groups, self.phase, factor)

    def penalise(self) -> None:
        """Adds the gradient of penalties on weights to the gradients, once a step."""
        if reads(self.strategy) != WEIGHTS:
            return
        moving = [p for p in self.network.parameters() if p.requires_grad]
        total = _sum(self.strategy.penalties(self.network, NOTHING, torch.empty(0)))  # type: ignore[operator]
        found = torch.autograd.grad(total, moving, allow_unused=True)
        for parameter, gradient in zip(moving, found, strict=True):
            if gradient is not None:
                before = parameter.grad
                parameter.grad = gradient if before is None else before + gradient

    def watch(self, head: torch.nn.Module, share: Callable[[], float]) -> Any:
        """Adds the gradient of penalties on features to what flows back from the head while it trains.

        Args:
            head: module whose input are the features.
            share: what a batch's gradient counts (less than 1 where batches are accumulated).

        Returns:
            A handle whose `remove()` ends it; None where there are no such penalties.
        """
        if reads(self.strategy) != FEATURES:
            return None

        def before(module: torch.nn.Module, given: tuple[Any, ...]) -> None:
            features = given[0]
            if self.phase is None or not module.training or not features.requires_grad:
                return
            with torch.enable_grad():
                inner = features.detach().requires_grad_()
                total = _sum(self.strategy.penalties(self.network, NOTHING, inner))  # type: ignore[operator]
                (gradient,) = torch.autograd.grad(total, [inner])
            counts = share()
            features.register_hook(lambda came: came + counts * gradient)

        return head.register_forward_pre_hook(before)


def _sum(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([part.float() for part in parts.values()]).sum()
