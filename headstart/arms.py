"""The arms of a run that are networks: the transfer, and the from-scratch twin.

Every arm is tuned on the training rows alone, and predicts the test rows only when `adapt` hands them
over.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from headstart import soup
from headstart.augmentation import varied
from headstart.core import plugins
from headstart.core.evidence import Arm
from headstart.core.head import Head
from headstart.core.network import Network
from headstart.core.plan import Plan
from headstart.core.problem import Solution
from headstart.core.ragged import Ragged
from headstart.core.strategy import Strategy
from headstart.data import origins, splits
from headstart.engine import guards, streams
from headstart.engine.loop import Trained
from headstart.engine.solve import solve
from headstart.engine.streams import Kept, Rows, Stream
from headstart.errors import DataError
from headstart.job import Job
from headstart.lengths import lengthened
from headstart.targets import Further, alone
from headstart.trainings import Ask, Beside, Recipe, carry_out
from headstart.tuned import Held, outside, plain, weighed
from headstart.tuned import Tuned as Tuned
from headstart.tuned import outputs as outputs

FOLDS = 5
HOLD = 5  # one fifth of the training rows is held out while rates and epochs are chosen
FEW_ROWS = 300  # up to here rates and epochs are chosen on several folds, held out in turn
FEW_FOLDS = 5
ASKED = 2  # folds after which, again and again, it is asked whether a candidate is still promising
TWIN = "from_scratch"
TWIN_RATES = (1e-3, 3e-3, 3e-4)  # the likeliest first: it sets the pace for the others
TWIN_FACTOR = 10.0

Features = np.ndarray | Ragged


@dataclass
class Fitted:
    """One arm, trained; it has seen no test row.

    Attributes:
        networks: one a seed; empty for the champion.
        predict: row numbers -> outputs (seeds, rows, classes) or (seeds, rows).
        validation: score of each seed on rows that it did not learn from.
        held_out: places in `job.train` and outputs there of the first seed, for calibration.
        settings: what was chosen ("strength": 0.1; "rate": 0.001, "epochs": 17).
        parameters: how many were trained.
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
    chance: bool = True
    parameters: int = 0

    def arm(self, rows: np.ndarray) -> Arm:
        """Predicts opened rows."""
        return Arm(
            self.name,
            self.predict(rows),
            self.validation,
            flops=self.flops,
            seconds=self.seconds,
            note=self.note,
            chance=self.chance,
        )


def folds(job: Job, labels: np.ndarray, groups: np.ndarray, seed: int, k: int = FOLDS) -> Any:
    """Folds of some training rows; notes on all of them are the job's.

    Windows of series are held out behind what is learned from, where there is enough of it. A part of the
    rows that has too few groups, or groups of one class, is cut inside its groups: only a
    strength is chosen there.

    Raises:
        DataError: all training rows together cannot be cut so that every fold learns from two classes.
    """
    ahead = origins.rolling(groups, k) if job.dataset.form else []
    if ahead:
        return ahead
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
        raise DataError(_left_with_one_class(labels, groups))
    for note in made.notes:
        job.say(note)
    return made.parts


def _left_with_one_class(labels: np.ndarray, groups: np.ndarray) -> str:
    """Why a fold would learn from one class alone, and what to do."""
    if len(np.unique(groups)) < len(groups):
        return (
            "Without the rows of one group, a single class is left to learn from: the group column "
            "tells the classes apart. Expected every class in several groups; add groups, or leave the "
            "group column out."
        )
    _, counts = np.unique(labels, return_counts=True)
    return (
        f"The training part has {len(labels)} rows of {len(counts)} classes, and the rarest class has "
        f"{counts.min()}: without the rows that are held out to choose by, a single class is left to learn "
        "from. Expected at least two training rows of each of two classes; label more rows."
    )


def _one_class(job: Job, labels: np.ndarray, parts: Any) -> bool:
    """Whether some fold would learn from one class alone."""
    return job.outcome == "classify" and any(len(np.unique(labels[fit])) < 2 for fit, _ in parts)


def solve_head(
    job: Job, network: Network, features: Features, places: np.ndarray, seed: int
) -> Solution:
    """Settles the head of `network` on stored features; the strength by cross-validation."""
    head: Any = network.heads[job.outcome]
    labels = job.labels[places]
    found = solution(head, features, labels, folds(job, labels, job.groups[places], seed))
    head.settle(found)
    for one in job.further:
        _settle_further(job, one, network, features, places, seed)
    return found


