"""Clusters of a person's rows by stored features: named, shown, and set beside plain features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart import job as jobs
from headstart.core.dataset import SetAside
from headstart.core.evidence import Measure
from headstart.core.plan import Plan
from headstart.core.run import Watcher
from headstart.engine.scope import unit
from headstart.groups import agreement, clustering, words
from headstart.groups.clustering import Ask, Grouped
from headstart.groups.stored import Stored, open_stored
from headstart.job import Given

SHOWN = 6  # nearest rows of a cluster that are shown
MOST_LABELS = 0.5  # labels as different as this share of rows are no classes
MOST_PLAIN = 20_000  # rows whose plain features are made; they are all held in memory


@dataclass(frozen=True)
class Cluster:
    """One cluster, or the rows in none (number 0).

    Attributes:
        name: its telling words, or the name of its nearest row.
        nearest: places of its nearest rows, the nearest first.
        labels: its most frequent label and that one's share of the labelled rows, where there are labels.
    """

    number: int
    name: str
    rows: int
    words: tuple[str, ...]
    nearest: tuple[int, ...]
    distance: float
    labels: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Clusters:
    """What was found.

    Attributes:
        rows: (n,) row numbers of the data, from 0.
        names: what a person calls each row.
        numbers: (n,) cluster of each row, from 1, the largest first; 0 for none.
        distance: (n,) to the centre of the row's cluster.
        clusters: the clusters, in the order of their numbers.
        measures: agreement with labels, beside plain features, with intervals.
        exhibits: place -> what to show of the rows that are nearest in some cluster.
        map: (n, 2) the first two principal components.
        missing: what could not be measured, and why.
    """

    data: str
    source: str
    method: str
    how: str
    rows: np.ndarray
    names: list[str]
    labels: list[Any] | None
    numbers: np.ndarray
    distance: np.ndarray
    clusters: tuple[Cluster, ...]
    measures: tuple[Measure, ...]
    missing: tuple[tuple[str, str], ...]
    exhibits: Mapping[int, Mapping[str, str]] = field(repr=False)
    map: np.ndarray = field(repr=False)
    tried: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of the result: row (from 1), name, cluster, cluster_name, distance and, where
        there are some, label."""
        called = {c.number: c.name for c in self.clusters}
        columns = ["row", "name", "cluster", "cluster_name", "distance"]
        columns += ["label"] if self.labels is not None else []
        rows = []
        for place, number in enumerate(self.numbers.tolist()):
            line = [int(self.rows[place]) + 1, self.names[place], number, called[number]]
            line.append(float(self.distance[place]))
            if self.labels is not None:
                label = self.labels[place]
                line.append("" if label is None else str(label))
            rows.append(line)
        return columns, rows


def cluster(plan: Plan, given: Given | None, ask: Ask, watcher: Watcher | None = None) -> Clusters:
    """Clusters of the plan's data, or of what was handed over.

    Raises:
        DataError: nothing can be read.
        PlanError: a method or number that cannot be.
    """
    stored = open_stored(plan, given, watcher)
    places = clustering.points(unit(stored.features), ask.seed)
    found = clustering.group(places, ask)
    labels = stored.labels()
    measures, missing = _measured(stored, found, labels, ask)
    texts = _texts(stored)
    clusters = _described(stored, found, labels, texts)
    near = sorted({p for c in clusters for p in c.nearest})
    show = stored.modality.show
    samples = stored.dataset.samples(stored.rows[near])
    return Clusters(
        data=Path(plan.task.data).name or "the arrays",
        source=stored.loaded.source.uri,
        method=ask.method,
        how=found.how,
        rows=stored.rows,
        names=stored.dataset.names(stored.rows),
        labels=labels,
        numbers=found.numbers,
        distance=found.distance,
        clusters=clusters,
        measures=measures,
        missing=missing,
        exhibits={
            p: show.exhibit(s, stored.dataset.fields) for p, s in zip(near, samples, strict=True)
        },
        map=np.pad(places[:, :2], ((0, 0), (0, max(0, 2 - places.shape[1])))),
        tried=found.tried,
        notes=_notes(stored),
        set_aside=tuple(stored.set_aside),
    )


