"""Executors beside eager PyTorch: seconds to prepare, milliseconds a row on one thread, and what they change.

    python -m benchmarks.executors [--rows 128]

Needs HEADSTART_DATA for MobileNetV2's weights. Each reads the same rows (generated photographs, short
texts) four times in batches of 32; the quickest time counts. "apart" is the norm of the difference from
eager PyTorch's features, relative to theirs.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import _data, _pictures
from headstart import job
from headstart.core import plugins
from headstart.core.dataset import Field
from headstart.core.executor import Runner
from headstart.engine._trunk import Trunk
from headstart.errors import ContractError

BATCH = 32


def cases() -> dict[str, tuple[str, str]]:
    """Name -> modality and source."""
    mobile = f"file:{_data.root() / _data.IMAGENET}?input_size=160&crop_pct=1.0"
    return {
        "MobileNetV2, 160 px": ("image", mobile),
        "builtin:formula, 48 px": ("image", "builtin:formula"),
        "MiniLM": ("text", "builtin:minilm"),
    }


def batches(modality: plugins.Modality, loaded: job.Loaded, rows: int) -> list[dict[str, Tensor]]:
    """What the network reads, in batches."""
    samples: list[dict[str, Any]]
    if modality.name == "image":
        samples = [{"x": _jpeg(_pictures.picture(i))} for i in range(rows)]
        fields = (Field("x", "bytes"),)
    else:
        samples = [{"x": t} for t in _pictures.sentences(rows)]
        fields = (Field("x", "text"),)
    transform = modality.batch.make(loaded.source.preprocessing, fields, samples)
    items = sorted((transform(s) for s in samples), key=transform.length)
    return [transform.collate(items[i : i + BATCH]) for i in range(0, rows, BATCH)]


def _jpeg(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG")
    return held.getvalue()


def features(run: Runner, rows: list[dict[str, Tensor]]) -> Tensor:
    """(rows, width)."""
    return torch.cat([run(r)["features"].float() for r in rows])


def quickest(run: Runner, rows: list[dict[str, Tensor]]) -> float:
    """Milliseconds a row."""
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        for batch in rows:
            run(batch)
        best = min(best, time.perf_counter() - start)
    return best / sum(len(next(iter(r.values()))) for r in rows) * 1e3


def line(name: str, trunk: Trunk, rows: list[dict[str, Tensor]], want: Tensor, cache: Path) -> str:
    """One executor's line."""
    file = plugins.load("executor", name)
    if lacking := file.missing("cpu"):
        return f"{name:10} {lacking}"
    example: Mapping[str, Tensor] = {n: t[:2] for n, t in rows[0].items()}
    start = time.perf_counter()
    try:
        run = file.prepare(trunk, example, "cpu", cache)
    except ContractError as error:
        return f"{name:10} {error}"
    spent = time.perf_counter() - start
    apart = float((features(run, rows) - want).norm() / want.norm())
    return f"{name:10} {spent:7.1f} {quickest(run, rows):7.2f} {apart:9.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=128)
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    for title, (kind, source) in cases().items():
        modality = plugins.Modality(kind)
        loaded = job.load(source, modality, offline=True)
        trunk = Trunk(modality.backbones.stage(loaded).eval(), None)
        held = batches(modality, loaded, rows)
        with torch.inference_mode():
            want = torch.cat([trunk(r)["features"] for r in held])
        print(f"\n{title}, {rows} rows\n{'executor':10} {'prepare':>7} {'ms/row':>7} {'apart':>9}")
        with tempfile.TemporaryDirectory() as cache:
            for name in sorted(plugins.names("executor"), key=lambda n: (n != "eager", n)):
                print(line(name, trunk, held, want, Path(cache)), flush=True)


if __name__ == "__main__":
    main()
