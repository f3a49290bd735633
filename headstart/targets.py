"""Further targets of a job's rows: how they are told as numbers, the head of each, and one seen by itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core import plugins
from headstart.core.head import Head, HeadFile, Targets
from headstart.core.plan import Plan
from headstart.data import further
from headstart.data.dataset import ArrowDataset
from headstart.errors import DataError

NO_CLASS = -1
LEAST = 10  # training rows that have a further target; of fewer nothing can be held out with sense
Values = Sequence[Any]


@dataclass(frozen=True)
class Further:
    """One further target.

    Attributes:
        name: of its column.
        head: by which the network knows its head.
        labels: (rows, ...) encoded targets of the training rows; -1 or NaN where a row has none.
    """

    name: str
    head: str
    file: HeadFile
    targets: Targets
    labels: np.ndarray

    @property
    def there(self) -> np.ndarray:
        """(rows,) of bool: the training rows that have it."""
        return known(self.labels)

    def kept(self, rows: np.ndarray) -> Further:
        """With some of the training rows, by places or by a mask."""
        return dataclasses.replace(self, labels=self.labels[rows])

    def module(self, width: int, dropout: float = 0.0) -> Head:
        """A fresh head for features of that width."""
        made: Any = self.file.Head
        return made(width, self.targets, dropout)  # type: ignore[no-any-return]

    def state(self) -> dict[str, Any]:
        """What JSON can hold, enough for `restored`."""
        told = {"name": self.name, "head": self.head, "outcome": self.targets.outcome}
        return {**told, "targets": self.targets.state()}


def known(labels: np.ndarray) -> np.ndarray:
    """(rows,) of bool: rows that have the target, from its encoded values."""
    there = labels != NO_CLASS if labels.dtype.kind == "i" else np.isfinite(labels)
    return there if there.ndim == 1 else there.reshape(len(labels), -1).any(axis=1)


def learned(dataset: ArrowDataset, rows: np.ndarray) -> tuple[Further, ...]:
    """The further targets of some training rows. Raises DataError for one that has nothing to learn."""
    made = []
    for number, (name, outcome) in enumerate(dataset.also.items(), 1):
        file: Any = plugins.load("head", outcome)
        raw = further.values(dataset, name, rows)
        some = [value for value in raw if value is not None]
        if len(some) < LEAST:
            raise DataError(
                f"{len(some)} of {len(rows)} training rows have a value in the further target '{name}'; "
                f"expected {LEAST} or more. Fill some in, or leave it out of --also."
            )
        try:
            targets = file.learn(some)
        except DataError as error:
            raise DataError(f"The further target '{name}': {error}") from error
        if len(targets.classes) > len(some) / 2:
            raise DataError(
                f"The further target '{name}' has {len(targets.classes)} classes in {len(some)} training "
                "rows, so most have a single row. Expected several rows a class; leave it out of --also, or, "
                f"if it is a number, say so: --also {name}=regress."
            )
        made.append(Further(name, f"also_{number}", file, targets, encoded(targets, raw)))
    return tuple(made)


def encoded(targets: Targets, raw: Values) -> np.ndarray:
    """Raw values -> (rows, ...) numbers; -1 or NaN for a row without one, and for a class that no training
    row has."""
    told: list[np.ndarray | None] = []
    for value in raw:
        try:
            told.append(None if value is None else targets.encode([value])[0])
        except DataError:
            told.append(None)
    like = next((np.asarray(one) for one in told if one is not None), np.float64(np.nan))
    blank = np.full_like(like, NO_CLASS if like.dtype.kind == "i" else np.nan)
    return np.stack([blank if one is None else one for one in told])


def restored(states: Sequence[Mapping[str, Any]]) -> tuple[Further, ...]:
    """The further targets whose `state()` these are, without rows."""
    made = []
    for told in states:
        file: Any = plugins.load("head", str(told["outcome"]))
        targets = file.restore(told["targets"])
        made.append(Further(str(told["name"]), str(told["head"]), file, targets, np.empty(0)))
    return tuple(made)


def alone(job: Any, one: Further | None = None) -> Any:
    """The job as if it had a single target: its own, or a further one, on the training rows that have it."""
    made = copy.copy(job)
    made.further = ()
    if one is not None:
        there = one.there
        made.heads, made.targets = one.file, one.targets
        made.train, made.groups = job.train[there], job.groups[there]
        made.labels = one.labels[there]
    return made


def several() -> str:
    """The strategy that learns several targets at once."""
    every: dict[str, Any] = {n: plugins.load("strategy", n) for n in plugins.names("strategy")}
    return next(name for name, file in every.items() if file.Strategy.several)


def planned(plan: Plan, dataset: ArrowDataset) -> Plan:
    """The plan with the strategy for several targets, where there are any and none was named."""
    if not dataset.also or plan.strategy.name != "auto":
        return plan
    return dataclasses.replace(plan, strategy=dataclasses.replace(plan.strategy, name=several()))


def told(job: Any) -> list[str]:
    """Sentences on further targets, and on rows that lack one."""
    if not job.further:
        return []
    names = ", ".join(f"'{one.name}' ({one.targets.outcome})" for one in job.further)
    found = [f"Learned beside the target: {names}; strategy {job.plan.strategy.name}."]
    for one in job.further:
        lost = int((~one.there).sum())
        if lost:
            found.append(
                f"{lost} of {len(one.labels)} training rows have no value of the further target "
                f"'{one.name}'; they train the other targets."
            )
    return found
