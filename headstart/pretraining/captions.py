"""What is said of each sample in a second column, and its features by a source of that kind of data.

The encoder of the captions is never trained, so each different caption is encoded once, by eager PyTorch (the
same numbers at every call), and its features are kept in the feature store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart import job as jobs
from headstart.core import digest, plugins
from headstart.core.dataset import SetAside
from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.plan import Plan, SourceChoice
from headstart.core.run import Watcher
from headstart.core.source import Loaded
from headstart.core.task import Columns, Task
from headstart.data import opening
from headstart.data.dataset import ArrowDataset
from headstart.engine import device as devices
from headstart.engine.extract import How, extract
from headstart.engine.streams import Looked
from headstart.errors import BadRow, DataError, nearest
from headstart.features import key
from headstart.pretraining import encoder
from headstart.pretraining.ask import AUTO, Ask

NAMES = ("caption", "captions", "text", "description", "sentence", "alt", "alt_text", "title")
"""Columns that are called like captions, the likeliest first."""
CELLS = 200  # by which a column is judged
SENTENCES = (
    "Somebody wrote the first of these few lines down.",
    "The second one, which is longer, says next to nothing about anything.",
    "By then there were three of them in all.",
)
"""Whoever reads these reads words that nobody claims."""
PLACE = "_row"
FEWEST = 2  # different captions


@dataclass
class Captions:
    """Captions of the rows of a data set.

    Attributes:
        column: where they stand.
        kind: the modality that reads them.
        numbers: (rows of the data,) which of the different captions a row has; -1: none that can be read.
        dataset, rows: the different captions, in the order of their numbers.
        weights: digest of the encoder's tensors.
        set_aside: by row of the data, why its caption cannot be read.
        notes: sentences for a person.
    """

    column: str
    kind: str
    numbers: np.ndarray
    dataset: ArrowDataset
    rows: np.ndarray
    loaded: Loaded
    transform: Transform
    backbone: Backbone
    weights: str
    device: str
    set_aside: Mapping[int, SetAside] = field(default_factory=dict)
    notes: Sequence[str] = ()
    read: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Different captions."""
        return len(self.rows)

    @property
    def about(self) -> str:
        """Digest of what decides the features beside the captions themselves."""
        return digest.value([self.column, self.kind, self.weights, self.transform.digest])

    @property
    def facts(self) -> dict[str, Any]:
        """What the document says of them."""
        return {
            "column": self.column,
            "modality": self.kind,
            "different": len(self),
            "source": self.loaded.source.uri,
        }

    @property
    def said(self) -> str:
        """What encoded them and what that learned from, as the end of a sentence."""
        source = self.loaded.source
        return f"captions encoded by {source.uri}, which learned from: {source.trained_on}"

    @property
    def parent(self) -> dict[str, Any]:
        """Their source, as a parent of what is learned from them."""
        return {**encoder.parent(self.loaded.source), "role": "encoder of the captions"}

    def features(self, watcher: Watcher | None = None) -> np.ndarray:
        """(different captions, width) float32, from the store or computed now. Raises DataError."""
        if self.read is not None:
            return self.read
        device = devices.resolve(self.device)
        made = extract(
            self.dataset,
            self.rows,
            backbone=self.backbone,
            transform=self.transform,
            store=jobs.open_store(Plan()),
            weights=self.weights,
            how=How(executor="eager", device=device, processor=key.device(device)),
            watcher=watcher,
        )
        read = np.asarray(made.features, np.float32)
        if not np.isfinite(read).all():
            raise DataError(
                f"The features of some captions by {self.loaded.source.uri} are not finite. Choose another "
                "source for them (--caption-source)."
            )
        self.read = read
        return read

    def targets(self, dataset: ArrowDataset, rows: np.ndarray) -> tuple[Looked, np.ndarray]:
        """Of some rows of the data: features of their captions, and the numbers by which twins are known
        (rows, 2) int64, of the caption and of the sample."""
        same: dict[bytes, int] = {}
        samples = [same.setdefault(one, len(same)) for one in dataset.digests(rows)]
        numbers = self.numbers[rows]
        twins = np.stack([numbers, np.array(samples, np.int64)], axis=1)
        return Looked(self.features(), numbers), twins


