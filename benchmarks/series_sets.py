"""Series on real sets, one command each: score with interval, verdict, simple models, seconds.

    python -m benchmarks.series_sets [--sets GunPoint cwru_bearing ...] [--source builtin:random-convolutions]

Needs HEADSTART_DATA. Every row is one `headstart run` in a fresh process, with an empty store. The six UCR
sets keep their published split; of the bearing, loads 0 and 1 are learned from and load 3 is the test, with
the nine faults that every load has.
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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._data import root

BEARING = "cwru_bearing"
UCR = (
    "GunPoint",
    "ArrowHead",
    "ItalyPowerDemand",
    "ACSF1",
    "BasicMotions",
    "JapaneseVowels",
)


def bearing(folder: Path) -> Path:
    """Windows of the bearing as one Parquet file: signal, label, load, split."""
    with np.load(root() / BEARING / "cwru_bearing_12k_de.npz", allow_pickle=False) as held:
        used = (held["label"] != "normal") & np.isin(held["load_hp"], (0, 1, 3))
        signal = (held["x_int16"].astype(np.float32) * held["scale"][:, None])[used]
        load, label = held["load_hp"][used], held["label"][used]
    columns = {
        "signal": list(signal),
        "label": label.tolist(),
        "load": load.tolist(),
        "split": np.where(load == 3, "test", "train").tolist(),
    }
    path = folder / f"{BEARING}.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def measure(name: str, options: list[str]) -> dict[str, Any]:
    """Runs one set with a cache of its own; the summary that `--json` prints."""
    with tempfile.TemporaryDirectory() as folder:
        data = bearing(Path(folder)) if name == BEARING else root() / "ucr" / f"{name}.npz"
        environment = {**os.environ, "HEADSTART_CACHE": os.path.join(folder, "cache")}
        environment["HEADSTART_TRACKING"] = "off"
        command = [sys.executable, "-m", "headstart", "run", str(data), "--output", folder]
        done = subprocess.run(
            [*command, *options, "--json"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def line(name: str, told: dict[str, Any]) -> str:
    """One row of the table."""
    arms = [m for m in told["measures"] if m["check"] == "verdict" and m["group"]]
    gain = next((m for m in told["measures"] if m["name"] == "transfer gain"), {})
    ends = f"{gain.get('value', float('nan')):+.1f} [{gain.get('low', float('nan')):+.1f}, "
    ends += f"{gain.get('high', float('nan')):+.1f}]"
    facts = told["facts"]
    scores = "; ".join(
        f"{m['group']} {m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in arms
    )
    return (
        f"{name:17} {facts['train_rows']:5} {arms[0]['n'] if arms else 0:5} {told['verdict']:12} "
        f"{ends:22} {facts['strategy']:13} {facts['seconds_model']:7.1f} "
        f"{facts['seconds_verdict']:8.1f}  {scores}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=[*UCR, BEARING])
    asked, options = parser.parse_known_args()
    print(
        f"{'set':17} {'train':>5} {'test':>5} {'verdict':12} {'gain, points':22} {'strategy':13} "
        f"{'model s':>7} {'verdict s':>8}  scores"
    )
    for name in asked.sets:
        print(line(name, measure(name, options)), flush=True)


if __name__ == "__main__":
    main()
