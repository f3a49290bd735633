"""Guards of the one loop: what a training that goes wrong is told by, in sentences for a person.

Every sentence begins with its kind and a colon, so that those of many trainings can be gathered.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.errors import ContractError

DIVERGENCE, OVERFITTING, DEAD = "Divergence", "Over-fitting", "Dead regulariser"

TIMES = 2  # how often a phase's rate is lowered
FACTOR = 0.1  # to this share of what it was
# An epoch's training loss has diverged when it has risen by so many times that of the phase's first step; a
# first one near zero (solved heads on few rows) counts as 1, the loss of one who knows little.
RISE, LEAST = 4.0, 1.0
# Over-fitting: the mean validation loss of the last epochs lies above the lowest by this share of it, and by
# this much, while the training loss has fallen by a share of itself since.
LAST, CLEAR, MUCH, FALLEN = 3, 0.2, 0.05, 0.05


class Diverged(Exception):
    """A training step or epoch whose loss is of no use."""

    def __init__(self, loss: float, advice: str = "") -> None:
        super().__init__(advice)
        self.loss = loss


def finite(loss: float, parts: Mapping[str, float], phase: str) -> None:
    """Raises Diverged for a step whose loss is not."""
    if not math.isfinite(loss):
        advice = "Lower the learning rate (--set rate=...), or check the inputs for extreme values."
        raise Diverged(loss, f"The loss became {loss} in phase '{phase}' ({dict(parts)}). {advice}")


def task(parts: Mapping[str, Any], heads: Collection[str]) -> float:
    """The task's own loss among the parts of a step or an epoch; all, where none is a head's."""
    own = [parts[name] for name in heads if name in parts]
    return float(sum(own) if own else parts["loss"])


@dataclass
class Guard:
    """Of one phase.

    Attributes:
        first: the task's loss of its first step; None before it.
        lowered: how often its rate was.
    """

    first: float | None = None
    lowered: int = 0

    @property
    def factor(self) -> float:
        """On the phase's rate."""
        return FACTOR**self.lowered

    def step(self, loss: float) -> None:
        """After every step."""
        if self.first is None:
            self.first = loss

    def epoch(self, loss: float) -> None:
        """Raises Diverged where the task's mean loss of an epoch lies far above the first step's."""
        first = loss if self.first is None else self.first
        if loss > first + RISE * max(abs(first), LEAST):
            raise Diverged(loss)

    def lowers(self, cause: Diverged) -> bool:
        """Whether the phase shall go on from its last good state at a lower rate. A loss that is not finite
        at a phase's first step comes from the inputs: nothing has moved yet.

        Raises:
            ContractError: it cannot go on in any way.
        """
        if self.lowered < TIMES and self.first is not None:
            self.lowered += 1
            return True
        if not math.isfinite(cause.loss):
            raise ContractError(str(cause))
        return False


def restored(phase: str, cause: Diverged, epoch: int, good: int, rate: float) -> str:
    """What was done about it. `epoch`: in which it happened, from 1; `good`: of the weights that were
    restored, 0 for the phase's start; `rate`: from now on."""
    where = f"of epoch {good}" if good else "that it began with"
    return (
        f"{DIVERGENCE}: in phase '{phase}' the training loss became {cause.loss:.3g} in epoch {epoch}, so "
        f"the weights {where} were restored and the rate was lowered to a tenth, {rate:.3g}."
    )


def alarms(
    phase: str, records: Sequence[Mapping[str, Any]], heads: Collection[str], steps: int
) -> list[str]:
    """Sentences about a phase that has ended.

    Args:
        records: one an epoch: "epoch", "loss", its parts by name, "validation" where it was measured.
        heads: names of the task's own parts; with none, every part is the task's.
        steps: of an epoch.
    """
    found = [overfitting(phase, records, heads)]
    if heads and len(records) * steps > 1:  # at the first step nothing has moved
        found.append(dead(phase, records, heads))
    return [sentence for sentence in found if sentence]


def overfitting(
    phase: str, records: Sequence[Mapping[str, Any]], heads: Collection[str] = ()
) -> str:
    """A sentence where the task's training loss fell on while validation had clearly risen; or ""."""
    seen = [r for r in records if "validation" in r]
    if not seen or not all(math.isfinite(r["validation"]) for r in seen):
        return ""
    best = min(seen, key=lambda r: float(r["validation"]))
    behind = [r for r in seen if r["epoch"] > best["epoch"]]
    if len(behind) < LAST:
        return ""
    last, lowest = behind[-LAST:], float(best["validation"])
    now = sum(r["validation"] for r in last) / LAST
    before = task(best, heads)
    fell = before - sum(task(r, heads) for r in last) / LAST
    if now - lowest <= max(CLEAR * abs(lowest), MUCH) or fell <= FALLEN * abs(before):
        return ""
    return (
        f"{OVERFITTING}: in phase '{phase}' the validation loss was lowest after epoch {best['epoch']} "
        f"({lowest:.3g}) and rose to {now:.3g}, while the training loss fell on; what was learned later was "
        "dropped. More labelled rows would help, or augmentation, a lower rate, a higher cut, more dropout."
    )


def dead(phase: str, records: Sequence[Mapping[str, Any]], heads: Collection[str]) -> str:
    """A sentence where a part of the loss beside the task's was 0 in every epoch; or ""."""
    others = {"phase", "epoch", "loss", "validation", *heads}
    parts = [n for n in records[0] if n not in others] if records else []
    still = [name for name in parts if all(r.get(name) == 0.0 for r in records)]
    if not still:
        return ""
    return (
        f"{DEAD}: the part '{still[0]}' of the loss was exactly 0 throughout phase '{phase}', so it did "
        "nothing. Give it a weight above 0, let what it measures train (a lower cut), or choose a strategy "
        "without it."
    )


def kind(note: str) -> str:
    """What a sentence speaks of."""
    return note.partition(":")[0]


def gathered(every: Sequence[Sequence[str]]) -> list[str]:
    """Sentences of several like trainings as those of one: of each kind that at least half of them have,
    the first; a divergence is told wherever it was.

    Args:
        every: the notes of each.
    """
    found: dict[str, list[str]] = {}
    for notes in every:
        for about in dict.fromkeys(kind(note) for note in notes):
            first = next(note for note in notes if kind(note) == about)
            found.setdefault(about, []).append(first)
    often = len(every) / 2
    return [n[0] for about, n in found.items() if about == DIVERGENCE or len(n) >= often]
