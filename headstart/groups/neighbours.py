"""The stored rows that are nearest to some others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.core.dataset import SetAside
from headstart.core.evidence import Nearest
from headstart.data import opening
from headstart.engine.scope import unit
from headstart.errors import PlanError
from headstart.errors import nearest as closest
from headstart.groups.stored import Stored
from headstart.job import Job

MOST = 100  # neighbours that the evidence looks at
CHUNK = 512
CELLS = 8_000_000  # numbers that are measured once more at a time: 64 MB
DISTANCES = ("cosine", "euclidean")
CHEAP = 2e11  # multiplications that looking for all neighbours may take: a few seconds


def nearest(
    asked: np.ndarray, stored: np.ndarray, k: int, *, by: str = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """Places and distances of the k nearest stored rows, the nearest first: two arrays (N, k).

    Args:
        asked: (N, width) float32.
        stored: (M, width); k is at most M.
        by: "cosine" (one minus the cosine, 0 to 2) or "euclidean".
    """
    k = min(k, len(stored))
    if by == "cosine":
        asked, stored = unit(asked), unit(stored)
    squares = (stored.astype(np.float64) ** 2).sum(1)
    places = np.empty((len(asked), k), np.int64)
    gaps = np.empty((len(asked), k))
    step = int(np.clip(CELLS // max(1, k * stored.shape[1]), 1, CHUNK))
    for begin in range(0, len(asked), step):
        some = asked[begin : begin + step]
        near = squares - 2.0 * (some @ stored.T)
        few = np.argpartition(near, k - 1, axis=1)[:, :k]
        order = np.lexsort((few, np.take_along_axis(near, few, 1)), axis=1)
        found = np.take_along_axis(few, order, 1)
        # the few that count are measured once more, free of cancellation
        gap = np.linalg.norm(stored[found].astype(np.float64) - some[:, None], axis=2)
        places[begin : begin + step], gaps[begin : begin + step] = found, gap
    return places, gaps**2 / 2 if by == "cosine" else gaps


def tested(made: Job, features: np.ndarray, asked: np.ndarray) -> Nearest | None:
    """The nearest training rows of test rows; None for other outcomes, and where it is not cheap.

    Args:
        features: (rows, width) of `made.train`.
        asked: (test rows, width).
    """
    cost = float(len(features)) * len(asked) * features.shape[1]
    if made.outcome != "classify" or cost > CHEAP:
        return None
    places, _ = nearest(asked, features, MOST)
    sizes = np.bincount(made.labels, minlength=len(made.targets.classes))
    return Nearest(made.labels[places], sizes)


@dataclass(frozen=True)
class Similar:
    """The nearest stored rows of some inputs.

    Attributes:
        queries: what a person calls each input that could be read.
        rows: (queries, k) row numbers of the data, from 0, the nearest first.
        names: (queries, k) what a person calls these rows.
        distances: (queries, k) by `by`: one minus the cosine (0 to 2), or Euclidean.
        labels: (queries, k) labels of these rows, None where one has none; None without labels.
        asked, found: what to show of each query, and of each stored row by its number.
        bad: inputs that could not be read.
    """

    data: str
    source: str
    by: str
    queries: list[str]
    rows: np.ndarray
    names: list[list[str]]
    distances: np.ndarray
    labels: list[list[Any]] | None
    asked: tuple[Mapping[str, str], ...] = field(repr=False)
    found: Mapping[int, Mapping[str, str]] = field(repr=False)
    bad: tuple[SetAside, ...] = ()

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows: query, rank, row (from 1), name, distance and, where there are some, label."""
        columns = ["query", "rank", "row", "name", "distance"]
        columns += ["label"] if self.labels is not None else []
        made = []
        for place, query in enumerate(self.queries):
            for rank, row in enumerate(self.rows[place].tolist()):
                line = [query, rank + 1, row + 1, self.names[place][rank]]
                line.append(float(self.distances[place, rank]))
                if self.labels is not None:
                    label = self.labels[place][rank]
                    line.append("" if label is None else str(label))
                made.append(line)
        return columns, made


def similar(stored: Stored, inputs: Any, k: int, by: str) -> Similar:
    """The k stored rows that are nearest to each input.

    Args:
        inputs: files, texts, or rows with the fields of the stored ones.

    Raises:
        DataError: the inputs cannot be read at all; single bad ones are listed instead.
        PlanError: no such distance, or k below 1.
    """
    if by not in DISTANCES:
        raise PlanError(f"by came as '{by}'. {closest(by, DISTANCES)}")
    if k < 1:
        raise PlanError(f"{k} neighbours were asked for; expected 1 or more.")
    fields, modality = stored.dataset.fields, stored.modality
    asked = opening.open_samples(
        inputs, fields, modality.read, modality=modality.name, watcher=stored.watcher
    )
    made = stored.of(asked, np.arange(len(asked)))
    late = [SetAside(b.name, b.reason, b.remedy) for b in made.set_aside]
    features = made.features if made.features is not None else np.empty((0, 0), np.float32)
    if not len(made.rows):
        features = np.empty((0, stored.features.shape[1]), np.float32)
    places, gaps = nearest(features, stored.features, k, by=by)
    rows = stored.rows[places]
    every = np.unique(rows)
    show, labels = modality.show, stored.labels()
    samples = stored.dataset.samples(every)
    return Similar(
        data=stored.plan.task.data.rpartition("/")[2] or "the arrays",
        source=stored.loaded.source.uri,
        by=by,
        queries=_called(asked.names(made.rows), asked.samples(made.rows), fields),
        rows=rows,
        names=[stored.dataset.names(r) for r in rows],
        distances=gaps,
        labels=None if labels is None else [[labels[p] for p in line] for line in places],
        asked=tuple(show.exhibit(s, fields) for s in asked.samples(made.rows)),
        found={int(r): show.exhibit(s, fields) for r, s in zip(every, samples, strict=True)},
        bad=(*asked.set_aside, *late),
    )


def _called(names: list[str], samples: list[Any], fields: Any) -> list[str]:
    """A short text is its own name; all else has the name of its row or file."""
    only = fields[0].name if len(fields) == 1 else ""
    return [
        s[only] if only and isinstance(s[only], str) and len(s[only]) <= 80 else n
        for n, s in zip(names, samples, strict=True)
    ]
