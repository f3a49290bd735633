"""Series: cells that are lists of numbers, one sample a row; the files of the UCR and UEA archives."""

from __future__ import annotations

import datetime
import hashlib
import numbers
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.core.reader import Gathered
from headstart.core.task import Columns
from headstart.errors import BadRow
from headstart.modalities.series import _signal
from headstart.modalities.series._signal import TIME, VALUES

SUFFIXES: tuple[str, ...] = ()
FILE_KIND = ""
NEAR = 3
MANY = True
CONTAINERS = {
    ".npz": "series: x (N, channels, T) or (N, T) and y (N,), or x_train, y_train, x_test, y_test"
}
ARRAYS = True
WINDOWS = True

BITS = 512
PLACES = 192
"""Steps to which a series is brought before it is compared with others."""
TIMES = frozenset({"t", "time", "times", "timestamp", "timestamps", "date", "dates", "datetime"})
ORDER = " as order per "
"""In the name of a column that rows were ordered by before they were joined (see `data/reshape.py`)."""
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "bytes" for lists of numbers, "time" for lists of moments or a column named so."""
    lists = [v for v in values if isinstance(v, (list, tuple, np.ndarray)) and len(v)]
    if not lists or len(lists) < len([v for v in values if v is not None and not _empty(v)]):
        return None
    first = [next((x for x in v if x is not None), None) for v in lists]
    word = name.strip().lower()
    if ORDER in name or all(isinstance(x, (datetime.datetime, datetime.date)) for x in first):
        return TIME
    if all(isinstance(x, str) for x in first):
        return TIME if word in TIMES else None
    if word in TIMES and all(_number(x) for x in first):
        return TIME
    return VALUES if all(_number(x) or _step(x) for x in first) else None


def _empty(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) == 0


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _step(value: Any) -> bool:
    """A step of several channels."""
    return isinstance(value, (list, tuple, np.ndarray)) and all(_number(x) for x in value)


def load(cell: Any, field: Field, root: Path) -> Any:
    """Packed values as bytes; time stamps as (T,) float64, None where there are none. Raises BadRow."""
    if field.kind != TIME:
        return _signal.pack(_signal.numbers(cell, field.name, field.columns))
    if cell is None:
        return None
    try:
        times = np.array([_moment(x) for x in cell], np.float64)
    except (TypeError, ValueError):
        raise BadRow(
            f"'{field.name}' holds a time stamp that is none",
            "write numbers, or 2024-01-31T12:00:00",
        ) from None
    if not np.isfinite(times).all():
        raise BadRow(f"a time stamp in '{field.name}' is missing", "fill it in, or remove the step")
    return times


def _moment(value: Any) -> float:
    """Seconds since 1970, or the number itself. Raises TypeError and ValueError."""
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return (aware - EPOCH).total_seconds()
    return float(value)


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Raises BadRow where lengths differ, or where no value is there."""
    one = _signal.series(sample, fields)
    if np.isnan(one.values).all():
        raise BadRow("every value of the series is missing", "fill some in, or remove the row")


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """Names, packed values and time stamps, in the order of the names."""
    parts = []
    for name, kind in sorted((f.name, f.kind) for f in fields):
        data = sample[name] if kind == VALUES else _signal.pack(_column(sample[name]))
        parts += [name.encode(), len(data).to_bytes(8, "little"), data]
    return b"\0".join(parts)


def _column(times: Any) -> np.ndarray:
    return np.empty((0, 1)) if times is None else np.asarray(times, np.float64)[:, None]


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """512 signs of random projections of the shape and of its slope (SimHash: Charikar, STOC 2002).

    Level and scale do not count, so that a copy in another unit is found. A constant series has a
    hash of its content: it is near to its own copies only.
    """
    values = _signal.filled(_signal.regular(_signal.series(sample, fields))[0])
    shape = _bent(_signal.resampled(values, PLACES))
    parts = np.concatenate([_unit(shape), _unit(np.diff(shape, axis=0))]).T.ravel()
    if not parts.any():
        return hashlib.blake2b(content(sample, fields), digest_size=BITS // 8).digest()
    return np.packbits(_planes(len(parts)) @ parts.astype(np.float32) > 0).tobytes()


def _bent(values: np.ndarray) -> np.ndarray:
    """(T, C), heights bent logarithmically from the middle outwards: one spike is not the whole shape."""
    away = values - np.median(values, axis=0)
    typical = np.median(np.abs(away), axis=0) + 0.01 * values.std(axis=0)
    return np.arcsinh(away / np.where(typical > 0, typical, 1.0))


def _unit(values: np.ndarray) -> np.ndarray:
    """Mean 0 a channel and length 1 over all, so that shape and slope weigh the same."""
    centred = values - values.mean(axis=0)
    size = float(np.linalg.norm(centred))
    return centred / size if size > 1e-9 * (1.0 + float(np.abs(values).max())) else 0.0 * centred


@cache
def _planes(size: int) -> np.ndarray:
    """(BITS, size), from numpy's legacy generator: its stream is frozen."""
    return np.random.RandomState(0).standard_normal((BITS, size)).astype(np.float32)


def gather(
    thing: Any, asked: Columns | None, *, named: bool = False, fields: Sequence[Field] = ()
) -> Gathered | None:
    """Rows of a file, or of a folder of a TRAIN and a TEST file, of an archive of series; None for others.

    Args:
        named: whether the person named this kind of data; without, only endings that nothing else has.

    Raises:
        DataError: it is such a file, but cannot be read.
    """
    from headstart.modalities.series import _archives

    if not isinstance(thing, Path) or not _archives.owns(thing, named):
        return None
    columns, notes = _archives.unpack(thing)
    return Gathered(columns, notes)
