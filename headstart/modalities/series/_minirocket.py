"""MiniRocket: Dempster, Schmidt and Webb 2021, arXiv:2012.08791, in numpy.

84 fixed filters of length 9 (six taps of -1, three of 2), dilations spread over the series' length, and for
each pair biases that are quantiles of the response to a training series. A feature is the share of steps
whose response lies above its bias. Several channels are read as the authors' multivariate version does: a
random subset of them for each pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

TAPS = 9
TRIPLES = np.array(list(combinations(range(TAPS), 3)))
FEATURES = 9_996
MOST_DILATIONS = 32
MOST_CHANNELS = 9
WORD, WORDS = 8, 128
"""Truth values that are counted in one addition, and additions until a byte might run over."""
CHUNK = 1 << 16
"""Values of a response that are worked on at once; they stay in the processor's cache."""


@dataclass(frozen=True)
class Pair:
    """One filter at one dilation.

    Attributes:
        channels: which are added up.
        padded: whether steps near the ends count, with zeros beyond them.
        biases: (k,) ascending.
    """

    filter: int
    dilation: int
    channels: np.ndarray
    padded: bool
    biases: np.ndarray


def fit(series: Sequence[np.ndarray], seed: int, features: int = FEATURES) -> list[Pair]:
    """Filters, dilations and biases for training series, each (T, C) without gaps."""
    rng = np.random.default_rng(seed)
    length, width = max(len(s) for s in series), series[0].shape[1]
    dilations, counts = _dilations(length, features)
    quantiles = iter(_quantiles(int(counts.sum()) * len(TRIPLES)))
    pairs = []
    for place, (dilation, count) in enumerate(zip(dilations, counts, strict=True)):
        for triple in range(len(TRIPLES)):
            most = int(2 ** rng.uniform(0, np.log2(min(width, MOST_CHANNELS) + 1)))
            channels = np.sort(rng.choice(width, min(width, most), replace=False))
            padded = (place + triple) % 2 == 0
            one = series[int(rng.integers(len(series)))]
            response = next(_responses(one[None], [Pair(triple, dilation, channels, True, _NONE)]))
            wanted = [next(quantiles) for _ in range(count)]
            reach = 0 if padded else int(dilation) * (TAPS // 2)
            inner = response[0, reach : max(0, len(one) - reach)]
            inner = inner if len(inner) else response[0]
            biases = np.sort(np.quantile(inner, wanted)).astype(np.float32)
            pairs.append(Pair(triple, int(dilation), channels, padded, biases))
    return pairs


_NONE = np.empty(0, np.float32)


def _dilations(length: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Dilations, and how many features each of a filter's dilations gets; as the authors compute them."""
    each = features // len(TRIPLES)
    most = min(each, MOST_DILATIONS)
    multiplier = each / most
    widest = max(0.0, np.log2(max(1.0, (length - 1) / (TAPS - 1))))
    drawn = np.logspace(0, widest, most, base=2).astype(np.int32)
    dilations, counts = np.unique(drawn, return_counts=True)
    counts = (counts * multiplier).astype(np.int32)
    rest = each - int(counts.sum())
    counts[np.arange(rest) % len(counts)] += 1
    return dilations, counts


def _quantiles(count: int) -> np.ndarray:
    """Low-discrepancy numbers between 0 and 1, by the golden ratio."""
    return np.asarray((np.arange(1, count + 1) * ((np.sqrt(5) + 1) / 2)) % 1)


def transform(series: Sequence[np.ndarray], pairs: Sequence[Pair]) -> np.ndarray:
    """(N, features) float32 of series (T, C) without gaps, of any lengths."""
    width = sum(len(p.biases) for p in pairs)
    made = np.empty((len(series), width), np.float32)
    lengths = np.array([len(s) for s in series])
    order = np.argsort(lengths, kind="stable")
    while len(order):
        count = max(1, CHUNK // int(lengths[order[0]]))
        some, order = order[:count], order[count:]
        longest = int(lengths[some[-1]])
        block = WORD if longest <= WORDS * WORD else WORDS * WORD
        batch = np.zeros((len(some), -(-longest // block) * block, series[0].shape[1]), np.float32)
        for row, place in enumerate(some):
            batch[row, : lengths[place]] = series[place]
        made[some] = _shares(batch, lengths[some], pairs, width)
    return made


def _shares(
    batch: np.ndarray, lengths: np.ndarray, pairs: Sequence[Pair], width: int
) -> np.ndarray:
    """(n, T, C), zeros behind each end -> (n, features): share of steps above each bias."""
    made, at = np.empty((len(batch), width), np.float32), 0
    real = np.arange(batch.shape[1])[None] < lengths[:, None]
    whole = bool(real.all())
    reach, inner = 0, real
    for pair, response in zip(pairs, _responses(batch, pairs), strict=True):
        counted = real
        if not pair.padded:
            if reach != pair.dilation * (TAPS // 2):
                reach = pair.dilation * (TAPS // 2)
                inner = _inside(real, lengths, reach)
            counted = inner
        if counted is not real or not whole:
            response = np.where(counted, response, -np.inf)
        steps = counted.sum(axis=1)
        for bias in pair.biases:
            made[:, at] = _counts(response > bias) / steps
            at += 1
    return made


def _counts(above: np.ndarray) -> np.ndarray:
    """(n, T) bool -> (n,): how many are true, eight at a time; T as `transform` pads it."""
    words = np.ascontiguousarray(above).view(np.uint64)
    sums = np.add.reduce(words.reshape(len(words), -1, min(WORDS, words.shape[1])), axis=2)
    return np.asarray(sums.view(np.uint8).sum(axis=1, dtype=np.int64))


def _inside(real: np.ndarray, lengths: np.ndarray, reach: int) -> np.ndarray:
    """(n, T) steps whose filter lies within the series; all steps of a series shorter than the filter."""
    places = np.arange(real.shape[1])[None]
    inner = (places >= reach) & (places < lengths[:, None] - reach)
    return np.where(inner.any(axis=1, keepdims=True), inner, real)


def _responses(batch: np.ndarray, pairs: Sequence[Pair]) -> Iterator[np.ndarray]:
    """(n, T) for each pair; what the filters of one dilation share is computed once.

    A filter is -1 everywhere and 3 more at three taps: minus the sum of all shifted copies, plus three
    times three of them.
    """
    known, shifted, total = 0, np.empty(0), np.empty(0)
    for pair in pairs:
        if pair.dilation != known:
            known, shifted = pair.dilation, _shifts(batch, pair.dilation)
            total = shifted.sum(axis=0)
        taps = TRIPLES[pair.filter]
        if batch.shape[2] == 1:
            response = 3.0 * (shifted[taps[0]] + shifted[taps[1]] + shifted[taps[2]]) - total
            yield response[:, :, 0]
        else:
            some = shifted[taps][..., pair.channels].sum(axis=(0, 3))
            yield 3.0 * some - total[..., pair.channels].sum(axis=2)


def _shifts(batch: np.ndarray, dilation: int) -> np.ndarray:
    """(9, n, T, C) float32: the series as each tap sees it, zeros beyond its ends."""
    rows, steps, channels = batch.shape
    reach = dilation * (TAPS // 2)
    wide = np.zeros((rows, steps + 2 * reach, channels), np.float32)
    wide[:, reach : reach + steps] = batch
    return np.stack([wide[:, t * dilation : t * dilation + steps] for t in range(TAPS)])
