"""What a run is made of: data, split, source, transform, store. `adapt.py` puts it to work."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import augmentation
from headstart.core import digest, plugins, staging
from headstart.core.dataset import Sample, SetAside
from headstart.core.evidence import Score
from headstart.core.head import HeadFile, Targets
from headstart.core.licence import Link
from headstart.core.modality import Transform
from headstart.core.network import Backbone, Network
from headstart.core.plan import Plan
from headstart.core.run import Once, Watcher
from headstart.core.source import Loaded
from headstart.core.store import Store
from headstart.data import opening, quality, splits
from headstart.data.dataset import ArrowDataset
from headstart.data.seal import Seal
from headstart.data.splits import MadeSplit
from headstart.data.windows import Windows
from headstart.engine import device as devices
from headstart.engine import ledger, positions
from headstart.engine.extract import Extraction, How, extract
from headstart.errors import BadRow, DataError, MissingExtra, PlanError, SourceError, nearest
from headstart.features import key
from headstart.features.store import LmdbStore, MemoryStore
from headstart.loading import Need
from headstart.loading import choose_uri as choose_uri
from headstart.loading import load as load
from headstart.loading import offline as offline
from headstart.places import cache_root as cache_root
from headstart.targets import Further, learned, planned, told

MEMORY = "memory"
PROBE_ROWS = 4
KNOWN_ROWS = 2000  # of those that preprocessing was fitted on are remembered
KNOWN_SHARE = 0.5  # of them must still be there for it to be used again


@dataclass(frozen=True)
class Given:
    """Data handed over in memory: inputs and targets of equal length, and metadata columns."""

    inputs: Any
    targets: Sequence[Any]
    metadata: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class Lazy(Sequence[Sample]):
    """Samples of some rows, read when they are touched, a chunk at a time."""

    def __init__(self, dataset: ArrowDataset, rows: np.ndarray, chunk: int = 256) -> None:
        self.dataset, self.rows, self.chunk = dataset, rows, chunk

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self.dataset.samples(self.rows[place])
        return self.dataset.samples(self.rows[place : place + 1])[0]

    def __iter__(self) -> Iterator[Sample]:
        for begin in range(0, len(self.rows), self.chunk):
            yield from self.dataset.samples(self.rows[begin : begin + self.chunk])


@dataclass
class Job:
    """Everything that training and evidence need, opened once; what follows from it is filled in.

    Attributes:
        train: row numbers to learn from; rows that the transform refused are out.
        labels: (len(train), ...) encoded targets.
        groups: (len(train),) rows of one number share a fold.
        weights: digest of the staged backbone's tensors.
        costs: forward operations per sample of each stage.
        notes, facts: what the record will say.
        trained: folder of finished trainings and their checkpoints; None keeps none.
        asked: what the plan asks for of augmentation.
        further: targets that are learned beside its own.
        outside: row numbers of training rows out of scope, which are never learned from as a class.
        opened: what strategies read beside the task's data, by name, once it is opened.
        links: its licences.
    """

    plan: Plan
    watcher: Watcher | None
    modality: plugins.Modality
    dataset: ArrowDataset
    split: MadeSplit
    heads: HeadFile
    targets: Targets
    loaded: Loaded
    backbone: Backbone
    transform: Transform
    costs: tuple[float, ...]
    outside: np.ndarray
    began: float
    further: tuple[Further, ...] = field(init=False)
    cache: Path = field(init=False)
    seal: Seal = field(init=False)
    store: Store = field(init=False)
    weights: str = field(init=False)
    device: str = field(init=False)
    train: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    groups: np.ndarray = field(init=False)
    asked: augmentation.Asked = field(init=False)
    set_aside: list[SetAside] = field(init=False)
    trained: Path | None = field(init=False)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    opened: dict[str, Any] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.watcher = Once(self.watcher) if self.watcher is not None else None
        self.cache, self.store = cache_root(), open_store(self.plan)
        self.seal = Seal(self.split, self.cache / "openings.jsonl")
        self.weights = digest.tensors(self.backbone.state_dict().items())
        self.device = devices.resolve(self.plan.engine.device)
        self.train, self.groups = self.split.train, self.split.groups
        self.labels = self.targets.encode(self.dataset.targets(self.train))
        self.further = learned(self.dataset, self.train)
        self.asked = augmentation.asked(self.plan.augmentation, self.transform, self.modality.name)
        self.set_aside = [*self.dataset.set_aside, *self.split.set_aside]
        self.trained = None if self.plan.engine.store == MEMORY else self.cache / "trained"

    @property
    def outcome(self) -> str:
        return self.targets.outcome

    @property
    def reads(self) -> str:
        """What the outcome's head reads: "pooled" features, or those of "positions"."""
        return str(self.heads.Head.reads)

    @property
    def score(self) -> Score:
        """How rows are scored."""
        return getattr(self.targets, "score", self.heads.SCORE)

    @property
    def flops(self) -> float:
        """Forward operations per sample of the whole backbone."""
        return float(sum(self.costs))

    def say(self, sentence: str) -> None:
        """Notes a sentence and tells the watcher; once."""
        with self.lock:  # trainings side by side may say the same
            new = bool(sentence) and sentence not in self.notes
            if new:
                self.notes.append(sentence)
        if new and self.watcher is not None:
            self.watcher.say(sentence)

    def how(self, profile: str) -> How:
        """How rows are extracted in this run."""
        engine = self.plan.engine
        return How(
            executor=engine.executor,
            profile=profile,
            device=self.device,
            processor=key.device(self.device),
            threads=engine.threads,
            cache=self.cache / "compiled",
        )

    def extract(self, rows: np.ndarray, *, cut: int | None = None, profile: str = "") -> Extraction:
        """Features, as the outcome's head reads them, or kept states of some rows, through the store."""
        each = cut is None and self.reads == "positions"
        made = extract(
            self.dataset,
            rows,
            backbone=self.backbone,
            transform=self.transform,
            store=self.store,
            weights=self.weights,
            cut=len(self.backbone.stages) if each else cut,
            how=self.how(profile or self.plan.engine.profile),
            watcher=self.watcher,
        )
        for note in made.notes:
            self.say(note)
        self.facts["forwards"] = self.facts.get("forwards", 0) + made.forwards
        return positions.featured(made, self.backbone) if each else made

    def network(self, backbone: Backbone, dropout: float = 0.0) -> Network:
        """A network of `backbone` with a fresh head for the outcome, and for every further target."""
        return Network.headed(backbone, self.heads, self.targets, dropout, self.further)

    def fresh(self, seed: int) -> Backbone:
        """The same architecture with random weights, staged alike."""
        if self.loaded.rebuild is None:
            raise SourceError(f"{self.loaded.source.uri} has no from-scratch twin.")
        module = self.loaded.rebuild(seed)
        twin = dataclasses.replace(self.loaded, module=module)
        staged: Backbone = self.modality.backbones.stage(twin, self.transform)
        return staged


