"""What is learned from: rows of a data set, or what a generator draws."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch

from headstart import job as jobs
from headstart.core import digest, plugins
from headstart.core.dataset import Field, Sample, SetAside
from headstart.core.generator import ABSENT
from headstart.core.modality import Arrays, Transform
from headstart.core.objective import CAPTIONS, TWINS
from headstart.core.task import Columns, Task
from headstart.data import delimited, hub, opening
from headstart.data.arrays import column_names
from headstart.data.dataset import ArrowDataset
from headstart.engine import seed as seeds
from headstart.engine.streams import Drawn, Pieces, Views
from headstart.errors import BadRow, DataError, PlanError
from headstart.job import Given
from headstart.pretraining import captions
from headstart.pretraining.ask import Ask
from headstart.pretraining.captions import Captions
from headstart.pretraining.drawing import open_generator

LOOKED_AT = 512  # drawn samples on which preprocessing is fitted and labels are counted
CHUNK = 256
MOST_HELD = 500  # rows held out
MANY = 200  # different labels; more are numbers, not classes


@dataclass
class Samples:
    """Samples of one kind of data.

    Attributes:
        name, digest: of data or generator.
        examples: raw samples on which preprocessing is fitted.
        rows: row numbers of `dataset`; empty of a generator.
        labels: by column, class numbers of `rows`, -100 where one is missing; empty of a generator.
        classes: by column, the number of classes; of a generator's labels too.
        count: samples in an epoch.
        draw: of a generator, else None.
        held_rows: row numbers that are never learned from.
        captions: of the rows, where the objective learns from pairs.
        apart: columns that play another part than input or label.
        pieces, held_pieces: of `rows` and of `held_rows`, where samples are read in pieces.
    """

    modality: plugins.Modality
    name: str
    digest: str
    fields: tuple[Field, ...]
    examples: Sequence[Sample]
    count: int
    dataset: ArrowDataset | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    draw: Any = None
    set_aside: list[SetAside] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    held_rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    pieces: list[Arrays] | None = None
    held_pieces: list[Arrays] = field(default_factory=list)
    captions: Captions | None = None
    apart: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Samples, or pieces of them, in an epoch."""
        return self.count if self.pieces is None else len(self.pieces)

    def stream(
        self, transform: Transform, views: int, seed: int, wanted: bool
    ) -> Views | Drawn | Pieces:
        """What the loop reads; labels only where they are `wanted`."""
        if self.pieces is not None:
            return Pieces(self.pieces, transform)
        return self.samples(transform, views, seed, wanted)

    def samples(self, transform: Transform, views: int, seed: int, wanted: bool) -> Views | Drawn:
        """Whole samples; labels only where they are `wanted`."""
        classes = self.classes if wanted else {}
        if self.draw is not None:
            return Drawn(
                self.draw, self.count, transform, classes=self.classes, views=views, seed=seed
            )
        told = {**(self.labels if wanted else {}), **self._said(self.rows)}
        return Views(
            self._rows(), self.rows, transform, told, classes=classes, views=views, seed=seed
        )

    def held(self, transform: Transform) -> Views:
        """Whole samples that are never learned from, with their captions."""
        told = self._said(self.held_rows)
        return Views(self._rows(), self.held_rows, transform, told, classes={}, views=1, seed=0)

    def _said(self, rows: np.ndarray) -> dict[str, Any]:
        """Captions of some rows as targets; {} where there are none."""
        if self.captions is None:
            return {}
        read, twins = self.captions.targets(self._rows(), rows)
        return {CAPTIONS: read, TWINS: twins}

    def pair(self, ask: Ask) -> None:
        """Finds the captions of all rows; those without one are set aside. Raises DataError."""
        if self.dataset is None:
            raise DataError(
                "What a generator draws comes without captions. Expected a table with a column of samples "
                "and one of captions."
            )
        made = captions.of(ask, self.dataset, (*self.labels, *self.apart))
        self.captions = made
        self.notes += made.notes
        self.set_aside += [made.set_aside[row] for row in sorted(made.set_aside)]
        self._keep(np.flatnonzero(made.numbers[self.rows] >= 0))
        self.examples = jobs.Lazy(self.dataset, self.rows)

    def _rows(self) -> ArrowDataset:
        if self.dataset is None:
            raise ValueError("samples are rows, or they are drawn")
        return self.dataset

    def hold_out(self, share: float, seed: int) -> None:
        """Takes a share of the rows out of learning, with those that are equal to them; what is fitted is
        fitted on the others."""
        if self.dataset is None or not share:
            return
        digests = self.dataset.digests(self.rows)
        equal: Counter[bytes] = Counter(digests)
        chosen, taken = set(), 0
        order = seeds.generator(seed, "held out").permutation(len(self.rows))
        most = min(MOST_HELD, round(share * len(self.rows)))
        for one in (digests[place] for place in order):
            if one not in chosen and taken + equal[one] <= most:
                chosen.add(one)
                taken += equal[one]
        out = np.array([d in chosen for d in digests])
        self.held_rows = self.rows[out]
        self._keep(np.flatnonzero(~out))
        self.examples = jobs.Lazy(self.dataset, self.rows)

    def readable(self, transform: Transform) -> None:
        """Sets rows aside that the transform cannot read. Raises DataError where none is left."""
        if self.dataset is not None:
            self._keep([place for place, _ in self._read(self.rows, transform)])
            held = [place for place, _ in self._read(self.held_rows, transform)]
            self.held_rows = self.held_rows[held]

    def cut(self, transform: Transform) -> None:
        """The same, in pieces: nothing of a sample is left out. Of a transform that knows no pieces, whole
        samples stay."""
        own = getattr(transform, "pieces", None)
        if self.dataset is None or own is None:
            self.readable(transform)
            return
        read = dict(self._read(self.rows, own))
        held = dict(self._read(self.held_rows, own))
        self._keep(list(read))
        self.held_rows = self.held_rows[list(held)]
        self.pieces = [piece for made in read.values() for piece in made]
        self.held_pieces = [piece for made in held.values() for piece in made]
        every = [*read.values(), *held.values()]
        long = sum(len(made) > len(self.fields) for made in every)
        if long:
            self.notes.append(
                f"{long:,} of {len(every):,} samples do not fit into the network whole. Nothing is left out: "
                f"all are read in {sum(map(len, every)):,} pieces."
            )

    def _read(self, rows: np.ndarray, read: Callable[[Sample], Any]) -> Iterator[tuple[int, Any]]:
        """Place of each row that can be read, and what was made of it; the others are set aside."""
        dataset = self._rows()
        for begin in range(0, len(rows), CHUNK):
            places = np.arange(begin, min(begin + CHUNK, len(rows)))
            for place, sample in zip(places, dataset.samples(rows[places]), strict=True):
                try:
                    made = read(sample)
                except BadRow as bad:
                    name = dataset.names(rows[[place]])[0]
                    self.set_aside.append(SetAside(name, bad.reason, bad.remedy))
                    continue
                yield int(place), made

    def _keep(self, places: Any) -> None:
        """Rows at some places stay. Raises DataError where none does."""
        if not len(places):
            raise DataError("No row can be read; see the rows set aside.")
        self.rows, self.count = self.rows[places], len(places)
        self.labels = {name: values[places] for name, values in self.labels.items()}