def _notes(stored: Stored) -> tuple[str, ...]:
    notes = list(stored.dataset.notes)
    if stored.label:
        notes.append(f"Labels: the column '{stored.label}'; they form no cluster.")
    return tuple(notes)


def _texts(stored: Stored) -> list[str] | None:
    """The rows as texts where the modality shows them as such, else None."""
    show, fields = stored.modality.show, stored.dataset.fields
    first = stored.dataset.samples(stored.rows[:1])[0]
    if show.exhibit(first, fields)["kind"] != "text":
        return None
    return [show.exhibit(s, fields)["text"] for s in jobs.Lazy(stored.dataset, stored.rows)]


def _described(
    stored: Stored, found: Grouped, labels: Sequence[Any] | None, texts: Sequence[str] | None
) -> tuple[Cluster, ...]:
    """Every cluster with its name, its nearest rows and its most frequent label."""
    told = words.telling(texts, found.numbers) if texts is not None else {}
    made = []
    for number in np.unique(found.numbers).tolist():
        here = np.flatnonzero(found.numbers == number)
        order = here[np.argsort(found.distance[here], kind="stable")]
        own = tuple(told.get(number, ()))
        known = [str(labels[p]) for p in here if labels[p] is not None] if labels else []
        top = Counter(known).most_common(1)
        name = ", ".join(own[:3]) or f"like {_short(stored, order[0])}"
        made.append(
            Cluster(
                number=number,
                name="in no cluster" if number == clustering.NONE else name,
                rows=len(here),
                words=own,
                nearest=tuple(int(p) for p in order[:SHOWN]),
                distance=float(found.distance[here].mean()),
                labels=tuple((label, count / len(known)) for label, count in top),
            )
        )
    return tuple(made)


def _short(stored: Stored, place: int) -> str:
    """The name of one row without the folders before it."""
    return stored.dataset.names(stored.rows[place : place + 1])[0].rpartition("/")[2]


def _measured(
    stored: Stored, found: Grouped, labels: Sequence[Any] | None, ask: Ask
) -> tuple[tuple[Measure, ...], tuple[tuple[str, str], ...]]:
    """Agreement with the labels, beside that of plain features clustered the same way."""
    what = "agreement with labels"
    if labels is None:
        return (), ((what, "the rows have no labels"),)
    known = np.array([v is not None and v == v and str(v) != "" for v in labels], bool)
    names, codes = np.unique([str(v) for v, k in zip(labels, known, strict=True) if k],
                             return_inverse=True)  # fmt: skip
    if len(names) < 2 or len(names) > MOST_LABELS * len(codes):
        return (), (
            (what, f"{len(codes)} labels with {len(names)} different values are no classes"),
        )
    champion = stored.modality.champion
    other, name, missing = None, "", list[tuple[str, str]]()
    if len(stored.rows) > MOST_PLAIN:
        missing.append(("agreement of plain features", f"there are more than {MOST_PLAIN} rows"))
    elif hasattr(champion, "plain"):
        # the same number of clusters, so that only the features differ
        given = 0 if ask.method == "hdbscan" or found.count < 2 else found.count
        same = Ask(ask.method, given, ask.choose, ask.seed)
        other, name = _plain(stored, same), f"plain features: {champion.PLAIN}"
    else:
        missing.append(("agreement of plain features", "this kind of data offers none"))
    measures = agreement.measured(
        codes,
        found.numbers[known],
        None if other is None else other.numbers[known],
        name,
        ask.seed,
    )
    return measures, tuple(missing)


def _plain(stored: Stored, ask: Ask) -> Grouped:
    """Clusters of the modality's plain features."""
    samples = list(jobs.Lazy(stored.dataset, stored.rows))
    made = stored.modality.champion.plain(samples, stored.dataset.fields)
    places = clustering.points(made, ask.seed)
    if ask.clusters:
        different = len(np.unique(places.round(9), axis=0))
        fewer = min(ask.clusters, different)
        ask = Ask(ask.method, fewer if fewer > 1 else 0, ask.choose, ask.seed)
    return clustering.group(places, ask)
