"""Plain facts and warnings about a dataset and its split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core.dataset import Split
from headstart.data import levels, near, partition, positions, tags
from headstart.data.dataset import ArrowDataset

LEAK_ROWS = 20_000
LEAK = 0.01
"""A column that leaves at most this share of the target unexplained gives it away."""
LEAST = 20
"""Cells that a column must have before it can be said to tell."""
REPEATS = 5
"""A category must have so many rows per value on average before it can be said to explain anything."""
IMBALANCE = 10
FEW = 5
CELLS = ("number", "category", "date")
"""Kinds of fields that are single cells of a row."""
MOST_GROUPS = 50
SPARSE = 0.05
"""A column with a value in at most this share of a group's rows is as good as missing there."""


@dataclass(frozen=True)
class Quality:
    """Facts and warnings.

    Attributes:
        facts: "rows", "train", "test", "set_aside", "repeated_rows", "label_conflicts"; for classes
            "classes" (name -> training rows) and "imbalance" (largest by smallest); "tags" (name ->
            training rows), "labels" (name -> training positions); for numbers "target" (least, mean,
            greatest of training); for tables "missing" (column -> share).
        warnings: sentences for a person.
    """

    facts: Mapping[str, Any]
    warnings: tuple[str, ...]


def summary(dataset: ArrowDataset, split: Split) -> Quality:
    """Counts, classes, imbalance, duplicates, label conflicts, and columns that give the target away.

    Targets and columns are looked at on the training rows only.
    """
    targets = dataset.targets(split.train)
    same = near.exact(dataset.digest_array)
    facts: dict[str, Any] = {
        "rows": len(dataset),
        "train": len(split.train),
        "test": len(split.test),
        "set_aside": len(dataset.set_aside),
        "repeated_rows": len(dataset) - len(np.unique(same)),
        "label_conflicts": len(_conflicts(same[split.train], targets)),
    }
    warnings = list[str]()
    if dataset.outcome in partition.CLASSED:
        _classes(targets, facts, warnings)
        if lost := levels.empty(targets, dataset.levels):
            warnings.append(f"No training row has the level {' or '.join(map(repr, lost))}.")
    elif dataset.outcome == tags.OUTCOME:
        _tags(targets, facts, warnings)
    elif dataset.outcome == positions.OUTCOME:
        _tags([[n for n in t if n is not None] for t in targets], facts, warnings, "label")
    elif dataset.outcome == "regress":
        values = np.asarray(targets, np.float64)
        facts["target"] = [float(values.min()), float(values.mean()), float(values.max())]
        if np.ptp(values) == 0:
            warnings.append("All training targets are equal: there is nothing to learn.")
    _columns(dataset, split.train, targets, facts, warnings)
    if facts["label_conflicts"]:
        warnings.append(
            f"{_groups(facts['label_conflicts'])} of equal training rows carry different targets; no model "
            "can be right on all of them. Correct the labels."
        )
    return Quality(facts, tuple(warnings))


def conflict_note(dataset: ArrowDataset) -> tuple[str, ...]:
    """A sentence on equal rows with different targets, or none."""
    if not dataset.target:
        return ()
    same = near.exact(dataset.digest_array)
    found = _conflicts(same, dataset.targets(np.arange(len(dataset))))
    if not found:
        return ()
    shown = "; ".join(" and ".join(dataset.names(rows[:2])) for rows in found[:3])
    return (
        f"{_groups(len(found))} of equal rows carry different targets (first: {shown}). Correct the "
        "labels, or expect errors there.",
    )


