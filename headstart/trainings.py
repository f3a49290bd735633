"""Trainings of one arm: from the cache of finished ones where they are there, small ones side by side."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from headstart.core import digest, machine
from headstart.core.network import Network
from headstart.core.run import Watcher
from headstart.core.strategy import Phase, Strategy
from headstart.engine import averages, loop, reading, together, trained, trial
from headstart.engine import seed as seeds
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.loop import Trained, Training
from headstart.engine.streams import Part, Stream
from headstart.job import Job

BESIDE = 256 << 20  # bytes of weights that all trainings side by side may have together
TAKEN_UP = (
    "Some trainings were done, or begun, by an earlier run with the same settings and are taken up: the time "
    "and energy told are those of this run alone."
)
VERSION = 5  # of the training itself; finished trainings of another version are not reused


@dataclass(frozen=True)
class Beside:
    """What a strategy reads beside the training rows and their labels.

    Attributes:
        streams: other rows, by name.
        targets: further targets of the training rows, by name, (rows, ...).
        flops: operations that were spent on them.
        digest: of all of it; "": there is nothing.
    """

    streams: Mapping[str, Stream] = field(default_factory=dict)
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    flops: float = 0.0
    digest: str = ""


@dataclass(frozen=True)
class Recipe:
    """How a trained arm is made.

    Attributes:
        name: of the arm.
        base: seed -> a fresh network (the twin), or one with the source's weights.
        candidates: strategies to choose from on held-out rows.
        stream: candidate -> what it trains on, by places in `job.train`.
        settle: settles the head of a network on features of some places: the stored ones, or those given as
            the third argument; or None.
        most_flops: of tuning and one final training together.
        before: operations already spent on what it starts from (stored features).
        folds: how many of the folds are held out in turn while choosing.
        promising: asked from time to time while a single candidate goes through its folds, with places in
            `job.train` and outputs there; False ends the choosing with these folds.
        mute: kinds of notes of its trainings that are not told.
        beside: what the candidates read beside the training rows and their labels.
    """

    name: str
    base: Callable[[int], Network]
    candidates: Sequence[Strategy]
    stream: Callable[[Strategy], Stream]
    settle: Callable[[Network, np.ndarray, np.ndarray | None], None] | None
    most_flops: float = math.inf
    before: float = 0.0
    folds: int = 1
    promising: Callable[[np.ndarray, np.ndarray], bool] | None = None
    mute: tuple[str, ...] = ()
    beside: Beside = field(default_factory=Beside)

    def __post_init__(self) -> None:
        if self.promising is not None and len(self.candidates) > 1:
            raise ValueError("promising ends the choosing of a single candidate")


@dataclass(frozen=True)
class Ask:
    """One training that is wanted.

    Attributes:
        label: shown with progress, behind the arm's name.
        alone: the same where it does not train side by side with the others; "": as `label`.
        places: in `job.train`, to learn from.
        held: places whose loss ends it early; none: it runs to its end.
        most: operations it may spend.
        epochs: by phase, where they were chosen before.
        pace: by phase, validation losses of a rival.
    """

    label: str
    strategy: Strategy
    places: np.ndarray
    held: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    seed: int = 0
    most: float = math.inf
    epochs: Mapping[str, int] | None = None
    pace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    alone: str = ""


def carry_out(job: Job, recipe: Recipe, asks: Sequence[Ask]) -> Iterator[tuple[Network, Trained]]:
    """The trained network of each, in order, and what was told of its training.

    Small networks that draw nothing from torch's global generator train side by side, to the same bits as
    one after another; of large ones one is held at a time.
    """
    works: Iterable[_Work] = (_Work(job, recipe, ask) for ask in asks)
    if len(asks) > 1 and machine.cores() > 1 and _small(job, len(asks)):
        works = list(works)
        left = [work for work in works if work.told is None]
        if len(left) > 1 and not left[0].draws():
            together.run([partial(work.train, work.ask.label) for work in left], job.watcher)
    for work in works:
        if work.told is None:
            work.train(work.ask.alone or work.ask.label, job.watcher)
        yield work.network, work.result()


def _small(job: Job, count: int) -> bool:
    """Whether one thread does a step as fast as several, and `count` networks fit into memory beside
    each other."""
    if job.device != "cpu" or not loop.small(job.costs, job.plan.engine.batch):
        return False
    return sum(p.nbytes for p in job.backbone.parameters()) * count <= BESIDE


class _Work:
    """One training with its network; `told` is there once it is finished."""

    def __init__(self, job: Job, recipe: Recipe, ask: Ask) -> None:
        self.job, self.recipe, self.ask = job, recipe, ask
        self.key = _key(job, recipe, ask)
        # two trainings never share modules: each gets its own network
        self.network = recipe.base(seeds.derive(job.plan.seed, ask.seed))
        self.told = None
        if job.trained:
            self.told = trained.load(job.trained, self.key, self.network, ask.strategy.rebuild)
        if self.told is not None:
            job.say(TAKEN_UP)

    def result(self) -> Trained:
        if self.told is None:
            raise ValueError("train() was not called")
        return self.told

    def draws(self) -> bool:
        """Whether it would draw from another generator than its own."""
        part = Part(self.recipe.stream(self.ask.strategy), self.ask.places)
        return trial.draws(self.network, self.ask.strategy, part, self.recipe.beside.streams)

    def train(
        self, label: str, watcher: Watcher | None, alive: Callable[[], None] = loop.always
    ) -> None:
        """Trains from the last checkpoint, or from the start, to the end."""
        job, ask, stream = self.job, self.ask, self.recipe.stream(self.ask.strategy)
        settings = Training(
            seed=seeds.derive(job.plan.seed, ask.seed),
            batch=job.plan.engine.batch,
            costs=job.costs,
            most_flops=ask.most,
            epochs=_fitting(job, ask, self.network, stream),
            pace=ask.pace,
            device=job.device,
            name=f"{self.recipe.name}, {label}",
            alive=alive,
        )
        judged = len(ask.held) > 0 and ask.strategy.chooses
        held = Part(stream, ask.held, plain=True) if judged else None
        told = loop.train(
            self.network,
            copy.deepcopy(ask.strategy),
            {"train": Part(stream, ask.places), **self.recipe.beside.streams},
            training=settings,
            validation=held,
            solve=partial(settle, self.recipe, stream, ask.places),
            checkpoint=Checkpoint(job.trained / "checkpoints", self.key) if job.trained else None,
            watcher=watcher,
        )
        if told.resumed:
            job.say(TAKEN_UP)
        if ask.strategy.common.wise < 1:
            self._back(ask.strategy.common.wise)
            if held is not None:
                told.held = reading.loss(self.network, ask.strategy, held, settings.batch)
        self.told = told
        if job.trained:
            trained.save(job.trained, self.key, self.network, self.told)

    def _back(self, share: float) -> None:
        """Only a share of the way from the start's weights, under a solved head, to the trained ones."""
        recipe, ask = self.recipe, self.ask
        first = recipe.base(seeds.derive(self.job.plan.seed, ask.seed))
        if recipe.settle is not None:
            recipe.settle(first, ask.places, None)
        self.network.load_state_dict(averages.between(first, self.network, share).state_dict())


