"""Which strategy: the one that was named, or the one that validation prefers within the budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from headstart import augmentation, previous, rates, teaching
from headstart.arms import (
    FEW_FOLDS,
    FEW_ROWS,
    Features,
    Fitted,
    Tuned,
    fine_tuning,
    finish,
    from_scratch,
    long,
    probe,
    tune,
)
from headstart.core import common, plugins
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.plan import build
from headstart.core.ragged import fitted
from headstart.core.strategy import Strategy
from headstart.engine import temperature
from headstart.errors import PlanError, nearest
from headstart.job import Job
from headstart.options import ROOMS
from headstart.targets import several

# Operations that "auto" may spend on trying to fine-tune, when no budget is given (about a minute or
# two on two processor cores), and the rate at which a budget in seconds is turned into operations.
FREE_FLOPS = 2e12
FLOPS_A_SECOND = 5e10
RATES = (1.0, 0.3, 3.0)  # as far apart as the twin's, the likeliest first
# Standard errors by which a trained strategy must lead the probe on held-out rows. The probe is simpler and
# cheaper to keep, so a tie is its own; a whole standard error was tried and passed over a strategy that was
# three points better on the digits' test rows, in one draw of four.
LEAD = 0.5
# Share of the entropy of the classes that the probe may leave on held-out rows for no other strategy to be
# tried: on rows like them none could gain more than that.
SETTLED = 0.01
LEFT = (
    "but this strategy leaves modules of its own on the network, which the source has not; leave it out, or "
    "choose fine_tune or lora"
)
UNUSED = (
    "No augmentation was used, although some was asked for: no strategy that trains step by step was better "
    "than the probe, which trains nothing so. Name one to have it, as --strategy fine_tune."
)


def named(job: Job, name: str, settings: Any) -> Strategy:
    """The strategy of that name with its settings. Raises PlanError."""
    file: Any = plugins.load("strategy", name)
    strategy = augmentation.given(built(name, file, settings), job.asked, settings)
    network = job.network(job.backbone)
    why = strategy.refuse(network) or _not_settled(network.heads[job.outcome], name)
    why = why or _not_several(job, strategy) or _not_augmented(job, strategy)
    why = why or _not_composed(strategy, network) or _one_rate(strategy, settings)
    why = why or _not_retained(job, strategy) or _not_fresh(job, strategy)
    why = why or strategy.unfit({job.outcome: job.labels})
    if why:
        raise PlanError(f"The strategy '{name}' cannot be used here: {why}")
    known = ("train", *([previous.NAME] if job.plan.evidence.remember else []))
    if strategy.lacks(network, known):
        raise PlanError(_without(strategy, name))
    return strategy


def _not_retained(job: Job, strategy: Strategy) -> str:
    """Why a required retention cannot be kept to, or ""."""
    if not job.plan.evidence.retain or strategy.merges or solved(job, strategy):
        return ""
    return f"retain moves weights back towards the source's, {LEFT}"


def _not_fresh(job: Job, strategy: Strategy) -> str:
    """Why the source's architecture cannot be trained from random weights, or ""."""
    if not strategy.from_random:
        return ""
    if not trainable(job):
        return (
            "nothing of this source is trained, so there is no network to train anew; choose linear_probe, "
            "or a source that can be trained (headstart sources)"
        )
    asked = {
        "remember": bool(job.plan.evidence.remember),
        "retain": bool(job.plan.evidence.retain),
        "wise": strategy.common.wise < 1,
        "find_rate": strategy.common.find_rate,
    }
    for name, there in asked.items():
        if there:
            return f"it begins with random weights, and {name} goes by the source's; leave it out"
    return ""


def anew(job: Job) -> bool:
    """Whether the model begins with random weights, so that nothing is transferred."""
    name = job.plan.strategy.name
    return name != "auto" and bool(plugins.load("strategy", name).Strategy.from_random)


def _not_several(job: Job, strategy: Strategy) -> str:
    """Why further targets cannot be learned by this strategy, or ""."""
    if strategy.several or not job.further:
        return ""
    names = ", ".join(f"'{one.name}'" for one in job.further)
    return (
        f"it learns one target, and further ones are named ({names}); choose {several()}, or leave "
        "--also out"
    )


