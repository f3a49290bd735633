"""Sounds and series from a Parquet file to stored features, beside the bare forward loop; and their memory.

    python -m benchmarks.loading [--rows 2000] [--seconds 1.0] [--steps 1024] [--source REFERENCE]

The bare loop forwards batches that lie ready in memory and keeps the features, in the fastest of four ways.
`extract` reads, scales, batches, forwards and stores; the better of two turns counts. "bound" is what the
cores do when each reads, prepares and forwards rows of its own with nothing between them. All run eager
PyTorch on as many cores. --source measures one source of sounds instead of the built-in ones, e.g. weights
for pictures. Memory is what a fresh process takes above its imports, for the rows and for ten times as many.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch

from headstart.core import digest, machine, plugins
from headstart.core.task import Task
from headstart.data.opening import open_data
from headstart.engine.extract import How, extract
from headstart.engine.ledger import anonymous_bytes
from headstart.features import key
from headstart.features.store import LmdbStore
from headstart.job import Lazy, load

BATCHES = (4, 32)
CHUNK = 16  # rows that a core reads at once
SOURCES = (
    ("FLAC", "builtin:formula"),
    ("WAV", "builtin:formula"),
    ("series", "builtin:random-convolutions"),
    ("series", "builtin:series-encoder"),
)
RATE = 16000


def write(path: Path, kind: str, rows: int, length: float) -> None:
    """Two classes of random walks, or of hums in noise, encoded; in batches, so that it takes no memory."""
    rng = np.random.default_rng(0)
    cell = pa.list_(pa.float32()) if kind == "series" else pa.binary()
    schema = pa.schema([(modality(kind), cell), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 500):
            count = min(500, rows - start)
            labels = [f"c{i % 2}" for i in range(count)]
            cells = (
                walks(rng, count, int(length))
                if kind == "series"
                else hums(rng, count, length, kind)
            )
            writer.write_table(pa.table([cells, labels], schema=schema))


def modality(kind: str) -> str:
    """The modality of a kind of rows; encodings are sounds."""
    return "series" if kind == "series" else "audio"


def walks(rng: np.random.Generator, count: int, steps: int) -> list[np.ndarray]:
    """Random walks."""
    return list(rng.normal(size=(count, steps)).cumsum(1).astype(np.float32))


def hums(rng: np.random.Generator, count: int, seconds: float, encoding: str) -> list[bytes]:
    """Tones in noise, of 16 bits."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    made = []
    for pitch in rng.uniform(100, 2000, size=count):
        sound = 0.3 * np.sin(2 * np.pi * pitch * time_s) + 0.02 * rng.normal(size=len(time_s))
        held = io.BytesIO()
        soundfile.write(held, sound.astype(np.float32), RATE, format=encoding, subtype="PCM_16")
        made.append(held.getvalue())
    return made


def opened(path: Path, kind: str, source: str) -> tuple[Any, Any, Any]:
    """Data set, transform and backbone."""
    name = modality(kind)
    files = plugins.Modality(name)
    task = Task(data=str(path), modality=name)
    data = open_data(task, {name: files.read}, cache=path.parent / "cache")
    loaded = load(source, files, offline=True)
    some = Lazy(data, np.arange(min(500, len(data))))
    transform = files.batch.make(loaded.source.preprocessing, data.fields, some)
    return data, transform, files.backbones.stage(loaded, transform).eval()


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
    """Seconds of forwarding what lies ready, in the fastest of four ways: large or small batches, a
    batch a core at a time or one after another on all cores."""
    best = float("inf")
    for size in BATCHES:
        ready = [
            transform.collate(
                [transform(s) for s in data.samples(np.arange(a, min(a + size, len(data))))]
            )
            for a in range(0, len(data), size)
        ]
        best = min(best, *(_forwarded(ready, backbone, n) for n in {1, machine.cores()}))
    return best


def bound(data: Any, transform: Any, backbone: Any) -> float:
    """Seconds in which every core reads, prepares and forwards rows of its own."""

    def one(start: int) -> dict[str, torch.Tensor]:
        samples = data.samples(np.arange(start, min(start + CHUNK, len(data))))
        return transform.collate([transform(s) for s in samples])  # type: ignore[no-any-return]

    return _forwarded(range(0, len(data), CHUNK), backbone, machine.cores(), one)


def _forwarded(ready: Sequence[Any], backbone: Any, lanes: int, read: Any = None) -> float:
    threads = machine.cores() // lanes

    def begin() -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)

    def one(inputs: Any) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(backbone.pool(backbone.run(read(inputs) if read else inputs)))

    with ThreadPoolExecutor(lanes, initializer=begin) as pool:
        start = time.perf_counter()
        kept = list(pool.map(one, ready))
        seconds = time.perf_counter() - start
    if not sum(map(len, kept)):
        raise SystemExit("No row has features.")
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


def peak(kind: str, source: str, rows: int, length: float) -> float:
    """Megabytes above the imports of a fresh process that opens and extracts `rows` rows."""
    command = [sys.executable, "-m", "benchmarks.loading", "--peak", kind, source]
    command += ["--rows", str(rows), "--length", str(length)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def alone(kind: str, source: str, rows: int, length: float) -> None:
    """Prints the memory of one extraction."""
    with tempfile.TemporaryDirectory() as held:
        write(Path(held) / "rows.parquet", kind, rows, length)
        torch.ones(8).sum()
        with Watch() as watch:
            ours(*opened(Path(held) / "rows.parquet", kind, source), Path(held))
        print(json.dumps(watch.most / 1e6))


def row(kind: str, source: str, rows: int, length: float) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as held:
        write(Path(held) / "rows.parquet", kind, rows, length)
        parts = opened(Path(held) / "rows.parquet", kind, source)
        loop = bare(*parts)
        whole = min(ours(*parts, Path(held)) for _ in range(2))
        most = min(bound(*parts) for _ in range(2))
    few, many = (peak(kind, source, n, length) for n in (rows, 10 * rows))
    return (
        f"{kind:7} {source:28} {rows / loop:9.0f} {rows / most:9.0f} {rows / whole:9.0f} "
        f"{loop / whole:6.2f} {most / whole:6.2f} "
        f"{few:8.0f} {many:8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a sound")
    parser.add_argument("--steps", type=int, default=1024, help="of a series")
    parser.add_argument("--source", help="of sounds, instead of the built-in ones")
    parser.add_argument("--length", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        alone(*asked.peak, asked.rows, asked.length)
        return
    print(
        f"{asked.rows} sounds of {asked.seconds} s, series of {asked.steps} steps, "
        f"{machine.cores()} cores; rows a second, MB for {asked.rows} and {10 * asked.rows} rows"
    )
    print(
        f"{'kind':7} {'source':28} {'bare':>9} {'bound':>9} {'headstart':>9} {'/bare':>6} {'/bound':>6} "
        f"{'MB':>8} {'MB x10':>8}"
    )
    for kind, source in [("FLAC", asked.source)] if asked.source else SOURCES:
        length = asked.steps if kind == "series" else asked.seconds
        print(row(kind, source, asked.rows, length), flush=True)


if __name__ == "__main__":
    main()
