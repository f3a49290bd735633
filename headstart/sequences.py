"""A chain of runs, each adapted from the one before: what the last network still knows of every task.

Each run reads its own test rows with its own head and preprocessing, on the backbone as it was after its own
training and after every later one. The test rows of a run are opened once more for this, which is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from headstart import replay
from headstart.core import digest
from headstart.core.evidence import Measure
from headstart.core.run import Record
from headstart.errors import DataError, PlanError
from headstart.evidence import _backward
from headstart.job import Job
from headstart.registry import document, runs
from headstart.serving.predictor import Predictor, open_pack

SCHEME = "run:"


@dataclass(frozen=True)
class Chain:
    """What was measured.

    Attributes:
        runs: ids, the first task first.
        tasks: names of their data.
        metrics: what a score is, for each task.
        scores: (T, T) score on task j (column) after task i (row); NaN above the diagonal.
        measures: backward transfer of each earlier task (by its `group`), then of all together where they are
            told in one unit (points of accuracy and R2 have no mean), with intervals over test rows.
    """

    runs: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    scores: np.ndarray
    measures: tuple[Measure, ...]

    @property
    def backward(self) -> Measure:
        """Backward transfer, the mean over all tasks but the last. Raises PlanError where there is none."""
        if self.measures[-1].group:
            units = ", ".join(dict.fromkeys(measure.unit for measure in self.measures))
            raise PlanError(
                f"The earlier tasks are told in different units ({units}), which have no mean. Read the "
                "`measures` of each."
            )
        return self.measures[-1]


@dataclass(frozen=True)
class _Task:
    """One run of the chain, reopened."""

    name: str
    job: Job
    predictor: Predictor
    rows: np.ndarray
    targets: Any

    @property
    def groups(self) -> np.ndarray | None:
        """(rows,) groups of the rows, or None."""
        name = self.job.dataset.columns.get("group")
        return np.asarray(self.job.dataset.metadata(self.rows)[name], object) if name else None


def chain(folder: Path) -> list[Path]:
    """Folders of the runs that led to one, the first one first.

    Raises:
        PlanError: it was not adapted from another run.
        StorageError: one of them is not there any more.
    """
    found = [folder]
    while uri := _earlier(document.read(found[0], predictions=False)):
        found.insert(0, runs.find(uri))
    if len(found) < 2:
        raise PlanError(
            f"The run {folder.name} was adapted from no other run, so it is no sequence. Learn the first "
            "task, then the next one with --source run:last, and so on; then name the last run here."
        )
    return found


def _earlier(record: Record) -> str:
    """Folder of the run that a run's source is, or ""."""
    uri = str(record.source.get("uri", ""))
    return uri.removeprefix(SCHEME).partition("?")[0] if uri.startswith(SCHEME) else ""


def measured(folder: Path) -> Chain:
    """Backward transfer over the chain of runs that ends with one.

    Raises:
        PlanError: it is no chain, or a strategy in it added weights of its own.
        DataError: the data of a run are not there, or not what they were.
    """
    records = [(place, document.read(place)) for place in chain(folder)]
    tasks = [_reopened(place, record) for place, record in records]
    held = [_own(task) for task in tasks]
    if any(state.keys() != held[0].keys() for state in held):
        raise PlanError(
            "A strategy in this sequence added weights of its own, so an earlier head cannot read a later "
            "network. Use strategies that change the source's own weights: fine_tune, lora, replay, ewc, "
            "lwf, si."
        )
    scores = [[_scores(tasks[j], held[i]) for j in range(i + 1)] for i in range(len(tasks))]
    matrix = np.full((len(tasks), len(tasks)), np.nan)
    for i, row in enumerate(scores):
        matrix[i, : i + 1] = [float(s.mean()) for s in row]
    names = tuple(task.name for task in tasks)
    return Chain(
        runs=tuple(record.id for _, record in records),
        tasks=names,
        metrics=tuple(task.job.score.name for task in tasks),
        scores=matrix,
        measures=_backward.measures(
            scores, names, [t.job.score for t in tasks], [t.groups for t in tasks]
        ),
    )


def _reopened(folder: Path, record: Record) -> _Task:
    """A run's data, test rows and model."""
    predictor = open_pack(folder / "pack", record.plan.source.offline)
    made = replay.reopened(predictor.pack, record, "Learn the sequence from files.")
    made.seal.open("a sequence of runs")
    rows = np.asarray(record.predictions["rows"], np.int64)
    name = record.plan.task.data.rstrip("/").rpartition("/")[2]
    return _Task(name, made, predictor, rows, np.asarray(record.predictions["targets"]))


def _own(task: _Task) -> dict[str, Tensor]:
    """A copy of the backbone's tensors; without the source's head, which a run does not hand on."""
    every = task.predictor.network.backbone.state_dict()
    return {n: t.clone() for n, t in every.items() if not n.startswith("source_head.")}


def _scores(task: _Task, tensors: Mapping[str, Tensor]) -> np.ndarray:
    """(rows,) with the backbone's tensors of one moment and the task's own head."""
    backbone = task.predictor.network.backbone
    backbone.load_state_dict(tensors, strict=False)  # all but the source's head
    task.predictor.weights = digest.tensors(tensors.items())
    said, made = task.predictor.outputs(task.job.dataset, task.rows)
    if len(made.rows) != len(task.rows):
        raise DataError(
            f"{len(task.rows) - len(made.rows)} test rows of {task.name} cannot be read any more."
        )
    return np.asarray(task.job.score.rows(said[None], task.targets)[0])