def _without(strategy: Strategy, name: str) -> str:
    """What to do where a strategy lacks data of what the source knew."""
    if previous.NAME in strategy.streams:
        return f"{name} needs data of what the source knew; name some with --remember DATA."
    return (
        f"{name} needs to hear what the source knew, but this source brings no head of its own; name data "
        "that it knew with --remember DATA, or choose l2_sp or delta."
    )


def built(name: str, file: Any, settings: Mapping[str, Any]) -> Strategy:
    """The strategy of a file with its own settings and those that go with any. Raises PlanError."""
    own = {field.name for field in dataclasses.fields(file.Settings)}
    shared = common.beside(file.Settings)
    for key in settings:
        if key in own | shared:
            continue
        if not own:
            raise PlanError(
                f"The strategy '{name}' has no settings, and '{key}' came as one. Leave it out, or name "
                "another strategy (--strategy)."
            )
        raise PlanError(
            f"Unknown key 'strategy.settings.{key}' in the plan. {nearest(key, own | shared)}"
        )
    where = "strategy.settings."
    made: Strategy = file.Strategy(
        build(file.Settings, {k: v for k, v in settings.items() if k in own}, where)
    )
    made.common = build(Common, {k: v for k, v in settings.items() if k in shared}, where)
    return made


def _not_augmented(job: Job, strategy: Strategy) -> str:
    """Why the augmentation that is asked for cannot be had of this strategy, or ""."""
    trains = not solved(job, strategy)
    return augmentation.refused(strategy, job.asked, job.transform, trains=trains)


def _not_composed(strategy: Strategy, network: Network) -> str:
    """Why the settings that go with any strategy do not go with this one here, or ""."""
    changed = strategy.common.changed
    if not changed:
        return ""
    if all(phase.solved for phase in strategy.phases(network)):
        return (
            f"nothing is trained step by step, so {changed[0]} would do nothing; leave it out, or choose a "
            "strategy that trains, such as fine_tune"
        )
    apart = [name for name in changed if name in (*common.OF_LOSS, "soup")]
    if not strategy.composes and apart:
        return f"it has a loss of its own, which {apart[0]} does not go with; leave it out"
    if strategy.common.wise < 1 and not strategy.merges:
        return f"wise goes back towards the source's weights, {LEFT}"
    if strategy.common.find_rate and (
        len(strategy.streams) > 1 or strategy.optional or strategy.asks or strategy.several
    ):
        return (
            "it reads more than the training rows, which the search for a rate does not know of; leave "
            "find_rate out: three rates are tried unless one is named"
        )
    return common.refuse(strategy.common, network)


def _one_rate(strategy: Strategy, given: Mapping[str, Any]) -> str:
    """Why settings that try or look for rates do not go with the given ones, or ""."""
    wanted = [name for name in ("soup", "find_rate") if getattr(strategy.common, name)]
    if not wanted or len(variants(strategy, given)) > 1:
        return ""
    what = {
        "soup": "soup averages candidates of several rates",
        "find_rate": "find_rate looks for a rate",
    }[wanted[0]]
    if hasattr(strategy.settings, "rate") and not strategy.chooses:
        return f"{what}, but it goes by one rate; leave {wanted[0]} out"
    if hasattr(strategy.settings, "rate"):
        return f"{what}, but rate came as {given['rate']}; leave one of the two out"
    return f"{what}, but it has no setting 'rate'; leave {wanted[0]} out"


def _not_settled(head: Any, name: str) -> str:
    """Why a head that only one strategy can settle cannot be had by this one, or ""."""
    if not head.solves_itself or name == head.settled_by:
        return ""
    return (
        f"this source predicts by itself from labelled rows, and nothing of it is trained; choose "
        f"{head.settled_by}, or another source"
    )


