"""Decode -> bucket -> forward -> write, each stage on its own threads behind bounded queues."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch

from headstart.core.dataset import Dataset
from headstart.core.modality import Arrays, Transform
from headstart.core.store import Row, Shelf
from headstart.errors import BadRow

CHUNK = 16  # rows a decoding thread takes at once
HOLD = 256 << 20  # bytes of transformed samples that may wait for companions of their length
AHEAD = 64 << 20  # bytes of them that may wait while the network is made ready
COMMIT_ROWS, COMMIT_SECONDS, COMMIT_BYTES = 512, 1.5, 32 << 20


@dataclass(frozen=True)
class Item:
    """One transformed sample on its way."""

    key: bytes
    arrays: Arrays
    length: int

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.arrays.values())


@dataclass(frozen=True)
class Refused:
    """One row that cannot be used."""

    key: bytes
    error: BadRow


@dataclass
class Bucketer:
    """Forms batches of samples of one length, so that little or nothing is padded.

    A batch is full at `size(length)` rows. What is left at the end is sorted by length and, where
    companions do not matter (`mixed`), batched across lengths.
    """

    size: Callable[[int], int]
    mixed: bool
    hold: int = HOLD
    _waiting: dict[int, list[Item]] = field(default_factory=dict)
    _bytes: int = 0

    def add(self, item: Item) -> Iterator[list[Item]]:
        """Takes a sample; yields batches that are due."""
        group = self._waiting.setdefault(item.length, [])
        group.append(item)
        self._bytes += item.nbytes
        if len(group) >= self.size(item.length):
            del self._waiting[item.length]
            self._bytes -= sum(i.nbytes for i in group)
            yield group
        elif self._bytes > self.hold:
            yield from self.rest()

    def rest(self) -> Iterator[list[Item]]:
        """Yields all that wait, longest first (so that a lack of memory shows at once)."""
        groups = [self._waiting[n] for n in sorted(self._waiting, reverse=True)]
        self._waiting, self._bytes = {}, 0
        for group in [list(chain(*groups))] if self.mixed else groups:
            while group:
                count = self.size(group[0].length)
                yield group[:count]
                group = group[count:]


class Writer:
    """Commits finished rows in short transactions on a thread of its own."""

    def __init__(self, shelf: Shelf) -> None:
        self.bytes = 0
        self._shelf = shelf
        self._queue: queue.Queue[list[tuple[bytes, Row]] | None] = queue.Queue(maxsize=32)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="headstart-writer", daemon=True)
        self._thread.start()

    def put(self, rows: list[tuple[bytes, Row]]) -> None:
        """Hands rows over; waits while the disk is behind. Raises what the last commit raised."""
        if self._error is not None:
            raise self._error
        self._queue.put(rows)

    def close(self) -> None:
        """Commits the rest. Raises what a commit raised."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        waiting: list[tuple[bytes, Row]] = []
        size, since, open_ = 0, time.monotonic(), True
        while open_:
            try:
                rows = self._queue.get(timeout=COMMIT_SECONDS)
                open_ = rows is not None
                waiting += rows or []
                size += sum(a.nbytes for _, row in rows or [] for a in row.values())
            except queue.Empty:
                pass
            due = time.monotonic() - since > COMMIT_SECONDS or size > COMMIT_BYTES
            if waiting and (due or len(waiting) >= COMMIT_ROWS or not open_):
                self._commit(waiting, size)
                waiting, size = [], 0
            if not waiting:
                since = time.monotonic()

    def _commit(self, rows: list[tuple[bytes, Row]], size: int) -> None:
        """After an error nothing is written any more; the queue is still emptied, so nobody waits."""
        if self._error is None:
            try:
                self._shelf.put(rows)
                self.bytes += size
            except BaseException as error:
                self._error = error


class Workers:
    """As many threads as cores, each on one core: they decode and, on a processor, forward too, since more
    threads than cores would wait for each other.

    Attributes:
        count: of threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(count, "headstart-work", initializer=_one_core)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what has begun, drops the rest, and gives PyTorch its threads back."""
        self.pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)


def _one_core() -> None:
    torch.set_num_threads(1)