def gap_note(dataset: ArrowDataset) -> tuple[str, ...]:
    """Sentences on columns that have (next to) no value in a group, a part or a file, and have elsewhere."""
    told = []
    named = {dataset.columns.get(part) for part in ("group", "split", "origin")} - {None}
    inputs = [f.name for f in dataset.fields if f.base in CELLS]
    for column in sorted(str(n) for n in named):
        groups = dataset.filled(column) if inputs else []
        if len(groups) > MOST_GROUPS:
            continue
        usual = {n for _, rows, cells in groups for n in inputs if cells[n] > SPARSE * rows}
        for value, rows, cells in groups:
            empty = [n for n in inputs if n in usual and cells[n] <= SPARSE * rows]
            if empty and rows >= FEW:
                shown = ", ".join(
                    f"'{n}' ({cells[n]})" if cells[n] else f"'{n}'" for n in empty[:8]
                )
                little = "next to nothing" if any(cells[n] for n in empty) else "nothing"
                told.append(
                    f"Where '{column}' is '{value}' ({rows} rows), {little} is known of {shown}"
                    f"{' ...' if len(empty) > 8 else ''}: missing values there."
                )
    return tuple(told)


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count} groups"


def _conflicts(same: np.ndarray, targets: Sequence[Any]) -> list[np.ndarray]:
    """Row places of every group of equal rows whose targets differ."""
    order = np.argsort(same, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(same[order])) + 1)
    several = [p for p in pieces if len(p) > 1]
    return [p for p in several if len({_plain(targets[i]) for i in p}) > 1]


def _plain(target: Any) -> Any:
    return target.tobytes() if isinstance(target, np.ndarray) else target


def _classes(targets: Sequence[Any], facts: dict[str, Any], warnings: list[str]) -> None:
    counts = Counter(targets)
    sizes = sorted(counts.values())
    facts["classes"] = {str(c): counts[c] for c in partition.ordered(targets)}
    facts["imbalance"] = sizes[-1] / sizes[0]
    if facts["imbalance"] >= IMBALANCE:
        rare = min(counts, key=lambda c: counts[c])
        warnings.append(
            f"The largest class has {facts['imbalance']:.0f} times the rows of the smallest "
            f"({rare!s}: {counts[rare]}). Read the figures per class, not accuracy alone."
        )
    few = [str(c) for c, n in counts.items() if n < FEW]
    if few:
        warnings.append(
            f"{len(few)} classes have fewer than {FEW} training rows ({', '.join(sorted(few)[:5])}); "
            "their figures will be uncertain."
        )
    plain = Counter(" ".join(str(c).split()).casefold() for c in counts)
    alike = sorted(p for p, n in plain.items() if n > 1)
    if alike:
        warnings.append(
            f"Class names that differ only in case or spaces: {', '.join(map(repr, alike[:5]))}. "
            "If they mean the same, rename them."
        )


def _tags(
    targets: Sequence[Any], facts: dict[str, Any], warnings: list[str], what: str = "tag"
) -> None:
    """Training rows of each tag, or positions of each label."""
    counts = Counter(name for target in targets for name in tags.carried(target))
    facts[f"{what}s"] = {name: counts[name] for name in sorted(counts)}
    few = sorted(name for name, n in counts.items() if n < FEW)
    if few:
        warnings.append(
            f"{len(few)} {what}s have fewer than {FEW} training {'rows' if what == 'tag' else 'positions'} "
            f"({', '.join(few[:5])}); their figures will be uncertain."
        )


