"""A finished model as the teacher of a job's training rows: asked once for each of them.

What it says, and its features, are further targets of these rows, which a strategy asks for by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart import job as jobs
from headstart.core import digest
from headstart.core.licence import Link
from headstart.core.strategy import Strategy
from headstart.errors import PackError, PlanError, StorageError
from headstart.job import Job
from headstart.registry import document, packs, runs
from headstart.registry.packs import PackParts
from headstart.serving.predictor import Predictor
from headstart.trainings import Beside

SAID, FEATURES = "teacher", "teacher features"


@dataclass(frozen=True)
class Teacher:
    """What was opened.

    Attributes:
        name: by which it is found again: the id of a run among those of the job, else a folder.
        predictor: the model at work.
        columns: places of the job's classes among the teacher's.
    """

    name: str
    predictor: Predictor
    columns: tuple[int, ...]


def check(job: Job, strategy: Strategy) -> None:
    """Refuses, before anything is trained, a teacher that does not fit; the plan then names the one that was
    found, so that a repeated run takes no other "last" one. Raises PlanError, PackError."""
    if strategy.asks:
        name = _teacher(job, str(strategy.settings.teacher)).name
        choice = job.plan.strategy
        choice = replace(choice, settings={**choice.settings, "teacher": name})
        job.plan = replace(job.plan, strategy=choice)


def beside(job: Job, strategy: Strategy) -> Beside:
    """What the teacher says of the training rows (rows, classes), in the order of the job's classes, and its
    features (rows, width); NaN where it cannot read a row.

    Raises:
        PlanError: no teacher was named, or one for another task.
        PackError: its pack or its base is not what it was.
    """
    teacher = _teacher(job, str(strategy.settings.teacher))
    predictor = teacher.predictor
    said, made = predictor.outputs(job.dataset, job.train, job.watcher)
    if not len(made.rows):
        raise PlanError(f"The teacher '{teacher.name}' can read none of the training rows.")
    there = np.isin(job.train, made.rows)
    if not there.all():
        job.say(
            f"The teacher cannot read {int((~there).sum())} of {len(there)} training rows; of these the "
            "labels alone are learned."
        )
    features = np.asarray(made.features).reshape(len(made.rows), -1)
    targets = {
        SAID: _spread(said[:, list(teacher.columns)], there),
        FEATURES: _spread(features, there),
    }
    inputs = jobs.probe_inputs(predictor.transform, job.dataset, job.train)
    costs = jobs.stage_costs(predictor.network.backbone, inputs)
    about = digest.value([teacher.predictor.pack.digest, teacher.columns, job.train])
    return Beside(targets=targets, flops=sum(costs) * len(job.train), digest=about)


def _spread(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Rows that are there, in their places; NaN in the others."""
    made = np.full((len(there), values.shape[1]), np.nan, np.float32)
    made[there] = values
    return made


def _teacher(job: Job, name: str) -> Teacher:
    """The teacher by its name, opened once."""
    if SAID not in job.opened:
        job.opened[SAID] = _opened(job, name)
    held: Teacher = job.opened[SAID]
    return held


def _opened(job: Job, name: str) -> Teacher:
    if not name:
        raise PlanError(
            "distill needs a teacher: name a finished run of the same task, or the folder of its pack "
            "(--set teacher=last)."
        )
    found, folder = _found(job, name)
    try:
        pack = packs.load(folder)
    except PackError as error:
        raise PackError(f"The teacher '{name}' cannot be used: {error}") from error
    _same_task(job, pack, name)
    loaded = jobs.load(
        str(pack.base.source["uri"]), job.modality, offline=jobs.offline(job.plan.source)
    )
    predictor = Predictor(pack, loaded, job.cache / "compiled")
    classes = predictor.targets.classes
    if sorted(classes) != sorted(job.targets.classes):
        raise PlanError(
            f"The teacher '{name}' tells other classes than the task has: {', '.join(classes)}; expected "
            f"{', '.join(job.targets.classes)}. Choose a teacher that was trained on these classes."
        )
    _tell(job, folder)
    job.links = tuple(_links(pack))
    return Teacher(found, predictor, tuple(classes.index(c) for c in job.targets.classes))


def _found(job: Job, name: str) -> tuple[str, Path]:
    """The folder of the pack, the one that was named or that of a run, and a name that stays its own."""
    place = Path(name).expanduser()
    if (place / packs.PACK).is_file():
        return name, place
    try:
        folder = runs.find(name, job.plan.output)
    except PlanError as error:
        raise PlanError(f"There is no teacher '{name}'. {error}") from error
    mine = folder.parent == runs.place(job.plan.output)
    return folder.name if mine else str(folder), folder / "pack"


def _same_task(job: Job, pack: PackParts, name: str) -> None:
    """Raises PlanError for a teacher of another kind of data, outcome or columns."""
    fields, asked = (sorted(f.name for f in some) for some in (pack.fields, job.dataset.fields))
    theirs = f"{pack.outcome} on {pack.modality} data ({', '.join(fields)})"
    mine = f"{job.outcome} on {job.modality.name} data ({', '.join(asked)})"
    if theirs != mine:
        raise PlanError(
            f"The teacher '{name}' was made for {theirs}; expected {mine}. Choose a teacher of the same task."
        )


def _tell(job: Job, folder: Path) -> None:
    """Says where the teacher may have seen what the student is judged by."""
    try:
        split = document.read(folder.parent, predictions=False).digests.get("split")
    except StorageError:
        split = None
    if split != job.split.digest:
        job.say(
            "The teacher was not trained on this run's split, so it may have learned from rows that are test "
            "rows here; then the scores of its student are too high. Train it on the same data and seed."
        )


def _links(pack: PackParts) -> list[Link]:
    """The licences of a teacher, by names of their own; none of it is carried on but what it said."""
    links = [Link(**{**link, "parents": tuple(link.get("parents", ()))}) for link in pack.licences]
    return [
        replace(
            link,
            what=f"{link.what} (teacher)",
            parents=tuple(f"{parent} (teacher)" for parent in link.parents),
            carried=False,
        )
        for link in links
    ]
