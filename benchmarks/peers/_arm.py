"""What an arm is given and hands back. Nothing here imports a library: what an arm needs it imports itself.

An arm is a file of this folder with `NEEDS`, modules by kind of data, and `learn(task, what)`, which trains
and gives a function from cells (texts, or paths of pictures) to predicted labels. It runs in its own process:

    python -m benchmarks.peers._arm NAME WHAT TASK.json TOLD.json
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

Predict = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class Task:
    """Rows, the same for all arms.

    Attributes:
        kind: "text" or "image".
        train, test: texts, or paths of picture files.
        labels, answers: their classes, from 0.
        classes: how many there are.
        weights: folder of the text network, or file of the picture network's tensors.
        source: the same as headstart names it.
        side: of pictures, pixels.
        epochs: over the training rows.
        seed: of the draw, and of the training.
    """

    kind: str
    train: list[str]
    labels: list[int]
    test: list[str]
    answers: list[int]
    classes: int
    weights: str
    source: str
    side: int
    epochs: int
    seed: int

    def save(self, place: Path) -> None:
        place.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, place: Path) -> Task:
        return cls(**json.loads(place.read_text("utf-8")))


def peak() -> float:
    """Largest resident size of this process so far, MB (10^6 bytes)."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(held * (1 if sys.platform == "darwin" else 1024) / 1e6)


def _imported(modules: Sequence[str]) -> str:
    """Imports modules; the first that is absent or broken, with what was said, or ""."""
    for name in modules:
        package = name.partition(".")[0]
        if find_spec(package) is None:
            return f"{package} is not installed"
        try:
            import_module(name)
        except Exception as error:
            return f"{name} cannot be imported ({type(error).__name__}: {error})".splitlines()[0]
    return ""


def main() -> None:
    name, what, given, told = sys.argv[1:]
    began = time.perf_counter()
    file = import_module(f"benchmarks.peers.{name}")
    task = Task.read(Path(given))
    why = _imported(file.NEEDS[task.kind])
    if why:
        Path(told).write_text(json.dumps({"absent": why}), "utf-8")
        return
    loaded = time.perf_counter()
    predict = file.learn(task, what)
    seconds, held = time.perf_counter() - loaded, peak()
    said = predict(task.test)
    right = [int(a == b) for a, b in zip(said, task.answers, strict=True)]
    found = {"right": right, "seconds": seconds, "start": loaded - began, "mb": held}
    Path(told).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
