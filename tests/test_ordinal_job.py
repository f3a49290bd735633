"""A run whose target is a grade, from a table of words with an order."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api
from headstart.cli import _tables
from headstart.errors import DataError

GRADES = ("poor", "fair", "good", "best")


def write(path: Path, rows: int = 120) -> Path:
    """Three numbers, of which one decides the grade."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(rows, 3))
    grades = np.searchsorted((-1.0, 0.0, 1.0), numbers[:, 0] + 0.3 * rng.normal(size=rows))
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["a", "b", "c", "grade"])
        for values, grade in zip(numbers, grades, strict=True):
            lines.writerow([*(f"{v:.4f}" for v in values), GRADES[grade]])
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("grades")
    return hs.adapt(
        write(folder / "rows.csv"),
        columns={"target": "grade"},
        levels=GRADES,
        seeds=1,
        learning_curve=False,
        output=str(folder / "runs"),
    )


def test_it_ends_with_a_verdict_on_closeness(run: api.Run) -> None:
    assert run.record.classes == GRADES
    assert run.verdict in ("helped", "harmed", "no evidence")
    assert "closeness to the true level" in run.sentence
    found = {(m.name, m.group): m for f in run.record.findings for m in f.measures}
    assert found["quadratic weighted kappa", ""].value > 0.6
    assert found["mean absolute error", ""].unit == "levels"
    assert any(g.startswith("simple champion") for n, g in found if n == "mean absolute error")


def test_the_pack_tells_the_grades_of_new_rows(run: api.Run) -> None:
    rows = {"a": [-2.5, -0.5, 0.5, 2.5], "b": [0.0] * 4, "c": [0.0] * 4}
    told = api.open_run(run.folder).predict(rows)
    assert told.labels == list(GRADES)
    assert told.probabilities is not None
    assert np.allclose(told.probabilities.sum(axis=1), 1.0)
    columns, lines = _tables.predicted(told, True)
    assert columns[:3] == ["name", "prediction", "confidence"]
    for line, shares in zip(lines, told.probabilities, strict=True):
        assert line[2] == pytest.approx(shares[GRADES.index(line[1])])


def test_the_report_names_the_levels(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "Which of 4 levels" in page
    assert "quadratic weighted kappa" in page
    assert all(name in page for name in GRADES)


def test_the_record_is_read_back_and_replayed(run: api.Run) -> None:
    held = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert list(held["classes"]) == list(GRADES)
    assert run.replay()["equal"]


def test_words_without_an_order_say_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--levels LOWEST"):
        hs.adapt(write(tmp_path / "r.csv"), columns={"target": "grade"}, outcome="ordinal")