def of(ask: Ask, dataset: ArrowDataset, taken: Sequence[str]) -> Captions:
    """The captions that were asked for, or found. Nothing is encoded yet.

    Args:
        taken: columns that play another part.

    Raises:
        DataError: no column of captions, none that can be read, or too few different ones.
    """
    column, kind, notes = _column(ask.captions.column, dataset, taken)
    modality, uri = plugins.Modality(kind), ask.captions.source
    told, spots, aside = _told(dataset, column, modality)
    offline = jobs.offline(SourceChoice(uri=uri, offline=ask.offline))
    loaded: Loaded = jobs.load(uri, modality, offline=offline)
    if uri == AUTO:
        more = "the default; --caption-source names another"
        notes.append(f"The captions are encoded by {loaded.source.uri}, {more}.")
    rows, numbers = _different(told)
    samples = jobs.Lazy(told, rows)
    transform: Transform = modality.batch.make(loaded.source.preprocessing, told.fields, samples)
    refused = _refused(samples, transform)
    for spot, number in zip(spots.tolist(), numbers.tolist(), strict=True):
        if number in refused:
            aside[spot] = _aside(dataset, spot, refused[number].reason, refused[number].remedy)
    kept = np.array([n not in refused for n in range(len(rows))])
    rows, anew = rows[kept], np.where(kept, np.cumsum(kept) - 1, -1)
    if len(rows) < FEWEST:
        raise DataError(
            f"The captions in '{column}' are all the same ({len(spots)} rows). Expected {FEWEST} or more "
            "different ones, as they are told apart from each other."
        )
    every = np.full(len(dataset), -1, np.int64)
    every[spots] = anew[numbers]
    backbone = jobs.stage(modality, loaded, transform, jobs.probe_inputs(transform, told, rows))
    weights = digest.tensors(backbone.state_dict().items())
    return Captions(
        column=column,
        kind=kind,
        numbers=every,
        dataset=told,
        rows=rows,
        loaded=loaded,
        transform=transform,
        backbone=backbone,
        weights=weights,
        device=ask.device,
        set_aside=aside,
        notes=notes,
    )


def _column(asked: str, dataset: ArrowDataset, taken: Sequence[str]) -> tuple[str, str, list[str]]:
    """Column, its kind of data, and sentences. Raises DataError."""
    head = dataset.metadata(np.arange(min(CELLS, len(dataset))))
    own = " and ".join(f"'{f.name}'" for f in dataset.fields)
    if asked:
        if asked not in head:
            raise DataError(
                f"There is no column '{asked}' of captions beside {own}. {nearest(asked, list(head))}"
            )
        return asked, _kind(asked, head[asked], dataset), []
    free = {n: cells for n, cells in head.items() if n not in taken}
    named = [n for wish in NAMES for n in free if n.lower() == wish]
    named.sort(key=lambda n: len({str(c) for c in free[n]}) < FEWEST)  # those that never vary last
    if named:
        kind = _kind(named[0], free[named[0]], dataset)
        return named[0], kind, [f"Captions: the column '{named[0]}', read as {kind}."]
    others = {n: r for n, r in _readers().items() if n != dataset.modality}
    claimed = {n: k for n, cells in free.items() if (k := _claimed(n, cells, dataset, others))}
    if not claimed:
        beside = f"its other columns are {', '.join(head)}" if head else "there is no other column"
        raise DataError(
            f"The samples are read as {dataset.modality} (from {own}), and no column beside that holds "
            f"captions: {beside}. Expected a table with a column of samples and one of captions; name them "
            "with --input and --caption."
        )
    best = max(claimed, key=lambda n: np.mean([len(str(c)) for c in free[n] if c is not None]))
    rest = [f"'{n}'" for n in claimed if n != best]
    more = f", preferred to {', '.join(rest)}; --caption names another" if rest else ""
    return best, claimed[best], [f"Captions: the column '{best}', read as {claimed[best]}{more}."]