def _columns(
    dataset: ArrowDataset,
    train: np.ndarray,
    targets: Sequence[Any],
    facts: dict[str, Any],
    warnings: list[str],
) -> None:
    """Missing, constant and telling columns of a table."""
    table = [f for f in dataset.fields if f.base in CELLS]
    if not table:
        return
    step = max(1, -(-len(train) // LEAK_ROWS))
    rows, seen = train[::step], targets[::step]
    samples = dataset.samples(rows)
    missing, telling = dict[str, float](), dict[str, list[str]]()
    for place in table:
        cells = [s[place.name] for s in samples]
        full = [i for i, c in enumerate(cells) if c is not None and c == c]
        if share := 1 - len(full) / max(1, len(cells)):
            missing[place.name] = share
        if len({cells[i] for i in full}) <= 1 and not 0 < len(full) < len(cells):
            warnings.append(
                f"The column '{place.name}' is constant or empty in training; it tells nothing."
            )
            continue
        values, beside = [cells[i] for i in full], [seen[i] for i in full]
        many = len(full) >= LEAST and len(set(beside)) > 1
        outcome = "classify" if dataset.outcome in partition.CLASSED else dataset.outcome
        gives = many and _tells(values, beside, place.base, outcome)
        absent = not gives and _absence_tells(cells, full, seen, outcome)
        if gives or absent:
            telling.setdefault(", by where it is missing" if absent else "", []).append(place.name)
    warnings += [_leaks(names, how) for how, names in telling.items()]
    facts["missing"] = missing


def _leaks(names: Sequence[str], how: str) -> str:
    """What is said of columns that tell the target."""
    shown = ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")
    if len(names) == 1:
        return (
            f"The column {shown} alone gives the target away (all but {LEAK:.0%}){how}. If it is not known "
            "when predictions are made, drop it: the figures would not hold."
        )
    return (
        f"{len(names)} columns give the target away, each alone (all but {LEAK:.0%}){how}: {shown}. If they "
        "are not known when predictions are made, drop them: the figures would not hold."
    )


def _absence_tells(
    cells: Sequence[Any], full: Sequence[int], targets: Sequence[Any], outcome: str
) -> bool:
    """Whether a cell's absence gives the class away: a date of discharge, say, or of a repair."""
    if outcome != "classify" or min(len(full), len(cells) - len(full)) < LEAST:
        return False
    there = set(full)
    return _tells([i in there for i in range(len(cells))], list(targets), "category", outcome)


def _tells(cells: list[Any], targets: list[Any], kind: str, outcome: str) -> bool:
    """Whether one column predicts the target almost surely: as a number, or as names for its values."""
    if kind != "category":
        values = np.asarray(cells, np.float64)
        if outcome == "regress" and _correlated(values, np.asarray(targets, np.float64)):
            return True
        if outcome == "classify" and _cuts(values, partition.codes(targets)[0]):
            return True
    codes, names = partition.codes(cells)
    if len(names) * REPEATS > len(cells):
        return False
    if outcome == "regress":
        numbers = np.asarray(targets, np.float64)
        means = np.bincount(codes, numbers) / np.bincount(codes)
        return bool(((numbers - means[codes]) ** 2).mean() <= LEAK * numbers.var() > 0)
    if outcome != "classify":
        return False
    kinds = partition.codes(targets)[0]
    return _within_errors(codes, kinds) <= LEAK * _blind_errors(kinds)


def _correlated(values: np.ndarray, targets: np.ndarray) -> bool:
    """Whether |Pearson's r| exceeds 0.99 between values, or between their ranks."""
    if np.ptp(values) == 0 or np.ptp(targets) == 0 or not np.isfinite(values).all():
        return False
    ranks = [np.unique(v, return_inverse=True)[1] for v in (values, targets)]
    plain, ranked = np.corrcoef(values, targets)[0, 1], np.corrcoef(ranks[0], ranks[1])[0, 1]
    return bool(max(abs(plain), abs(ranked)) > 1 - LEAK)


def _cuts(values: np.ndarray, kinds: np.ndarray) -> bool:
    """Whether cutting a number into as many pieces as there are classes tells the class."""
    codes = np.unique(values, return_inverse=True)[1]
    order = np.lexsort((kinds, codes))
    changes = int((np.diff(kinds[order]) != 0).sum()) - int(kinds.max())
    return max(changes, 0) / 2 + _within_errors(codes, kinds) <= LEAK * _blind_errors(kinds)


def _within_errors(codes: np.ndarray, kinds: np.ndarray) -> int:
    """Errors of naming the most frequent class of every value."""
    _, pair, many = np.unique(
        codes * (int(kinds.max()) + 1) + kinds, return_index=True, return_counts=True
    )
    most = np.zeros(int(codes.max()) + 1, np.int64)
    np.maximum.at(most, codes[pair], many)
    return int(len(codes) - most.sum())


def _blind_errors(kinds: np.ndarray) -> int:
    """Errors of always naming the most frequent class."""
    return int(len(kinds) - np.bincount(kinds).max())
