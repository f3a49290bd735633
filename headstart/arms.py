"""The arms of a run that are networks: the transfer, and the from-scratch twin.

Every arm is tuned on the training rows alone, and predicts the test rows only when `adapt` hands them
over.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.core import digest, plugins
from headstart.core.evidence import Arm
from headstart.core.network import Network
from headstart.core.problem import Solution
from headstart.core.strategy import Phase, Strategy
from headstart.data import splits
from headstart.engine import loop, trained
from headstart.engine import seed as seeds
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.loop import Trained, Training
from headstart.engine.solve import solve
from headstart.engine.streams import Features, Kept, Part, Rows, Stream
from headstart.errors import DataError
from headstart.job import Job

FOLDS = 5
HOLD = 5  # one fifth of the training rows is held out while rates and epochs are chosen
FEW_ROWS = 300  # up to here rates and epochs are chosen on several folds, held out in turn
FEW_FOLDS = 5
TWIN = "from_scratch"
TWIN_RATES = (1e-3, 3e-3, 3e-4)  # the likeliest first: it sets the pace for the others
TWIN_FACTOR = 10.0


@dataclass
class Fitted:
    """One arm, trained; it has seen no test row.

    Attributes:
        networks: one a seed; empty for the champion.
        predict: row numbers -> outputs (seeds, rows, classes) or (seeds, rows).
        validation: score of each seed on rows that it did not learn from.
        held_out: places in `job.train` and outputs there of the first seed, for calibration.
        settings: what was chosen ("strength": 0.1; "rate": 0.001, "epochs": 17).
    """

    name: str
    networks: list[Network]
    predict: Callable[[np.ndarray], np.ndarray]
    validation: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]
    flops: float
    seconds: float
    note: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def arm(self, rows: np.ndarray) -> Arm:
        """Predicts opened rows."""
        return Arm(
            self.name,
            self.predict(rows),
            self.validation,
            flops=self.flops,
            seconds=self.seconds,
            note=self.note,
        )


def folds(job: Job, labels: np.ndarray, groups: np.ndarray, seed: int, k: int = FOLDS) -> Any:
    """Folds of some training rows; notes on all of them are the job's.

    A part of the rows that has too few groups, or groups of one class, is cut inside its groups: only a
    strength is chosen there.

    Raises:
        DataError: all training rows together cannot be cut so that every fold learns from two classes.
    """
    if len(labels) < len(job.labels):
        try:
            made = splits.folds(list(labels), k, seed, groups, job.outcome)
        except DataError:
            made = None
        if made is None or _one_class(job, labels, made.parts):
            made = splits.folds(list(labels), k, seed, None, job.outcome)
        return made.parts
    made = splits.folds(list(labels), k, seed, groups, job.outcome)
    if _one_class(job, labels, made.parts):
        raise DataError(
            "Without the rows of one group, a single class is left to learn from: the group column "
            "tells the classes apart. Expected every class in several groups; add groups, or leave the "
            "group column out."
        )
    for note in made.notes:
        job.say(note)
    return made.parts


def _one_class(job: Job, labels: np.ndarray, parts: Any) -> bool:
    """Whether some fold would learn from one class alone."""
    return job.outcome == "classify" and any(len(np.unique(labels[fit])) < 2 for fit, _ in parts)


def solve_head(
    job: Job, network: Network, features: np.ndarray, places: np.ndarray, seed: int
) -> Solution:
    """Settles the head of `network` on stored features; the strength by cross-validation."""
    head: Any = network.heads[job.outcome]
    labels = job.labels[places]
    found = solution(head, features, labels, folds(job, labels, job.groups[places], seed))
    head.settle(found)
    return found


def solution(head: Any, features: np.ndarray, labels: np.ndarray, parts: Sequence[Any]) -> Solution:
    """The solution of a head on stored features. For classes the columns keep their proportions (what
    a source spreads widely it holds for important; measured on six sets of photos and texts, two
    tables), for numbers each is standardised (measured on two tables)."""
    problem = head.problem(len(labels))
    how: Any = "whole" if problem.loss == "softmax" else "each"
    return solve(problem, features, labels, folds=parts, standardise=how, scoring="tempered")


def score(job: Job, predictions: np.ndarray, labels: np.ndarray) -> float:
    """The outcome's own score of predictions as arms give them."""
    return job.heads.score(predictions, labels)


