"""A drawing is made of numbers alone: nothing of the data reaches the page as markup."""

from __future__ import annotations

import json

import pytest

from headstart.core.evidence import Exhibit
from headstart.report.drawing import drawing
from headstart.report.exhibits import exhibited

GOOD = {"points": [[0.0, 1.0, 3, True], [0.5, 0.5, 7, False]], "lines": [[0, 1]], "note": "two"}


def test_points_lines_marks_and_a_note():
    page = str(drawing(json.dumps(GOOD)))
    assert page.count("<line") == 1
    assert page.count("<circle") == 3, "a marked point has a ring"
    assert "<small>two</small>" in page


def test_text_is_escaped():
    page = str(drawing({**GOOD, "note": "<script>x</script>"}))
    assert "<script>" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "broken",
    [
        {"points": [['"/><script>', 0, 0, False]], "lines": []},
        {"points": [[0, 0, 0, False]], "lines": [[0, 5]]},
        {"points": [[0, 0, 0, False]], "lines": [[0, -1]]},
        {"points": [[0, 0, 0]], "lines": []},
        {"points": [[0, 0, 0, False]] * 5000, "lines": []},
        {"lines": []},
        "no JSON",
    ],
)
def test_what_is_no_drawing_is_refused_and_the_page_stands(broken):
    with pytest.raises((ValueError, TypeError, IndexError, KeyError)):
        drawing(broken)
    rows = {"rows": [{"row": 0, "predicted": "a", "true": "b"}]}
    exhibit = Exhibit("mistakes", "samples", "Mistakes", rows)
    page = str(exhibited(exhibit, {0: {"kind": "drawing", "drawing": broken}}))
    assert "<script>" not in page and page


def test_places_outside_are_brought_in():
    assert 'cx="186.0"' in str(drawing({"points": [[7.0, -3.0, 0, False]], "lines": []}))