def readers(asked: str) -> dict[str, Any]:
    """Readers by modality, those of whole rows last. One that cannot be imported is left out unless
    it was asked for."""
    found: dict[str, Any] = {}
    for name in plugins.names("modality"):
        if asked not in ("auto", name):
            continue
        try:
            found[name] = plugins.Modality(name).read
        except MissingExtra:
            if asked == name:
                raise
    if not found:
        raise DataError(f"Unknown modality '{asked}'. {nearest(asked, plugins.names('modality'))}")
    return dict(sorted(found.items(), key=lambda item: (item[1].MANY, item[0])))


def open_dataset(plan: Plan, given: Given | None, watcher: Watcher | None) -> ArrowDataset:
    """The plan's data, or what was handed over."""
    known = readers(plan.task.modality)
    cache = cache_root() / "data"
    if given is None:
        return opening.open_data(
            plan.task, known, cache=cache, watcher=watcher, offline=offline(plan.source)
        )
    return opening.from_arrays(
        given.inputs,
        given.targets,
        known,
        task=plan.task,
        metadata=given.metadata,
        cache=None if plan.engine.store == MEMORY else cache,
        watcher=watcher,
    )


def open_store(plan: Plan) -> Store:
    """The store on disk, or one in memory."""
    if plan.engine.store == MEMORY:
        return MemoryStore()
    root = Path(plan.engine.store).expanduser() if plan.engine.store else cache_root() / "store"
    return LmdbStore(root, int(plan.engine.cap_gb * 1e9))


