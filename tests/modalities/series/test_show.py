"""Series as lines: names, gaps, long ones thinned without losing their peaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field
from headstart.modalities.series import read, show
from headstart.report import exhibits

A, B = Field("a", "bytes"), Field("b", "bytes")


def shown(**cells: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    fields = [f for f in (A, B) if f.name in cells]
    sample = {n: read.load(c, Field(n, "bytes"), Path("/")) for n, c in cells.items()}
    made = dict(show.exhibit(sample, fields))
    return json.loads(made["lines"]), made


def test_a_channel_is_a_line_and_a_gap_a_break() -> None:
    lines, made = shown(a=[1.0, None, 3.0], b=[4, 5, 6])
    assert [line["name"] for line in lines] == ["a", "b"]
    assert lines[0]["y"] == [1.0, None, 3.0]
    assert made["note"] == "3 steps"
    drawn = str(exhibits._sample(made))
    assert drawn.count("<svg") == 2
    assert 'd="M0.00 96.00M100.00 4.00"' in drawn


def test_one_channel_needs_no_name_and_many_are_counted() -> None:
    assert shown(a=[1.0, 2.0])[0][0]["name"] == ""
    lines, made = shown(a=np.ones((4, 9)))
    assert len(lines) == show.LINES
    assert made["note"] == "4 steps, 6 of 9 channels"


def test_long_series_keep_their_peaks() -> None:
    values = np.zeros(5000)
    values[1234], values[4321] = 7.0, -3.0
    line = shown(a=values)[0][0]
    assert len(line["x"]) <= 2 * show.POINTS
    assert line["x"] == sorted(line["x"])
    assert (max(line["y"]), min(line["y"])) == (7.0, -3.0)


def test_constant_and_single_values_are_drawn_and_names_escaped() -> None:
    sample = {"<b>": read.load([5.0], Field("<b>", "bytes"), Path("/"))}
    sample["c"] = read.load([5.0], Field("c", "bytes"), Path("/"))
    made = show.exhibit(sample, [Field("<b>", "bytes"), Field("c", "bytes")])
    drawn = str(exhibits._sample(made))
    assert "<b><bdi>&lt;b&gt;" in drawn
    assert "nan" not in drawn
