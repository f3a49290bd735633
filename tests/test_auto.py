"""auto tries nothing more where the probe leaves next to nothing of the classes' entropy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart import select
from headstart.core import plugins


def case(
    labels: np.ndarray, sure: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any, list[str]]:
    """A job of two classes and a probe that gives the right one the share `sure` of each row."""
    said: list[str] = []
    monkeypatch.setattr(select, "trainable", lambda job: True)
    monkeypatch.setattr(
        select, "_losses", lambda job, told, labels: np.full(len(labels), -np.log(sure))
    )
    made = SimpleNamespace(labels=labels, outcome="classify", say=said.append)
    head = SimpleNamespace(one_class=True)
    first = SimpleNamespace(
        networks=[SimpleNamespace(heads={"classify": head})],
        held_out=(np.arange(len(labels)), np.zeros((len(labels), 2))),
    )
    return made, first, said


def test_a_probe_that_leaves_nothing_settles_it(monkeypatch):
    made, first, said = case(np.repeat([0, 1], 50), 0.995, monkeypatch)
    assert select._settled(made, first)
    assert "100 held-out training rows is 0.005" in said[0]


@pytest.mark.parametrize(("rare", "sure"), [(50, 0.95), (1, 0.995)])
def test_what_is_left_is_held_against_the_entropy_of_the_classes(rare, sure, monkeypatch):
    """One row in a hundred is of the second class: a loss of .005 may be all of what it takes to tell it."""
    labels = np.array([0] * (100 - rare) + [1] * rare)
    made, first, said = case(labels, sure, monkeypatch)
    assert not select._settled(made, first) and not said


@pytest.mark.parametrize("why", ["outcome", "source"])
def test_other_outcomes_and_sources_that_nothing_trains_are_never_settled(why, monkeypatch):
    made, first, said = case(np.repeat([0, 1], 50), 1.0, monkeypatch)
    if why == "source":
        monkeypatch.setattr(select, "trainable", lambda job: False)
    else:
        first.networks[0].heads["classify"].one_class = False
    assert not select._settled(made, first) and not said


def test_a_run_says_so_and_hands_back_the_probe(tmp_path: Path) -> None:
    photos = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 30, 0)
    run = hs.adapt(
        photos,
        source="builtin:formula",
        output=str(tmp_path / "runs"),
        scratch=False,
        champion=False,
        seeds=1,
        checks=["accuracy"],
    )
    assert run.record.facts["strategy"] == "linear_probe"
    assert any("next to nothing is left to gain" in note for note in run.record.notes)
