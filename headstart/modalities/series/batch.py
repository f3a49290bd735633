"""Series to numbers: even steps, gaps filled and marked, one scale; fitted on training rows."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.errors import BadRow, DataError, PlanError, nearest
from headstart.modalities.series import _augment, _signal

AUGMENTATIONS = tuple(_augment.KINDS)

SCALES = ("each", "train", "none")
"""Mean 0 and deviation 1: of each series by itself, by the training rows', or as they came."""
LONGEST = 16_384
"""Steps; longer series are averaged down to as many."""
FLAT = 1e-7
"""A deviation below this share of the level is rounding: the series is constant."""


class Transform:
    """One series to (T, C) float32 on one scale, without gaps.

    Attributes:
        channels: C, what a series has.
        marked: whether gaps are told to the network, because training rows had some.
        width: columns that a network reads: the channels, and the mark of gaps.
        steps: span that filters are laid out for: of 9, 17, 33, 65 ... the last one up to the 90 %
            quantile of the training rows' lengths, so that another draw of rows rarely changes it.
        resample: steps that a network of fixed length asked for; 0: every series keeps its own.
        digest: of all settings and fitted constants.
        counts: what was done to how many series.
        fitted: true.
    """

    fitted = True

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self.fields = tuple(Field(n, k) for n, k in state["fields"])
        self.channels, self.marked = int(state["channels"]), bool(state["marked"])
        self.width = self.channels + self.marked
        self.steps, self.resample = int(state["steps"]), int(state["resample"])
        self._center, self._scale = np.array(state["center"]), np.array(state["scale"])
        self.digest = digest.value(self._state)
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"values": (T, C)} and, where marked, "gaps" (T,), the share of channels without a value at
        each step; float32; with `rng`, augmented.

        Raises:
            BadRow: another number of channels than in training.
        """
        values, done = _signal.regular(_signal.series(sample, self.fields))
        if values.shape[1] != self.channels:
            raise BadRow(
                f"it has {values.shape[1]} channels, training rows had {self.channels}",
                "give the channels of training",
            )
        gaps = np.isnan(values)
        if gaps.any():
            done = [*done, "missing values, interpolated"]
        mark = gaps.mean(axis=1, keepdims=True)
        values, flat = self._scaled(_signal.filled(values), gaps)
        if flat:
            done = [*done, "constant series"]
        values = np.concatenate([values, mark], axis=1) if self.marked else values
        length = self.resample or min(len(values), LONGEST)
        if len(values) > length:
            done = [*done, "longer than the network reads, averaged down"]
        values = _signal.resampled(values, length)
        if rng is not None:
            values = _augment.augmented(values, self.channels, rng)
        self._count(done)
        made = {"values": np.ascontiguousarray(values[:, : self.channels], np.float32)}
        if self.marked:
            made["gaps"] = np.ascontiguousarray(values[:, -1], np.float32)
        return made

    def _scaled(self, values: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, bool]:
        """(T, C) on one scale, and whether nothing in it moves. A channel without a value stays 0."""
        empty = gaps.all(axis=0)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        moving = spread > FLAT * (1.0 + np.abs(mean))
        if self._state["scale_by"] == "each":
            scaled = np.where(moving, (values - mean) / np.where(moving, spread, 1.0), 0.0)
        else:
            scaled = (values - self._center) / self._scale
        return np.where(empty, 0.0, scaled), not moving.any()

    def _count(self, done: Sequence[str]) -> None:
        with self._lock:
            for what in done:
                self.counts[what] = self.counts.get(what, 0) + 1

    def length(self, arrays: Arrays) -> int:
        """Steps."""
        return len(arrays["values"])

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"values": (N, T, C) float32, zeros behind a series' end, "mask": (N, T) bool}, and "gaps"
        (N, T) float32 where marked."""
        lengths = np.array([len(item["values"]) for item in items])
        longest = int(lengths.max())
        made = {
            key: torch.zeros((len(items), longest, *array.shape[1:]))
            for key, array in items[0].items()
        }
        for row, item in enumerate(items):
            for key, array in item.items():
                made[key][row, : len(array)] = torch.from_numpy(array)
        mask = np.arange(longest)[None] < lengths[:, None]
        return {**made, "mask": torch.from_numpy(mask)}

    def state(self) -> Mapping[str, Any]:
        """All settings and fitted constants, as JSON can hold them."""
        return dict(self._state)

    def profile(self, name: str) -> Transform:
        """Itself: there is no fast variant."""
        return self


class _Moments:
    """Count, mean and squared distance of each channel over many series (Chan, Golub and LeVeque 1983)."""

    def __init__(self, channels: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(channels) for _ in range(3))

    def add(self, values: np.ndarray) -> None:
        """(T, C) with gaps."""
        count = (~np.isnan(values)).sum(axis=0)
        some = np.maximum(count, 1)
        mean = np.nansum(values, axis=0) / some
        squares = np.nansum((values - mean) ** 2, axis=0)
        total = np.maximum(self.count + count, 1)
        away = mean - self.mean
        self.squares += squares + away**2 * self.count * count / total
        self.mean += away * count / total
        self.count += count

    def spread(self) -> np.ndarray:
        """Standard deviation; 1 for a channel that does not move."""
        spread = np.sqrt(self.squares / np.maximum(self.count, 1))
        return np.where(spread > FLAT * (1.0 + np.abs(self.mean)), spread, 1.0)


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> Transform:
    """Fits channels, gaps, lengths and scale on training rows; the source says how it wants them.

    The source may ask for `scale` ("each", "train" or "none") and for `length`, the steps of a network
    that reads no other number of them.

    Raises:
        DataError: no training rows, or rows of different channels.
        PlanError: an unknown scale.
    """
    asked = str(preprocessing.get("scale", "each"))
    if asked not in SCALES:
        raise PlanError(f"scale came as '{asked}'. {nearest(asked, SCALES)}")
    moments: _Moments | None = None
    lengths, marked = list[int](), False
    for sample in samples:
        values = _signal.regular(_signal.series(sample, fields))[0]
        moments = moments or _Moments(values.shape[1])
        if values.shape[1] != len(moments.mean):
            raise DataError(
                f"Training rows have {len(moments.mean)} and {values.shape[1]} channels. Expected as "
                "many in every row; give each channel a column, or leave the others out."
            )
        moments.add(values)
        marked = marked or bool(np.isnan(values).any())
        lengths.append(len(values))
    if moments is None:
        raise DataError("Preprocessing is fitted on training rows, and there are none.")
    octaves = int(np.log2(max(8.0, np.quantile(lengths, 0.9) - 1.0))) - 3
    state = {
        "fields": [[f.name, f.kind] for f in fields],
        "channels": len(moments.mean),
        "marked": marked,
        "steps": min(8 * 2**octaves + 1, LONGEST),
        "resample": int(_length(preprocessing)),
        "scale_by": asked,
        "center": (moments.mean if asked == "train" else 0.0 * moments.mean).tolist(),
        "scale": (moments.spread() if asked == "train" else 0.0 * moments.mean + 1.0).tolist(),
    }
    return Transform(state)


def _length(preprocessing: Mapping[str, Any]) -> int:
    """Steps that the network asks for, by its own name for them; 0: any."""
    own = preprocessing.get("configuration", {})
    return int(preprocessing.get("length") or own.get("context_length") or 0)


def restore(state: Mapping[str, Any]) -> Transform:
    """The transform whose `state` this is."""
    return Transform(state)