def _settle_further(
    job: Job, one: Further, network: Network, features: Features, places: np.ndarray, seed: int
) -> None:
    """Settles the head of a further target on the rows that have it; where they are too few to be cut into
    folds it stays as it is, and knows nothing."""
    there = one.there[places]
    labels, view = one.labels[places][there], alone(job, one)
    try:
        parts = folds(view, labels, job.groups[places][there], seed)
    except DataError as error:
        job.say(f"The head of the further target '{one.name}' starts from nothing: {error}")
        return
    head: Any = network.heads[one.head]
    head.settle(solution(head, features[there], labels, parts))


def solution(head: Head, features: Features, labels: np.ndarray, parts: Sequence[Any]) -> Solution:
    """The solution of a head on stored features. For classes the columns keep their proportions (what
    a source spreads widely it holds for important; measured on six sets of photos and texts, two
    tables), for numbers each is standardised (measured on two tables)."""
    if isinstance(features, Ragged):
        return _each(head, features, labels, parts)
    if head.solves_itself:
        return head.solve(features, labels, parts)
    problem = head.problem(len(labels))
    how: Any = "each" if problem.loss == "squares" else "whole"
    wanted = head.wanted(labels)
    return solve(problem, features, wanted, folds=parts, standardise=how, scoring="tempered")


def _each(head: Head, features: Ragged, labels: np.ndarray, parts: Sequence[Any]) -> Solution:
    """`solution` on all labelled positions; those of one row share a fold."""
    labels = head.each(labels)
    longest = int(features.lengths.max(initial=1))
    behind = [(0, 0), (0, max(0, longest - labels.shape[1])), (0, 0)][: labels.ndim]
    wanted = np.pad(labels, behind, constant_values=-1)[:, :longest]
    there = np.arange(longest)[None] < features.lengths[:, None]
    known = there & (wanted != -1).reshape(*there.shape, -1).all(axis=2)
    row = np.nonzero(known)[0]
    inside = [tuple(np.flatnonzero(np.isin(row, part)) for part in fold) for fold in parts]
    flat = features.flat[known[there]]
    found = solution(head, flat, wanted[known], inside)
    held = np.full((*known.shape, head.outputs), np.nan, np.float32)
    held[known] = found.held_out
    return dataclasses.replace(found, held_out=held)


def score(job: Job, predictions: np.ndarray, labels: np.ndarray) -> float:
    """The outcome's own score of predictions as arms give them."""
    return job.score.of(predictions, labels)


def held_predictions(job: Job, solution: Solution) -> np.ndarray:
    """Out-of-fold outputs as arms give them."""
    held: Callable[[np.ndarray], np.ndarray] = getattr(job.targets, "held", job.heads.held)
    return held(solution.held_out)


