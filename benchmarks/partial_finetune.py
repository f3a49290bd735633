"""Partial fine-tuning from kept states against the same from raw rows.

    python -m benchmarks.partial_finetune [--epochs 4] [--cuts -2 -3 -4] [--repeats 2]

With f the trained share of the forward operations, an epoch without the store costs 1 + 2f forwards and one
from kept states 3f; the goal is at most 1.15 times 3f / (1 + 2f) of the time, with equal weights (dropout
and augmentation off). Rows fill whole batches: a shorter last one takes other kernels, whose rounding (1e-7)
Adam enlarges, to 1e-3 in four epochs, between any two batch sizes.

Uses ants_bees with ImageNet MobileNetV2 below HEADSTART_DATA, else drawn pictures
with random weights.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import arms, job, select
from headstart.core.plan import Engine, EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Columns, Task
from headstart.engine import loop
from headstart.engine.loop import Training
from headstart.engine.streams import Kept, Part, Stream

GOAL = 1.15
BATCH = 32


def open_job(folder: Path, cut: int, epochs: int) -> job.Job:
    """A job on real or drawn pictures; its store lies in `folder`."""
    settings = {"cut": cut, "epochs": epochs, "augment": False, "dropout": 0.0, "patience": 0}
    if os.environ.get("HEADSTART_DATA"):
        from benchmarks._data import picture_source, sets

        one = sets()["ants_bees"]
        data = str(Path(os.environ["HEADSTART_DATA"]) / one.file)
        task = Task(data=data, columns=Columns(target="label", inputs=("image",), split="split"))
        source = picture_source()
    else:
        from headstart.modalities.image import tiny

        task = Task(data=str(tiny.write(folder / "pictures", "classify", 400, 0)))
        source = "builtin:formula?input_size=160"
    plan = Plan(
        task=task,
        source=SourceChoice(source),
        strategy=StrategyChoice("fine_tune", settings),
        engine=Engine(store=str(folder / "store"), executor="eager"),
        evidence=EvidenceChoice(seeds=1),
    )
    return job.open_job(plan)


def epoch_seconds(made: job.Job, stream: Stream, features: np.ndarray) -> tuple[float, Any]:
    """Median seconds of one epoch, and the trained network."""
    choice = made.plan.strategy
    strategy = select.named(made, choice.name, choice.settings)
    network = made.network(copy.deepcopy(made.backbone))
    places = np.arange(len(made.train) // BATCH * BATCH)
    marks: list[float] = []

    class Watch:
        def step(self, step: Any) -> None:
            marks.append(time.perf_counter())

        def say(self, sentence: str) -> None:
            pass

    def solve(network: Any, phase: Any) -> None:
        arms.solve_head(made, network, features[places], places, 0)
        marks.append(time.perf_counter())

    loop.train(
        network,
        strategy,
        {"train": Part(stream, places)},
        training=Training(batch=BATCH, costs=made.costs),
        solve=solve,
        watcher=Watch(),
    )
    return statistics.median(np.diff(marks)), network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--cuts", type=int, nargs="*", default=[-2, -3, -4])
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    print(
        f"{'cut':>4} {'f':>6} {'raw s/epoch':>12} {'kept s/epoch':>12} {'ratio':>6} {'limit':>6} ",
        end="",
    )
    print(f"{'goal':>6} {'largest difference of weights':>30}")
    for cut in asked.cuts:
        with tempfile.TemporaryDirectory() as name:
            made = open_job(Path(name), cut, asked.epochs)
            features = made.extract(made.train).features
            place = len(made.backbone.stages) + cut
            kept = made.extract(made.train, cut=place)
            labels = {made.outcome: made.labels}
            pairs = []
            for _ in range(asked.repeats):
                raw = arms.rows_stream(made, made.train, augment=False)
                raw.batch(np.arange(len(made.train)), -1)  # decoded once, as the store's rows are
                slow, first = epoch_seconds(made, raw, features)  # type: ignore[arg-type]
                held = Kept(kept.states, place, labels)
                fast, second = epoch_seconds(made, held, features)  # type: ignore[arg-type]
                pairs.append((fast / slow, slow, fast))
            ratio, slow, fast = sorted(pairs)[len(pairs) // 2]
            share = sum(made.costs[place:]) / sum(made.costs)
            limit = 3 * share / (1 + 2 * share)
            gap = max(
                float((a - b).abs().max())
                for a, b in zip(first.parameters(), second.parameters(), strict=True)
            )
            print(
                f"{cut:4} {share:6.3f} {slow:12.3f} {fast:12.3f} {ratio:6.3f} {limit:6.3f} "
                f"{GOAL * limit:6.3f} {gap:30.2e}",
                flush=True,
            )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