def check(job: Job) -> None:
    """Refuses a strategy before anything is computed. Raises PlanError."""
    choice = job.plan.strategy
    if choice.name == "auto":
        for name in choice.settings:
            room = next((r for r, names in ROOMS.items() if name in names), "")
            meant = f" If {room}.{name} is meant, write that." if room else ""
            raise PlanError(
                f"'{name}' was set, which is a setting of a strategy, but no strategy was named. Name it: "
                f"--strategy fine_tune.{meant}"
            )
        augmentation.check(job.asked, job.transform)
        return
    strategy = named(job, choice.name, choice.settings)
    strategy.phases(job.network(job.backbone))
    previous.beside(job, strategy)
    teaching.check(job, strategy)


def transfer(job: Job, features: Features, seconds: float) -> tuple[Fitted, str]:
    """Trains the transfer arm; returns it with the name of its strategy."""
    choice = job.plan.strategy
    if choice.name != "auto":
        strategy = named(job, choice.name, choice.settings)
        if solved(job, strategy):
            return _probed(job, features, seconds, strategy), choice.name
        return _trained(job, features, strategy, choice.settings), choice.name
    first = _probed(job, features, seconds)
    settled = str(first.networks[0].heads[job.outcome].settled_by)
    best: tuple[str, Any, Tuned] | None = None
    spent, most = 0.0, 0.0
    candidates = [] if _settled(job, first) else _affordable(job)

    def promising(places: np.ndarray, said: np.ndarray) -> bool:
        """Given up early only when more than a standard error behind."""
        return sum(_gain(job, places, said, first)) > 0

    for name, strategy in candidates:
        recipe = fine_tuning(job, features, [strategy], promising)
        tuned = tune(job, recipe)
        spent += tuned.flops
        gain, error = _gain(job, *tuned.held_out, first)
        better = gain > LEAD * error
        job.say(
            f"Tried {name} ({_differs(strategy)}): on {len(tuned.held_out[0])} held-out training rows "
            f"its loss is {abs(gain):.3f} {'below' if gain > 0 else 'above'} the probe's (standard "
            f"error {error:.3f}); " + ("better." if better else "not better by half of that.")
        )
        if better and gain > most:
            best, most = (name, recipe, tuned), gain
    if best is None:
        if job.asked.policy is not None:
            job.say(UNUSED)
        return dataclasses.replace(first, flops=first.flops + spent), settled
    name, recipe, tuned = best
    made = finish(job, recipe, tuned)
    return dataclasses.replace(made, flops=made.flops + spent - tuned.flops), name


def _settled(job: Job, first: Fitted) -> bool:
    """Whether the probe leaves next to nothing of its classes unsaid; it is told."""
    if not trainable(job) or not first.networks[0].heads[job.outcome].one_class:
        return False
    places, said = first.held_out
    left = float(_losses(job, said, job.labels[places]).mean())
    if left >= SETTLED * float(stats.entropy(np.bincount(job.labels))):
        return False
    job.say(
        f"The probe's loss on {len(places)} held-out training rows is {left:.3f}: next to nothing is left to "
        "gain on such rows, so nothing that trains step by step was tried. Name it to have it, as --strategy "
        "fine_tune."
    )
    return True


def _trained(job: Job, features: Features, strategy: Strategy, given: Any) -> Fitted:
    """The named strategy at the best of its rates, or a soup of them."""
    found = rates.look(job, features, strategy) if strategy.common.find_rate else None
    if found is not None:
        strategy = strategy.altered(rate=found.rate or strategy.settings.rate)
    reads = teaching.beside if strategy.asks else previous.beside
    tried = variants(long(job, strategy, given), given)
    if strategy.from_random:
        recipe = from_scratch(job, tried)
    else:
        recipe = fine_tuning(job, features, tried, beside=reads(job, strategy))
    made = finish(job, recipe, tune(job, recipe))
    if found is None:
        return made
    settings = {**made.settings, "rate_found": found.rate}
    return dataclasses.replace(made, settings=settings, flops=made.flops + found.flops)


def _probed(
    job: Job, features: Features, seconds: float, strategy: Strategy | None = None
) -> Fitted:
    """The solved head; what it keeps is told."""
    made = probe(job, features, seconds, strategy)
    head: Any = made.networks[0].heads[job.outcome]
    if head.inside:
        kept = f"{head.inside:,} of them" if head.inside < len(job.train) else "them"
        job.say(
            f"This model is shown training rows whenever it predicts, so its pack holds {kept}, as numbers: "
            "share it as you would share them."
        )
    return made


