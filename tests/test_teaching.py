"""Runs whose teacher is an earlier run: asked once of each row, matched by class names, refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart import api, select, teaching
from headstart.core import plugins
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import PlanError
from headstart.job import Job, open_job
from headstart.serving.predictor import Predictor

QUICK: dict[str, Any] = {"seeds": 1, "scratch": False, "champion": False, "learning_curve": False}
BOLD = {"epochs": 2, "rate": 3e-3, "cut": -1, "augment": False, "patience": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teaching")
    plugins.Modality("image").tiny.write(folder / "photos", "classify", 30, 0)
    return folder


def adapted(home: Path, strategy: str, data: str = "photos", **settings: Any) -> api.Run:
    return hs.adapt(
        home / data,
        source="builtin:formula",
        strategy=strategy,
        settings=settings,
        output=home / "runs",
        remember=home / "photos",  # cheaper to measure than what the source's generator draws
        checks=["accuracy"],
        **QUICK,
    )


@pytest.fixture(scope="module")
def teacher(home: Path) -> api.Run:
    return adapted(home, "linear_probe")


def test_a_student_of_a_run_is_taught_each_row_once(
    teacher: api.Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []
    outputs = Predictor.outputs

    def counted(self: Predictor, dataset: Any, rows: np.ndarray, watcher: Any = None) -> Any:
        if self.pack.recipe["run"] == teacher.id:
            asked.append(rows)
        return outputs(self, dataset, rows, watcher)

    monkeypatch.setattr(Predictor, "outputs", counted)
    run = adapted(home, "distill", teacher="last", features=0.1, **BOLD)
    assert len(asked) == 1 and len(asked[0]) == len(set(asked[0])) == 24
    assert run.record.facts["strategy_settings"]["teacher"] == teacher.id
    assert not any("too high" in note for note in run.record.notes)  # of the same split
    chain = [link["what"] for link in run.record.facts["licences"]]
    assert "the model (teacher)" in chain
    told, found = run.record.predictions, run.predict(str(home / "photos"))
    assert found.probabilities is not None
    place = {str(n): i for i, n in enumerate(found.names)}
    rows = found.probabilities[[place[str(n)] for n in told["names"]]]
    np.testing.assert_allclose(rows, np.asarray(told["outputs"]).reshape(rows.shape), atol=1e-5)


def opened(home: Path, teacher: str, seed: int = 0) -> Job:
    plan = Plan(
        task=Task(data=str(home / "photos"), modality="image"),
        source=SourceChoice("builtin:formula", offline=True),
        strategy=StrategyChoice("distill", {"teacher": teacher}),
        evidence=EvidenceChoice(**QUICK),
        output=str(home / "runs"),
        seed=seed,
    )
    return open_job(plan)


def test_its_words_are_in_the_order_of_the_jobs_classes(teacher: api.Run, home: Path) -> None:
    job = opened(home, str(teacher.folder / "pack"))
    file: Any = plugins.load("strategy", "distill")
    made = file.Strategy(file.Settings(teacher=str(teacher.folder / "pack")))
    job.opened[teaching.SAID] = held = teaching._opened(job, str(teacher.folder / "pack"))
    turned = teaching.Teacher(held.name, held.predictor, held.columns[::-1])
    plain = teaching.beside(job, made)
    job.opened[teaching.SAID] = turned
    other = teaching.beside(job, made)
    said = plain.targets["teacher"]
    np.testing.assert_array_equal(said[:, ::-1], other.targets["teacher"])
    assert plain.digest != other.digest and plain.flops > 0
    np.testing.assert_allclose(said.sum(1), 1, rtol=1e-5)
    names = job.dataset.names(job.train)
    direct = teacher.predict(str(home / "photos"))
    assert direct.probabilities is not None and direct.classes == job.targets.classes
    place = {str(n): i for i, n in enumerate(direct.names)}
    rows = direct.probabilities[[place[str(n)] for n in names]]
    np.testing.assert_allclose(said, rows, atol=1e-5)


def test_other_classes_no_teacher_and_another_kind_of_data_are_refused(
    teacher: api.Run, home: Path
) -> None:
    with pytest.raises(PlanError, match="distill needs a teacher: name a finished run"):
        adapted(home, "distill")
    with pytest.raises(PlanError, match="There is no teacher 'nobody'"):
        adapted(home, "distill", teacher="nobody")
    folder = home / "others"
    plugins.Modality("image").tiny.write(folder, "classify", 30, 1)
    first = sorted(p for p in folder.iterdir() if p.is_dir())[0]
    first.rename(folder / "zebra")
    with pytest.raises(PlanError) as caught:
        adapted(home, "distill", "others", teacher=teacher.id)
    assert f"tells other classes than the task has: {first.name}" in str(caught.value)
    assert "expected" in str(caught.value) and "zebra" in str(caught.value)
    rows = plugins.Modality("table").tiny.write(home / "rows", "classify", 40, 0)
    with pytest.raises(PlanError, match=r"made for classify on image data .*; expected"):
        hs.adapt(
            rows,
            source="builtin:random-features",
            strategy="distill",
            settings={"teacher": teacher.id},
            output=home / "runs",
            **QUICK,
        )


def test_a_teacher_of_another_split_is_told(teacher: api.Run, home: Path) -> None:
    for seed, told in ((0, 0), (5, 1)):
        job = opened(home, "last", seed)
        teaching._opened(job, teacher.id)
        assert sum("its student are too high" in note for note in job.notes) == told


def test_the_last_run_is_written_down_by_its_id(teacher: api.Run, home: Path) -> None:
    job = opened(home, "last")
    select.check(job)
    newest = max(p.name for p in (home / "runs").glob("2*"))
    assert job.plan.strategy.settings == {"teacher": newest}
    elsewhere = opened(home, str(teacher.folder))
    select.check(elsewhere)
    assert elsewhere.plan.strategy.settings == {"teacher": teacher.id}
