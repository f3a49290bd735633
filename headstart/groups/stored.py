"""Rows with their stored features, opened without any target."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart import job as jobs
from headstart.core import digest, plugins
from headstart.core.dataset import SetAside
from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.plan import Plan
from headstart.core.run import Watcher
from headstart.core.source import Loaded
from headstart.core.store import Store
from headstart.data import opening
from headstart.data.dataset import ArrowDataset
from headstart.engine import device as devices
from headstart.engine.extract import Extraction, How, extract
from headstart.errors import DataError
from headstart.features import key
from headstart.job import Given, Job


@dataclass
class Stored:
    """A source at work on some rows.

    Attributes:
        rows: (n,) row numbers of `dataset` that have features.
        features: (n, width) float32, finite.
        label: metadata column that holds labels, or "".
    """

    plan: Plan
    modality: plugins.Modality
    dataset: ArrowDataset
    loaded: Loaded
    backbone: Backbone
    transform: Transform
    store: Store
    weights: str
    label: str = ""
    watcher: Watcher | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    features: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    set_aside: list[SetAside] = field(default_factory=list)
    forwards: int = 0

    def of(self, dataset: ArrowDataset, rows: np.ndarray) -> Extraction:
        """Features of some rows of the same fields, through the store."""
        engine = self.plan.engine
        device = devices.resolve(engine.device)
        how = How(
            executor=engine.executor,
            profile=engine.profile,
            device=device,
            processor=key.device(device),
            threads=engine.threads,
            cache=jobs.cache_root() / "compiled",
        )
        return extract(
            dataset,
            rows,
            backbone=self.backbone,
            transform=self.transform,
            store=self.store,
            weights=self.weights,
            how=how,
            watcher=self.watcher,
        )

    def fill(self, rows: np.ndarray) -> Stored:
        """Takes the features of some rows; those that have none are set aside. Raises DataError."""
        made = self.of(self.dataset, rows)
        self.set_aside += [SetAside(b.name, b.reason, b.remedy) for b in made.set_aside]
        self.forwards = made.forwards
        if made.features is None or not len(made.rows):
            raise DataError("No row can be read; see the rows set aside.")
        finite = np.isfinite(made.features).all(axis=1)
        for name in self.dataset.names(made.rows[~finite]):
            remedy = "look for values that are far too large, or remove the row"
            self.set_aside.append(SetAside(name, "its features are not finite", remedy))
        if not finite.any():
            raise DataError("No row has finite features. Look for values that are far too large.")
        self.rows, self.features = made.rows[finite], made.features[finite]
        return self

    def labels(self) -> list[Any] | None:
        """Labels of `rows`, None where a row has none; None without labels."""
        if self.dataset.target:
            return list(self.dataset.targets(self.rows))
        if not self.label:
            return None
        return list(self.dataset.metadata(self.rows)[self.label])


def open_stored(plan: Plan, given: Given | None, watcher: Watcher | None = None) -> Stored:
    """All rows of the plan's data, or of what was handed over, with their features.

    `given.targets` are labels, or empty; they form no cluster.

    Raises:
        DataError, SourceError: with what came, what was expected, what to do.
    """
    readers = jobs.readers(plan.task.modality)
    if given is None:
        cache = jobs.cache_root() / "data"
        dataset, label = opening.open_rows(plan.task, readers, cache=cache, watcher=watcher)
    else:
        label = "label" if len(given.targets) else ""
        held = {**given.metadata, **({label: list(given.targets)} if label else {})}
        task = dataclasses.replace(plan.task, tolerate=1.0, near_duplicates=False)
        dataset = opening.from_arrays(
            given.inputs, None, readers, task=task, metadata=held, watcher=watcher
        )
    modality = plugins.Modality(dataset.modality)
    loaded = jobs.load(plan.source.uri, modality, offline=jobs.offline(plan.source))
    every = np.arange(len(dataset))
    samples = jobs.Lazy(dataset, every)
    transform = modality.batch.make(loaded.source.preprocessing, dataset.fields, samples)
    inputs = jobs.probe_inputs(transform, dataset, every)
    backbone = jobs.stage(modality, loaded, transform, inputs)
    made = Stored(
        plan=plan,
        modality=modality,
        dataset=dataset,
        loaded=loaded,
        backbone=backbone,
        transform=transform,
        store=jobs.open_store(plan),
        weights=digest.tensors(backbone.state_dict().items()),
        label=label,
        watcher=watcher,
        set_aside=list(dataset.set_aside),
    )
    return made.fill(every)


def learned(job: Job) -> Stored:
    """The training rows of a run that was opened again, with the source's own features."""
    made = Stored(
        plan=job.plan,
        modality=job.modality,
        dataset=job.dataset,
        loaded=job.loaded,
        backbone=job.backbone,
        transform=job.transform,
        store=job.store,
        weights=job.weights,
        watcher=job.watcher,
    )
    return made.fill(job.train)