def of(ask: Ask, given: Given | None) -> Samples:
    """The samples that were asked for. Raises DataError, PlanError."""
    if ask.generator:
        return _generated(ask)
    plain = _plain_text(ask) if given is None else None
    if plain is not None:
        given, ask = plain[0], dataclasses.replace(ask, modality="text")
    dataset, columns = _opened(ask, given)
    columns = [n for n in columns if n != ask.captions.column or n == ask.columns.target]
    every = np.arange(len(dataset))
    labels, classes, notes = {}, {}, [*(plain[1] if plain else ()), *dataset.notes]
    for name in columns:
        numbers, count = _encoded(dataset.metadata(every)[name])
        if 2 <= count <= MANY:
            labels[name], classes[name] = numbers, count
        else:
            notes.append(f"The column '{name}' has {count} different values, so it is no label.")
    name = Path(ask.data).name if ask.data else "arrays in memory"
    return Samples(
        modality=plugins.Modality(dataset.modality),
        name=name,
        digest=dataset.digest,
        fields=dataset.fields,
        examples=jobs.Lazy(dataset, every),
        count=len(dataset),
        dataset=dataset,
        rows=every,
        labels=labels,
        classes=classes,
        set_aside=list(dataset.set_aside),
        notes=notes,
        apart=(*ask.columns.sensitive, *ask.labels, *dataset.columns.values()),
    )


def _plain_text(ask: Ask) -> tuple[Given, list[str]] | None:
    """The lines of a .txt file as texts, with notes; None for all else, and for tables cut by tabs."""
    path = Path(ask.data)
    if path.suffix.lower() != ".txt" or not path.is_file() or ask.modality not in ("auto", "text"):
        return None
    read, notes = delimited.lines(path)
    if not read or "\t" in read[0]:
        return None
    told = f"{path.name} is read as {len(read):,} texts, one a line. Call it .csv if it is a table."
    return Given(read, ()), [told, *notes]


