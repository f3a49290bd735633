"""The claim "one per cent of the data and a thousandth of the compute": where does it hold?

    python -m benchmarks.claims [--sets usps fsdd] [--labels 1 2 5 10 20 50] [--draws 3] [--quick] [--keep F]

Needs HEADSTART_DATA. The measure is the network trained from scratch on all training rows (rate by held-out
rows, early stopping, augmentation). The transfer has so many labels a class: a head solved on frozen
features, and fine-tuning by --strategy. A line gives its share of those labels and of those operations
(forward and backward, counted on the eager network; choosing rates and lengths is counted in both), and its
score as a share of the measure's. The interval of that share is from the standard errors of both scores
over test rows and, of the transfer, over draws. The claim holds where labels, operations and 98 % of the
score do, the last by the interval's lower end. Below a set stands the least number of labels whose mean
share is at least 98 %. --quick holds out one fifth in place of five in turn and gives each network one rate.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import headstart
from benchmarks import _data, sources
from benchmarks._kept import finished, keep
from headstart import arms

FULL = 0.98
DATA, COMPUTE = 0.01, 0.001
MEASURE = "from scratch, all rows"


def kinds() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Name -> (file, source, columns)."""
    tables = sources.kinds()
    spoken, photos = tables["audio"].sets["fsdd"], dict(sources.PICTURE)
    words = {"inputs": ["text"], "target": "label", "split": "split"}
    return {
        "usps": ("usps", "builtin:formula", photos),
        "mnist": ("mnist", "builtin:formula", photos),
        "cifar10": ("cifar10/cifar10_subset.parquet", _data.picture_source(96), photos),
        "fsdd": (spoken[0], "builtin:words", dict(spoken[1])),
        "ag_news_small": ("ag_news_small/ag_news_small.parquet", "builtin:minilm", words),
        "ItalyPowerDemand": ("ucr/ItalyPowerDemand.npz", "builtin:curves", {}),
    }


def run(data: Path, source: str, columns: Mapping[str, Any], **asked: Any) -> dict[str, Any]:
    """One run: for each arm that was asked for its score with n, and operations."""
    with tempfile.TemporaryDirectory() as folder:
        made = headstart.adapt(
            data,
            source=source,
            columns=dict(columns),
            seeds=1,
            champion=False,
            learning_curve=False,
            checks=["accuracy", "verdict"],
            output=folder,
            **asked,
        )
        record = made.record
    scores = {m.group: m for f in record.findings for m in f.measures if m.name == "accuracy"}
    own, other = scores["transfer"], scores.get("from scratch")
    facts = record.facts
    told = {"rows": facts["train_rows"], "n": own.n, "score": own.value}
    told |= {"flops": facts["flops_transfer"], "seconds": facts["seconds_model"]}
    if other is not None:
        told |= {"scratch": other.value, "scratch_flops": facts["flops_scratch"]}
    return told


def share(runs: list[dict[str, Any]], whole: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean score as a share of the measure's, and its 95 % interval (delta method)."""
    scores = [r["score"] for r in runs]
    mean, goal, n = float(np.mean(scores)), whole["scratch"], whole["n"]
    error = mean * (1 - mean) / n
    if len(scores) > 1:
        error += float(np.var(scores, ddof=1)) / len(scores)
    found = mean / goal
    reach = 1.96 * found * math.sqrt(error / mean**2 + goal * (1 - goal) / n / goal**2)
    return found, found - reach, found + reach


def lines(name: str, whole: Mapping[str, Any], told: Mapping[Any, Any]) -> Iterator[str]:
    """A line for each way and number of labels, and the least number that is enough."""
    yield (
        f"{name}: {MEASURE}: {whole['scratch']:.3f} of {whole['n']} test rows, {whole['rows']} rows, "
        f"{whole['scratch_flops']:.2e} operations"
    )
    enough: dict[str, int] = {}
    for (strategy, labels), runs in told.items():
        found, low, high = share(runs, whole)
        data = np.mean([r["rows"] for r in runs]) / whole["rows"]
        compute = np.mean([r["flops"] for r in runs]) / whole["scratch_flops"]
        holds = data <= DATA and compute <= COMPUTE and low >= FULL
        if found >= FULL:
            enough.setdefault(strategy, labels)
        yield (
            f"  {strategy:13} {labels:4} a class {data:7.2%} of the labels {compute:9.3%} of the operations "
            f"{found:6.1%} [{low:.1%}, {high:.1%}] of the score: {'holds' if holds else 'does not hold'}"
        )
    for strategy in dict.fromkeys(s for s, _ in told):
        least = enough.get(strategy)
        yield f"  {strategy}: 98 % " + (f"with {least} a class" if least else "with none of these")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="*", choices=list(kinds()))
    parser.add_argument("--labels", nargs="*", type=int, default=[1, 2, 5, 10, 20, 50])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    os.environ["HEADSTART_TRACKING"] = "off"
    if asked.quick:
        arms.FEW_ROWS, arms.TWIN_RATES = 0, (sources.TWIN_RATE,)
    kept: Path | None = asked.keep
    known = finished(kept)

    def held(key: str, *given: Any, **more: Any) -> dict[str, Any]:
        key += " quick" * asked.quick
        if key not in known:
            known[key] = run(*given, **more)
            keep(known, kept)
        found: dict[str, Any] = known[key]
        return found

    bold = {"strategy": "fine_tune", "settings": sources.BOLD}
    for name in asked.sets or kinds():
        file, source, columns = kinds()[name]
        with tempfile.TemporaryDirectory() as folder:
            data = sources.placed(file, Path(folder))
            given = (data, source, columns)
            whole = held(f"{name} all", *given, strategy="linear_probe", scratch=True)
            told: dict[tuple[str, int], list[dict[str, Any]]] = {}
            for way in ({"strategy": "linear_probe"}, bold):
                for labels in asked.labels:
                    for seed in range(asked.draws):
                        more = {"per_class": labels, "seed": seed, "scratch": False, **way}
                        key = f"{name} {way['strategy']} {labels} {seed}"
                        made = held(key, *given, **more)
                        told.setdefault((str(way["strategy"]), labels), []).append(made)
        print("\n".join(lines(name, whole, told)), flush=True)


if __name__ == "__main__":
    main()