def make_transform(
    plan: Plan,
    modality: plugins.Modality,
    loaded: Loaded,
    dataset: ArrowDataset,
    rows: np.ndarray,
    *,
    sealed: Mapping[str, Any] | None = None,
    keep: bool = True,
) -> tuple[Transform, str]:
    """The preprocessing as it was `sealed`, or made for these rows; and what is to be said of it.

    What was fitted on the same data, seed and way of splitting stays as it is until `--refit`, so that new
    rows do not move old ones. Where most of the rows that it was fitted on are gone, the data are others, and
    it is fitted anew.
    """
    if sealed is not None:
        return modality.batch.restore(sealed), ""
    kept = _fitted(plan, loaded, dataset)
    if kept is not None and kept.is_file() and not plan.engine.refit:
        held = json.loads(kept.read_text("utf-8"))
        here = {d.hex() for d in dataset.digests(np.arange(len(dataset)))}
        if len(here.intersection(held["rows"])) >= KNOWN_SHARE * len(held["rows"]):
            transform: Transform = modality.batch.restore(held["state"])
            return transform, (
                "Scaling constants and category lists are those that an earlier run on this data "
                "fitted; --refit fits them anew."
            )
    transform = modality.batch.make(
        loaded.source.preprocessing, dataset.fields, Lazy(dataset, rows)
    )
    if keep and kept is not None and getattr(transform, "fitted", False):
        some = [d.hex() for d in dataset.digests(rows[:KNOWN_ROWS])]
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps({"state": transform.state(), "rows": some}), "utf-8")
        os.replace(beside, kept)
    return transform, ""


def _fitted(plan: Plan, loaded: Loaded, dataset: ArrowDataset) -> Path | None:
    """Where fitted preprocessing of this data, split and source is kept; None for data in memory."""
    if not plan.task.data:
        return None
    task = plan.task
    place = str(Path(task.data).expanduser().resolve())
    names = [(f.name, f.kind) for f in dataset.fields]
    cut = [plan.seed, task.test_share, task.per_class, task.columns]
    about = digest.value([place, names, cut, loaded.source.sha256, loaded.source.uri])
    return cache_root() / "fitted" / f"{about}.json"


def probe_inputs(transform: Transform, dataset: ArrowDataset, rows: np.ndarray) -> Any:
    """Model inputs of a few training rows that the transform takes, on which staging is verified."""
    arrays: list[Any] = []
    for sample in Lazy(dataset, rows, chunk=PROBE_ROWS):
        try:
            arrays.append(transform(sample))
        except BadRow:
            continue
        if len(arrays) == PROBE_ROWS:
            break
    if not arrays:
        raise DataError("None of the training rows can be read; see the rows set aside.")
    return transform.collate(arrays)


def stage(
    modality: plugins.Modality, loaded: Loaded, transform: Transform, inputs: Any
) -> Backbone:
    """The staged backbone, verified against the untouched network on a probe batch."""
    with torch.inference_mode():
        said = modality.backbones.reference(loaded, inputs)
        backbone: Backbone = modality.backbones.stage(loaded, transform)
        backbone.eval().requires_grad_(False)
        staging.verify(backbone, said, inputs)
    return backbone


def stage_costs(backbone: Backbone, inputs: Any) -> tuple[float, ...]:
    """Forward operations per sample of each stage."""
    made = []
    with torch.inference_mode():
        state = inputs
        for number in range(len(backbone.stages)):
            made.append(float(ledger.count(backbone, state, number, number + 1)))
            state = backbone.run(state, number, number + 1)
    return tuple(made)


def make_split(dataset: ArrowDataset, plan: Plan) -> MadeSplit:
    """The sealed split; with a test share of 0 every row is learned from, and nothing can be judged."""
    if isinstance(dataset, Windows):
        return dataset.split(plan.task.test_share)
    if plan.task.test_share > 0:
        return splits.make_split(dataset, plan.task, plan.seed)
    rows, none = np.flatnonzero(~splits.left_out(dataset, plan.task)), np.empty(0, np.int64)
    about = digest.value([dataset.digest, "all rows"])
    return MadeSplit(rows, none, "no test split: all rows are learned from", about, groups=rows)


