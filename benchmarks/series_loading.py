"""Series from a Parquet file to stored features, beside the bare forward loop; memory at ten times the rows.

    python -m benchmarks.series_loading [--rows 2000] [--steps 1024]

The bare loop forwards batches that lie ready in memory and keeps the features. `extract` reads, scales,
batches, forwards and stores. Both run eager PyTorch on as many cores; the better of two turns
counts. Memory is what a fresh process takes above its imports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from headstart.core import digest, machine, plugins
from headstart.core.task import Task
from headstart.data.opening import open_data
from headstart.engine.extract import How, extract
from headstart.engine.ledger import anonymous_bytes
from headstart.features import key
from headstart.features.store import LmdbStore
from headstart.job import Lazy, load

BATCH = 32
SOURCES = ("builtin:random-convolutions", "builtin:series-encoder")


def write(path: Path, rows: int, steps: int) -> None:
    """Random walks, two classes, in batches, so that writing takes no memory."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("signal", pa.list_(pa.float32())), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 500):
            count = min(500, rows - start)
            walks = rng.normal(size=(count, steps)).cumsum(1).astype(np.float32)
            labels = [f"c{i % 2}" for i in range(count)]
            writer.write_table(pa.table([list(walks), labels], schema=schema))


def opened(path: Path, source: str) -> tuple[Any, Any, Any]:
    """Data set, transform and backbone."""
    modality = plugins.Modality("series")
    task = Task(data=str(path), modality="series")
    data = open_data(task, {"series": modality.read}, cache=path.parent / "cache")
    loaded = load(source, modality, offline=True)
    some = Lazy(data, np.arange(min(500, len(data))))
    transform = modality.batch.make(loaded.source.preprocessing, data.fields, some)
    return data, transform, modality.backbones.stage(loaded, transform).eval()


def ours(data: Any, transform: Any, backbone: Any, folder: Path) -> float:
    """Seconds of one extraction into an empty store."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start = time.perf_counter()
        made = extract(
            data,
            np.arange(len(data)),
            backbone=backbone,
            transform=transform,
            store=LmdbStore(Path(place), cap_bytes=10**11),
            weights=digest.tensors(backbone.state_dict().items()),
            how=How(executor="eager", processor=key.device("cpu"), cache=folder / "compiled"),
        )
        seconds = time.perf_counter() - start
        if made.features is None or len(made.features) != len(data):
            raise SystemExit("Not every row has features.")
    return seconds


def bare(data: Any, transform: Any, backbone: Any) -> float:
    """Seconds of forwarding what lies ready, a batch a core at a time."""
    ready = [
        transform.collate(
            [transform(s) for s in data.samples(np.arange(a, min(a + BATCH, len(data))))]
        )
        for a in range(0, len(data), BATCH)
    ]
    torch.set_num_threads(1)

    def one(inputs: dict[str, torch.Tensor]) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(backbone.pool(backbone.run(inputs)))

    with ThreadPoolExecutor(machine.cores(), initializer=lambda: torch.set_num_threads(1)) as pool:
        start = time.perf_counter()
        kept = list(pool.map(one, ready))
        seconds = time.perf_counter() - start
    if sum(map(len, kept)) != len(data):
        raise SystemExit("Not every row has features.")
    return seconds


class Watch:
    """The largest memory above what there was, seen every hundredth of a second.

    Attributes:
        most: bytes.
    """

    def __init__(self) -> None:
        self.most, self._base, self._end = 0, anonymous_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, anonymous_bytes() - self._base)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def peak(rows: int, steps: int) -> float:
    """Megabytes above the imports of a fresh process that opens and extracts `rows` rows."""
    command = [sys.executable, "-m", "benchmarks.series_loading", "--peak", "--rows", str(rows)]
    done = subprocess.run(
        [*command, "--steps", str(steps)], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--peak", action="store_true", help="print the memory of one extraction")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        write(folder / "walks.parquet", asked.rows, asked.steps)
        if asked.peak:
            torch.ones(8).sum()
            with Watch() as watch:
                ours(*opened(folder / "walks.parquet", SOURCES[0]), folder)
            print(json.dumps(watch.most / 1e6))
            return
        print(f"{asked.rows} series of {asked.steps} steps, {machine.cores()} cores")
        for source in SOURCES:
            parts = opened(folder / "walks.parquet", source)
            loops = [bare(*parts) for _ in range(2)]
            whole = [ours(*parts, folder) for _ in range(2)]
            best, loop = min(whole), min(loops)
            print(
                f"{source:30} bare {asked.rows / loop:8.0f} rows/s   headstart "
                f"{asked.rows / best:8.0f} rows/s   ratio {loop / best:.2f}"
            )
    for rows in (asked.rows, 10 * asked.rows):
        print(f"{rows} rows: {peak(rows, asked.steps):.0f} MB above the imports")


if __name__ == "__main__":
    main()
