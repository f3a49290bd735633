"""What a check hands back: measures and exhibits, never a judgement (gates judge)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Basis = Literal["observed", "inferred"]


@dataclass(frozen=True)
class Measure:
    """A number with its interval, size, unit, baseline and method.

    Attributes:
        name: what is measured, in words a report can print ("accuracy").
        value: the point estimate; NaN where it is not measured.
        low, high: ends of the interval at `level`; None only for exact counts (rows, bytes).
        n: how many rows, or repeats, the number rests on.
        unit: "share", "points", "seconds", "FLOPs", "bytes", "joules", "" ...
        baseline: what it is compared with, or "".
        method: how number and interval were made.
        basis: whether the number was observed or inferred.
        group: the slice or class that it speaks of, or "".
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    baseline: str
    method: str
    basis: Basis = "observed"
    group: str = ""
    level: float = 0.95


@dataclass(frozen=True)
class Exhibit:
    """Something to look at, as plain data; `kind` tells the report how to draw it.

    Kinds: "matrix", "curve", "bars", "table", "samples", "sentence".
    `data` holds only what JSON can hold.
    """

    name: str
    kind: str
    title: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """All that one check found. `missing` lists what it could not measure, with the reason."""

    check: str
    measures: tuple[Measure, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


def _one(first: np.ndarray, second: np.ndarray) -> float:
    return 1.0


def _defined(targets: np.ndarray) -> str:
    return ""


@dataclass(frozen=True)
class Score:
    """How an outcome's rows are scored; the mean over rows is the score of an arm, higher is better.

    A score that is no plain mean (R2, AUROC) is linearised: its rows' mean is the score, and their
    spread that of the score (delta method).

    Attributes:
        name: "accuracy".
        words: the same for somebody who knows the subject and not the field ("share of right answers").
        rows: outputs (seeds, rows, ...) and targets (rows, ...) -> (seeds, rows).
        share: whether each row's score lies between 0 and 1.
        points: whether differences are told in hundredths.
        undefined: targets -> why there is no score on them, or "".
        step: row scores of two arms -> what a row that differs would look like where none does.
    """

    name: str
    words: str
    rows: Callable[[np.ndarray, np.ndarray], np.ndarray]
    share: bool = False
    points: bool = False
    undefined: Callable[[np.ndarray], str] = _defined
    step: Callable[[np.ndarray, np.ndarray], float] = _one

    def of(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Score of the outputs of one seed, (rows, ...)."""
        return float(self.rows(outputs[None], targets).mean())

    @property
    def factor(self) -> float:
        """What differences are multiplied by to be told."""
        return 100.0 if self.points else 1.0

    @property
    def unit(self) -> str:
        """Unit of a told difference."""
        return "points" if self.points else self.name


@dataclass(frozen=True)
class Arm:
    """One way of solving the task, trained from several seeds and read on the same test rows.

    Attributes:
        name: "transfer", "from scratch", "champion: ...".
        outputs: (seeds, rows, classes) probabilities, or (seeds, rows) predicted numbers; of positions
            (seeds, rows, positions, classes), NaN behind a row's end; (seeds, rows, 3) spans that answer.
        validation: score of each seed on validation rows, (seeds,); higher is better.
        flops: floating-point operations of training one seed.
        seconds: time of training one seed.
        note: a sentence on the arm's limits ("was still improving when its budget ended").
        chance: whether anything is drawn when it is trained; where not, one training tells all.
    """

    name: str
    outputs: np.ndarray
    validation: np.ndarray
    flops: float = float("nan")
    seconds: float = float("nan")
    note: str = ""
    chance: bool = True


@dataclass(frozen=True)
class Outside:
    """How far test rows lie outside the known classes, by several detectors; higher is farther.

    Attributes:
        chosen: the detector that the pack carries.
        threshold: rows that it scores higher are marked as out of scope.
        known: detector -> (rows,) scores of the case's test rows.
        beyond: detector -> (n,) scores of test rows of no known class, which no arm has read.
        groups: (n,) group of each of those, or None.
    """

    chosen: str
    threshold: float
    known: Mapping[str, np.ndarray]
    beyond: Mapping[str, np.ndarray]
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Nearest:
    """The training rows that are nearest to each test row, by cosine of the stored features.

    Attributes:
        labels: (rows, most) class numbers, the nearest first.
        sizes: (classes,) training rows of each class.
    """

    labels: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class Case:
    """What `adapt` hands to a check; a check opens nothing itself.

    Attributes:
        outcome: a file name of `heads/`.
        classes: class names in the order of the outputs; empty for regression.
        targets: (rows,) class numbers or numbers, or (rows, classes) of 0, 1 and NaN for tags, of the
            opened test split; (rows, positions) class numbers, -1 for no label, for labels of positions;
            encoded answers, see `core/answers.py`.
        arms: by role: "transfer", and where they exist "scratch" and "champion".
        validation_targets, validation_outputs: out-of-fold or validation rows of the transfer arm,
            for calibration fits; shapes as `targets` and one seed of `Arm.outputs`.
        score: how rows of the outcome are scored.
        groups: (rows,) group of each test row, or None.
        metadata: further columns of the test rows by name, each (rows,).
        facts: counters and texts that `adapt` recorded (FLOPs, seconds, bytes, licences ...).
        seed: seed for resampling.
        outside: scores of a detector of rows out of scope, or None.
        nearest: the nearest training rows, or None where there are too many rows to look.
    """

    outcome: str
    classes: tuple[str, ...]
    targets: np.ndarray
    arms: Mapping[str, Arm]
    validation_targets: np.ndarray
    validation_outputs: np.ndarray
    score: Score
    groups: np.ndarray | None = None
    metadata: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    outside: Outside | None = None
    nearest: Nearest | None = None


@runtime_checkable
class Check(Protocol):
    """One file in `evidence/`: its module offers these names.

    Attributes:
        NEEDS: what the case should carry beside `targets` and the transfer arm: any of
            "scratch", "champion", "validation", "groups", or a key of `facts`. `adapt` supplies what
            it can; what did not come the check lists in `Finding.missing`.
        OUTCOMES: the outcomes that it serves; ("any",) for all there are.
        CONCERNS: optional: the key of `facts` without which there is nothing that it could speak of, so that
            runs without it are not told that it is missing.
    """

    NEEDS: Sequence[str]
    OUTCOMES: Sequence[str]

    def check(self, case: Case) -> Finding:
        """Measures the case. Pure: same case, same finding."""
        ...


def serves(check: Check, outcome: str) -> bool:
    """Whether a check serves an outcome."""
    return outcome in check.OUTCOMES or "any" in check.OUTCOMES
