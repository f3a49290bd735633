"""Splits without leakage, folds, and the draw of a few labelled rows per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart.core import digest
from headstart.core.dataset import SetAside, Split
from headstart.core.task import Task
from headstart.data import near, partition
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import PARTS, split_rule
from headstart.errors import DataError, PlanError, nearest

CHAIN = 0.1
"""A cluster of near-duplicates that holds more than this share of rows, of several classes, says that
the signature does not tell rows apart."""
CHAIN_ROWS = 20

STRATIFIED = {
    "classify": "stratified",
    "ordinal": "stratified",
    "regress": "stratified by quantiles",
    "tag": "stratified by each row's rarest tag",
    "label_each": "stratified by each row's rarest label",
}


@dataclass(frozen=True)
class MadeSplit(Split):
    """A split with what was done to make it.

    Attributes:
        test_digest: of data and test rows only, whatever was learned from.
        groups: (len(train),) int64; rows of one number belong together (near-duplicates, the group
            column) and must share a fold.
        unused: rows of the training part that `per_class` did not draw, sorted.
        set_aside: training rows left out because a test row repeats them or shares their group.
        notes: sentences for a person.
    """

    test_digest: str = ""
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    unused: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    set_aside: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folds:
    """(train, validation) positions per fold, into the targets that were given; and notes."""

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    notes: tuple[str, ...] = ()


def make_split(
    dataset: ArrowDataset, task: Task, seed: int, signatures: np.ndarray | None = None
) -> MadeSplit:
    """Training and test rows: by the split column, by time, by groups, or drawn.

    Near-duplicates, equal rows and rows of one group never straddle the split: a drawn split keeps
    them together, a given one (by column, folder or time) loses the training rows concerned.

    Args:
        signatures: (n, bytes) uint8; None takes the dataset's own.

    Raises:
        DataError: no split of that kind exists (one group, one time, no test rows ...).
        PlanError: a share or number of the task is impossible.
    """
    _check(dataset, task)
    rows, notes = np.arange(len(dataset)), list[str]()
    targets = dataset.targets(rows)
    twins = _repeats(dataset, task, targets, signatures, notes)
    linked = near.join(twins, _groups(dataset, rows, notes))
    gone = left_out(dataset, task)
    test, how = _choose(dataset, task, seed, targets, linked, notes, gone)
    aside = _straddling(dataset, test, np.flatnonzero(~test & ~gone), linked, notes)
    train = np.setdiff1d(np.flatnonzero(~test & ~gone), aside)
    if not len(train):
        raise DataError(
            f"No training row is left: all {len(aside)} repeat a test row or share its group. Expected "
            "parts that differ; draw the split anew (no split column), or name another group column."
        )
    if gone.any():
        told = " and ".join(f"'{v}'" for v in task.columns.leave_out)
        how += f"; {int(gone.sum())} rows of {told} left out"
        notes.append(f"{int(gone.sum())} rows of {told} are neither learned from nor tested on.")
    how += _kept_together(linked, aside)
    learned = _drawn_rows(dataset, task, seed, train, targets, notes)
    if dataset.outcome == "classify":
        inside = np.array([str(t) != task.out_of_scope for t in targets], bool)
        _missing_classes(targets, learned[inside[learned]], np.flatnonzero(test & inside), notes)
    names = dataset.names(aside)
    return replace(
        _made(dataset, learned, np.flatnonzero(test), how),
        groups=near.renumber(linked[learned]),
        unused=np.setdiff1d(train, learned),
        set_aside=tuple(
            SetAside(n, "repeats a test row or shares its group", "left out of training")
            for n in names
        ),
        notes=tuple(notes),
    )


def _kept_together(linked: np.ndarray, aside: np.ndarray) -> str:
    """What was done about rows that belong together, as the end of a sentence, or ""."""
    several = int((np.bincount(linked) > 1).sum())
    if len(aside):
        return f"; {len(aside)} training rows left out that repeat test rows or share their group"
    return f"; {several} groups of rows that belong together kept whole" if several else ""


def left_out(dataset: ArrowDataset, task: Task) -> np.ndarray:
    """Mask (n,) of the rows whose value in the split column is one that the task leaves out; "validation"
    also stands for its other names. Raises DataError for a value that no row has."""
    gone = np.zeros(len(dataset), bool)
    wanted = task.columns.leave_out
    if not wanted:
        return gone
    column = dataset.columns.get("split")
    if not column:
        raise DataError(
            f"Rows of '{wanted[0]}' should be left out, but no column is the split. Name it: --split COLUMN."
        )
    values = [str(v).strip() for v in dataset.metadata(np.arange(len(dataset)))[column]]
    for value in wanted:
        part = PARTS.get(value.lower())
        mask = [v == value or (part is not None and PARTS.get(v.lower()) == part) for v in values]
        if not any(mask):
            raise DataError(
                f"Rows whose '{column}' is '{value}' should be left out, but it is that nowhere. "
                f"{nearest(value, sorted(set(values)))}"
            )
        gone |= np.array(mask)
    if gone.all():
        raise DataError(
            f"Leaving out {', '.join(map(repr, wanted))} of '{column}' leaves no row. Name fewer values."
        )
    return gone


def folds(
    targets: Sequence[Any],
    k: int,
    seed: int,
    groups: np.ndarray | None = None,
    outcome: str = "classify",
) -> Folds:
    """k-fold: stratified by class (by quantile for "regress"), groups kept together.

    `k` is reduced, with a note, to the rows (or groups) of the smallest class, but not below 2.

    Raises:
        DataError: fewer than two rows, or groups.
    """
    total = len(targets)
    together = np.arange(total) if groups is None else np.asarray(groups, np.int64)
    pieces = len(np.unique(together))
    if k < 2:
        raise PlanError(f"{k} folds were asked for; expected 2 or more.")
    if pieces < 2:
        raise DataError(
            f"All {total} training rows are of one group (a value of the group column, one scaffold, or one "
            "row and its copies), so no part of them can be held out. Add rows of other groups, or group by "
            "something else, or by nothing."
        )
    stratum = partition.strata(targets, outcome, least=k)
    pairs = np.unique(np.stack([stratum, together]), axis=1)
    smallest = int(np.bincount(pairs[0]).min()) if outcome == "classify" else pieces
    used = min(k, max(2, smallest), pieces)
    notes = []
    if used < k:
        what = "group" if groups is not None and pieces < total else "example"
        notes.append(
            f"{used} folds instead of {k}: the smallest class has {smallest} {what}"
            f"{'s' if smallest != 1 else ''} to learn from."
        )
    fold = partition.deal(stratum, together, used, np.random.default_rng(seed))
    parts = tuple((np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(used))
    return Folds(parts, tuple(notes))


def draw(targets: Sequence[Any], per_class: int, seed: int) -> np.ndarray:
    """`per_class` positions of every class, sorted; the protocol of few-label benchmarks.

    One `numpy.random.default_rng(seed)`; for each class in sorted order,
    `rng.choice(positions_of_class, size=min(per_class, count), replace=False)`.
    """
    if per_class < 1:
        raise PlanError(f"per_class came as {per_class}; expected 1 or more.")
    rng = np.random.default_rng(seed)
    number, classes = partition.codes(targets)
    places = [np.flatnonzero(number == c) for c in range(len(classes))]
    picked = [rng.choice(p, size=min(per_class, len(p)), replace=False) for p in places]
    return np.sort(np.concatenate(picked)).astype(np.int64) if picked else np.empty(0, np.int64)


def _check(dataset: ArrowDataset, task: Task) -> None:
    if not 0 < task.test_share < 1:
        raise PlanError(
            f"test_share came as {task.test_share}; expected a share between 0 and 1: 0.25."
        )
    if task.per_class and dataset.outcome not in partition.CLASSED:
        raise PlanError(
            f"per_class = {task.per_class} needs classes, but the outcome is '{dataset.outcome}'. "
            "Leave per_class out."
        )
    if len(dataset) < 2:
        raise DataError(f"{len(dataset)} usable rows cannot be split. Expected two or more.")


def _repeats(
    dataset: ArrowDataset,
    task: Task,
    targets: Sequence[Any],
    signatures: np.ndarray | None,
    notes: list[str],
) -> np.ndarray:
    """Cluster numbers of rows that repeat each other; clusters that tell nothing are dissolved."""
    if not task.near_duplicates:
        notes.append("Near-duplicates were not looked for, as the task asks.")
        return np.arange(len(dataset))
    bits = dataset.signatures() if signatures is None else signatures
    found = near.exact(dataset.digest_array)
    if bits is not None:
        found = near.join(found, near.clusters(bits, dataset.near))
    kinds = partition.codes(targets)[0]
    size = np.bincount(found)
    for cluster in np.flatnonzero(size > max(CHAIN * len(found), CHAIN_ROWS)):
        here = np.flatnonzero(found == cluster)
        if len(np.unique(kinds[here])) > 1:
            found[here] = found.max() + 1 + np.arange(len(here))
            notes.append(
                f"{len(here)} of {len(found)} rows, of several classes, look alike to the search for "
                "near-duplicates; it does not tell them apart and was ignored for them."
            )
    several = np.bincount(found)
    several = several[several > 1]
    if len(several):
        notes.append(f"{several.sum()} rows repeat each other (nearly) in {len(several)} groups.")
    return near.renumber(found)


def _groups(dataset: ArrowDataset, rows: np.ndarray, notes: list[str]) -> np.ndarray:
    """Numbers of the group column; a row without one is a group of its own."""
    column = dataset.columns.get("group")
    if not column:
        return rows
    values = dataset.metadata(rows)[column]
    number = partition.codes([("", str(v)) if v is not None else ("row", str(i))
                              for i, v in enumerate(values)])[0]  # fmt: skip
    empty = sum(v is None for v in values)
    if empty:
        notes.append(f"{empty} rows have no '{column}'; each was taken as a group of its own.")
    return number


def _choose(
    dataset: ArrowDataset,
    task: Task,
    seed: int,
    targets: Sequence[Any],
    linked: np.ndarray,
    notes: list[str],
    gone: np.ndarray,
) -> tuple[np.ndarray, str]:
    """Mask of the test rows, and in words how they were chosen. `gone`: mask of rows left out."""
    rows = np.arange(len(dataset))
    if column := dataset.columns.get("split"):
        here, test = np.flatnonzero(~gone), np.zeros(len(dataset), bool)
        values = dataset.metadata(here)[column]
        if task.columns.split not in ("", column):
            wanted = split_rule(task.columns.split, ())[1]
            told = " or ".join(f"'{v}'" for v in wanted)
            test[here] = _held_out(values, column, wanted)
            return test, f"tested where '{column}' is {told}"
        test[here] = _given(values, column, notes)
        return test, f"given by '{column}'"
    share = task.test_share
    shares = f"{100 * (1 - share):g}/{100 * share:g}"
    if column := dataset.columns.get("time"):
        times = partition.moments(dataset.metadata(rows)[column], column)
        return partition.latest(
            times, share
        ), f"by '{column}' {shares}: the latest rows are the test"
    if len(np.unique(linked)) < 2:
        raise DataError(
            "All rows belong to one group, so none can be kept apart to test on. Expected two groups "
            f"or more{_named(dataset)}; name another group column, or none."
        )
    stratum = partition.strata(targets, dataset.outcome)
    test = partition.drawn(stratum, linked, share, np.random.default_rng(seed))
    if not test.any() or test.all():
        raise DataError(
            f"A test share of {share:g} leaves one part empty with {len(np.unique(linked))} groups in "
            f"{len(rows)} rows{_named(dataset)}. Choose a share nearer to one half, or add groups."
        )
    kind = STRATIFIED.get(dataset.outcome, "drawn")
    grouped = f", grouped by '{dataset.columns['group']}'" if dataset.columns.get("group") else ""
    real = 100 * float(test.mean())
    if abs(real - 100 * share) > 5:
        notes.append(f"The test part holds {real:.0f} % of the rows, as groups were kept whole.")
    return test, f"{kind} {shares}, seed {seed}{grouped}"


def _named(dataset: ArrowDataset) -> str:
    column = dataset.columns.get("group")
    return f" in '{column}'" if column else ""


def _held_out(values: Sequence[Any], column: str, wanted: Sequence[str]) -> np.ndarray:
    """Mask of the rows with one of the values. Raises DataError where a value does not occur."""
    plain = [str(v) for v in values]
    known = sorted(set(plain))
    for value in wanted:
        if value not in known:
            raise DataError(
                f"The test rows should be those where '{column}' is '{value}', but it is that nowhere. "
                f"{nearest(value, known)}"
            )
    mask = np.isin(plain, wanted)
    if not wanted or mask.all():
        raise DataError(
            f"The split '{column}={','.join(wanted)}' leaves one part empty. Expected "
            f"{column}=VALUE with a value of some rows: {', '.join(known[:8])}."
        )
    return mask


def _given(values: Sequence[Any], column: str, notes: list[str]) -> np.ndarray:
    """Mask of the test rows by a column of parts."""
    parts = [PARTS.get(str(v).strip().lower(), "") for v in values]
    odd = sorted({str(v) for v, p in zip(values, parts, strict=True) if not p})
    if odd:
        raise DataError(
            f"The split column '{column}' holds {', '.join(map(repr, odd[:5]))}. Expected 'train', "
            "'test' or 'validation'; correct it, or drop the column to have the split drawn."
        )
    name = "test" if "test" in parts else "validation"
    if name not in parts or "train" not in parts:
        raise DataError(
            f"The split column '{column}' holds only '{parts[0]}'. Expected rows of 'train' and of "
            "'test'; correct it, or drop the column to have the split drawn."
        )
    if name == "validation":
        notes.append("There are no test rows; the validation rows are the sealed test split.")
    elif "validation" in parts:
        notes.append(
            f"{parts.count('validation')} validation rows were added to those to learn from; "
            "--leave-out validation keeps them away."
        )
    return np.array([p == name for p in parts])


def _straddling(
    dataset: ArrowDataset,
    test: np.ndarray,
    rest: np.ndarray,
    linked: np.ndarray,
    notes: list[str],
) -> np.ndarray:
    """Those of the other rows `rest` that belong together with a test row."""
    aside = rest[np.isin(linked[rest], linked[test])]
    if len(aside):
        shown = ", ".join(dataset.names(aside[:5])) + (" ..." if len(aside) > 5 else "")
        notes.append(
            f"{len(aside)} training rows repeat a test row (nearly) or share its group; they were left "
            f"out of training: {shown}."
        )
    return aside


def _drawn_rows(
    dataset: ArrowDataset,
    task: Task,
    seed: int,
    train: np.ndarray,
    targets: Sequence[Any],
    notes: list[str],
) -> np.ndarray:
    """The rows to learn from: all, or `per_class` of every class."""
    if not task.per_class:
        return train
    here = [targets[i] for i in train]
    learned = np.asarray(train[draw(here, task.per_class, seed)])
    notes.append(
        f"{len(learned)} of {len(train)} training rows were drawn, {task.per_class} per class with "
        f"seed {seed}; the others stay unused."
    )
    counts = np.bincount(partition.codes(here)[0])
    if (few := int((counts < task.per_class).sum())) > 0:
        notes.append(
            f"{few} classes have fewer than {task.per_class} training rows; all were taken."
        )
    return learned


def _missing_classes(
    targets: Sequence[Any], train: np.ndarray, test: np.ndarray, notes: list[str]
) -> None:
    learned, tested = {targets[i] for i in train}, {targets[i] for i in test}
    if len(learned) < 2:
        raise DataError(
            f"The training part holds one class only ({next(iter(learned), None)!r}). Expected two or more; "
            "draw the split by class (no split, time or group column), or add examples."
        )
    for odd, where, result in (
        (tested - learned, "training", "cannot be predicted"),
        (learned - tested, "test", "is not measured"),
    ):
        if odd:
            shown = ", ".join(f"'{c}'" for c in sorted(map(str, odd))[:5])
            more = " ..." if len(odd) > 5 else ""
            notes.append(f"No {where} row of {len(odd)} classes ({shown}{more}): that {result}.")


def _made(dataset: ArrowDataset, train: np.ndarray, test: np.ndarray, how: str) -> MadeSplit:
    train, test = np.sort(train).astype(np.int64), np.sort(test).astype(np.int64)
    tested = digest.row(test.tobytes()).hex()
    return MadeSplit(
        train=train,
        test=test,
        how=how,
        digest=digest.value([dataset.digest, digest.row(train.tobytes()).hex(), tested]),
        test_digest=digest.value([dataset.digest, tested]),
    )
