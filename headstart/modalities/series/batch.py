"""Series to numbers: even steps, gaps filled and marked, one scale; fitted on training rows."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.core.tally import Tally
from headstart.errors import BadRow, DataError, PlanError, nearest
from headstart.modalities.series import _augment, _signal

AUGMENTATIONS = tuple(_augment.USUAL)
VARIATIONS = _augment.VARIATIONS

SCALES = ("each", "train", "none")
"""Mean 0 and deviation 1: of each series by itself, by the training rows', or as they came. By itself, a
series' own mean and deviation stand beside it as "level". The three do alike on training rows: within 0.2 ±
0.4 points of accuracy (`benchmarks.constants`)."""
FAINT = 1e-3
"""Added to a deviation, in training rows' deviations, before its logarithm is taken."""
LONGEST = 16_384
"""Steps; longer series are averaged down to as many."""
FLAT = 1e-7
"""A deviation below this share of the level is rounding: the series is constant."""


class Transform:
    """One series to (T, C) float32 on one scale, without gaps.

    Attributes:
        channels: C, what a series has.
        marked: whether gaps are told to the network, because training rows had some.
        width: columns that a network may read: the channels, the mark of gaps, and the level.
        steps: span that filters are laid out for: of 9, 17, 33, 65 ... the last one up to the 90 %
            quantile of the training rows' lengths, so that another draw of rows rarely changes it.
        resample: steps that a network of fixed length asked for; 0: every series keeps its own.
        digest: of all settings and fitted constants.
        counts: what was done to how many different series.
        fitted: true.
    """

    fitted = True
    dense = ("values", "gaps", "level")
    variations = VARIATIONS
    policy: Policy | None = None

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self.fields = tuple(Field(n, k) for n, k in state["fields"])
        self.channels, self.marked = int(state["channels"]), bool(state["marked"])
        self._apart = state["scale_by"] == "each"
        self.width = self.channels + self.marked + 2 * self.channels * self._apart
        self.steps, self.resample = int(state["steps"]), int(state["resample"])
        self._center, self._scale = np.array(state["center"]), np.array(state["scale"])
        self.digest = digest.value(self._state)
        self.counts = Tally()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"values": (T, C)}; where marked, "gaps" (T,), the share of channels without a value at each
        step; where each series has its own scale, "level" (1, 2 C), its means and log deviations, in the
        training rows' scale; all float32; with `rng`, augmented.

        Raises:
            BadRow: another number of channels than in training.
        """
        values, level, done = self._prepared(sample)
        if rng is not None and self.policy is not None:
            values = _augment.applied(values, self.channels, self.policy, rng)
        elif rng is not None:
            values = _augment.augmented(values, self.channels, rng)
        self.counts.note([sample[f.name] for f in self.fields], Counter(done))
        made = {"values": np.ascontiguousarray(values[:, : self.channels], np.float32)}
        if self.marked:
            made["gaps"] = np.ascontiguousarray(values[:, -1], np.float32)
        if self._apart:
            made["level"] = np.asarray(level, np.float32)[None]
        return made

    def varied(self, policy: Policy) -> Transform:
        """The same with variations by name."""
        made = copy.copy(self)
        made.policy = policy
        return made

    def notes(self, sample: Sample) -> tuple[str, ...]:
        """What is done to one series, and what is odd about it. Raises BadRow."""
        return tuple(self._prepared(sample)[2])

    def _prepared(self, sample: Sample) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Scaled values (T, C) with their marks, the level (2 C,), and what was done."""
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
        values, level = self._scaled(_signal.filled(values), gaps)
        if not values.any() or not np.ptp(values, axis=0).any():
            done = [*done, "constant series"]
        values = np.concatenate([values, mark], axis=1) if self.marked else values
        length = self.resample or min(len(values), LONGEST)
        if len(values) > length:
            done = [*done, "longer than the network reads, averaged down"]
        return _signal.resampled(values, length), level, list(done)

    def _scaled(self, values: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, C) on one scale, and the level (2 C,). A channel without a value stays 0."""
        there = ~gaps.all(axis=0)
        scaled = np.where(there, (values - self._center) / self._scale, 0.0)
        mean, spread = scaled.mean(axis=0), scaled.std(axis=0)
        moving = spread > FLAT * (1.0 + np.abs(mean))
        level = np.concatenate([mean, np.log(np.where(moving, spread, 0.0) + FAINT)])
        if self._apart:
            scaled = np.where(moving, (scaled - mean) / np.where(moving, spread, 1.0), 0.0)
        return scaled, level

    def length(self, arrays: Arrays) -> int:
        """Steps."""
        return len(arrays["values"])

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"values": (N, T, C) float32, zeros behind a series' end, "mask": (N, T) bool}, "gaps" (N, T)
        and "level" (N, 1, 2 C) float32 where there are any."""
        lengths = np.array([len(item["values"]) for item in items])
        longest = int(lengths.max())
        made = {
            key: torch.zeros((len(items), 1 if key == "level" else longest, *array.shape[1:]))
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
        "center": (0.0 * moments.mean if asked == "none" else moments.mean).tolist(),
        "scale": (np.ones(len(moments.mean)) if asked == "none" else moments.spread()).tolist(),
    }
    return Transform(state)


def _length(preprocessing: Mapping[str, Any]) -> int:
    """Steps that the network asks for, by its own name for them; 0: any."""
    own = preprocessing.get("configuration", {})
    return int(preprocessing.get("length") or own.get("context_length") or 0)


def restore(state: Mapping[str, Any]) -> Transform:
    """The transform whose `state` this is."""
    return Transform(state)
