"""The main job on real sets, one command each: score with interval, verdict, times, operations.

    python -m benchmarks.real_sets [--sets ants_bees ...] [--per-class 25]

Needs HEADSTART_DATA. Every row is one `headstart run` in a fresh process, with an empty store.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._data import RealSet, file, sets

# Columns that give the target away, or that are not to be learned from.
DROPPED = {
    "heart_disease": ["severity"],
    "ag_news_small": ["title"],
    "sentiment_sentences": ["domain"],
}


def plan(one: RealSet, per_class: int, seed: int, folder: str) -> str:
    """A plan for one set, as TOML in `folder`; returns its path."""
    drop = json.dumps(DROPPED.get("heart_disease" if "site=" in one.split else one.name, []))
    inputs = json.dumps([one.field] if one.field else [])
    text = f"""seed = {seed}
output = "{folder}"
[task]
data = "{file(one, Path(folder))}"
outcome = "classify"
per_class = {per_class}
[task.columns]
target = "label"
inputs = {inputs}
split = "{one.split}"
drop = {drop}
[source]
uri = "{one.source}"
"""
    path = os.path.join(folder, f"{one.name}.toml")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)
    return path


def measure(one: RealSet, per_class: int, seed: int) -> dict[str, Any]:
    """Runs one set with a cache of its own; the summary that `--json` prints."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HEADSTART_CACHE": os.path.join(folder, "cache")}
        environment["HEADSTART_TRACKING"] = "off"
        command = [sys.executable, "-m", "headstart", "run", plan(one, per_class, seed, folder)]
        done = subprocess.run(
            [*command, "--json"], capture_output=True, text=True, env=environment, check=False
        )
    if done.returncode:
        raise SystemExit(f"{one.name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def line(one: RealSet, told: dict[str, Any]) -> str:
    """One row of the table."""

    def find(name: str, check: str = "") -> dict[str, Any]:
        return next(
            (m for m in told["measures"] if m["name"] == name and check in ("", m["check"])), {}
        )

    score, gain = find("accuracy", "accuracy"), find("transfer gain")
    facts = told["facts"]
    champion = next(
        (m for m in told["measures"] if str(m.get("group", "")).startswith("simple champion")), {}
    )
    beside = f"{champion.get('value', float('nan')):.3f} [{champion.get('low', float('nan')):.3f}, "
    beside += f"{champion.get('high', float('nan')):.3f}]"
    interval = f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
    against = f"{gain.get('value', float('nan')):+.1f} [{gain.get('low', float('nan')):+.1f}, "
    against += f"{gain.get('high', float('nan')):+.1f}]"
    return (
        f"{one.name:20} {facts['train_rows']:6} {score['n']:6} {interval:24} {told['verdict']:12} "
        f"{against:22} {gain.get('baseline', '')[:34]:34} {beside:24} {facts['strategy']:13} "
        f"{facts['seconds_model']:7.1f} {facts['seconds_verdict']:8.1f} "
        f"{facts['flops_transfer'] / 1e12:8.3f} {facts.get('flops_scratch', 0) / 1e12:8.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(sets()))
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        f"{'set':20} {'train':>6} {'test':>6} {'accuracy':24} {'verdict':12} {'gain, points':22} "
        f"{'against':34} {'champion':24} {'strategy':13} {'model s':>7} "
        f"{'verdict s':>8} {'TFLOP':>8} {'twin':>8}"
    )
    for name in asked.sets:
        one = sets()[name]
        print(line(one, measure(one, asked.per_class, asked.seed)), flush=True)


if __name__ == "__main__":
    main()
