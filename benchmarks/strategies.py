"""Every strategy on real sets: score, what is forgotten, seconds, memory and trained parameters.

    python -m benchmarks.strategies [--sets usps ...] [--strategies lora ...] [--labels 10 50 200] [--draws 3]
                                    [--steps N] [--quick] [--keep FILE]

Needs HEADSTART_DATA. A draw takes so many labels a class (as many as there are) from a set's training part;
all strategies learn from the same draws and are scored on the same test rows. The gain over the probe is in
points of accuracy, its interval Student's over draws, widened by the error of the paired difference over test
rows. "kept" is the share of what the source could do on another set of its kind, of which a head was solved
on its untouched features. Every run is a process of its own: its memory is that process's largest, less what
it had before the run. Of texts the first 32 tokens are read, and the upper three of six layers learn.

--steps gives all that train with patience so many passes as make about that many steps of 32 rows, and a
quarter of them as patience; without it each takes its own number of passes. --quick tries one rate and holds
out one fifth of the rows in place of five in turn. --keep is a file of finished runs, with which a stopped
table goes on.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import headstart
from benchmarks import _data, sources
from benchmarks._kept import finished, keep
from headstart import arms
from headstart.core import plugins

PROBE = "linear_probe"
OTHERS = ("from_scratch", "in_context")
REMEMBERED = 200  # rows a part of the set on which forgetting is measured
BATCH = 32
UPPER = {"cut": -3}


@dataclass(frozen=True)
class Kind:
    """A set, the source, and the set on which forgetting is measured.

    Attributes:
        file: below the folder of real data, or a name that `benchmarks.sources` makes.
        settings: of every strategy that has them.
    """

    file: str
    source: str
    known: str
    columns: Mapping[str, Any] = field(
        default_factory=lambda: {"target": "label", "split": "split"}
    )
    settings: Mapping[str, Any] = field(default_factory=dict)


def kinds() -> dict[str, Kind]:
    """Photos, digits, texts, sounds and a series."""
    seen, words = _data.picture_source(96), "builtin:minilm?max_length=32"
    spoken = {"inputs": ["audio"], "target": "label", "split": sources.SPEAKERS}
    photos = {"inputs": ["image"], "target": "label", "split": "split"}
    return {
        "usps": Kind("usps", "builtin:formula", "", photos),
        "fsdd": Kind("fsdd/fsdd.parquet", "builtin:words", "", spoken),
        "GunPoint": Kind("ucr/GunPoint.npz", "builtin:curves", "", {}),
        "sentiment_sentences": Kind(
            "sentiment_sentences/sentiment_sentences.parquet",
            words,
            "ag_news_small/ag_news_small.parquet",
            settings=UPPER,
        ),
        "ag_news_small": Kind(
            "ag_news_small/ag_news_small.parquet",
            words,
            "sentiment_sentences/sentiment_sentences.parquet",
            settings=UPPER,
        ),
        "ants_bees": Kind(
            "ants_bees/ants_bees.parquet", seen, "cifar10/cifar10_subset.parquet", photos
        ),
        "cifar10": Kind(
            "cifar10/cifar10_subset.parquet", seen, "ants_bees/ants_bees.parquet", photos
        ),
    }


def strategies() -> list[str]:
    """The probe first, then all that start from a source of any kind."""
    return [PROBE, *(n for n in plugins.names("strategy") if n not in (PROBE, *OTHERS))]


def remembered(file: str, folder: Path) -> Path:
    """Some rows of each part of a set, as labelled data with a split."""
    table = pq.read_table(_data.root() / file)
    parts = np.array(table["split"].to_pylist())
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(parts == p))[:REMEMBERED] for p in ("train", "test")]
    kept = [n for n in ("image", "text", "label", "split") if n in table.column_names]
    place = folder / f"known-{Path(file).name}"
    pq.write_table(table.select(kept).take(pa.array(np.concatenate(rows))), place)
    return place


def run(
    data: str,
    kind: Kind,
    known: str,
    strategy: str,
    labels: int,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One run, in this process: what is kept of it, or why it was refused.

    Args:
        data, known: files of the set, and of the one on which forgetting is measured.
        settings: of the strategy; None: the set's.
        more: for `headstart.adapt`.
    """
    os.environ["HEADSTART_TRACKING"] = "off"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = headstart.adapt(
                data,
                columns=dict(kind.columns),
                source=kind.source,
                strategy=strategy,
                settings=_settings(strategy, kind) if settings is None else dict(settings),
                per_class=labels,
                seed=seed,
                seeds=1,
                scratch=False,
                champion=False,
                learning_curve=False,
                checks=["accuracy", "forgetting"],
                remember=known,
                **{"output": folder, **more},
            )
        except headstart.errors.UserError as error:
            return {"refused": str(error)}
        record = made.record
    told, finding = record.predictions, record.finding("forgetting")
    right = np.asarray(told["outputs"]).argmax(1) == np.asarray(told["targets"])
    measures = {m.name: m.value for m in (finding.measures if finding else ())}
    return {
        "right": right.astype(int).tolist(),
        "rows": record.facts["train_rows"],
        "kept": measures.get("source ability kept"),
        "alpha": record.facts["strategy_settings"].get("retained_way"),
        "seconds": record.facts["seconds_model"],
        "parameters": record.facts.get("trained_parameters"),
        "mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def _settings(strategy: str, kind: Kind) -> dict[str, Any]:
    """The set's, and in a quick table the strategy's own rate, so that no other is tried."""
    own = plugins.load("strategy", strategy).Settings
    usual = {n: getattr(own(), n) for n in ("rate",) if hasattr(own(), n)}
    given = {n: v for n, v in kind.settings.items() if hasattr(own(), n)}
    return {**(usual if arms.FEW_ROWS == 0 else {}), **given}


def lasting(strategy: str, steps: int, rows: int) -> dict[str, int]:
    """Passes over so many rows that make about `steps` steps, and patience; {}: as the strategy says."""
    own = plugins.load("strategy", strategy).Settings
    if not steps or not hasattr(own(), "patience"):
        return {}
    epochs = math.ceil(steps / math.ceil(rows / BATCH))
    return {"epochs": epochs, "patience": math.ceil(epochs / 4)}


def _apart(quick: bool, asked: tuple[Any, ...], told: Any) -> None:
    if quick:
        arms.FEW_ROWS = 0
    told.send(run(*asked))


def alone(quick: bool, *asked: Any) -> dict[str, Any]:
    """`run` in a process of its own. Raises SystemExit where that ended without a word."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["headstart.api", "torch"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(quick, asked, there))
    process.start()
    there.close()
    try:
        found: dict[str, Any] = here.recv()
    except EOFError:
        raise SystemExit(f"The run {asked[3:]} ended without a result.") from None
    process.join()
    return found


def collected(name: str, labels: int, asked: argparse.Namespace) -> dict[str, dict[int, Any]]:
    """Strategy -> draw -> what `run` gave; runs that the kept file has are not repeated."""
    kept: Path | None = asked.keep
    known_runs = finished(kept)
    kind, made = kinds()[name], {}
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        data = sources.placed(kind.file, folder)
        known = str(remembered(kind.known, folder)) if kind.known else ""
        for strategy in dict.fromkeys([PROBE, *(asked.strategies or strategies())]):
            for seed in range(asked.draws):
                key = f"{name} {labels} {seed} {strategy}" + " quick" * asked.quick
                key += f" {asked.steps} steps" * bool(asked.steps)
                if key not in known_runs:
                    rows = made[PROBE][seed]["rows"] if strategy != PROBE else 0
                    more = lasting(strategy, asked.steps, rows)
                    long = replace(kind, settings={**kind.settings, **more})
                    told = alone(asked.quick, str(data), long, known, strategy, labels, seed)
                    known_runs[key] = told
                    keep(known_runs, kept)
                made.setdefault(strategy, {})[seed] = known_runs[key]
                if "refused" in known_runs[key]:
                    break
    return made


def lines(name: str, labels: int, told: Mapping[str, dict[int, Any]]) -> Iterator[str]:
    """A line a strategy."""
    for strategy, draws in told.items():
        begin = f"{name:20} {labels:4}  {strategy:17}"
        if "refused" in draws[0]:
            yield f"{begin} refused: {draws[0]['refused']}"
            continue
        runs = list(draws.values())
        probe = [told[PROBE][seed]["right"] for seed in draws]
        gains = [sources.paired(r["right"], p) for r, p in zip(runs, probe, strict=True)]
        mean, low, high = sources.interval(gains)
        score = np.mean([np.mean(r["right"]) for r in runs])
        kept = [r["kept"] for r in runs if r["kept"] is not None]
        share = f"{np.mean(kept):5.2f}" if kept else "    -"
        middle = {n: np.mean([r[n] or np.nan for r in runs]) for n in ("seconds", "mb")}
        count = runs[0]["parameters"]
        yield (
            f"{begin} {score:.3f} {mean:+6.1f} [{low:+.1f}, {high:+.1f}]  {share} {middle['seconds']:7.1f} "
            f"{middle['mb']:6.0f} {'-' if count is None else f'{count:,}':>11}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="*", choices=list(kinds()))
    parser.add_argument("--strategies", nargs="*", choices=strategies())
    parser.add_argument("--labels", nargs="*", type=int, default=[10, 50, 200])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    head = f"{'set':20} {'labels':>4} {'strategy':16} score  gain over the probe   kept"
    print(f"{head} seconds     MB     trained")
    for labels in asked.labels:
        for name in asked.sets or kinds():
            print("\n".join(lines(name, labels, collected(name, labels, asked))), flush=True)


if __name__ == "__main__":
    main()