def settle(
    recipe: Recipe, stream: Stream, places: np.ndarray, network: Network, phase: Phase
) -> None:
    """Settles the heads in a solved phase of a recipe's training on some places: on stored features, or on
    those of the network as it stands, where an earlier phase has trained it."""
    if recipe.settle is None:
        raise ValueError("a solved phase needs stored features")
    moved = phase.cut < len(network.backbone.stages)
    recipe.settle(network, places, loop.features(network, stream, places) if moved else None)


def _key(job: Job, recipe: Recipe, ask: Ask) -> str:
    """Digest of all that a training depends on."""
    about: list[Any] = [VERSION, job.weights, job.transform.state()]
    about += [job.dataset.digest, job.split.digest, recipe.name]
    about += [type(ask.strategy).__module__, ask.strategy.settings, ask.strategy.common]
    about += [ask.seed, job.plan.seed]
    about += [ask.most, ask.epochs, ask.pace, ask.places]
    about += [recipe.beside.digest] if recipe.beside.digest else []
    about += [job.asked.policy] if job.asked.policy is not None else []
    about += [[one.name, one.targets.state()] for one in job.further]
    engine = job.plan.engine
    return digest.value([*about, engine.batch, job.device, engine.profile])


def _fitting(job: Job, ask: Ask, network: Network, stream: Stream) -> Mapping[str, int]:
    """Epochs per phase: those that were chosen, else as many as the budget holds (at least one), so
    that the schedule of rates ends with the budget."""
    if ask.epochs is not None:
        return {name: max(1, count) for name, count in ask.epochs.items()}
    if math.isinf(ask.most):
        return {}
    fitting = {}
    for phase in ask.strategy.phases(network):
        cost = sum(job.costs[stream.start :]) + 2.0 * sum(job.costs[phase.cut :])
        if not phase.solved:
            epochs = int(ask.most // max(1.0, cost * len(ask.places)))
            fitting[phase.name] = max(1, min(phase.epochs, epochs))
    return fitting
