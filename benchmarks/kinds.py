"""Every kind of data on its real sets, one command each: score, interval, verdict, simple models, seconds.

    python -m benchmarks.kinds [--sets GunPoint bbbp ...] [--keep FOLDER] [options of `headstart run`]

Needs HEADSTART_DATA. Every row is one `headstart run` in a fresh process, with an empty store; options that
are given go to each. Published splits are kept. Of the spoken digits two speakers, of the bearing load 3 is
the test; of the molecules the scaffold split's last part. Below a row stands how well each arm ranks
(AUROC), where the outcome has it; --keep writes the whole summaries as JSON.
`benchmarks.real_sets` has photos, texts and tables.
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
UCR = ("GunPoint", "ArrowHead", "ItalyPowerDemand", "ACSF1", "BasicMotions", "JapaneseVowels")
CHEMISTRY = "chem_gcn_supervised_contextpred"
MOLECULES = {"bbbp": ["bbbp"], "esol": ["log_solubility"], "tox21": ["nr_*,sr_*"]}
SPEAKERS = "speaker=theo,yweweler"


def commands() -> dict[str, list[str]]:
    """Set -> arguments of `headstart run`; paths below HEADSTART_DATA are written with a leading @."""
    made: dict[str, list[str]] = {
        "fsdd": [
            "@fsdd/fsdd.parquet",
            "--input",
            "audio",
            "--target",
            "label",
            "--split",
            SPEAKERS,
        ],
        **{name: [f"@ucr/{name}.npz"] for name in UCR},
        BEARING: [BEARING],
        "MUTAG": ["@tu_graphs/MUTAG.npz", "--target", "label", "--test-share", "0.5"],
        "NCI109": ["@tu_graphs/NCI109.npz", "--target", "label"],
        **{
            name: [f"@planetoid/{name}.npz", "--target", "label", "--leave-out", "validation"]
            for name in ("cora", "citeseer")
        },
        "wnut17": ["@wnut17_ner/wnut17.parquet", "--target", "tags"],
        "clinc150": [
            *("@clinc150/clinc150.parquet", "--input", "text", "--target", "label"),
            *("--out-of-scope", "oos", "--split", "split"),
        ],
    }
    for site in ("ETTh1", "ETTh2"):
        for steps in ("24", "96"):
            asked = ["--target", "OT", "--horizon", steps, "--history", "96"]
            made[f"{site}-{steps}"] = [f"@ett/{site}.parquet", *asked]
    for name, target in MOLECULES.items():
        source = f"file:{root() / 'weights' / CHEMISTRY}.safetensors"
        made[name] = [f"@molecules/{name}.parquet", "--input", "smiles", "--target", *target]
        made[name] += ["--split", "split"]
        pretrained = ["--source", source, "--strategy", "fine_tune", "--set", "statistics=true"]
        made[f"{name}-pretrained"] = [*made[name], *pretrained]
    return made


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


def measure(arguments: list[str], options: list[str]) -> dict[str, Any]:
    """Runs one set with a cache of its own; the summary that `--json` prints."""
    with tempfile.TemporaryDirectory() as folder:
        data, *rest = arguments
        place = bearing(Path(folder)) if data == BEARING else root() / data.removeprefix("@")
        environment = {**os.environ, "HEADSTART_CACHE": os.path.join(folder, "cache")}
        environment["HEADSTART_TRACKING"] = "off"
        command = [sys.executable, "-m", "headstart", "run", str(place), "--output", folder]
        done = subprocess.run(
            [*command, *rest, *options, "--json"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{place}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def line(name: str, told: dict[str, Any]) -> str:
    """One row of the table."""
    arms = [m for m in told["measures"] if m["check"] == "verdict" and m["group"]]
    gain = next((m for m in told["measures"] if m["name"] == "transfer gain"), {})
    ends = f"{gain.get('value', float('nan')):+.3g} [{gain.get('low', float('nan')):+.3g}, "
    ends += f"{gain.get('high', float('nan')):+.3g}]"
    facts = told["facts"]
    scores = "; ".join(
        f"{m['group']} {m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in arms
    )
    return (
        f"{name:17} {facts['train_rows']:5} {arms[0]['n'] if arms else 0:5} {told['verdict']:12} "
        f"{ends:22} {facts['strategy']:13} {facts['seconds_model']:7.1f} "
        f"{facts['seconds_verdict']:8.1f}  {arms[0]['name'] if arms else ''}: {scores}"
    )


def ranked(told: dict[str, Any]) -> str:
    """AUROC of each arm, or ""."""
    areas = [m for m in told["measures"] if m["check"] == "ranking" and m["name"] == "AUROC"]
    arms = [m for m in areas if m["group"]]
    shown = (f"{m['group']} {m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" for m in arms)
    return f"{'':17} AUROC: {'; '.join(shown)}" if arms else ""


def main() -> None:
    known = commands()
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--sets", nargs="*", default=list(known), choices=list(known))
    parser.add_argument("--keep", type=Path, help="folder for the summaries")
    asked, options = parser.parse_known_args()
    print(
        f"{'set':17} {'train':>5} {'test':>5} {'verdict':12} {'gain':22} {'strategy':13} "
        f"{'model s':>7} {'verdict s':>8}  scores"
    )
    for name in asked.sets:
        told = measure(known[name], options)
        print("\n".join(filter(None, (line(name, told), ranked(told)))), flush=True)
        if asked.keep:
            asked.keep.mkdir(parents=True, exist_ok=True)
            (asked.keep / f"{name}.json").write_text(json.dumps(told, indent=1), "utf-8")


if __name__ == "__main__":
    main()
