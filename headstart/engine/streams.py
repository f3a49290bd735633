"""What a training reads: raw rows through the transform, kept states, or stored features."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from headstart.core.dataset import Dataset
from headstart.core.modality import Arrays, Transform
from headstart.core.network import FEATURES, MASK, Network
from headstart.core.ragged import Ragged
from headstart.core.strategy import Batch
from headstart.engine import seed as seeds

_KEEP_BYTES = 256 * 2**20
_DECODERS = 2
_NEAR = 32
_LAST = torch.channels_last


class Stream(Protocol):
    """Rows by place, with their targets; `start` is the stage at which its inputs enter."""

    start: int

    def __len__(self) -> int: ...

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """Inputs and targets of some places; `epoch` seeds the augmentation, negative: none."""
        ...


def plain(
    stream: Stream, network: Network, size: int, places: np.ndarray | None = None
) -> Iterator[Batch]:
    """Inputs of some places (None: all) in their order, `size` rows at once, without augmentation, where
    the network is; without targets."""
    where = next(network.parameters()).device
    order = np.arange(len(stream)) if places is None else places
    for begin in range(0, len(order), size):
        read = stream.batch(order[begin : begin + size], -1)
        yield Batch({name: t.to(where) for name, t in read.inputs.items()}, {}, read.start)


class Looked:
    """Rows of a shorter table, by their numbers: many rows that share few values hold these once.

    Args:
        table: (M, ...).
        numbers: (N,) rows of `table`.
    """

    def __init__(self, table: np.ndarray, numbers: np.ndarray) -> None:
        self.table, self.numbers = table, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.table[self.numbers[places]]
        return found


def _targets(named: Mapping[str, np.ndarray | Looked], places: np.ndarray) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values[places]) for name, values in named.items()}


class Rows:
    """Raw rows through the transform.

    Without augmentation the transformed arrays of small sets stay in memory (at most 256 MB).

    Args:
        dataset, rows: where they come from; places are positions in `rows`.
        targets: by head name, (len(rows),) encoded.
        augment: whether the transform is given a generator, seeded by seed, epoch and row.
    """

    start = 0

    def __init__(
        self,
        dataset: Dataset,
        rows: np.ndarray,
        transform: Transform,
        targets: Mapping[str, np.ndarray],
        *,
        augment: bool,
        seed: int,
    ) -> None:
        self.dataset, self.rows, self.transform = dataset, rows, transform
        self.targets = dict(targets)
        self.augment, self.seed = augment, seed
        self._kept: dict[int, Any] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_DECODERS)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """Inputs (batch first, padded) and targets."""
        items = self._arrays(places, epoch if self.augment else -1)
        inputs, targets = self.transform.collate(items), _targets(self.targets, places)
        dense, grid = (tuple(getattr(self.transform, n, ())) for n in ("dense", "grid"))
        return Batch(inputs, targets, 0, dense=dense, grid=grid)

    def _arrays(self, places: np.ndarray, epoch: int) -> list[Any]:
        fresh = [int(p) for p in places if epoch >= 0 or int(p) not in self._kept]
        samples = self.dataset.samples(self.rows[fresh]) if fresh else []
        read = self._pool.map(self._one, samples, fresh, [epoch] * len(fresh))
        made = dict(zip(fresh, read, strict=True))
        if epoch < 0:
            for place, arrays in made.items():
                self._keep(place, arrays)
        return [made[int(p)] if int(p) in made else self._kept[int(p)] for p in places]

    def _one(self, sample: Any, place: int, epoch: int) -> Any:
        if epoch < 0:
            return self.transform(sample)
        row = int(self.rows[place])
        return self.transform(sample, seeds.generator(self.seed, "augment", epoch, row))

    def _keep(self, place: int, arrays: Mapping[str, np.ndarray]) -> None:
        size = sum(a.nbytes for a in arrays.values())
        with self._lock:  # trainings side by side read one stream
            if place not in self._kept and self._bytes + size <= _KEEP_BYTES:
                self._kept[place] = arrays
                self._bytes += size


class Kept:
    """Kept states at a cut. `states.batch(places)` gives tensors; nothing else is held.

    Maps come with channels last, as those of raw pictures are: another order means other kernels, whose
    other rounding adaptive steps would enlarge.
    """

    def __init__(self, states: Any, start: int, targets: Mapping[str, np.ndarray]) -> None:
        self.states, self.start, self.targets = states, start, dict(targets)

    def __len__(self) -> int:
        return len(self.states)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        held = self.states.batch(places)
        inputs = {
            n: t.contiguous(memory_format=_LAST) if t.ndim == 4 else t for n, t in held.items()
        }
        return Batch(inputs, _targets(self.targets, places), self.start)


class Features:
    """Stored features (N, width), or of positions: the backbone is not run at all."""

    def __init__(
        self, features: np.ndarray | Ragged, stages: int, targets: Mapping[str, np.ndarray]
    ) -> None:
        self.features, self.start, self.targets = features, stages, dict(targets)

    def __len__(self) -> int:
        return len(self.features)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        held = self.features[places]
        if isinstance(held, Ragged):
            whole, mask = held.padded()
            inputs = {FEATURES: torch.from_numpy(whole), MASK: torch.from_numpy(mask)}
        else:
            inputs = {FEATURES: torch.from_numpy(held)}
        return Batch(inputs, _targets(self.targets, places), self.start)


class Part:
    """Some places of another stream: training and validation parts of the same rows."""

    def __init__(self, whole: Stream, places: np.ndarray, *, plain: bool = False) -> None:
        self.whole, self.places, self.start, self.plain = whole, places, whole.start, plain

    def __len__(self) -> int:
        return len(self.places)

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """By head name, of these places."""
        held: Mapping[str, np.ndarray] = getattr(self.whole, "targets", {})
        return {name: values[self.places] for name, values in held.items()}

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        return self.whole.batch(self.places[places], -1 if self.plain else epoch)


class Views:
    """Several augmented copies of raw rows in one batch, view after view: rows i, N + i, 2 N + i ... are
    copies of one sample. A copy is drawn from seed, epoch, row and view.

    Args:
        dataset, rows: where they come from; places are positions in `rows`.
        targets: by name, (len(rows), ...) numbers; of the rows, not of their copies.
        classes: of those that are labels, by name, how many there are.
        views: copies of each row; 1 where `epoch` is negative, without augmentation.
    """

    start = 0

    def __init__(
        self,
        dataset: Dataset,
        rows: np.ndarray,
        transform: Transform,
        targets: Mapping[str, np.ndarray | Looked],
        *,
        classes: Mapping[str, int],
        views: int,
        seed: int,
    ) -> None:
        self.dataset, self.rows, self.transform = dataset, rows, transform
        self.targets, self.classes = dict(targets), dict(classes)
        self.views, self.seed = views, seed
        self._pool = ThreadPoolExecutor(_DECODERS)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """Inputs of views x N copies, and targets of the N rows."""
        samples, rows = self.dataset.samples(self.rows[places]), self.rows[places]
        inputs = _varied(self._pool, self.transform, samples, self.views, (self.seed, epoch, rows))
        return Batch(inputs, _targets(self.targets, places), 0)


class Pieces:
    """Pieces of samples as the transform has cut them: every window of a long one. They are kept in memory
    and never augmented.

    Args:
        pieces: arrays of each.
    """

    start, views = 0, 1

    def __init__(self, pieces: Sequence[Arrays], transform: Transform) -> None:
        self.pieces, self.transform = pieces, transform

    def __len__(self) -> int:
        return len(self.pieces)

    def order(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Places in a random order in which batches of `size` have pieces of like length: among `_NEAR`
        batches the pieces are sorted, and the batches are shuffled."""
        order = rng.permutation(len(self))
        lengths = np.array([self.transform.length(piece) for piece in self.pieces])[order]
        group = np.arange(len(order)) // (_NEAR * size)
        order = order[np.lexsort((lengths, group))]
        full = len(order) // size * size
        batches = rng.permutation(order[:full].reshape(-1, size))
        return np.concatenate([batches.reshape(-1), order[full:]])

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """Inputs of N pieces; no targets."""
        return Batch(self.transform.collate([self.pieces[int(p)] for p in places]), {}, 0)


