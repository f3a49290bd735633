"""Runs whose strategies read data of what the source knew; refusals before anything is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import headstart as hs
from headstart import api, loading, previous, select
from headstart.core import plugins
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import DataError, PlanError
from headstart.job import open_job
from headstart.registry import packs
from headstart.serving.predictor import Predictor
from headstart.trainings import TAKEN_UP

QUICK: dict[str, Any] = {"seeds": 1, "scratch": False, "champion": False, "learning_curve": False}
BOLD = {"epochs": 3, "rate": 3e-3, "cut": -1, "augment": False, "patience": 0}
CHECKS = ["accuracy", "verdict", "forgetting"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previous")
    for name, seed in (("photos", 0), ("older", 7)):
        plugins.Modality("image").tiny.write(folder / name, "classify", 30, seed)
    plugins.Modality("series").tiny.write(folder / "curves", "classify", 30, 0)
    return folder


def adapted(home: Path, strategy: str, data: str = "photos", **more: Any) -> api.Run:
    settings = {**BOLD, **more.pop("settings", {})}
    asked = {"settings": settings, "checks": CHECKS, "output": home / "runs", **QUICK, **more}
    return hs.adapt(home / data, strategy=strategy, **asked)


@pytest.fixture(scope="module")
def seen() -> list[previous.Rows]:
    """Streams of an earlier task that runs have made."""
    return []


@pytest.fixture(scope="module")
def rehearsed(home: Path, seen: list[previous.Rows]) -> api.Run:
    class Rows(previous.Rows):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(previous, "Rows", Rows)
        return adapted(home, "replay", source="builtin:formula", remember=home / "older")


def test_a_rehearsed_model_is_packed_without_the_earlier_head_and_predicts_alike(
    rehearsed: api.Run, home: Path
) -> None:
    assert rehearsed.record.facts["strategy"] == "replay"
    pack = packs.load(rehearsed.folder / "pack")
    heads = {n.split(".")[1] for n in pack.tensors if n.startswith("heads.")}
    assert heads == {"classify"}
    assert "data of an earlier task" in [link["what"] for link in pack.licences]
    modality = plugins.Modality("image")
    loaded = loading.load("builtin:formula", modality, offline=True)
    again = Predictor(pack, loaded, home / "cache")
    told, found = rehearsed.record.predictions, rehearsed.predict(str(home / "photos"))
    np.testing.assert_allclose(
        again.predict(str(home / "photos")).probabilities, found.probabilities, atol=1e-6
    )
    place = {str(n): i for i, n in enumerate(found.names)}
    assert found.probabilities is not None
    rows = found.probabilities[[place[str(n)] for n in told["names"]]]
    np.testing.assert_allclose(rows, np.asarray(told["outputs"]).reshape(rows.shape), atol=1e-5)


def test_what_measures_forgetting_was_never_rehearsed(
    rehearsed: api.Run, seen: list[previous.Rows]
) -> None:
    found = rehearsed.record.finding("forgetting")
    assert found is not None
    told = {m.name: m for m in found.measures}
    assert told["source ability before"].n == 6 and "older" in told["source ability before"].method
    assert seen
    for stream in seen:
        assert len(stream) == 24 and len(set(stream.rows)) == 24
        held = set(range(30)) - set(stream.rows.tolist())
        assert len(held) == 6
        assert stream.batch(np.arange(2), -1).targets.keys() == {"previous"}


def test_a_repeated_run_says_the_same_and_other_earlier_data_train_anew(
    rehearsed: api.Run, home: Path
) -> None:
    again = adapted(home, "replay", source="builtin:formula", remember=home / "older")
    assert again.record.digests["predictions"] == rehearsed.record.digests["predictions"]
    other = adapted(home, "replay", source="builtin:formula", remember=home / "photos")
    assert other.record.digests["predictions"] != rehearsed.record.digests["predictions"]
    (told,) = [n for n in other.record.notes if "the data of this task itself" in n]
    assert told not in rehearsed.record.notes
    assert TAKEN_UP in again.record.notes


def test_the_ledger_counts_what_is_rehearsed(rehearsed: api.Run, home: Path) -> None:
    plain = adapted(home, "fine_tune", source="builtin:formula")
    spent, free = (r.record.facts["flops_transfer"] for r in (rehearsed, plain))
    assert spent > 1.5 * free


@pytest.mark.parametrize("name", ["lwf", "ewc", "si"])
def test_each_of_them_runs_on_a_source_without_a_head(name: str, home: Path) -> None:
    run = adapted(home, name, "curves", remember=home / "curves")
    assert run.record.facts["strategy"] == name
    (written,) = (home / "curves").iterdir()
    assert len(run.predict(str(written)).labels) == 30


REFUSED = [
    (
        "replay",
        "photos",
        "replay needs data of what the source knew; name some with --remember DATA",
    ),
    ("si", "photos", "si needs data of what the source knew; name some with --remember DATA"),
    ("lwf", "curves", "brings no head of its own; name data that it knew with --remember DATA"),
    ("ewc", "curves", "brings no head of its own.*choose l2_sp or delta"),
]


@pytest.mark.parametrize(("name", "data", "told"), REFUSED)
def test_without_what_the_source_knew_it_is_refused(
    name: str, data: str, told: str, home: Path
) -> None:
    before = set((home / "runs").glob("*"))
    with pytest.raises(PlanError, match=told):
        adapted(home, name, data)
    assert set((home / "runs").glob("*")) == before


def test_earlier_data_of_another_shape_are_refused(home: Path) -> None:
    plan = Plan(
        task=Task(data=str(home / "curves"), modality="series"),
        source=SourceChoice("auto", offline=True),
        strategy=StrategyChoice("replay"),
        evidence=EvidenceChoice(remember=str(home / "curves")),
    )
    job = open_job(plan)
    strategy = select.named(job, "replay", {})
    assert previous.beside(job, strategy).streams.keys() == {"previous"}
    assert previous.beside(job, select.named(job, "fine_tune", {})).digest == ""
    held = job.opened[previous.NAME]
    other = dataclasses.replace(held.job, backbone=nn.Linear(2, 2))
    job.opened[previous.NAME] = dataclasses.replace(held, job=other)
    with pytest.raises(PlanError, match="another shape for the data to be remembered"):
        previous.beside(job, strategy)


def test_earlier_data_that_cannot_be_read_are_told_with_their_place(home: Path) -> None:
    with pytest.raises(DataError, match=r"The data to be remembered \(.*nowhere\) cannot be used"):
        adapted(home, "replay", remember=home / "nowhere")
