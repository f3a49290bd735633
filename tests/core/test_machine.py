"""What a process may use: who forbids the network."""

from __future__ import annotations

import pytest

from headstart.core import machine
from headstart.core.plan import SourceChoice
from headstart.loading import offline


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (machine.OFFLINE, "A_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("value", ["1", "true", "YES", " on ", "y", "2"])
@pytest.mark.parametrize("name", [machine.OFFLINE, "A_HUB_OFFLINE"])
def test_a_variable_forbids_the_network(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert machine.forbidden(False, "A_HUB_OFFLINE") == f"the environment variable {name}"
    assert offline(SourceChoice()) == (name == machine.OFFLINE)


@pytest.mark.parametrize("value", ["", "0", "false", "No", " off "])
def test_a_variable_that_says_no_forbids_nothing(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(machine.OFFLINE, value)
    assert machine.forbidden() == ""
    assert not offline(SourceChoice())


def test_the_plan_forbids_where_no_variable_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.forbidden(True) == "the plan (source.offline)"
    assert offline(SourceChoice(offline=True))
    monkeypatch.setenv(machine.OFFLINE, "1")
    assert machine.forbidden(True) == f"the environment variable {machine.OFFLINE}"
