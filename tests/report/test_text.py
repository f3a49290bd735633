"""Numbers in words, and a plan as TOML that reads back the same."""

from __future__ import annotations

import math
import tomllib

import pytest

from headstart.core.evidence import Measure
from headstart.core.plan import Plan, build, differences
from headstart.report import text
from tests.report import sample


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.9134, "share", "91.3\u00a0%"),
        (-6.24, "points", "\u22126.2\u00a0points"),
        (0.04, "points", "0.0\u00a0points"),
        (8.4, "points", "+8.4\u00a0points"),
        (0.82, "seconds", "820\u00a0ms"),
        (59.97, "seconds", "1\u00a0min\u00a000\u00a0s"),
        (3599.6, "seconds", "1\u00a0h\u00a000\u00a0min"),
        (86400 * 3, "seconds", "3\u00a0d\u00a00\u00a0h"),
        (1.43e13, "FLOPs", "14.3\u00a0TFLOP"),
        (999_999, "bytes", "1.00\u00a0MB"),
        (-0.0204, "R2", "\u22120.020\u00a0R\u00b2"),
        (3.4142, "unit of the target", "3.41"),
        (9.7, "times", "9.70\u00a0\u00d7"),
        (11_689_512, "", "11\u202f689\u202f512"),
        (0.000012, "", "1.20e\u221205"),
        (math.nan, "share", "\u2014"),
        (math.inf, "seconds", "\u2014"),
    ],
)
def test_a_number_in_its_unit(value: float, unit: str, said: str) -> None:
    assert text.number(value, unit) == said


def test_intervals() -> None:
    assert text.interval(0.892, 0.934, "share") == "89.2\u201393.4\u00a0%"
    assert text.interval(-1.2, 4.5, "points") == "\u22121.2 to +4.5"
    assert text.interval(None, None, "share") == ""
    assert text.interval(math.nan, 1.0, "share") == ""


def test_an_axis_says_units_once() -> None:
    assert text.ticked([0.8, 0.9], "share") == ["80\u00a0%", "90\u00a0%"]
    assert text.ticked([0.1, 0.2], "R2") == ["0.100", "0.200"]


def test_a_detectable_difference_has_no_sign() -> None:
    found = Measure("detectable difference", 4.1, 3.0, 5.0, 9, "points", "", "")
    assert text.measured(found) == ("4.1\u00a0points", "3.0 to 5.0")


def test_prose_keeps_words_with_hyphens() -> None:
    said = text.prose("well-known by -6.2 of 'from scratch' and don't (-9.9 to -2.5), F1-3")
    assert (
        said
        == "well-known by \u22126.2 of \u2018from scratch\u2019 and don't (\u22129.9 to \u22122.5), F1-3"
    )


def test_the_plan_reads_back_from_its_toml() -> None:
    plan = sample.hostile()[0].plan
    assert build(Plan, tomllib.loads(text.toml(differences(plan)))) == plan


def test_toml_of_odd_keys_and_values() -> None:
    values = {
        "a b": 'quote " and \\ and \n',
        "deep": {"x.y": {"z": [1, 2.5, True, "s"]}},
        "none": {},
        "u": "\x7f\u2028",
    }
    assert tomllib.loads(text.toml(values)) == values


def test_facts_and_their_labels() -> None:
    assert text.fact("seconds_decode", 61.2) == "1\u00a0min\u00a001\u00a0s"
    assert text.label("seconds_decode") == "Time, decode"
    assert text.label("flops_transfer") == "Operations, transfer"
    assert text.fact("versions", {"torch": "2.4", "n": None}) == "torch: 2.4; n: \u2014"
    assert text.day("20261121-101500-3fa2") == "21 November 2026, 10:15"
    assert text.day("odd") == ""
