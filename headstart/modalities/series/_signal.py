"""One series as a value, its bytes, and what is done about its time stamps."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow

VALUES, TIME = "bytes", "time"
"""Kinds of a field: packed values (see `pack`), and time stamps."""

EVEN = 0.15
"""Steps that differ from the middle one by at most this share are even: months are."""
MOST_GAPS = 4
"""A grid with the missing steps filled in may be so many times as long as the series."""

_HEAD = struct.Struct("<BII")
_KINDS = {4: np.dtype("<f4"), 8: np.dtype("<f8")}


@dataclass(frozen=True)
class Series:
    """One sample.

    Attributes:
        values: (T, C) float64, T steps of C channels; NaN where a value is missing.
        times: (T,) float64, in seconds or in the unit of the column; None: evenly spaced.
    """

    values: np.ndarray
    times: np.ndarray | None = None


def pack(values: np.ndarray) -> bytes:
    """(T, C) numbers as bytes, one spelling for equal numbers; float32 where that loses nothing."""
    wide = np.ascontiguousarray(values, np.float64) + 0.0  # makes -0.0 the same as 0.0
    wide[np.isnan(wide)] = np.nan
    with np.errstate(over="ignore"):
        narrow = wide.astype("<f4")
    size = 4 if np.array_equal(narrow, wide, equal_nan=True) else 8
    return _HEAD.pack(size, *wide.shape) + wide.astype(_KINDS[size]).tobytes()


def unpack(data: bytes) -> np.ndarray:
    """(T, C) float64 from `pack`."""
    size, steps, channels = _HEAD.unpack_from(data)
    flat = np.frombuffer(data, _KINDS[size], offset=_HEAD.size)
    return flat.reshape(steps, channels).astype(np.float64)


def series(sample: Sample, fields: Sequence[Field]) -> Series:
    """The fields' channels side by side, with the time stamps where there are any.

    Raises:
        BadRow: the parts differ in length.
    """
    parts = [(f.name, unpack(sample[f.name])) for f in fields if f.kind == VALUES]
    steps = {len(values) for _, values in parts}
    if len(steps) > 1:
        told = ", ".join(f"'{name}' {len(values)}" for name, values in parts[:4])
        raise BadRow(f"its channels differ in length ({told})", "give each step a value or a gap")
    times = next((sample[f.name] for f in fields if f.kind == TIME), None)
    values = np.concatenate([v for _, v in parts], axis=1)
    if times is not None and len(times) != len(values):
        raise BadRow(
            f"it has {len(times)} time stamps for {len(values)} values", "give each value its stamp"
        )
    return Series(values, None if times is None else np.asarray(times, np.float64))


def regular(one: Series) -> tuple[np.ndarray, list[str]]:
    """Values (T', C) at even steps, and what had to be done for it.

    Stamps are sorted, values of one stamp averaged; steps that are left out become gaps; where the
    steps follow no grid, values are interpolated onto an even one of as many steps.
    """
    if one.times is None or len(one.times) < 2:
        return one.values, []
    times, values, done = one.times, one.values, list[str]()
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        done.append("time stamps out of order, sorted")
    if (np.diff(times) == 0).any():
        times, values = _averaged(times, values)
        done.append("duplicate time stamps, averaged")
    if len(times) < 3:
        return values, done
    steps = np.diff(times)
    step = float(np.quantile(steps, 0.5, method="lower"))
    if (np.abs(steps - step) <= EVEN * step).all():
        return values, done
    places = (times - times[0]) / step
    whole = np.round(places)
    length = int(whole[-1]) + 1
    on_grid = (np.abs(places - whole) <= EVEN).all() and (np.diff(whole) > 0).all()
    if on_grid and length <= MOST_GAPS * len(times):
        grid = np.full((length, values.shape[1]), np.nan)
        grid[whole.astype(int)] = values
        return grid, [*done, "time steps left out, taken as missing values"]
    even = np.linspace(times[0], times[-1], len(times))
    return at(even, times, values), [*done, "irregular time stamps, interpolated to even steps"]


def _averaged(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row a stamp: the mean of what is there."""
    kept, place = np.unique(times, return_inverse=True)
    there = ~np.isnan(values)
    total = np.zeros((len(kept), values.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, place, np.where(there, values, 0.0))
    np.add.at(count, place, there)
    return kept, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def at(wanted: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each channel interpolated between its own values; all missing stays missing."""
    made = np.full((len(wanted), values.shape[1]), np.nan)
    for channel in range(values.shape[1]):
        there = ~np.isnan(values[:, channel])
        if there.any():
            made[:, channel] = np.interp(wanted, times[there], values[there, channel])
    return made


def filled(values: np.ndarray) -> np.ndarray:
    """Gaps interpolated, ends held; a channel without a value becomes 0."""
    if not np.isnan(values).any():
        return values
    steps = np.arange(len(values), dtype=np.float64)
    return np.nan_to_num(at(steps, steps, values), nan=0.0)


def resampled(values: np.ndarray, length: int) -> np.ndarray:
    """(T, C) without gaps -> (length, C): blocks averaged down, or interpolated."""
    steps = len(values)
    if steps == length:
        return values
    if steps > 2 * length:
        edges = np.linspace(0, steps, length + 1)
        starts = edges[:-1].astype(int)
        sums = np.add.reduceat(values, starts, axis=0)
        return np.asarray(sums / np.diff([*starts, steps])[:, None])
    places = np.linspace(0.0, steps - 1.0, length)
    return at(places, np.arange(steps, dtype=np.float64), values)


def numbers(cell: Any, name: str, columns: Sequence[str] = ()) -> np.ndarray:
    """A cell as (T, C) float64: a list of numbers, or a list of steps with a number a channel.

    Args:
        columns: what the steps are called where each was a column of its own.

    Raises:
        BadRow: empty, ragged, no numbers, or infinite ones.
    """
    if cell is None or len(cell) == 0:
        raise BadRow(f"'{name}' is empty", "fill it in, or remove the row")
    try:
        values = np.asarray(cell, np.float64)
    except (TypeError, ValueError):
        odd = next((k for k, v in enumerate(cell) if isinstance(v, str) and not _reads(v)), None)
        if odd is not None:
            where = f"column '{columns[odd]}'" if columns else f"step {odd + 1} of '{name}'"
            raise BadRow(
                f"'{cell[odd][:40]}' in {where} is no number", "correct it, or leave the cell empty"
            ) from None
        raise BadRow(
            f"'{name}' is no list of numbers, or its steps differ in length",
            "give one number a step, or one a channel for each step",
        ) from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise BadRow(
            f"'{name}' has {values.ndim} axes", "give a list of steps, each with a number a channel"
        )
    if np.isinf(values).any():
        raise BadRow(
            f"{int(np.isinf(values).sum())} values of '{name}' are infinite",
            "correct them, or leave them empty",
        )
    return values


def _reads(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
