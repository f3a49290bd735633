"""The rate that a strategy begins with, where it is to be looked for."""

from __future__ import annotations

from functools import partial

from headstart import arms
from headstart.core.strategy import Strategy
from headstart.engine import finder
from headstart.engine import seed as seeds
from headstart.engine.finder import Found
from headstart.engine.loop import Training
from headstart.engine.streams import Part
from headstart.job import Job
from headstart.trainings import settle


def look(job: Job, features: arms.Features, strategy: Strategy) -> Found:
    """Looks for the rate on a copy, on the rows that the first fold learns from, and tells what it found;
    a rate of 0: none."""
    recipe = arms.fine_tuning(job, features, [strategy])
    parts = arms.folds(job, job.labels, job.groups, job.plan.seed, arms.HOLD)
    places = parts[0][0]
    stream = recipe.stream(strategy)
    found = finder.find(
        recipe.base(seeds.derive(job.plan.seed, 0)),
        strategy,
        Part(stream, places),
        training=Training(
            seed=job.plan.seed,
            batch=job.plan.engine.batch,
            costs=job.costs,
            device=job.device,
        ),
        solve=partial(settle, recipe, stream, places),
    )
    if found.rate:
        taken = f"it begins with {found.rate:.2g}"
    else:
        taken = f"it keeps its own, {strategy.settings.rate:.2g}"
    job.say(f"Looked for a rate in {len(found.rates)} steps on a copy: {found.why}, so {taken}.")
    return found
