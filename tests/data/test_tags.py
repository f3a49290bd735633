"""Targets of several tags a row: lists, texts with marks, and columns of 0 and 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.core import plugins
from headstart.core.task import Columns, Task
from headstart.data import partition, quality, splits
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import from_arrays, open_data
from headstart.errors import DataError

READERS = {"table": plugins.Modality("table").read}


def opened(path: Path, target: str, outcome: str = "tag", **more: Any) -> ArrowDataset:
    task = Task(data=str(path), outcome=outcome, columns=Columns(target=target), **more)
    return open_data(task, READERS, cache=path.parent / "cache")


def table(path: Path, header: str, lines: list[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_texts_are_cut_at_their_mark(tmp_path: Path) -> None:
    lines = [
        f"{i},{i % 3}.5,{t}" for i, t in enumerate(["red; round", "", "round", " red ;red"] * 5)
    ]
    made = opened(table(tmp_path / "t.csv", "size,weight,kinds", lines), "kinds")
    assert made.outcome == "tag"
    assert made.targets(np.arange(4)) == [("red", "round"), (), ("round",), ("red",)]
    assert any("told apart by ';'" in note for note in made.notes)


def test_lists_are_tags_without_being_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    rows = [{"size": i % 7 / 2, "tags": ["a"] if i % 2 else ["b", "a"]} for i in range(20)]
    path.write_text("\n".join(json.dumps(r) for r in rows))
    made = opened(path, "tags", "auto")
    assert made.outcome == "tag"
    assert made.targets(np.arange(2)) == [("b", "a"), ("a",)]
    with pytest.raises(DataError, match=r"several values a row.*outcome tag"):
        opened(path, "tags", "classify")


@pytest.mark.parametrize("target", ["NR-A,NR-B", "NR-*"])
def test_columns_of_0_and_1_are_tags_and_an_empty_cell_is_not_known(
    tmp_path: Path, target: str
) -> None:
    lines = [f"{i % 7}.5,{a}" for i, a in enumerate(["1,0", "0,", ",", "1,1"] * 6)]
    made = opened(table(tmp_path / "t.csv", "size,NR-A,NR-B", lines), target, tolerate=0.5)
    assert made.outcome == "tag"
    assert made.targets(np.array([0, 1])) == [
        (("NR-A", 1), ("NR-B", 0)),
        (("NR-A", 0), ("NR-B", None)),
    ]
    assert len(made) == 18
    assert len(made.set_aside) == 6
    assert "no label in 'tags'" in made.set_aside[0].reason


@pytest.mark.parametrize(
    ("header", "cell", "target", "said"),
    [
        ("size,a,b", "1,2", "a,b", "'b' was named as a tag, but holds 2"),
        ("size,a,b", "1,0", "a,c", "no column 'c'"),
        ("size,a,b", "1,0", "a", "expected tags: a column of lists"),
        ("tags,a,b", "1,0", "a,b", "a column called 'tags' beside the tags"),
    ],
)
def test_what_are_no_tags_is_refused(
    tmp_path: Path, header: str, cell: str, target: str, said: str
) -> None:
    path = table(tmp_path / "t.csv", header, [f"{i % 7}.5,{cell}" for i in range(20)])
    with pytest.raises(DataError, match=said):
        opened(path, target)


def test_arrays_take_lists_of_tags() -> None:
    made = from_arrays(np.arange(40.0).reshape(20, 2), [["a"], ["a", "b"]] * 10, READERS)
    assert made.outcome == "tag"
    assert made.targets(np.array([1])) == [("a", "b")]


def test_rare_tags_fall_on_both_sides_and_are_counted() -> None:
    targets = [["rare", "often"] if i % 10 == 0 else ["often"] if i % 2 else [] for i in range(80)]
    task = Task(outcome="tag")
    made = from_arrays(np.random.default_rng(0).normal(size=(80, 3)), targets, READERS, task=task)
    split = splits.make_split(made, task, 0)
    held = [t for t in made.targets(split.test) if "rare" in t]
    assert len(held) == 2
    assert "rarest tag" in split.how
    facts = quality.summary(made, split).facts
    assert facts["tags"]["rare"] == 6


def test_encoded_and_raw_tags_fall_into_the_same_strata() -> None:
    raw = [("a",), ("a", "b"), (), ("b",), ("a",), (("a", 1), ("b", None))]
    encoded = [np.array(v) for v in ([1, 0.0], [1, 1], [0, 0], [0, 1], [1, 0], [1, np.nan])]
    assert (partition.strata(raw, "tag") == partition.strata(encoded, "tag")).all()
