"""Data of what the source of a job knew, named to be remembered: opened once, for all that reads them.

A linear head is solved on the untouched source's features of their training rows. The test rows measure what
was forgotten (`retention.py`), so no training sees them; the training rows, with that head, are the stream
"previous" of strategies that rehearse or protect what was known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart import arms
from headstart import job as jobs
from headstart.augmentation import varied
from headstart.core import digest, licence
from headstart.core.head import Head
from headstart.core.network import Network
from headstart.core.plan import Plan, SourceChoice, StrategyChoice
from headstart.core.strategy import Strategy
from headstart.core.task import Columns, Task
from headstart.data import hub
from headstart.engine import streams
from headstart.errors import PlanError, UserError
from headstart.job import Job
from headstart.trainings import Beside

NAME = "previous"


@dataclass(frozen=True)
class Remembered:
    """What was opened.

    Attributes:
        name: of the data, for a person.
        job: theirs, with the same source and preprocessing of their own.
        network: the untouched source with the solved head.
    """

    name: str
    job: Job
    network: Network


class Rows(streams.Rows):
    """Training rows of the data to be remembered; targets go by the name "previous".

    Attributes:
        head: solved on the untouched source's features of these rows.
        digest: of the data, their split and their preprocessing.
    """

    def __init__(self, held: Remembered, *, seed: int) -> None:
        job = held.job
        transform = varied(job.transform.profile(job.plan.engine.profile), job.asked.policy)
        targets = {NAME: job.labels}
        super().__init__(job.dataset, job.train, transform, targets, augment=True, seed=seed)
        head = held.network.heads[job.outcome]
        assert isinstance(head, Head)
        self.head = head
        about = [job.dataset.digest, job.split.digest, job.train, job.transform.state()]
        self.digest = digest.value([*about, digest.tensors(self.head.state_dict().items())])


def remembered(job: Job) -> Remembered:
    """The data that the plan of a job names with `remember`. Raises UserError where they cannot be read."""
    if NAME not in job.opened:
        job.opened[NAME] = _opened(job, job.plan.evidence.remember)
    held: Remembered = job.opened[NAME]
    return held


def beside(job: Job, strategy: Strategy) -> Beside:
    """The rows that a strategy reads of the data to be remembered; nothing where it reads none.

    Raises:
        UserError: the data to be remembered cannot be read.
        PlanError: the source reads them with tensors of other shapes than the task's rows.
    """
    if not job.plan.evidence.remember or NAME not in (*strategy.streams, *strategy.optional):
        return Beside()
    held = remembered(job)
    mine, theirs = (
        {name: tensor.shape for name, tensor in backbone.state_dict().items()}
        for backbone in (job.backbone, held.job.backbone)
    )
    if mine != theirs:
        raise PlanError(
            f"The source has another shape for the data to be remembered ({held.name}) than for the task's, "
            "so no network can train on both. Name data with the same columns and channels, or leave "
            "--remember out and choose fine_tune or l2_sp."
        )
    other, rows = held.job, Rows(held, seed=job.plan.seed)
    told = hub.licence(job.plan.evidence.remember)
    job.links = (licence.Link("data of an earlier task", "data", told, origin=held.name),)
    return Beside({NAME: rows}, flops=other.flops * len(other.train), digest=rows.digest)


def _opened(job: Job, place: str) -> Remembered:
    """Preprocessing, targets and head are fitted on the training rows of these data."""
    task = Task(data=place, modality=job.modality.name, outcome="classify", columns=Columns())
    plan = Plan(
        task=task,
        source=SourceChoice(job.loaded.source.uri, jobs.offline(job.plan.source)),
        strategy=StrategyChoice("linear_probe"),
        engine=job.plan.engine,
        augmentation=job.plan.augmentation,
        seed=job.plan.seed,
    )
    try:
        other = jobs.open_job(plan)
    except UserError as error:
        raise type(error)(f"The data to be remembered ({place}) cannot be used: {error}") from error
    if other.dataset.digest == job.dataset.digest:
        job.say(
            f"The data to be remembered ({place}) are the data of this task itself; name those that the "
            "source learned before."
        )
    made = other.extract(other.train)
    jobs.drop_late(other, made)
    network, features = other.network(other.backbone), made.features
    if features is None:
        raise ValueError("pooled features are always kept")
    arms.solve_head(other, network, features, np.arange(len(other.train)), other.plan.seed)
    return Remembered(place.rstrip("/").rpartition("/")[2], other, network)
