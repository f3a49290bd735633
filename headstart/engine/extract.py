"""Forward once: rows to features or kept states, through the store.

    decode + transform (workers) -> bucket by length -> forward (workers, or the accelerator) -> write

Only rows that the store lacks are forwarded; equal samples are forwarded once; every second or so what
is done is committed, so that a killed extraction goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import machine
from headstart.core.dataset import Dataset
from headstart.core.executor import Runner
from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.ragged import Ragged
from headstart.core.run import Step, Watcher
from headstart.core.store import Shelf, Space, Store
from headstart.engine import _choose as choose
from headstart.engine._aside import Loose
from headstart.engine._choose import Candidate
from headstart.engine._pipeline import (
    Ahead,
    Bucketer,
    Item,
    Lanes,
    Refused,
    Workers,
    Writer,
    out_of_memory,
    prepared,
)
from headstart.engine._trunk import Trunk, nbytes, to_batch, to_rows
from headstart.errors import BadRow, ContractError, StorageError

Samples = Generator[Item | Refused, None, None]
BUDGET = 512 << 20  # bytes of activations that all forward passes together may take
MOST = {"cpu": 32}  # rows a batch; more gains nothing on a processor
CACHE, LEAST = 32 << 20, 4  # bytes of activations that its caches hold; rows that are worth a call


@dataclass(frozen=True)
class How:
    """How an extraction is carried out; none of it is a property of the data.

    Attributes:
        executor: "auto", or a file name of `engine/executors/`.
        profile: "exact" or "fast".
        device: "cpu", "cuda", "cuda:1" ... (resolved: never "auto").
        processor: what `features.key.device(device)` says; part of the namespace.
        threads: that decode and, on a processor, forward; 0: one per core.
        batch: rows per forward; 0: by memory.
        view: number of the augmented view that is drawn; -1: no augmentation.
        cache: private folder for compiled artefacts; None: a temporary one.
    """

    executor: str = "auto"
    profile: str = "exact"
    device: str = "cpu"
    processor: str = ""
    threads: int = 0
    batch: int = 0
    view: int = -1
    cache: Path | None = None


@dataclass(frozen=True)
class Late:
    """A row that the transform refused.

    Attributes:
        row: its number in the data set.
    """

    row: int
    name: str
    reason: str
    remedy: str


class States:
    """Kept states by place, read lazily: nothing is held between two batches."""

    def __init__(self, shelf: Shelf, keys: Sequence[bytes], ragged: Mapping[str, str]) -> None:
        self._shelf = shelf
        self._keys = keys
        self._ragged = dict(ragged)

    def __len__(self) -> int:
        return len(self._keys)

    def batch(self, places: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """State of some places (0 .. len - 1, in the order of `Extraction.rows`): tensors with the
        batch first, ragged ones padded with zeros, and their masks (N, L) bool.

        Raises:
            StorageError: a row has gone or was damaged since; the next extraction computes it.
        """
        try:
            rows = self._shelf.get([self._keys[int(p)] for p in places])
        except KeyError as error:
            raise StorageError(
                f"The kept state {error} is no longer readable in the feature store. Run again: only "
                "what is missing is computed."
            ) from error
        return to_batch(rows, self._ragged)


@dataclass
class Extraction:
    """What came of it.

    Attributes:
        rows: (N,) row numbers that have features or states: the asked ones without the set aside.
        features: (N, width) float32 for pooled features, else None; `positions.featured` puts those of
            positions here.
        states: kept states for a cut; None for pooled features, and None with a note when they are
            too large to keep, so that the caller recomputes them.
        set_aside: rows that the transform refused.
        forwards: rows that went through the network in this call.
        seconds: wall time of this call.
        executor: label of what computed the rows ("onnx 1.31").
        bytes: size of the rows in the store.
        notes: sentences for a person.
    """

    rows: np.ndarray
    features: np.ndarray | Ragged | None = None
    states: States | None = None
    set_aside: tuple[Late, ...] = ()
    forwards: int = 0
    seconds: float = 0.0
    executor: str = ""
    bytes: int = 0
    notes: tuple[str, ...] = field(default=())


def extract(
    dataset: Dataset,
    rows: np.ndarray,
    *,
    backbone: Backbone,
    transform: Transform,
    store: Store,
    weights: str,
    cut: int | None = None,
    how: How | None = None,
    watcher: Watcher | None = None,
) -> Extraction:
    """Features (cut None) or states before stage `cut`, of `rows`, from the store or computed now.

    Args:
        backbone: put into eval mode; neither moved nor changed.
        transform: of profile "exact"; the profile's own is asked for here.
        weights: digest of the backbone's tensors.

    Raises:
        StorageError: the disk is full; what was computed so far is kept.
    """
    how = how or How()
    with contextlib.ExitStack() as stack:
        if how.cache is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-"))
            how = dataclasses.replace(how, cache=Path(folder))
        backbone.eval()
        own = transform.profile(how.profile)
        at = -1 if cut is None else cut
        job = _Job(
            dataset=dataset,
            rows=np.asarray(rows, np.int64),
            transform=own,
            trunk=Trunk(backbone, cut),
            store=store,
            how=how,
            space=lambda label: Space(
                weights, at, own.digest, label, how.profile, how.processor, how.view
            ),
            watcher=watcher,
        )
        result = job.run()
    if own is not transform:
        for name, count in own.counts.items():
            transform.counts[name] = transform.counts.get(name, 0) + count
    return result


@dataclass
class _Job:
    """One call of `extract`.

    Attributes:
        keys: digest of each row's sample.
        unique: distinct keys, in the order of their first place, `first`.
        refused: keys whose sample the transform refused.
        row_bytes: predicted size of a stored row.
        peak: bytes of activations per sample of length `length`.
        workers: there while rows are computed.
    """

    dataset: Dataset
    rows: np.ndarray
    transform: Transform
    trunk: Trunk
    store: Store
    how: How
    space: Callable[[str], Space]
    watcher: Watcher | None
    keys: list[bytes] = field(default_factory=list)
    unique: list[bytes] = field(default_factory=list)
    first: dict[bytes, int] = field(default_factory=dict)
    refused: dict[bytes, BadRow] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    forwards: int = 0
    row_bytes: float = 0.0
    peak: float = 1.0
    length: float = 1.0
    most: int = 0
    workers: Workers = field(init=False)

    def __post_init__(self) -> None:
        self.keys = list(self.dataset.digests(self.rows)) if len(self.rows) else []
        for place, key in enumerate(self.keys):
            self.first.setdefault(key, place)
        self.unique = list(self.first)
        self.threads = self.how.threads or machine.cores()
        self.lanes = self.threads if self.how.device == "cpu" else 1
        self.lock = threading.Lock()

    def run(self) -> Extraction:
        """Computes what is missing, then reads; a row that turns out damaged is computed again."""
        start = time.monotonic()
        result = None
        for _ in range(3):
            found, notes = choose.candidates(self.how, self.space, self.store, self.unique)
            self.notes += notes
            with Workers(self.threads) as self.workers:
                chosen = self.fill(found)
            if chosen is None:
                result = Extraction(self.rows)
                break
            try:
                result = self.read(chosen)
                break
            except KeyError:  # damaged since it was listed
                continue
        if result is None:
            raise StorageError(
                "Rows of the feature store stay unreadable; set --store to another disk."
            )
        result.set_aside = tuple(self.late())
        result.forwards, result.seconds = self.forwards, time.monotonic() - start
        result.notes = tuple(dict.fromkeys(self.notes))
        return result

    def fill(self, found: list[Candidate]) -> Candidate | None:
        """Computes the missing rows with the quickest executor; None: too large to keep."""
        best = min(found, key=lambda c: (len(c.absent), c.name))
        absent = list(best.absent)  # `compute` may want other rows of `best` too
        with contextlib.closing(self.prepared(absent)) as stream:
            items = self.sample(stream)
            return self.compute(found, absent, items, stream) if items else best

    def compute(
        self, found: list[Candidate], absent: list[int], items: list[Item], stream: Samples
    ) -> Candidate | None:
        """`fill` once the first `items` of `absent` are there; the rest of them comes from `stream`."""
        two = items[:2] if len(items) > 1 else items * 2
        example = self.transform.collate([i.arrays for i in two])
        self.probe(example, items)
        rates = choose.read_rates(self.cache, self.which)
        ranked = choose.order(
            found, lambda: choose.seconds_per_row(self.trunk, self.placed(example)), rates
        )
        if not self.fits(len(ranked[0].absent)):
            if self.trunk.cut is not None:
                return None
            ranked[0].shelf = Loose()
            ranked[0].absent = list(range(len(self.unique)))
        wanted = stream if ranked[0].absent == absent else iter(())
        with Ahead(wanted) as ahead:
            chosen, runner = self.ready(ranked, example)
        if chosen.absent == absent:
            seconds = self.forward(chosen, runner, chain(items, ahead.taken(), stream))
        else:
            stream.close()
            seconds = self.forward(chosen, runner, self.prepared(chosen.absent))
        rates[choose.CHOSEN] = chosen.name
        if self.forwards > choose.FEW:
            rates[chosen.name] = [seconds / self.lanes / self.forwards, 0.5]
        choose.write_rates(self.cache, self.which, rates)
        return chosen

    def sample(self, stream: Samples) -> list[Item]:
        """The first sixteen samples that are not refused; [] when all of them are."""
        items: list[Item] = []
        for item in stream:
            if isinstance(item, Refused):
                self.refused[item.key] = item.error
                continue
            items.append(item)
            if len(items) == 16:
                break
        return items

    def prepared(self, absent: Sequence[int]) -> Samples:
        keys = [self.unique[p] for p in absent if self.unique[p] not in self.refused]
        return prepared(
            self.dataset,
            self.rows[[self.first[k] for k in keys]],
            keys,
            transform=self.transform,
            view=self.how.view,
            workers=self.workers,
        )

    def placed(self, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The example where the caller's network is."""
        tensor = next(iter(self.trunk.parameters()), torch.empty(0))
        return {n: t.to(tensor.device) for n, t in example.items()}

    def probe(self, example: Mapping[str, Tensor], items: Sequence[Item]) -> None:
        """Runs the eager network once on the example: size of a row, memory of a forward pass."""
        peak = 0

        def hook(_: Any, inputs: Any, output: Any) -> None:
            nonlocal peak
            peak = max(peak, _nbytes(inputs) + _nbytes(output))

        leaves = [m for m in self.trunk.modules() if not list(m.children())]
        handles = [m.register_forward_hook(hook) for m in leaves]
        try:
            with torch.inference_mode():
                outputs = self.trunk(self.placed(example))
        finally:
            for handle in handles:
                handle.remove()
        outputs = {n: t.cpu() for n, t in outputs.items()}
        rows = to_rows(outputs, self.trunk.backbone.axes(), self.how.profile == "fast")
        lengths = [i.length for i in (items[:2] if len(items) > 1 else [items[0]] * 2)]
        mean = sum(i.length for i in items) / len(items)
        self.row_bytes = sum(nbytes(r) for r in rows) / sum(lengths) * mean
        self.peak, self.length = 2.0 * peak / len(rows), float(max(lengths))

    def fits(self, count: int) -> bool:
        """Whether `count` more rows may be stored; says so when not."""
        page = 4096
        size = (self.row_bytes + 200) if self.row_bytes < page // 2 else self.row_bytes + page
        room = self.store.room()
        if size * count <= room:
            return True
        what = "features" if self.trunk.cut is None else "states"
        self.notes.append(
            f"The store steps aside: {count:,} {what} of {self.row_bytes:,.0f} bytes would need "
            f"{size * count / 1e9:.2f} GB and {room / 1e9:.2f} GB may be written (cap and free disk). "
            "They are computed again where they are needed."
        )
        return False

    def ready(
        self, ranked: Sequence[Candidate], example: Mapping[str, Tensor]
    ) -> tuple[Candidate, Runner]:
        """The first executor that can be readied; eager PyTorch when none can."""
        last: Exception | None = None
        for c in ranked:
            try:
                return c, c.file.prepare(self.trunk, example, self.how.device, self.cache)
            except Exception as error:
                last = error
                self.notes.append(f"Executor '{c.name}' was passed over: {error}")
        if all(c.name != "eager" for c in ranked):
            eager = dataclasses.replace(self.how, executor="eager")
            found, _ = choose.candidates(eager, self.space, self.store, self.unique)
            return self.ready(found, example)
        raise ContractError(f"No executor can run this network: {last}") from last

    def forward(
        self, chosen: Candidate, runner: Runner, samples: Iterable[Item | Refused]
    ) -> float:
        """Computes and stores what `chosen` lacks; what is done stays when this is interrupted.
        Returns the seconds spent in forward passes, summed over lanes."""
        total = sum(self.unique[p] not in self.refused for p in chosen.absent)
        writer = Writer(chosen.shelf)
        lanes = Lanes(lambda b: self.batch(b, runner, writer), self.workers, self.how.device)
        share = max(1, -(-total // self.lanes)) if self.trunk.cut is None else total
        bucketer = Bucketer(lambda n: min(self.size(n), share), self.trunk.backbone.companions)
        try:
            for item in samples:
                if isinstance(item, Refused):
                    self.refused[item.key] = item.error
                    continue
                for batch in bucketer.add(item):
                    lanes.submit(batch)
                    self.tell(total)
            for batch in bucketer.rest():
                lanes.submit(batch)
                self.tell(total)
            lanes.finish()
        finally:
            lanes.close()
            writer.close()
        self.tell(total)
        return lanes.seconds

    def size(self, length: int) -> int:
        """Rows in a batch of this length. States are computed in batches as large as trainings form them,
        where memory allows, since smaller ones take other kernels; features in what the caches hold."""
        if self.how.batch:
            return min(self.how.batch, self.most or self.how.batch)
        most = self.most or MOST.get(self.how.device, 256)
        peak = max(1.0, self.peak * max(1.0, length / self.length)) * self.lanes
        if self.how.device == "cpu" and self.trunk.cut is None:
            most = min(most, max(LEAST, CACHE / peak))
        return int(max(1, min(most, BUDGET / peak)))

    def batch(self, items: list[Item], runner: Runner, writer: Writer) -> None:
        """Forwards some samples and hands their rows to the writer; halves them when memory is short."""
        try:
            outputs = runner(self.transform.collate([i.arrays for i in items]))
        except Exception as error:
            if len(items) == 1 or not out_of_memory(error):
                raise
            outputs = None
        if outputs is None:  # outside the handler, which would keep the failed tensors alive
            half = len(items) // 2
            self.most = min(self.most or half, half)
            self.notes.append("Memory was short; smaller batches were used.")
            self.batch(items[:half], runner, writer)
            self.batch(items[half:], runner, writer)
            return
        rows = to_rows(outputs, self.trunk.backbone.axes(), self.how.profile == "fast")
        writer.put([(i.key, r) for i, r in zip(items, rows, strict=True)])
        with self.lock:
            self.forwards += len(items)

    def tell(self, total: int) -> None:
        if self.watcher is not None:
            name = "features" if self.trunk.cut is None else "states"
            self.watcher.step(Step(name, self.forwards, total))

    def read(self, chosen: Candidate) -> Extraction:
        """Rows in the asked order, those set aside left out. Raises KeyError."""
        kept = [p for p, key in enumerate(self.keys) if key not in self.refused]
        keys = [self.keys[p] for p in kept]
        made = Extraction(self.rows[kept], executor=chosen.label)
        if self.trunk.cut is None:
            made.features = chosen.shelf.matrix(keys)
            made.bytes = made.features.nbytes
        else:
            made.states = States(chosen.shelf, keys, self.trunk.backbone.axes())
            if keys and not self.row_bytes:
                some = chosen.shelf.get(keys[:16])
                self.row_bytes = sum(nbytes(r) for r in some) / len(some)
            made.bytes = int(self.row_bytes * len(self.unique))
        self.notes += getattr(chosen.shelf, "notes", [])
        return made

    def late(self) -> Iterator[Late]:
        """Rows set aside, every one that shares a refused sample."""
        places = [p for p, key in enumerate(self.keys) if key in self.refused]
        names = self.dataset.names(self.rows[places]) if places else []
        for place, name in zip(places, names, strict=True):
            error = self.refused[self.keys[place]]
            yield Late(int(self.rows[place]), name, error.reason, error.remedy)

    @property
    def cache(self) -> Path:
        assert self.how.cache is not None
        return self.how.cache

    @property
    def which(self) -> str:
        """What measured rates hold for."""
        return self.space("").name


def _nbytes(thing: Any) -> int:
    """Bytes of the tensors in nested tuples and mappings."""
    if isinstance(thing, Tensor):
        return thing.nbytes
    if isinstance(thing, Mapping):
        return sum(_nbytes(v) for v in thing.values())
    return sum(_nbytes(v) for v in thing) if isinstance(thing, (tuple, list)) else 0