def apart(
    dataset: ArrowDataset, split: MadeSplit, label: str, outcome: str
) -> tuple[MadeSplit, np.ndarray]:
    """The split without the training rows out of scope, and these rows. Raises PlanError, DataError."""
    if not label:
        return split, np.empty(0, np.int64)
    if outcome != "classify":
        raise PlanError(
            f"out_of_scope = '{label}' needs classes, but the outcome is '{outcome}'. Leave it out."
        )
    names = {str(t) for t in dataset.targets(np.arange(len(dataset)))}
    if label not in names:
        raise DataError(
            f"No row has the label '{label}', which was named as out of scope. {nearest(label, names)}"
        )
    inside = np.array([str(t) != label for t in dataset.targets(split.train)], bool)
    kept = dataclasses.replace(split, train=split.train[inside], groups=split.groups[inside])
    return kept, split.train[~inside]


def ordered(dataset: ArrowDataset) -> dict[str, Any]:
    """The order of the target's values, for heads that know orders; nothing where there is none."""
    return {"levels": dataset.levels} if dataset.levels else {}


def open_job(
    plan: Plan,
    given: Given | None = None,
    watcher: Watcher | None = None,
    *,
    sealed: Mapping[str, Any] | None = None,
    keep: bool = True,
) -> Job:
    """Opens data and source, splits, seals, stages; nothing is trained yet.

    Args:
        sealed: state of the preprocessing of an earlier run; None: fitted, or what is kept of it.
        keep: whether fitted preprocessing is kept for the next run.

    Raises:
        DataError, SourceError, PlanError: with what came, what was expected, what to do.
    """
    began = time.perf_counter()
    dataset = open_dataset(plan, given, watcher)
    plan = planned(plan, dataset)
    modality = plugins.Modality(dataset.modality)
    outcome = dataset.outcome if plan.task.outcome == "auto" else plan.task.outcome
    heads: Any = plugins.load("head", outcome)
    split, outside = apart(dataset, make_split(dataset, plan), plan.task.out_of_scope, outcome)
    targets = heads.learn(dataset.targets(split.train), **ordered(dataset))
    need = Need(outcome, len(split.train), len(targets.classes), plan.strategy.name)
    loaded = load(plan.source.uri, modality, need, offline=offline(plan.source))
    transform, kept = make_transform(
        plan, modality, loaded, dataset, split.train, sealed=sealed, keep=keep
    )
    inputs = probe_inputs(transform, dataset, split.train)
    backbone = stage(modality, loaded, transform, inputs)
    job = Job(
        plan=plan,
        watcher=watcher,
        modality=modality,
        dataset=dataset,
        split=split,
        heads=heads,
        targets=targets,
        loaded=loaded,
        backbone=backbone,
        transform=transform,
        costs=stage_costs(backbone, inputs),
        outside=outside,
        began=began,
    )
    _tell(job, kept)
    return job


def _tell(job: Job, kept: str) -> None:
    """What was guessed and found, as sentences; the watcher has heard the dataset's own."""
    job.notes.extend(job.dataset.notes)
    for note in (*job.split.notes, kept, *told(job)):
        job.say(note)
    if job.backbone.frozen:
        job.say(f"Nothing in this source is trained: {job.backbone.frozen}.")
    if len(job.split.test):
        found = quality.summary(job.dataset, job.split)
        job.facts["data"] = dict(found.facts)
        for warning in found.warnings:
            job.say(warning)


def drop_late(job: Job, made: Extraction) -> None:
    """Takes rows that the transform refused out of the training part, by name."""
    for late in made.set_aside:
        job.set_aside.append(SetAside(late.name, late.reason, late.remedy))
    if not made.set_aside:
        return
    gone = np.isin(job.train, [late.row for late in made.set_aside])
    job.train, job.labels, job.groups = job.train[~gone], job.labels[~gone], job.groups[~gone]
    job.further = tuple(one.kept(~gone) for one in job.further)
    job.say(f"{int(gone.sum())} training rows could not be read and were set aside.")
    read, total = len(job.dataset.set_aside) + len(job.split.set_aside), job.dataset.total
    share = (total - len(job.dataset) + len(job.set_aside) - read) / max(1, total)
    if share > job.plan.task.tolerate:
        first = "; ".join(f"{s.name}: {s.reason}" for s in job.set_aside[:5])
        raise DataError(
            f"{share:.0%} of the rows cannot be used, more than the {job.plan.task.tolerate:.0%} that "
            f"are tolerated ({first}). Mend them, or allow more with --tolerate."
        )