def judged(
    job: Job, solution: Solution, places: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The places of `job.train` that some fold of `solve_head` held out, and outputs there."""
    parts = folds(job, job.labels[places], job.groups[places], seed)
    there = np.unique(np.concatenate([hold for _, hold in parts]))
    return places[there], held_predictions(job, solution)[there]


def probe(job: Job, features: Features, seconds: float, strategy: Strategy | None = None) -> Fitted:
    """The solved head on frozen features, once for each seed of the folds; where it is its labelled rows
    alone, these folds change its validation score and nothing that it predicts.

    Args:
        strategy: one that solves all; it may put a head of its own in place, and gets no streams.
    """
    began = time.perf_counter()
    places = np.arange(len(job.train))
    networks, scores, first = [], [], None
    for seed in range(job.plan.evidence.seeds):
        network = job.network(job.backbone)
        if strategy is not None:
            strategy.prepare(network, {})
        solution = solve_head(job, network, features, places, job.plan.seed + seed)
        first = first or solution
        networks.append(network)
        held, said = judged(job, solution, places, job.plan.seed + seed)
        scores.append(score(job, said, job.labels[held]))
    if first is None:
        raise ValueError("at least one seed")
    stages = len(job.backbone.stages)
    shown = bool(networks[0].heads[job.outcome].solves_itself)

    def predict(rows: np.ndarray) -> np.ndarray:
        made = job.extract(rows).features
        if made is None:
            raise ValueError("features of the head's kind are always kept")
        stream = streams.Features(made, stages, {})
        told = networks[:1] if shown else networks
        return np.stack([outputs(job, network, stream) for network in told])

    return Fitted(
        "transfer",
        networks,
        predict,
        np.array(scores),
        judged(job, first, places, job.plan.seed),
        flops=job.flops * len(job.train),
        seconds=seconds + time.perf_counter() - began,
        settings={"strength": first.strength} if np.isfinite(first.strength) else {},
        chance=not shown,
        parameters=sum(p.numel() for p in networks[0].heads.parameters()),
    )


def tune(job: Job, recipe: Recipe) -> Tuned:
    """Chooses among the candidates, and how long to train, on held-out parts of the training rows.

    Of few rows several fifths are held out in turn, of many rows one. The first candidate sets the pace
    for the others.
    """
    began = time.perf_counter()
    parts = folds(job, job.labels, job.groups, job.plan.seed, HOLD)[: recipe.folds]
    share = recipe.most_flops / (len(recipe.candidates) * len(parts) + 1)
    first, *others = recipe.candidates
    leader = _held_out(job, recipe, [first], parts, share, [{}] * len(parts))
    tried = [leader]
    if others:
        paces = [_curves(held.told) for held in leader]
        every = _held_out(job, recipe, others, parts, share, paces)
        tried += [every[n : n + len(parts)] for n in range(0, len(every), len(parts))]
    found = [weighed(one, mine) for one, mine in zip(recipe.candidates, tried, strict=True)]
    flops = sum(one.flops for one in found)
    best = min(found, key=lambda one: one.loss)
    if first.common.soup:
        best, more = soup.stirred(job, recipe, found, tried)
        flops += more
    return dataclasses.replace(best, flops=flops, seconds=time.perf_counter() - began)


def _curves(told: Trained) -> dict[str, Sequence[float]]:
    return {phase: told.losses(phase) for phase in told.best}


def _held_out(
    job: Job,
    recipe: Recipe,
    candidates: Sequence[Strategy],
    parts: Sequence[Any],
    share: float,
    paces: Sequence[Mapping[str, Sequence[float]]],
) -> list[Held]:
    """Candidates one after another, each on all parts, or on as many as look promising."""
    asks = [
        Ask("choosing", candidate, fit, hold, most=share, pace=pace)
        for candidate in candidates
        for (fit, hold), pace in zip(parts, paces, strict=True)
    ]
    count = ASKED if recipe.promising else len(asks)
    found: list[Held] = []
    for begin in range(0, len(asks), count):
        some = asks[begin : begin + count]
        for ask, (network, told) in zip(some, carry_out(job, recipe, some), strict=True):
            said = outputs(job, network, plain(recipe, ask.strategy, ask.held))
            kept = network if ask.strategy.common.soup else None
            found.append(Held(ask.held, said, told, kept))
        left = len(found) < len(asks)
        if recipe.promising and left and not recipe.promising(*outside(found)):
            break
    return found


def finish(job: Job, recipe: Recipe, tuned: Tuned) -> Fitted:
    """Trains what was chosen on all training rows, once from each seed."""
    began = time.perf_counter()
    seeds = job.plan.evidence.seeds
    label = f"{seeds} seeds" if seeds > 1 else "training"
    everything = np.arange(len(job.train))
    members = tuned.members or (tuned,)
    asks = [
        Ask(label, one.strategy, everything, epochs=one.epochs, seed=seed, alone=f"seed {seed}")
        for seed in range(seeds)
        for one in members
    ]
    made = list(soup.poured(carry_out(job, recipe, asks), len(members)))
    networks, spent = [network for network, _ in made], sum(t.flops for t in made[-1][1])
    for said in (*tuned.notes, *guards.gathered([t.notes for _, told in made for t in told])):
        if guards.kind(said) not in recipe.mute:
            job.say(said)
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
        settings=_told(tuned),
        parameters=made[-1][1][0].parameters,
    )


def _told(tuned: Tuned) -> dict[str, Any]:
    """What was chosen: the strategy's settings, what was added to them, and epochs by phase."""
    common = tuned.strategy.common
    added = {name: getattr(common, name) for name in common.changed}
    if tuned.members:
        added["members"] = [one.strategy.settings.rate for one in tuned.members]
    return {**dataclasses.asdict(tuned.strategy.settings), **added, "epochs": dict(tuned.epochs)}


def labelled(job: Job) -> dict[str, np.ndarray]:
    """Encoded targets of the training rows, by the names of their heads."""
    return {job.outcome: job.labels, **{one.head: one.labels for one in job.further}}


def rows_stream(
    job: Job,
    rows: np.ndarray,
    *,
    augment: bool,
    further: Mapping[str, np.ndarray] | None = None,
) -> Rows:
    """Raw rows of the run's profile; targets, and `further` ones, only where they are training rows."""
    transform = job.transform.profile(job.plan.engine.profile)
    if augment:
        transform = varied(transform, job.asked.policy)
    labels = {**labelled(job), **(further or {})} if rows is job.train else {}
    return Rows(job.dataset, rows, transform, labels, augment=augment, seed=job.plan.seed)


def _streams(job: Job, beside: Beside) -> Callable[[Strategy], Stream]:
    """What a strategy learns from: kept states where nothing below the cut changes and nothing is augmented
    or blended, else raw rows. Each is made once."""
    held: dict[int, Stream] = {}
    raw: dict[bool, Stream] = {}
    rows = partial(rows_stream, job, job.train, further=beside.targets)

    def stream(strategy: Strategy) -> Stream:
        last = [p for p in strategy.phases(job.network(job.backbone)) if not p.solved][-1]
        if last.cut == 0 or last.augment or strategy.common.blends:
            if last.cut > 0:
                what = "Augmentation is on" if last.augment else "Inputs of rows are blended"
                job.say(f"{what}, so states below the cut are recomputed, not kept.")
            return raw.setdefault(last.augment, rows(augment=last.augment))
        if last.cut not in held:
            made = job.extract(job.train, cut=last.cut)
            labels = {**labelled(job), **beside.targets}
            plain = rows(augment=False)
            held[last.cut] = Kept(made.states, last.cut, labels) if made.states else plain
        return held[last.cut]

    return stream


def long(
    job: Job, strategy: Strategy, given: Collection[str] = (), most: float = math.inf
) -> Strategy:
    """With epochs enough for the job's rows, unless `given` names them."""
    return lengthened(strategy, len(job.train), job.plan.engine.batch, given, most)


def _dropout(candidates: Sequence[Strategy]) -> float:
    return max(getattr(one.settings, "dropout", 0.0) for one in candidates)


def _folds(job: Job, candidates: Sequence[Strategy]) -> int:
    """How many are held out in turn while choosing: several where rows are few."""
    chooses = any(one.chooses for one in candidates)
    return FEW_FOLDS if chooses and len(job.train) <= FEW_ROWS else 1


def fine_tuning(
    job: Job,
    features: Features,
    candidates: Sequence[Strategy],
    promising: Callable[[np.ndarray, np.ndarray], bool] | None = None,
    beside: Beside | None = None,
) -> Recipe:
    """The source's weights trained on by a strategy; `beside` is what it reads besides."""
    beside = beside or Beside()

    def base(seed: int) -> Network:
        return job.network(copy.deepcopy(job.backbone), _dropout(candidates))

    def settle(network: Network, places: np.ndarray, anew: np.ndarray | None) -> None:
        read = features[places] if anew is None else anew
        solve_head(job, network, read, places, job.plan.seed)

    before = job.flops * len(job.train) + beside.flops
    return Recipe(
        "transfer",
        base,
        candidates,
        _streams(job, beside),
        settle,
        before=before,
        folds=_folds(job, candidates),
        promising=promising,
        beside=beside,
    )


def twin_floor(plan: Plan) -> float:
    """Operations that the twin may use, however few the transfer used; 0 where there is no twin."""
    return plan.evidence.twin_floor_tflop * 1e12 if plan.evidence.scratch else 0.0


def twin(job: Job, transfer: Fitted) -> Fitted:
    """The same architecture from random weights: own rate, early stopping, its share of operations."""
    file: Any = plugins.load("strategy", TWIN)
    most = max(TWIN_FACTOR * transfer.flops, twin_floor(job.plan))
    rates = [file.Strategy(file.Settings(rate=rate)) for rate in TWIN_RATES]
    recipe = dataclasses.replace(
        from_scratch(job, [long(job, one) for one in rates]),
        folds=1,
        most_flops=most,
        mute=(guards.OVERFITTING,),
    )
    return finish(job, recipe, tune(job, recipe))


def from_scratch(job: Job, candidates: Sequence[Strategy]) -> Recipe:
    """The source's architecture trained from random weights; the source's own head stays as it is."""

    def base(seed: int) -> Network:
        backbone = job.fresh(seed)
        backbone.source_head = copy.deepcopy(job.backbone.source_head)
        return job.network(backbone, _dropout(candidates))

    stream, folds = _streams(job, Beside()), _folds(job, candidates)
    return Recipe("from scratch", base, candidates, stream, None, folds=folds)