class Drawn:
    """Samples that a generator draws anew in every epoch; a batch is drawn from seed, epoch and its first
    place, so that the same place in a training meets the same samples.

    Args:
        draw: (count, generator) -> samples, and labels by name, (count,) each.
        count: samples that make an epoch.
        transform, classes, views: as of `Views`.
    """

    start = 0

    def __init__(
        self,
        draw: Callable[[int, torch.Generator], tuple[Sequence[Any], Mapping[str, np.ndarray]]],
        count: int,
        transform: Transform,
        *,
        classes: Mapping[str, int],
        views: int,
        seed: int,
    ) -> None:
        self.draw, self.count, self.transform = draw, count, transform
        self.classes, self.views, self.seed = dict(classes), views, seed
        self._pool = ThreadPoolExecutor(_DECODERS)

    def __len__(self) -> int:
        return self.count

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        """Inputs of views x N copies, and labels of the N samples."""
        rng = torch.Generator().manual_seed(seeds.derive(self.seed, "draw", epoch, int(places[0])))
        samples, labels = self.draw(len(places), rng)
        inputs = _varied(
            self._pool, self.transform, samples, self.views, (self.seed, epoch, places)
        )
        return Batch(inputs, _targets(labels, np.arange(len(places))), 0)


def _varied(
    pool: ThreadPoolExecutor,
    transform: Transform,
    samples: Sequence[Any],
    views: int,
    drawn: tuple[int, int, np.ndarray],
) -> dict[str, Tensor]:
    """Augmented copies of samples, collated; one plain copy where the epoch is negative. `drawn` is what a
    copy's generator follows from beside its view: seed, epoch, and a number a sample."""
    seed, epoch, numbers = drawn

    def one(view: int, place: int) -> Any:
        if epoch < 0:
            return transform(samples[place])
        return transform(
            samples[place], seeds.generator(seed, "view", epoch, int(numbers[place]), view)
        )

    asked = [(v, p) for v in range(views if epoch >= 0 else 1) for p in range(len(samples))]
    items = list(pool.map(one, *zip(*asked, strict=True)))
    return transform.collate(items)


def ordered(stream: Stream, rng: np.random.Generator, size: int) -> np.ndarray:
    """A random order of a stream's places; its own, where it has one for batches of a size."""
    own = getattr(stream, "order", None)
    if own is not None:
        return np.asarray(own(rng, size))
    return rng.permutation(len(stream))


def counted(rows: int, size: int, whole: bool = False) -> tuple[int, int]:
    """Steps of a pass over rows in batches of a size, and rows seen in it; as `cycled` cuts them.

    Args:
        whole: a rest of several rows is left out.
    """
    left = rows % size
    if whole and left > 1:
        return rows // size, rows - left
    return rows // size + (left > 1), rows


def cycled(order: np.ndarray, step: int, size: int) -> np.ndarray:
    """Places of one step; an order shorter than the training stream is cycled. A last row by itself, of which
    a batch norm could not tell a spread, belongs to the step before, or is cycled like the others."""
    begin = step * size
    left = len(order) - begin
    if left == size + 1 and size > 1:
        return order[begin:]
    if left > 1 or left == size:
        return order[begin : begin + size]
    return order.take(np.arange(begin, begin + size), mode="wrap")