def held_predictions(job: Job, solution: Solution) -> np.ndarray:
    """Out-of-fold outputs as arms give them: probabilities (n, classes), or numbers (n,)."""
    return solution.held_out[:, 0] if job.outcome == "regress" else solution.held_out


def probe(job: Job, features: np.ndarray, seconds: float) -> Fitted:
    """The solved head on frozen features, once for each seed of the folds."""
    began = time.perf_counter()
    places = np.arange(len(job.train))
    networks, scores, first = [], [], None
    for seed in range(job.plan.evidence.seeds):
        network = job.network(job.backbone)
        solution = solve_head(job, network, features, places, job.plan.seed + seed)
        first = first or solution
        networks.append(network)
        scores.append(score(job, held_predictions(job, solution), job.labels))
    if first is None:
        raise ValueError("at least one seed")
    stages = len(job.backbone.stages)

    def predict(rows: np.ndarray) -> np.ndarray:
        made = job.extract(rows).features
        if made is None:
            raise ValueError("pooled features are always kept")
        stream = Features(made, stages, {})
        return np.stack([outputs(job, network, stream) for network in networks])

    return Fitted(
        "transfer",
        networks,
        predict,
        np.array(scores),
        (places, held_predictions(job, first)),
        flops=job.flops * len(job.train),
        seconds=seconds + time.perf_counter() - began,
        settings={"strength": first.strength},
    )


def outputs(job: Job, network: Network, stream: Stream) -> np.ndarray:
    """Probabilities or numbers of one network over a stream."""
    raw = loop.outputs(network, stream, head=job.outcome)
    head: Any = network.heads[job.outcome]
    return head.predict(raw)  # type: ignore[no-any-return]


@dataclass
class Recipe:
    """How a trained arm is made.

    Attributes:
        name: of the arm.
        base: seed -> a fresh network (the twin), or one with the source's weights.
        candidates: strategies to choose from on held-out rows.
        stream: candidate -> what it trains on, by places in `job.train`.
        features: stored features for solved phases, or None.
        most_flops: of tuning and one final training together.
        before: operations already spent on what it starts from (stored features).
        folds: how many of the folds are held out in turn while choosing.
        promising: asked after every fold but the first, with places in `job.train` and outputs there;
            False ends the choosing with these folds.
    """

    name: str
    base: Callable[[int], Network]
    candidates: Sequence[Strategy]
    stream: Callable[[Strategy], Stream]
    features: np.ndarray | None
    most_flops: float = math.inf
    before: float = 0.0
    folds: int = 1
    promising: Callable[[np.ndarray, np.ndarray], bool] | None = None


@dataclass(frozen=True)
class Tuned:
    """What was chosen on held-out rows, before anything is trained on all of them.

    Attributes:
        held_out: places in `job.train` and outputs there.
        epochs: by phase, how long the final trainings run.
        late: whether the validation loss was still falling when the budget ended.
        flops: of all candidates together.
    """

    strategy: Strategy
    held_out: tuple[np.ndarray, np.ndarray]
    epochs: dict[str, int]
    late: bool
    flops: float
    seconds: float


def tune(job: Job, recipe: Recipe) -> Tuned:
    """Chooses among the candidates, and how long to train, on held-out parts of the training rows.

    Of few rows several fifths are held out in turn, of many rows one.
    """
    began = time.perf_counter()
    parts = folds(job, job.labels, job.groups, job.plan.seed, HOLD)[: recipe.folds]
    share = recipe.most_flops / (len(recipe.candidates) * len(parts) + 1)
    tried: list[tuple[float, Tuned]] = []
    paces: list[Mapping[str, Sequence[float]]] = [{} for _ in parts]
    for candidate in recipe.candidates:
        loss, tuned, curves = _try(job, recipe, candidate, parts, share, paces)
        if len(curves) == len(parts) and all(loss < other for other, _ in tried):
            paces = curves
        tried.append((loss, tuned))
    best = min(tried, key=lambda one: one[0])[1]
    flops = sum(one.flops for _, one in tried)
    return dataclasses.replace(best, flops=flops, seconds=time.perf_counter() - began)


