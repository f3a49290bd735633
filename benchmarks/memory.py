"""50,000 kept states of 100 kB trained on within 1 GB of memory.

    python benchmarks/memory.py [--rows 50000] [--kb 100] [--batch 32]

Writes synthetic states straight into a store (5 GB of disk for the full size), then reads one epoch of
random batches as training does, and measures resident memory without mapped files (the database is
mapped; the system drops its pages when it needs them).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from headstart.core.store import Space
from headstart.engine.extract import States
from headstart.engine.ledger import anonymous_bytes
from headstart.features.store import LmdbStore

GOAL = 10**9  # bytes above what the imports take


def write(store: LmdbStore, space: Space, rows: int, kilobytes: int) -> list[bytes]:
    """Random states (C, 5, 5) float32 of about `kilobytes` each, 256 a transaction."""
    shelf, draw = store.shelf(space), np.random.default_rng(0)
    channels = kilobytes * 1000 // 100
    keys = [i.to_bytes(16, "little") for i in range(rows)]
    base = draw.normal(size=(channels, 5, 5)).astype(np.float32)
    for start in range(0, rows, 256):
        shelf.put((k, {"maps": base + np.float32(start)}) for k in keys[start : start + 256])
    return keys


def epoch(states: States, batch: int) -> tuple[float, int]:
    """One pass in random order: seconds, and the largest anonymous memory."""
    order, peak, total = np.random.default_rng(1).permutation(len(states)), 0, 0.0
    start = time.perf_counter()
    for begin in range(0, len(order), batch):
        maps = states.batch(order[begin : begin + batch])["maps"]
        total += float(maps.mean((2, 3)).sum())
        peak = max(peak, anonymous_bytes())
    return time.perf_counter() - start, peak


def main() -> None:
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--rows", type=int, default=50_000)
    reader.add_argument("--kb", type=int, default=100)
    reader.add_argument("--batch", type=int, default=32)
    reader.add_argument("--root", type=Path, default=None, help="where the store is written")
    asked = reader.parse_args()
    torch.ones(8).sum()
    base = anonymous_bytes()
    root = Path(tempfile.mkdtemp(prefix="headstart-", dir=asked.root))
    try:
        store = LmdbStore(root, cap_bytes=10**12)
        size = asked.rows * asked.kb * 1000
        if store.room() < 1.1 * size:
            raise SystemExit(f"{size / 1e9:.1f} GB do not fit on the disk of {root}; set --root.")
        start = time.perf_counter()
        keys = write(store, Space("w", 1, "t", "synthetic", "exact", ""), asked.rows, asked.kb)
        print(f"written {size / 1e9:.2f} GB in {time.perf_counter() - start:.1f} s")
        shelf = store.shelf(Space("w", 1, "t", "synthetic", "exact", ""))
        seconds, peak = epoch(States(shelf, keys, {}), asked.batch)
        more = peak - base
        print(
            f"one epoch in {seconds:.1f} s ({size / 1e9 / seconds:.2f} GB/s); memory above the imports: "
            f"{more / 1e6:.0f} MB, goal {GOAL / 1e6:.0f} MB: {'held' if more < GOAL else 'missed'}"
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
