"""What fine-tuning forgets, and what a required retention costs: CIFAR-10 is remembered, another is learned.

    python -m benchmarks.retention [--target usps] [--labels 20] [--draws 5] [--retain 0.95] [--keep FILE]

Needs HEADSTART_DATA. A linear head for CIFAR-10 is solved on the untouched source's features; "kept" is the
share of its accuracy, on rows that nothing learned from, that it still has when it reads the adapted
network's features. Fine-tuning at the settings of "auto" that move most is run as it is, with half of the
way back to the source (WiSE-FT, arXiv:2109.01903), and with the retention as a requirement, on the same
draws of so many labels a class; the target's scores are of the same test rows. Intervals are Student's over
draws, that of a difference widened by its error over test rows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _data, sources, strategies
from benchmarks._kept import finished, keep

KNOWN = "cifar10/cifar10_subset.parquet"
SET = strategies.Kind("", "builtin:formula", "", sources.PICTURE)
PLAIN = "fine_tune"


def ways(least: float) -> dict[str, dict[str, Any]]:
    """Name -> how `headstart.adapt` is asked. One rate, so that all ways move alike far."""
    bold = sources.BOLD
    return {
        PLAIN: {"strategy": "fine_tune", "settings": bold},
        "wise 0.5": {"strategy": "fine_tune", "settings": {**bold, "wise": 0.5}},
        f"retain {least:g}": {"strategy": "fine_tune", "settings": bold, "retain": least},
        "l2_sp": {"strategy": "l2_sp"},
        "lwf": {"strategy": "lwf"},
        "ewc": {"strategy": "ewc"},
        "replay": {"strategy": "replay"},
        "linear_probe": {"strategy": "linear_probe"},
    }


def _run(data: Path, way: Mapping[str, Any], labels: int, seed: int) -> dict[str, Any]:
    """One run of `benchmarks.strategies`. Exits where it is refused."""
    remembered, asked = str(_data.root() / KNOWN), {"settings": {}, **way}
    name = asked.pop("strategy")
    made = strategies.run(str(data), SET, remembered, name, labels, seed, **asked)
    if "refused" in made:
        raise SystemExit(f"{name}: {made['refused']}")
    return made


def lines(told: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A line a way."""
    plain = told[PLAIN]
    for name, runs in told.items():
        score = np.mean([np.mean(r["right"]) for r in runs])
        away = [sources.paired(r["right"], p["right"]) for r, p in zip(runs, plain, strict=True)]
        mean, low, high = sources.interval(away)
        kept, least, most = sources.interval([(r["kept"], 0.0) for r in runs])
        alphas = [r["alpha"] for r in runs if name.startswith("retain")]
        way = f"  {', '.join(f'{a:.0%}' for a in alphas)} of the way" if alphas else ""
        yield (
            f"{name:14} {score:6.3f} {mean:+6.1f} [{low:+.1f}, {high:+.1f}]   {kept:5.2f} "
            f"[{least:.2f}, {most:.2f}] {np.mean([r['seconds'] for r in runs]):7.1f}{way}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="usps", choices=sorted(sources.kinds()["image"].sets))
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--retain", type=float, default=0.95)
    parser.add_argument("--ways", nargs="*", help="some of them, fine_tune first")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    os.environ["HEADSTART_TRACKING"] = "off"
    kept: Path | None = asked.keep
    known = finished(kept)
    told: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = sources.placed(sources.kinds()["image"].sets[asked.target][0], Path(folder))
        for name, way in ways(asked.retain).items():
            if asked.ways and name not in (PLAIN, *asked.ways):
                continue
            for seed in range(asked.draws):
                key = f"{asked.target} {asked.labels} {seed} {name}"
                if key not in known:
                    known[key] = _run(data, way, asked.labels, seed)
                    keep(known, kept)
                told.setdefault(name, []).append(known[key])
    print(f"{'way':14} {'target':>6}  against fine_tune      kept                seconds")
    print("\n".join(lines(told)))


if __name__ == "__main__":
    main()
