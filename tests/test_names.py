"""The public face: complete, sorted, and every name is there."""

from __future__ import annotations

import types

import pytest

import headstart


def test_all_is_sorted_and_complete():
    assert list(headstart.__all__) == sorted(headstart.__all__)
    assert len(set(headstart.__all__)) == len(headstart.__all__)
    assert [n for n in dir(headstart) if not n.startswith("_")] == [
        n for n in headstart.__all__ if not n.startswith("_")
    ]


@pytest.mark.parametrize("name", sorted(headstart.__all__))
def test_every_name_resolves(name: str):
    value = getattr(headstart, name)
    assert value is getattr(headstart, name)
    if not name.startswith("_"):
        assert getattr(value, "__doc__", None), f"headstart.{name} has no docstring"


def test_nothing_else_is_visible():
    for name in headstart.__all__:
        getattr(headstart, name)
    visible = {
        name
        for name, value in vars(headstart).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and name != "annotations"
        and getattr(value, "__module__", "") != "typing"
    }
    assert visible <= set(headstart.__all__)


def test_an_unknown_name_is_answered():
    with pytest.raises(AttributeError, match="adapt"):
        getattr(headstart, "adaptt")  # noqa: B009
