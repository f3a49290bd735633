"""What the doctor tells of this installation."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from headstart import api

LINES = [
    "torch>=2.4",
    "numpy>=2; extra == 'sound'",
    "no-such-library>=1; extra == 'sound'",
    'numpy>=2 ; extra == "paint"',
    "json>=1; extra == 'paint'",  # a module of that name is there, a distribution is not
    "numpy>=2; extra == 'all'",
    "ruff>=0.6; extra == 'dev'",
]


def rows() -> dict[str, tuple[str, str, str]]:
    return {c["what"]: (c["status"], c["detail"], c["remedy"]) for c in api.doctor()}


def test_extras_are_those_that_the_package_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: LINES)
    found = rows()
    assert found["headstart[paint]"] == ("ok", f"numpy {np.__version__}, json ?", "")
    lacking = ("warn", "not installed: no-such-library", "pip install 'headstart[sound]'")
    assert found["headstart[sound]"] == lacking
    assert not {"headstart[all]", "headstart[dev]"} & set(found)
    assert {"Python", "torch", "cache folder", "network"} < set(found)


def test_a_package_that_was_not_installed_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert not [what for what in rows() if what.startswith("headstart[")]


def test_a_network_that_is_forbidden_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert rows()["network"] == ("ok", "forbidden by HEADSTART_OFFLINE", "")
    monkeypatch.setenv("HEADSTART_OFFLINE", "no")
    assert "used only" in rows()["network"][1]