def _readers() -> dict[str, Any]:
    """Readers of which one column is a whole sample."""
    return {n: r for n, r in jobs.readers(AUTO).items() if not r.MANY}


def _claimed(
    name: str, cells: Sequence[Any], dataset: ArrowDataset, readers: Mapping[str, Any]
) -> str:
    """The first modality whose reader claims the column, or ""; none takes lists of texts."""
    told = [c for c in cells if c is not None and c != ""]
    if not told or _listed(told):
        return ""
    claims = (n for n, r in readers.items() if r.claim(name, told, dataset.root) is not None)
    return next(claims, "")


def _listed(cells: Sequence[Any]) -> bool:
    return any(isinstance(c, list) and c and isinstance(c[0], str) for c in cells)


def _kind(name: str, cells: Sequence[Any], dataset: ArrowDataset) -> str:
    """The modality of a column that is known to hold the captions. Raises DataError."""
    readers = _readers()
    if kind := _claimed(name, cells, dataset, readers):
        return kind
    if _listed(cells):
        raise DataError(
            f"A cell of '{name}' holds several captions. Expected one a row; write a row for each of them, "
            "with the same sample."
        )
    told = [c for c in cells if c is not None and str(c).strip()]
    if told and all(isinstance(c, str) for c in told):  # short, or few that repeat
        return _claimed(name, SENTENCES, dataset, readers)
    why = f"holds {str(told[0])[:60]!r}" if told else "is empty in the first rows"
    raise DataError(
        f"The column '{name}' {why}, which cannot be read as captions. Expected a sentence or a name in each "
        "row; name another column with --caption."
    )


def _told(
    dataset: ArrowDataset, column: str, modality: plugins.Modality
) -> tuple[ArrowDataset, np.ndarray, dict[int, SetAside]]:
    """The captions that can be read, as rows of their own; the row of the data that each belongs to; and
    rows whose caption cannot be read. Raises DataError where none can."""
    reader, every = modality.read, np.arange(len(dataset))
    cells = list(dataset.metadata(every)[column])
    head = [c for c in cells[:CELLS] if c is not None and c != ""]
    if reader.FILE_KIND and reader.claim(column, head, dataset.root) == reader.FILE_KIND:
        cells = [None if c is None else str(dataset.root / str(c)) for c in cells]
    made = opening.from_arrays(
        {column: cells},
        None,
        {modality.name: reader},
        task=Task(
            modality=modality.name,
            columns=Columns(inputs=(column,)),
            tolerate=1.0,
            near_duplicates=False,
        ),
        metadata={PLACE: every.tolist()},
    )
    spots = np.array(made.metadata(np.arange(len(made)))[PLACE], np.int64)
    lost = np.setdiff1d(every, spots)
    aside = {
        int(row): _aside(dataset, int(row), bad.reason, bad.remedy)
        for row, bad in zip(lost, made.set_aside, strict=True)
    }
    return made, spots, aside


def _aside(dataset: ArrowDataset, row: int, reason: str, remedy: str) -> SetAside:
    return SetAside(dataset.names(np.array([row]))[0], f"its caption: {reason}", remedy)


def _different(told: ArrowDataset) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each different caption, and of every row the number of its caption."""
    known: dict[bytes, int] = {}
    rows, numbers = [], []
    for row, one in enumerate(told.digests(np.arange(len(told)))):
        if one not in known:
            known[one] = len(known)
            rows.append(row)
        numbers.append(known[one])
    return np.array(rows, np.int64), np.array(numbers, np.int64)


def _refused(samples: Sequence[Any], transform: Transform) -> dict[int, BadRow]:
    """Numbers of captions that the encoder cannot read."""
    refused = {}
    for number, sample in enumerate(samples):
        try:
            transform(sample)
        except BadRow as bad:
            refused[number] = bad
    return refused
