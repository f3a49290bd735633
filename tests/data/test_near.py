"""The search for near-duplicates is exact, whichever way it takes, and fast enough."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from headstart.data import near


def by_hand(signatures: np.ndarray, radius: int) -> np.ndarray:
    bits = np.unpackbits(signatures, axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    return connected_components(apart <= radius)[1]


def same_parts(one: np.ndarray, other: np.ndarray) -> bool:
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@pytest.mark.parametrize(
    ("rows", "width", "radius"),
    [(300, 8, 3), (300, 2, 3), (200, 32, 10), (300, 1, 2), (50, 1, 9), (300, 4, 0), (2, 8, 3)],
)
@pytest.mark.parametrize("crowded", [0.0, 2.0])
def test_clusters_equal_those_found_by_hand(monkeypatch, rows, width, radius, crowded):
    monkeypatch.setattr(near, "CROWDED", crowded)
    monkeypatch.setattr(near, "PAIRS", 50)
    monkeypatch.setattr(near, "TILE", (16, 64))
    rng = np.random.default_rng(rows + width + radius)
    signatures = rng.integers(0, 256, (rows, width), dtype=np.uint8)
    signatures[: rows // 2] = signatures[rows // 2 : rows // 2 * 2]
    for row in range(rows // 2):
        signatures[row, rng.integers(width)] ^= np.uint8(1 << rng.integers(8))
    assert same_parts(near.clusters(signatures, radius), by_hand(signatures, radius))


def test_fifty_thousand_rows_take_seconds():
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 256, (50_000, 32), dtype=np.uint8)
    signatures[1] = signatures[0] ^ np.array([1] * 10 + [0] * 22, np.uint8)
    start = time.perf_counter()
    found = near.clusters(signatures, 10)
    assert found[0] == found[1] and len(np.unique(found)) == 49_999
    assert time.perf_counter() - start < 20  # 0.6 s on two free cores


def test_join():
    joined = near.join(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8]))
    assert joined[0] == joined[1] == joined[2]
    assert len(set(joined.tolist())) == 3


def test_exact_of_nothing():
    assert len(near.exact(np.empty((0, 16), np.uint8))) == 0
