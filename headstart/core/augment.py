"""Variations of training rows by name: what a kind of data offers, and what of it a plan asks for.

A policy of several names applies all of them to every row, in the order given. Of an automatic one a few are
drawn for each row and epoch, evenly and with replacement, all at one magnitude (RandAugment, Cubuk et al.
2020, arXiv:1909.13719).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.core.plan import MOST
from headstart.errors import PlanError, nearest

AUTO = "auto"


@dataclass(frozen=True)
class Variation:
    """One variation that a kind of data offers.

    Attributes:
        what: what it does at magnitude 1, for a person ("turned by at most 10 degrees").
        automatic: whether an automatic policy may draw it. One that easily makes a row of one class look like
            a row of another is had by its name alone.
    """

    what: str
    automatic: bool = True


Variations = Mapping[str, Variation]


@dataclass(frozen=True)
class Policy:
    """Which variations a row gets.

    Attributes:
        steps: names and magnitudes, 1 being the usual one.
        drawn: so many of `steps` are drawn for each row and epoch; 0: all are applied, in order.
    """

    steps: tuple[tuple[str, float], ...]
    drawn: int = 0

    def draw(self, rng: np.random.Generator) -> tuple[tuple[str, float], ...]:
        """What one row gets."""
        if not self.drawn or not self.steps:
            return self.steps
        return tuple(self.steps[int(p)] for p in rng.integers(len(self.steps), size=self.drawn))

    @property
    def alone(self) -> tuple[Policy, ...]:
        """A policy for each of its steps."""
        return tuple(Policy((step,)) for step in dict.fromkeys(self.steps))


def read(asked: Sequence[str]) -> dict[str, float]:
    """Names and the factors behind them: "rotation", "rotation:2". Raises PlanError."""
    found: dict[str, float] = {}
    for text in asked:
        name, colon, factor = text.strip().partition(":")
        try:
            size = float(factor) if colon else 1.0
        except ValueError:
            size = float("nan")
        if not 0 < size <= MOST:
            raise PlanError(
                f"The augmentation '{text}' came with the factor '{factor}'; expected a number above 0 and "
                f"up to {MOST:g}, as in {name}:0.5 for half of what is usual."
            )
        if name in found:
            raise PlanError(f"The augmentation '{name}' was named twice; name it once.")
        found[name] = size
    return found


def policy(
    asked: Mapping[str, float],
    known: Variations,
    *,
    kind: str,
    drawn: int,
    magnitude: float,
    beside: Sequence[str] = (),
) -> Policy:
    """The policy of some names and factors.

    Args:
        known: what these rows can be varied by.
        kind: of data, for a person.
        drawn: how many an automatic policy draws for a row.
        beside: further names that a person may choose, for the list of what is known.

    Raises:
        PlanError: an unknown name, with those that are known; "auto" beside others, or where nothing may be
            drawn.
    """
    if AUTO not in asked:
        for name in asked:
            if name not in known:
                raise PlanError(
                    f"Unknown augmentation '{name}' of {kind}. {_known(name, (*known, *beside))}"
                )
        return Policy(tuple((name, size * magnitude) for name, size in asked.items()))
    others = [name for name in asked if name != AUTO]
    if others:
        raise PlanError(
            f"auto draws among all that suit {kind}, and '{others[0]}' was named beside it; leave one out."
        )
    names = [name for name, one in known.items() if one.automatic]
    if not names:
        raise PlanError(f"auto has nothing to draw from: {_none(kind)}")
    return Policy(tuple((name, asked[AUTO] * magnitude) for name in names), drawn)


def _known(name: str, known: Sequence[str]) -> str:
    if not known:
        return "These rows offer none by name; leave --augment out."
    close = nearest(name, (AUTO, *known))
    every = f"Known: {', '.join((AUTO, *known))}."
    return every if close.startswith("Known") else f"{close} {every}"


def _none(kind: str) -> str:
    return f"{kind} offers no augmentation by name; leave --augment out."
