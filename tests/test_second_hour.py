"""What a person meets after the first run: groups, data that change, a strategy that is none."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api, select
from headstart.core import plugins
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Columns, Task
from headstart.errors import DataError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEADSTART_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, groups: list[str], labels: list[str], scale: float = 1.0) -> Path:
    """Two numbers, a group and a label a row."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["x1", "x2", "who", "label"])
        for group, label in zip(groups, labels, strict=True):
            middle = 1.0 if label == "yes" else -1.0
            first, second = scale * (middle + rng.normal(size=2))
            lines.writerow([f"{first:.6f}", f"{second:.6f}", group, label])
    return path


def plan(data: Path, *, group: str = "", **changed: object) -> Plan:
    columns = Columns(target="label", inputs=("x1", "x2"), group=group)
    settings: dict[str, object] = {
        "strategy": StrategyChoice("linear_probe"),
        "evidence": EvidenceChoice(seeds=1),
        **changed,
    }
    return Plan(task=Task(data=str(data), columns=columns), **settings)  # type: ignore[arg-type]


def test_few_groups_finish_with_their_learning_curve(home: Path) -> None:
    data = write(
        home / "rows.csv", ["a", "b", "c"] * 40, ["yes", "yes", "yes", "no", "no", "no"] * 20
    )
    run = hs.adapt(plan=plan(data, group="who"))
    curve = run.record.facts["learning_curve"]
    assert len(curve["score"]) == 4
    assert curve["labels"] == sorted(curve["labels"])
    assert not [n for n in run.record.notes if "folds instead of" in n and "example" in n]


def test_groups_that_tell_the_classes_apart_are_refused_before_training(home: Path) -> None:
    data = write(home / "rows.csv", ["a", "b", "c", "d"] * 30, ["yes", "no", "yes", "no"] * 30)
    asked = plan(data, group="who")
    asked = dataclasses.replace(asked, task=dataclasses.replace(asked.task, test_share=0.45))
    with pytest.raises(DataError, match="single class is left to learn from"):
        hs.adapt(plan=asked)
    assert not list((home / "headstart-runs").glob("*/run.json"))


def test_a_rehearsal_tells_the_augmentation_and_what_the_comparison_may_take(home: Path) -> None:
    data = write(home / "rows.csv", ["a"] * 40, ["yes", "no"] * 20)
    asked = plan(data)
    evidence = dataclasses.replace(asked.evidence, scratch=True, twin_floor_tflop=0.5)
    augment = dataclasses.replace(asked.augmentation, augment=("feature_noise:0.5",))
    free = dataclasses.replace(asked, strategy=StrategyChoice(), augmentation=augment)
    free = dataclasses.replace(free, evidence=evidence)
    told = api.dry_run(free)
    assert told["augmentation"] == "feature_noise:0.5"
    assert told["twin_seconds"] == 0  # the default source of tables is not trained
    waves = plugins.Modality("series").tiny.write(home / "waves", "classify", 30, 0)
    trained = dataclasses.replace(asked, task=Task(data=str(waves)), evidence=evidence)
    told = api.dry_run(dataclasses.replace(trained, source=SourceChoice("builtin:curves")))
    assert "usual" in told["augmentation"]
    assert told["twin_seconds"] == pytest.approx(0.5e12 / select.FLOPS_A_SECOND)
    evidence = dataclasses.replace(asked.evidence, scratch=False)
    assert api.dry_run(dataclasses.replace(trained, evidence=evidence))["twin_seconds"] == 0


def test_preprocessing_follows_the_data_and_replay_takes_that_of_the_run(home: Path) -> None:
    labels = ["yes", "no"] * 60
    data = write(home / "rows.csv", ["a"] * 120, labels)
    asked = plan(data)
    api.dry_run(asked)
    assert not list((home / "cache").glob("fitted/*"))
    hs.adapt(plan=asked)
    write(data, ["a"] * 120, labels, scale=1e-3)  # the same file, other numbers
    second = hs.adapt(plan=asked)
    assert not [n for n in second.record.notes if "an earlier run" in n]
    again = second.replay()
    assert again["equal"]
    (kept,) = (home / "cache").glob("fitted/*.json")
    kept.write_text(json.dumps({"state": {}, "rows": ["0"]}))  # of data that are no longer there
    assert second.replay()["equal"]


def test_data_that_have_moved_are_replayed_from_where_they_are(home: Path) -> None:
    asked = plan(write(home / "rows.csv", ["a"] * 120, ["yes", "no"] * 60))
    run = hs.adapt(plan=asked)
    moved = (home / "rows.csv").rename(home / "elsewhere.csv")
    with pytest.raises(DataError, match=r"cannot be opened.*\(--data PATH\)"):
        run.replay()
    assert run.replay(data=moved)["bitwise"]
    write(moved, ["a"] * 120, ["yes", "no"] * 60, scale=2.0)
    with pytest.raises(DataError, match=r"elsewhere.csv is not what the run .* learned from"):
        run.replay(data=moved)