def trainable(job: Job) -> bool:
    """Whether the source has weights that a strategy can train on for the task."""
    head = job.network(job.backbone).heads[job.outcome]
    return job.loaded.rebuild is not None and not head.solves_itself


def solved(job: Job, strategy: Strategy) -> bool:
    """Whether nothing is trained step by step."""
    return all(phase.solved for phase in strategy.phases(job.network(job.backbone)))


def variants(strategy: Strategy, given: Any) -> Sequence[Strategy]:
    """The strategy at its own rate, a third and thrice of it, unless the rate was given or none is chosen."""
    settings = strategy.settings
    if "rate" in given or not hasattr(settings, "rate") or not strategy.chooses:
        return [strategy]
    return [strategy.altered(rate=settings.rate * factor) for factor in RATES]


def _affordable(job: Job) -> list[tuple[str, Strategy]]:
    """Trained strategies that offer themselves to "auto" and fit what may be spent. Weights that
    were drawn from a seed have nothing to hand down, so they are not trained on."""
    if not trainable(job):
        return []
    free = left = job.plan.seconds * FLOPS_A_SECOND if job.plan.seconds else FREE_FLOPS
    found = []
    for name in plugins.names("strategy"):
        file: Any = plugins.load("strategy", name)
        for settings in getattr(file, "AUTO", ()):
            strategy = augmentation.given(file.Strategy(settings), job.asked, {})
            network = job.network(job.backbone)
            why = strategy.refuse(network) or common.refuse(strategy.common, network)
            if settings_fit(job, settings) and not why:
                cost = _cost(job, strategy)
                if 0 < cost <= left:
                    left -= cost
                    found.append((name, strategy))
    # what all of them leave of the budget goes into more epochs of each
    spare = free / (free - left) if found else 1.0
    return [(name, long(job, one, most=one.settings.epochs * spare)) for name, one in found]


def settings_fit(job: Job, settings: Any) -> bool:
    """Whether the source has the stages that the settings speak of."""
    cut, stages = getattr(settings, "cut", 0), len(job.backbone.stages)
    return -stages < cut < stages


def _cost(job: Job, strategy: Strategy) -> float:
    """Operations of choosing on held-out rows, at most."""
    total, rows = 0.0, len(job.train)
    for phase in strategy.phases(job.network(job.backbone)):
        if not phase.solved:
            start = 0 if phase.augment or strategy.common.blends else phase.cut
            step = sum(job.costs[start:]) + 2.0 * sum(job.costs[phase.cut :])
            total += step * rows * phase.epochs * (FEW_FOLDS if rows <= FEW_ROWS else 1)
    return total


def _gain(job: Job, places: np.ndarray, said: np.ndarray, first: Fitted) -> tuple[float, float]:
    """How much lower the loss of held-out outputs is than the probe's, mean over these rows, and the
    standard error. Of few rows the loss tells more than hits, which are right or wrong and nothing
    between."""
    there = np.searchsorted(first.held_out[0], places)  # folds of both hold out the same rows
    labels, other = job.labels[places], first.held_out[1][there]
    difference = _losses(job, other, labels) - _losses(job, said, labels)
    error = float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(places) > 1 else 1.0
    return float(difference.mean()), error


def _losses(job: Job, said: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Loss of each row. The probe has the temperature that suits its held-out rows; what it is compared
    with gets its own."""
    if labels.dtype.kind == "i":
        said = said if labels.ndim == 1 else fitted(said, labels.shape[1])
        known = (labels >= 0) & np.isfinite(said).all(axis=-1)
        told, said = said[known], said.copy()
        said[known] = temperature.sharpened(told, temperature.fit(told, labels[known]))
    return job.heads.losses(said, labels, job.targets)


def _differs(strategy: Strategy) -> str:
    settings = strategy.settings
    return ", ".join(
        f"{f.name} {getattr(settings, f.name)}" for f in dataclasses.fields(settings)[:3]
    )