def _opened(ask: Ask, given: Given | None) -> tuple[ArrowDataset, list[str]]:
    """All rows, and the metadata columns that hold labels."""
    readers = jobs.readers(ask.modality)
    more, beside = tuple(ask.labels), ask.captions.column
    if given is None:
        shown = dataclasses.replace(ask.columns, sensitive=(*ask.columns.sensitive, *more))
        task = Task(data=ask.data, modality=ask.modality, columns=shown)
        cache = jobs.cache_root() / "data"
        dataset, label = opening.open_rows(task, readers, cache=cache, beside=beside)
        return dataset, [*([label] if label else []), *more]
    held = dict(given.metadata)
    if len(given.targets):
        held = {"label": list(given.targets), **held}
    came, target = column_names(given.inputs), ask.columns.target
    apart = tuple(dict.fromkeys(n for n in (beside, target) if n in came))
    columns = Columns(inputs=ask.columns.inputs, sensitive=apart)
    task = Task(modality=ask.modality, columns=columns, tolerate=1.0, near_duplicates=False)
    dataset = opening.from_arrays(given.inputs, None, readers, task=task, metadata=held)
    return dataset, [*held, *([target] if target in came else [])]


def _encoded(values: Sequence[Any]) -> tuple[np.ndarray, int]:
    """Class numbers, -100 where there is no label, and how many classes there are."""
    told = [None if v is None or str(v).strip() == "" else str(v) for v in values]
    place = {name: k for k, name in enumerate(sorted({v for v in told if v is not None}))}
    return np.array([ABSENT if v is None else place[v] for v in told], np.int64), len(place)


def _generated(ask: Ask) -> Samples:
    """What a generator draws, as the modality's reader takes it."""
    name, _, query = ask.generator.partition("?")
    settings = {key: _number(value) for key, value in parse_qsl(query)}
    made, named = open_generator(name, settings, ask.seed)
    rng = torch.Generator().manual_seed(ask.seed)
    arrays, told = made.draw(LOOKED_AT, rng)
    modality = plugins.Modality(ask.modality if ask.modality != "auto" else named)
    kind = modality.name
    cells = _cells(modality.read, arrays, made)
    task = Task(modality=kind, near_duplicates=False)
    columns = Columns()
    shown = opening.from_arrays(
        cells, None, {kind: modality.read}, task=dataclasses.replace(task, columns=columns)
    )
    place = shown.fields[0]

    def draw(count: int, rng: torch.Generator) -> tuple[list[Sample], dict[str, np.ndarray]]:
        drawn, labels = made.draw(count, rng)
        read = modality.read
        samples = [{place.name: read.load(c, place, Path())} for c in _cells(read, drawn, made)]
        return samples, _columns(labels)

    return Samples(
        modality=modality,
        name=f"generator:{ask.generator}",
        digest=digest.value([ask.generator, ask.seed, ask.samples]),
        fields=shown.fields,
        examples=jobs.Lazy(shown, np.arange(len(shown))),
        count=ask.samples,
        classes=_counted(made, _columns(told)),
        draw=draw,
    )


def _number(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _cells(reader: Any, arrays: Any, generator: Any) -> list[Any]:
    """What was drawn as cells that the reader loads. Raises PlanError."""
    own = getattr(reader, "drawn", None)
    if isinstance(arrays, Mapping) and len(arrays) == 1:
        arrays = next(iter(arrays.values()))
    cells = own(arrays, generator) if own is not None else None
    plain = not isinstance(arrays, Mapping) and len(arrays)
    if cells is None and plain and getattr(reader, "ARRAYS", False):
        cells = list(np.asarray(arrays))
    if cells is None:
        raise PlanError(
            f"What this generator draws cannot be learned from: the reader of "
            f"{reader.__name__.split('.')[-2]} data does not take it (`drawn`). Choose another generator."
        )
    return list(cells)


def _columns(labels: Any) -> dict[str, np.ndarray]:
    """Labels of a generator by column: label1, label2 ..., or label."""
    if labels is None:
        return {}
    table = np.asarray(labels, np.int64)
    if table.ndim == 1:
        return {"label": table}
    return {f"label{k + 1}": table[:, k] for k in range(table.shape[1])}


def _counted(made: Any, told: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Classes of each column, as the generator says or as they were drawn."""
    groups = getattr(made, "groups", None) or getattr(made, "classes", None)
    if groups is not None:
        sizes = [int(groups)] if np.isscalar(groups) else [int(g) for g in groups]
        if len(sizes) == len(told):
            return dict(zip(told, sizes, strict=True))
    return {name: int(values.max()) + 1 for name, values in told.items()}


def licence(ask: Ask) -> str:
    """Of the data: as the card beside them says, else unknown; nobody's of what a generator draws."""
    return "CC0-1.0" if ask.generator else hub.licence(ask.data)
