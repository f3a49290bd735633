"""Greedy soup: the weights of several candidates, averaged as long as the held-out loss does not rise.

Wortsman et al. 2022, "Model soups", arXiv:2203.05482.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from headstart.core.network import Network
from headstart.engine import averages, reading
from headstart.engine.loop import Trained
from headstart.job import Job
from headstart.trainings import Recipe
from headstart.tuned import Held, Tuned, outputs, outside, plain


@dataclass(frozen=True)
class Stirred:
    """What came of it.

    Attributes:
        members: numbers of the candidates in it, the best first.
        networks: their mean, one a held-out part.
        loss: held-out, mean over the parts.
        alone: that of the best candidate.
        tries: how many means were measured.
    """

    members: tuple[int, ...]
    networks: tuple[Network, ...]
    loss: float
    alone: float
    tries: int

    def told(self, rates: Sequence[float]) -> str:
        """A sentence. `rates`: of all candidates."""
        if len(self.members) == 1:
            best = rates[self.members[0]]
            return (
                f"Greedy soup: no mean with another rate is as good on held-out rows as {best:.3g} alone "
                f"(loss {self.alone:.3f}), so nothing is averaged."
            )
        named = ", ".join(f"{rates[number]:.3g}" for number in self.members)
        return (
            f"Greedy soup: the weights of the rates {named} are averaged; on held-out rows their loss is "
            f"{self.loss:.3f}, that of the best alone {self.alone:.3f}."
        )


def greedy(
    losses: Sequence[float],
    networks: Sequence[Sequence[Network]],
    measured: Callable[[Sequence[Network]], float],
) -> Stirred:
    """Best first, a candidate joins where the loss of the mean does not rise.

    Args:
        losses: held-out loss of each candidate.
        networks: of each candidate, one a held-out part; none: it may not join.
        measured: networks, one a part -> their held-out loss.
    """
    order = [n for n in sorted(range(len(losses)), key=lambda n: losses[n]) if networks[n]]
    members, best, lowest, tries = order[:1], tuple(networks[order[0]]), losses[order[0]], 0
    for number in order[1:]:
        every = [networks[n] for n in (*members, number)]
        mixed = tuple(averages.mean(part) for part in zip(*every, strict=True))
        loss, tries = measured(mixed), tries + 1
        if loss <= lowest:
            members, best, lowest = [*members, number], mixed, loss
    return Stirred(tuple(members), best, lowest, losses[order[0]], tries)


def poured(
    made: Iterable[tuple[Network, Trained]], members: int
) -> Iterator[tuple[Network, Sequence[Trained]]]:
    """Of each so many trainings in a row the mean of the weights, and what was told of them."""
    every = iter(made)
    while some := list(islice(every, members)):
        networks = [network for network, _ in some]
        mixed = averages.mean(networks) if members > 1 else networks[0]
        yield mixed, [told for _, told in some]


def stirred(
    job: Job, recipe: Recipe, found: Sequence[Tuned], tried: Sequence[Sequence[Held]]
) -> tuple[Tuned, float]:
    """The soup of the candidates that had all their time, and the operations of measuring it."""
    strategy, batch = found[0].strategy, job.plan.engine.batch
    parts = [plain(recipe, strategy, held.places) for held in tried[0]]

    def measured(networks: Sequence[Network]) -> float:
        every = zip(networks, parts, strict=True)
        return float(np.mean([reading.loss(n, strategy, part, batch) for n, part in every]))

    made = greedy(
        [one.loss for one in found],
        [_networks(held) for held in tried],
        measured,
    )
    job.say(made.told([one.strategy.settings.rate for one in found]))
    cost = sum(sum(job.costs[part.start :]) * len(part) for part in parts)
    if len(made.members) == 1:
        return found[made.members[0]], made.tries * cost
    chosen = [found[number] for number in made.members]
    said = [
        dataclasses.replace(held, said=outputs(job, network, part))
        for held, network, part in zip(tried[0], made.networks, parts, strict=True)
    ]
    best = dataclasses.replace(
        chosen[0],
        held_out=outside(said),
        late=all(one.late for one in chosen),
        members=tuple(chosen),
        loss=made.loss,
    )
    return best, (made.tries + 1) * cost


def _networks(found: Sequence[Held]) -> list[Network]:
    """Those of a candidate; none, where one gave up behind the pace."""
    if any("behind" in held.told.ended.values() for held in found):
        return []
    return [held.network for held in found if held.network is not None]