def _try(
    job: Job,
    recipe: Recipe,
    strategy: Strategy,
    parts: Sequence[Any],
    share: float,
    paces: Sequence[Mapping[str, Sequence[float]]],
) -> tuple[float, Tuned, list[Mapping[str, Sequence[float]]]]:
    """One candidate on its held-out parts: mean of the lowest losses, what came of it, and its losses
    by phase for each part."""
    places, said, losses, every = [], [], [], []
    for (fit, hold), pace in zip(parts, paces, strict=True):
        network, told = _train(job, recipe, strategy, fit, hold, seed=0, most=share, pace=pace)
        places.append(hold)
        said.append(outputs(job, network, Part(recipe.stream(strategy), hold, plain=True)))
        losses.append(_lowest(told))
        every.append(told)
        asked = recipe.promising if 1 < len(every) < len(parts) else None
        if asked and not asked(np.concatenate(places), np.concatenate(said)):
            break
    epochs = {p: round(float(np.median([t.best[p] for t in every]))) for p in every[0].best}
    order = np.argsort(np.concatenate(places), kind="stable")
    held = (np.concatenate(places)[order], np.concatenate(said)[order])
    late = sum(any(t.improving(p) for p in t.best) for t in every) * 2 > len(every)
    flops = sum(t.flops for t in every)
    tuned = Tuned(strategy, held, epochs, late, flops, 0.0)
    return float(np.mean(losses)), tuned, [{p: t.losses(p) for p in t.best} for t in every]


def finish(job: Job, recipe: Recipe, tuned: Tuned) -> Fitted:
    """Trains what was chosen on all training rows, once from each seed."""
    began = time.perf_counter()
    networks, spent = [], 0.0
    for seed in range(job.plan.evidence.seeds):
        everything = np.arange(len(job.train))
        network, done = _train(
            job, recipe, tuned.strategy, everything, None, seed=seed, epochs=tuned.epochs
        )
        networks.append(network)
        spent = done.flops
    note = "was still improving when its budget ended; the verdict holds within this budget"

    def predict(rows: np.ndarray) -> np.ndarray:
        stream = rows_stream(job, rows, augment=False)
        return np.stack([outputs(job, network, stream) for network in networks])

    hold, held = tuned.held_out
    return Fitted(
        recipe.name,
        networks,
        predict,
        np.array([score(job, held, job.labels[hold])]),
        tuned.held_out,
        flops=recipe.before + tuned.flops + spent,
        seconds=tuned.seconds + time.perf_counter() - began,
        note=note if tuned.late else "",
        settings={**dataclasses.asdict(tuned.strategy.settings), "epochs": dict(tuned.epochs)},
    )


def _lowest(told: Trained) -> float:
    losses = [h["validation"] for h in told.history if "validation" in h]
    return min(losses, default=math.inf)


def _train(
    job: Job,
    recipe: Recipe,
    strategy: Strategy,
    places: np.ndarray,
    hold: np.ndarray | None,
    *,
    seed: int,
    most: float = math.inf,
    epochs: dict[str, int] | None = None,
    pace: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Network, Trained]:
    """One training, from the cache of finished ones where it is there."""
    label = recipe.name + (", choosing" if hold is not None else f", seed {seed}")
    key = _key(job, recipe, strategy, places, seed, [most, epochs, pace or {}])
    # two trainings never share modules: each gets its own network
    network = recipe.base(seeds.derive(job.plan.seed, seed))
    stream = recipe.stream(strategy)
    kept = trained.load(job.trained, key, network) if job.trained else None
    if kept is not None:
        return network, kept
    settings = Training(
        seed=seeds.derive(job.plan.seed, seed),
        batch=job.plan.engine.batch,
        costs=job.costs,
        most_flops=most,
        epochs=_fitting(job, strategy, network, stream, len(places), most, epochs),
        pace=pace or {},
        device=job.device,
        name=label,
    )

    def settle(network: Network, phase: Phase) -> None:
        if recipe.features is None:
            raise ValueError("a solved phase needs stored features")
        solve_head(job, network, recipe.features[places], places, job.plan.seed)

    done = loop.train(
        network,
        strategy,
        {"train": Part(stream, places)},
        training=settings,
        validation=None if hold is None else Part(stream, hold, plain=True),
        solve=settle,
        checkpoint=Checkpoint(job.trained / "checkpoints", key) if job.trained else None,
        watcher=job.watcher,
    )
    if job.trained:
        trained.save(job.trained, key, network, done)
    return network, done


