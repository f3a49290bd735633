"""Rows that repeat each other: equal digests, and signatures within a Hamming radius.

Exact search by the pigeonhole principle (as in Manku, Jain and Das Sarma, "Detecting near-duplicates
for web crawling", WWW 2007): of radius + 1 bands, two signatures within the radius agree in one whole
band. Where the bands are so crowded that comparing within them costs more than comparing everything,
all pairs are compared in tiles instead; the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

PAIRS = 4_000_000
"""Pairs compared at a time; at 32 bytes a signature 256 MB of memory."""
CROWDED = 0.03
"""All pairs are compared when the bands hold more than this share of them: in tiles a comparison costs
a fortieth of one between scattered rows."""
TILE = (128, 4096)


def exact(digests: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8 -> (n,) int64 numbers, equal where the rows are equal."""
    if not len(digests):
        return np.empty(0, np.int64)
    whole = np.ascontiguousarray(digests).view(np.dtype((np.void, digests.shape[1]))).ravel()
    return renumber(whole)


def renumber(values: np.ndarray) -> np.ndarray:
    """(n,) int64 numbers from 0, equal where the values are equal, in their order."""
    return np.asarray(np.unique(values, return_inverse=True)[1], np.int64)


def clusters(signatures: np.ndarray, radius: int) -> np.ndarray:
    """Connected components of "at most `radius` bits apart".

    Args:
        signatures: (n, bytes) uint8.

    Returns:
        (n,) int64 numbers of clusters, from 0.
    """
    same = exact(signatures)
    _, first = np.unique(same, return_index=True)
    distinct = signatures[first]  # row i has the number i in `same`
    if radius <= 0 or len(distinct) < 2:
        return same
    labels = np.arange(len(distinct))
    for left, right in _edges(distinct, radius):
        labels = _merge(labels, left, right)
    return np.asarray(labels[same])


def join(*numberings: np.ndarray) -> np.ndarray:
    """Rows that share a number in any numbering share one in the result; (n,) int64 from 0."""
    total = numberings[0]
    for other in numberings[1:]:
        _, first, place = np.unique(other, return_index=True, return_inverse=True)
        total = _merge(total, np.arange(len(other)), first[place])
    return renumber(total)


def _merge(labels: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Joins the clusters of `left[i]` and `right[i]`."""
    if not len(left):
        return labels
    size = int(labels.max()) + 1
    a, b = labels[left], labels[right]
    apart = a != b
    graph = coo_matrix((np.ones(apart.sum(), bool), (a[apart], b[apart])), shape=(size, size))
    found = connected_components(graph, directed=False)[1].astype(np.int64)
    return np.asarray(found[labels])


def _edges(distinct: np.ndarray, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs within the radius, in pieces."""
    bits, words = np.unpackbits(distinct, axis=1), _words(distinct)
    n, width = bits.shape
    bands = np.array_split(np.arange(width), min(radius + 1, width))
    keys = [exact(np.packbits(bits[:, band], axis=1)) for band in bands]
    crowd = sum(float((c * (c - 1.0)).sum()) / 2 for c in map(np.bincount, keys))
    if radius >= width or crowd > CROWDED * n * (n - 1) / 2 + PAIRS:
        yield from _all_pairs(words, radius)
        return
    for key in keys:
        for left, right in _within(key):
            bits_apart = np.bitwise_count(words[left] ^ words[right]).sum(axis=1)
            near = bits_apart <= radius
            yield left[near], right[near]


def _words(distinct: np.ndarray) -> np.ndarray:
    """Signatures as (n, w) uint64, filled with zeros."""
    n, size = distinct.shape
    filled = np.zeros((n, -(-size // 8) * 8), np.uint8)
    filled[:, :size] = distinct
    return filled.view(np.uint64)


def _within(key: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows with one key, at most about `PAIRS` at a time."""
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key)
    ends = np.repeat(np.cumsum(counts), counts)
    after = ends - np.arange(len(key)) - 1  # how many later rows share the key
    steps = np.cumsum(after)
    start = 0
    while start < len(key):
        done = steps[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(steps, done + PAIRS, side="right")))
        here = after[start:stop]
        total = int(here.sum())
        if total:
            left = np.repeat(np.arange(start, stop), here)
            offset = np.arange(total) - np.repeat(np.cumsum(here) - here, here)
            yield order[left], order[left + 1 + offset]
        start = stop


def _all_pairs(words: np.ndarray, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compares every row with every later one, in tiles that stay in the processor's cache."""
    rows, across = TILE
    for start in range(0, len(words), rows):
        here = words[start : start + rows]
        for other in range(start, len(words), across):
            there = words[other : other + across]
            apart = np.zeros((len(here), len(there)), np.uint16)
            for word in range(words.shape[1]):
                apart += np.bitwise_count(here[:, None, word] ^ there[None, :, word])
            left, right = np.nonzero(apart <= radius)
            later = left + start < right + other
            yield left[later] + start, right[later] + other
