"""Groups of an optimizer over all phases of a strategy, and the rates that they have in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headstart.core.network import Network
from headstart.core.strategy import Phase, Strategy

RATES = "rates"


def groups(network: Network, strategy: Strategy, phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """Optimizer groups of equal decay and equal rate in every phase; a strategy's own parameters train in all
    of them. All groups exist from the start, so that a training killed in any phase finds what it left."""
    known, alike = dict(network.named_parameters()), {}
    rates: dict[str, dict[str, float]] = {}
    decays: dict[str, float] = {}
    for phase in phases:
        for group in phase.groups:
            for name in group.parameters:
                rates.setdefault(name, {})[phase.name] = group.rate
                decays.setdefault(name, group.decay)
    for name, by_phase in rates.items():
        key = (tuple(sorted(by_phase.items())), decays[name])
        alike.setdefault(key, []).append(known[name])
    made = [
        {"params": members, RATES: dict(by_phase), "weight_decay": decay}
        for (by_phase, decay), members in alike.items()
    ]
    own = [p for p in strategy.parameters() if p.requires_grad]
    if own:
        everywhere = {phase.name: strategy.own_rate for phase in phases}
        made.append({"params": own, RATES: everywhere, "weight_decay": 0.0})
    return made


def set_rates(held: Iterable[dict[str, Any]], phase: Phase, factor: float) -> None:
    """Sets the rate of every group that `groups` made: what the phase does not name gets none and no
    decay."""
    for group in held:
        if RATES in group:
            group["lr"] = factor * group[RATES].get(phase.name, 0.0)