def _key(
    job: Job,
    recipe: Recipe,
    strategy: Strategy,
    places: np.ndarray,
    seed: int,
    limits: Sequence[Any],
) -> str:
    """Digest of all that a training depends on."""
    about = [job.weights, job.transform.state(), job.dataset.digest, job.split.digest, recipe.name]
    about += [type(strategy).__module__, strategy.settings, seed, job.plan.seed, *limits]
    engine = job.plan.engine
    return digest.value([*about, places, engine.batch, job.device, engine.profile])


def _fitting(
    job: Job,
    strategy: Strategy,
    network: Network,
    stream: Stream,
    rows: int,
    most: float,
    epochs: dict[str, int] | None,
) -> dict[str, int]:
    """Epochs per phase: those that were chosen, else as many as the budget holds (at least one), so
    that the schedule of rates ends with the budget."""
    if epochs is not None:
        return {name: max(1, count) for name, count in epochs.items()}
    if math.isinf(most):
        return {}
    fitting = {}
    for phase in strategy.phases(network):
        cost = sum(job.costs[stream.start :]) + 2.0 * sum(job.costs[phase.cut :])
        if not phase.solved:
            fitting[phase.name] = max(1, min(phase.epochs, int(most // max(1.0, cost * rows))))
    return fitting


def rows_stream(job: Job, rows: np.ndarray, *, augment: bool) -> Rows:
    """Raw rows of the run's profile; targets only where they are training rows."""
    transform = job.transform.profile(job.plan.engine.profile)
    labels = {job.outcome: job.labels} if rows is job.train else {}
    return Rows(job.dataset, rows, transform, labels, augment=augment, seed=job.plan.seed)


def fine_tuning(job: Job, features: np.ndarray, candidates: Sequence[Strategy]) -> Recipe:
    """The source's weights trained on by a strategy, from kept states where nothing below the cut
    changes and nothing is augmented."""
    held: dict[int, Stream] = {}
    raw: dict[bool, Stream] = {}

    def stream(strategy: Strategy) -> Stream:
        last = strategy.phases(job.network(job.backbone))[-1]
        if last.cut == 0 or last.augment:
            if last.cut > 0:
                job.say("Augmentation is on, so states below the cut are recomputed, not kept.")
            return raw.setdefault(last.augment, rows_stream(job, job.train, augment=last.augment))
        if last.cut not in held:
            made = job.extract(job.train, cut=last.cut)
            labels = {job.outcome: job.labels}
            plain = rows_stream(job, job.train, augment=False)
            held[last.cut] = Kept(made.states, last.cut, labels) if made.states else plain
        return held[last.cut]

    def base(seed: int) -> Network:
        dropout = max(getattr(c.settings, "dropout", 0.0) for c in candidates)
        return job.network(copy.deepcopy(job.backbone), dropout)

    before = job.flops * len(job.train)
    few = FEW_FOLDS if len(job.train) <= FEW_ROWS else 1
    return Recipe("transfer", base, candidates, stream, features, before=before, folds=few)


def twin(job: Job, transfer: Fitted) -> Fitted:
    """The same architecture from random weights: own rate, early stopping, its share of operations."""
    file: Any = plugins.load("strategy", TWIN)
    floor = job.plan.evidence.twin_floor_tflop * 1e12
    most = max(TWIN_FACTOR * transfer.flops, floor)
    candidates = [file.Strategy(file.Settings(rate=rate)) for rate in TWIN_RATES]
    stream = rows_stream(job, job.train, augment=True)
    recipe = Recipe(
        "from scratch",
        lambda seed: job.network(job.fresh(seed), candidates[0].settings.dropout),
        candidates,
        lambda strategy: stream,
        None,
        most,
    )
    return finish(job, recipe, tune(job, recipe))
