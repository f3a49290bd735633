"""Which source a default is, by what it is to serve."""

from __future__ import annotations

import pytest

from headstart.core import plugins
from headstart.loading import NONE, Need, choose_uri

IN_CONTEXT, PLAIN = "builtin:prior-fitted", "builtin:random-features"


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need("classify", 500, 3), IN_CONTEXT),
        (Need("classify", 2000, 10), IN_CONTEXT),
        (Need("classify", 2001, 3), PLAIN),
        (Need("classify", 500, 11), PLAIN),
        (Need("classify", 500, 3, "in_context"), IN_CONTEXT),
        (Need("classify", 500, 3, "linear_probe"), PLAIN),
        (Need("regress", 500), PLAIN),
        (NONE, PLAIN),
    ],
)
def test_the_default_of_tables_serves_rows_and_classes(need: Need, expected: str) -> None:
    uri, entry = choose_uri("auto", plugins.Modality("table"), need)
    assert uri == expected
    assert entry is not None and entry["uri"] == expected


def test_what_is_asked_for_by_name_is_taken_whatever_the_need() -> None:
    uri, entry = choose_uri(IN_CONTEXT, plugins.Modality("table"), Need("regress", 10**6))
    assert (uri, entry["uri"] if entry else "") == (IN_CONTEXT, IN_CONTEXT)


def test_a_source_without_limits_serves_any_number() -> None:
    assert Need("forecast", 10**9).met({"outcomes": ["forecast"]})
    assert not Need("forecast", 10**9).met({})
