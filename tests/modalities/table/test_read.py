"""Cells of a table: what is claimed, what is missing, what is a bad row."""

from __future__ import annotations

import decimal
from pathlib import Path

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.errors import BadRow
from headstart.modalities.table import read

AGE, CITY = Field("age", "number"), Field("city", "category")
FIELDS = (AGE, CITY)
HERE = Path("/")


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("age", [1, 2.5, np.float32(3)], "number"),
        ("price", [decimal.Decimal("1.50"), decimal.Decimal("2")], "number"),
        ("age", ["1", "2.5", "?", "-3e2"], "number"),
        ("city", ["Oslo", "Lima"] * 10, "category"),
        ("member", [True, False, True], "category:boolean"),
        ("member", [np.True_, np.False_], "category:boolean"),
        ("id", [1, 2, 3], None),
        ("Name", [f"Braund, Mr. Owen {i}" for i in range(30)], None),
        ("review", ["It was a nice and very quiet place to stay."] * 10, None),
        ("gone", [None, float("nan"), "NA"], None),
        ("blob", [b"1", b"2"], None),
    ],
)
def test_claims_numbers_and_levels(name: str, values: list[object], kind: str | None) -> None:
    assert read.claim(name, values, HERE) == kind


@pytest.mark.parametrize("cell", [None, float("nan"), "", " ", "NA", "n/a", "?", "null", "NaN"])
def test_missing_marks_are_none(cell: object) -> None:
    assert read.load(cell, AGE, HERE) is None
    assert read.load(cell, CITY, HERE) is None


def test_a_word_among_numbers_is_a_bad_row() -> None:
    with pytest.raises(BadRow, match="'twelve' in column 'age' is no number"):
        read.load("twelve", AGE, HERE)


def test_infinity_is_a_bad_row() -> None:
    sample = {"age": read.load("inf", AGE, HERE), "city": "Oslo"}
    with pytest.raises(BadRow, match="'age' is infinite"):
        read.check(sample, FIELDS)


def test_a_row_of_gaps_is_a_bad_row_but_one_gap_is_none() -> None:
    read.check({"age": None, "city": "Oslo"}, FIELDS)
    with pytest.raises(BadRow, match="every input"):
        read.check({"age": None, "city": None}, FIELDS)


def test_content_knows_one_spelling_of_a_number() -> None:
    contents = {read.content({"age": v, "city": "Oslo"}, FIELDS) for v in (3, 3.0, np.float64(3))}
    assert len(contents) == 1
    assert read.content({"age": -0.0, "city": None}, FIELDS) == read.content(
        {"age": 0.0, "city": None}, FIELDS
    )


def test_content_tells_values_and_gaps_apart() -> None:
    samples = [{"age": a, "city": c} for a in (1.0, 2.0, None) for c in ("1.0", "None", None)]
    assert len({read.content(s, FIELDS) for s in samples}) == 9
    assert len({read.signature(s, FIELDS) for s in samples}) == 9


def test_the_order_of_fields_is_no_content() -> None:
    sample = {"age": 1.0, "city": "Oslo"}
    assert read.content(sample, FIELDS) == read.content(sample, FIELDS[::-1])