def prepared(
    dataset: Dataset,
    rows: np.ndarray,
    keys: Sequence[bytes],
    *,
    transform: Transform,
    view: int,
    workers: Workers,
) -> Generator[Item | Refused, None, None]:
    """Samples decoded and transformed by the workers, in the order of `rows`."""

    def one(key: bytes, sample: Any) -> Item | Refused:
        draw = None
        if view >= 0:
            draw = np.random.default_rng([view, int.from_bytes(key, "little")])
        try:
            arrays = transform(sample, draw)
            return Item(key, arrays, transform.length(arrays))
        except BadRow as error:
            return Refused(key, error)

    def chunk(start: int) -> list[Item | Refused]:
        part, names = rows[start : start + CHUNK], keys[start : start + CHUNK]
        try:
            samples = dataset.samples(part)
        except BadRow:
            return [x for r, k in zip(part, names, strict=True) for x in alone(r, k)]
        return [one(k, s) for k, s in zip(names, samples, strict=True)]

    def alone(row: int, key: bytes) -> list[Item | Refused]:
        try:
            return [one(key, dataset.samples(np.array([row]))[0])]
        except BadRow as error:
            return [Refused(key, error)]

    flying: deque[Future[list[Item | Refused]]] = deque()
    try:
        for start in range(0, len(rows), CHUNK):
            flying.append(workers.pool.submit(chunk, start))
            if len(flying) > 4 * workers.count:
                yield from flying.popleft().result()
        while flying:
            yield from flying.popleft().result()
    finally:
        _drop(flying)


class Ahead:
    """Pulls samples on a thread of its own while the block runs, until AHEAD bytes wait."""

    def __init__(self, items: Iterator[Item | Refused]) -> None:
        self._held: deque[Item | Refused] = deque()
        self._items = items
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="headstart-ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raises what pulling raised, unless the block itself failed."""
        self._stop.set()
        try:
            self._thread.join()
        except BaseException:  # a person's interrupt; the iterator is busy until the thread ends
            self._thread.join()
            raise
        if kind is None and self._error is not None:
            raise self._error

    def taken(self) -> Iterator[Item | Refused]:
        """What was pulled, in order, each let go once it is handed on; the iterator goes on behind it."""
        while self._held:
            yield self._held.popleft()

    def _work(self) -> None:
        size = 0
        try:
            while size < AHEAD and not self._stop.is_set():
                item = next(self._items, None)
                if item is None:
                    return
                self._held.append(item)
                size += item.nbytes if isinstance(item, Item) else 0
        except BaseException as error:
            self._error = error


class Lanes:
    """Forward passes side by side: on a processor by the workers, each on one core, so that no core waits
    for another; on an accelerator in one lane of their own.

    Attributes:
        seconds: spent in forward passes, summed over lanes.
    """

    def __init__(self, work: Callable[[list[Item]], None], workers: Workers, device: str) -> None:
        self.seconds = 0.0
        self._work = work
        self._own = None if device == "cpu" else ThreadPoolExecutor(1, "headstart-forward")
        self._pool = self._own or workers.pool
        self._count = 1 if self._own else workers.count
        self._flying: deque[Future[float]] = deque()

    def submit(self, batch: list[Item]) -> None:
        """Forwards a batch soon; waits while all lanes are busy. Raises what an earlier one raised."""
        self._flying.append(self._pool.submit(self._timed, batch))
        while len(self._flying) > self._count + 1:
            self.seconds += self._flying.popleft().result()

    def finish(self) -> None:
        """Waits for all. Raises what one raised."""
        while self._flying:
            self.seconds += self._flying.popleft().result()

    def close(self) -> None:
        """Drops what has not begun and waits for what has."""
        _drop(self._flying)
        if self._own is not None:
            self._own.shutdown()

    def _timed(self, batch: list[Item]) -> float:
        start = time.perf_counter()
        self._work(batch)
        return time.perf_counter() - start


def _drop(flying: Iterable[Future[Any]]) -> None:
    """Cancels what has not begun and waits for what has; what it raises is of no interest any more."""
    wait([future for future in flying if not future.cancel()])


def out_of_memory(error: BaseException) -> bool:
    """Whether an executor has run out of memory; each library says so in its own words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return any(t in text for t in ("out of memory", "can't allocate", "failed to allocate"))
