"""Samples a second that each generator draws, on one core and on the GPU where there is one.

    python -m benchmarks.generators [--only NAME] [--seconds 3]

On the processor: one thread, seconds of that process, so that neighbours on a busy machine count little.
On a GPU: seconds by the clock, the random numbers drawn there too; `scenes` draws on the processor only.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from headstart.core import plugins
from headstart.generators import listed

WHAT = {
    "causes": "tables of 128 rows and up to 10 columns",
    "curves": "series of 256 steps",
    "kernels": "series of 256 steps",
    "motifs": "graphs of 8 to 32 nodes",
    "scenes": "pictures of 48 pixels",
    "tones": "sounds of 1 s at 8 kHz",
    "words": "sounds of 1 s at 8 kHz",
}
GOALS = {"causes": 500, "curves": 1000, "kernels": 1000, "motifs": 1000, "tones": 300}
GOALS["words"] = 200  # a second on one core
BATCH = {"cpu": 128, "cuda": 4096}
LARGE = {"tones": 1024, "words": 1024}  # batches on the GPU of what takes much memory


def rate(maker: Any, device: str, batch: int, seconds: float) -> float:
    """Samples a second, after two batches to warm up."""
    rng = torch.Generator(device=device).manual_seed(0)
    clock = time.process_time if device == "cpu" else time.perf_counter
    for _ in range(2):
        maker.draw(batch, rng)
    _settle(device)
    start, drawn = clock(), 0
    while clock() - start < seconds:
        maker.draw(batch, rng)
        _settle(device)
        drawn += batch
    return drawn / (clock() - start)


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--only", choices=sorted(listed()))
    reader.add_argument("--seconds", type=float, default=3.0, help="for each generator and device")
    asked = reader.parse_args()
    torch.set_num_threads(1)
    gpu = torch.cuda.is_available()
    print(f"{'generator':10} {'samples':42} {'a second, one core':>18} {'goal':>6} {'GPU':>9}")
    for name in [asked.only] if asked.only else sorted(listed()):
        maker: Any = plugins.load("generator", name).GENERATOR()
        core = rate(maker, "cpu", BATCH["cpu"], asked.seconds)
        large = "-"
        if gpu and name != "scenes":
            batch = LARGE.get(name, BATCH["cuda"])
            large = f"{rate(maker, 'cuda', batch, asked.seconds):,.0f}"
        goal = f"{GOALS[name]:,}" if name in GOALS else "-"
        print(f"{name:10} {WHAT.get(name, ''):42} {core:18,.0f} {goal:>6} {large:>9}", flush=True)


if __name__ == "__main__":
    main()
