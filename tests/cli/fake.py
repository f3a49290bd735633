"""A made-up `headstart.api`, so that the command line is tried without training anything.

Started as a script it puts itself in the place of `headstart.api` and runs one command line.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from headstart import errors
from headstart.core.dataset import SetAside
from headstart.core.evidence import Measure
from headstart.core.plan import Plan
from headstart.core.run import Step
from headstart.core.store import Space
from tests.report import sample

ODD = ('=HYPERLINK("x")', "-2+3", "plain", 'a,"b"\nc', "\x1b[31mred")


class Row(list[float]):
    """Stands for a row of an array."""


@dataclasses.dataclass
class Predictions:
    """As `serving.predictor.Predictions`."""

    names: list[str]
    labels: list[Any]
    probabilities: list[Row] | None
    classes: tuple[str, ...]
    bad: list[SetAside]
    notes: tuple[str, ...] = ()
    table: tuple[list[str], list[list[Any]]] | None = None
    row_notes: tuple[tuple[str, ...], ...] = ()


class Run:
    """As `api.Run`."""

    def __init__(self, folder: Path, plan: Plan | None = None, word: str = "helped") -> None:
        self.folder = folder
        self.record = sample.record(word)
        if plan is not None:
            self.record = dataclasses.replace(self.record, plan=plan)
        self.verdict = word
        self.sentence = sample._told("The transfer " + word, "+8.4", "+5.1 to +11.7", "")

    def report(self) -> Path:
        path = self.folder / "report.html"
        if self.folder.is_dir():
            path.write_text("<!doctype html>", "utf-8")
        return path

    def predict(self, inputs: Any, watcher: Any = None) -> Predictions:
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        bad = [SetAside(n, "no picture", "send a picture") for n in names if n.startswith("bad")]
        good = [n for n in names if not n.startswith("bad")]
        if names[0] == "numbers":
            return Predictions(good, [1.5 for _ in good], None, (), bad)
        shares = [Row((0.7, 0.1, 0.1, 0.05, 0.05)) for _ in good]
        found = Predictions(good, [ODD[i % len(ODD)] for i in range(len(good))], shares, ODD, bad)
        if "silent.wav" in good:
            told = tuple(("silent", "cut") if n == "silent.wav" else () for n in good)
            found = dataclasses.replace(found, row_notes=told)
        return found

    def replay(self, watcher: Any = None, *, data: str = "") -> dict[str, Any]:
        equal = self.verdict == "helped"
        gap = 0.0 if equal else 0.25
        same = {"data": True, "split": equal}
        return {"equal": equal, "bitwise": equal, "largest_difference": gap, "digests": same}


class Api(types.ModuleType):
    """The module: `calls` keeps what was asked, `fails` is raised by `adapt` and `open_run`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("headstart.api")
        self.folder, self.word = folder, "helped"
        self.calls: list[tuple[str, Any]] = []
        self.fails: BaseException | None = None

    def adapt(self, data: Any = None, *, plan: Plan | None = None, watcher: Any = None) -> Run:
        self.calls.append(("adapt", plan))
        for done in range(4):
            watcher.step(Step("features \x1b[31m", done, 3, "eager"))
        watcher.say("The target column was guessed.")
        if self.fails:
            raise self.fails
        return Run(self.folder, plan, self.word)

    def dry_run(self, plan: Plan, watcher: Any = None) -> dict[str, Any]:
        self.calls.append(("dry_run", plan))
        if watcher:
            watcher.step(Step("read", 960, 960))
            watcher.say("n")
        return {
            "rows": 960,
            "classes": ["a", "b"],
            "predicted_seconds": 12.5,
            "predicted_store_bytes": 2e6,
            "notes": ["n"],
        }

    def open_run(self, name: str, output: str = "") -> Run:
        self.calls.append(("open_run", name))
        if self.fails:
            raise self.fails
        return Run(self.folder, word="harmed" if name == "harmed" else "helped")

    def open_pack(self, folder: Path, offline: bool = False) -> Run:
        self.calls.append(("open_pack", folder))
        return Run(folder)

    def runs(self, output: str = "") -> list[dict[str, str]]:
        entry = {
            "id": "20261121-101500-3fa2",
            "verdict": "no evidence",
            "data": "fields/leaves/of/a/long/path",
            "source": "timm:resnet18.a1_in1k",
            "strategy": "linear_probe",
            "folder": "x",
        }
        return (
            []
            if output == "empty"
            else [entry, {**entry, "verdict": "harmed", "data": "\x1b]0;evil\x07"}]
        )

    def sequence(self, run: str, output: str = "") -> Any:
        how = ("points", "its own run", "made up")
        return types.SimpleNamespace(
            runs=("a", run),
            tasks=("older", "newer"),
            metrics=("accuracy", "accuracy"),
            scores=np.array([[0.9, np.nan], [0.7, 0.8]]),
            measures=(
                Measure("backward transfer", -20.0, -30.0, -10.0, 50, *how, group="older"),
                Measure("backward transfer", -20.0, -30.0, -10.0, 50, *how),
            ),
        )

    def compare(self, first: str, second: str, output: str = "") -> dict[str, Any]:
        ends = dataclasses.asdict(Measure("accuracy", 0.9, 0.85, float("nan"), 10, "share", "", ""))
        figure = {
            "name": "accuracy",
            "baseline": "",
            "unit": "share",
            "first": ends,
            "second": ends,
        }
        return {
            "runs": [first, second],
            "verdicts": ["helped", "harmed"],
            "plan": {"seed": [None, 3]},
            "digests": {},
            "assumptions": {"only_first": ["It rains."], "only_second": []},
            "measures": [figure],
        }

    def sources(self, modality: str = "") -> list[dict[str, Any]]:
        words = "drawings by formula; no photograph at all"
        name = "builtin:formula"
        return [{"modality": "image", "uri": name, "licence": "Apache-2.0", "trained_on": words}]

    def store_list(self, store: str = "") -> list[dict[str, Any]]:
        space = dataclasses.asdict(Space("w" * 64, -1, "t", "eager 2.4", "exact", "x86_64"))
        return [{"space": space, "rows": 960, "bytes": 3_900_000, "last_used": 1.79e9}]

    def store_clear(self, store: str = "", space: str = "") -> int:
        self.calls.append(("store_clear", space))
        return 3_900_000

    def doctor(self) -> list[dict[str, str]]:
        status = "fail" if self.word == "harmed" else "ok"
        remedy = "" if status == "ok" else "free some space"
        return [{"what": "cache folder", "status": status, "detail": "/x", "remedy": remedy}]


FAILURES: dict[str, BaseException] = {
    "user": errors.DataError("There is no column 'x'. Did you mean 'y'?"),
    "contract": errors.FrozenDrift("The tensor 'a' changed."),
    "bug": RuntimeError("boom"),
    "ctrl-c": KeyboardInterrupt(),
}


def main() -> None:
    """fake.py FOLDER FAILURE ARGUMENTS..."""
    folder, failure, *arguments = sys.argv[1:]
    api = Api(Path(folder))
    api.fails = FAILURES.get(failure)
    sys.modules["headstart.api"] = api
    from headstart.cli import main as command

    raise SystemExit(command(arguments))


if __name__ == "__main__":
    main()
