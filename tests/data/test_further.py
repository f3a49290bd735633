"""Further targets: never inputs, guessed like the main one, kept where they are missing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from headstart import job, targets
from headstart.core.plan import EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Columns, Task
from headstart.data import further
from headstart.errors import DataError, PlanError

HEAD = "p,q,age,grade,y"


def table(rows: int = 60) -> str:
    lines = [
        f"{i % 7}.5,{i % 4}.25,{'' if i % 5 == 0 else 20.5 + i},{'' if i % 6 == 0 else 'ABC'[i % 3]},{i % 2}"
        for i in range(rows)
    ]
    return "\n".join([HEAD, *lines])


ALSO = {"target": "y", "also": ("age", "grade")}


def test_they_are_no_inputs_and_their_outcomes_are_guessed(written, opened) -> None:
    made = opened(written("t.csv", table()), ALSO)
    assert [f.name for f in made.fields] == ["p", "q"]
    assert dict(made.also) == {"age": "regress", "grade": "classify"}
    assert made.sensitive == () and made.outcome == "classify"
    told = [n for n in made.notes if n.startswith("Further target: ")]
    assert len(told) == 2 and "regress, as 'age' has more than 20" in told[0]


def test_rows_without_one_stay(written, opened) -> None:
    made = opened(written("t.csv", table()), ALSO)
    assert len(made) == 60 and not made.set_aside
    rows = np.arange(7)
    assert further.values(made, "age", rows) == [None, 21.5, 22.5, 23.5, 24.5, None, 26.5]
    assert further.values(made, "grade", rows) == [None, "B", "C", "A", "B", "C", None]


def test_they_come_back_from_the_cache(written, opened) -> None:
    path = written("t.csv", table())
    first, again = opened(path, ALSO), opened(path, ALSO)
    assert dict(first.also) == dict(again.also) and first.digest == again.digest
    assert dict(opened(path, {"target": "y"}).also) == {}


def test_an_outcome_can_be_named(written, opened) -> None:
    lines = [
        json.dumps({"p": i + 0.5, "y": i % 2, "n": i % 3, "t": "a;b" if i % 2 else "a"})
        for i in range(30)
    ]
    path = written("t.jsonl", "\n".join(lines))
    made = opened(path, {"target": "y", "also": ("n=regress", "t=tag")})
    assert dict(made.also) == {"n": "regress", "t": "tag"}
    assert further.values(made, "n", np.arange(2)) == [0.0, 1.0]
    assert further.values(made, "t", np.arange(2)) == [("a",), ("a", "b")]
    assert [f.name for f in made.fields] == ["p"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"also": ("agee",)}, "no column 'agee'.*'age'"),
        ({"also": ("age=regres",)}, "the outcome 'regres'.*regress"),
        ({"also": ("age", "age")}, "'age' is named as a further target and again"),
        ({"also": ("y",)}, "'y' is named as a further target and again"),
        ({"also": ("age",), "inputs": ("p", "age")}, "leave it out of one"),
        ({"also": ("age",), "drop": ("age",)}, "leave it out of one"),
        ({"also": ("grade=regress",)}, "'grade' should be a number"),
    ],
)
def test_what_plays_another_part_is_refused(
    written, opened, columns: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        opened(written("t.csv", table()), {"target": "y", **columns})


def test_class_folders_and_forecasts_have_none(photos, opened, written) -> None:
    with pytest.raises(DataError, match=r"'size' was named, but .* holds class folders"):
        opened(photos, {"also": ("size",)})
    hours = "\n".join(
        [
            "time,load,other",
            *(f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i % 7},1" for i in range(96)),
        ]
    )
    with pytest.raises(PlanError, match="no further targets"):
        opened(written("h.csv", hours), {"target": "load", "also": ("other",)}, outcome="forecast")


def plan(path: object, *also: str, strategy: str = "multitask") -> Plan:
    return Plan(
        task=Task(data=str(path), columns=Columns(target="y", also=also), near_duplicates=False),
        source=SourceChoice("builtin:random-features?features=16"),
        strategy=StrategyChoice(strategy),
        evidence=EvidenceChoice(seeds=1),
    )


def test_a_job_learns_them_from_its_training_rows(written) -> None:
    made = job.open_job(plan(written("t.csv", table()), "age", "grade", strategy="auto"))
    assert made.plan.strategy.name == "multitask"
    age, grade = made.further
    assert (age.head, grade.head) == ("also_1", "also_2")
    raw = further.values(made.dataset, "age", made.train)
    assert np.isnan(age.labels).tolist() == [v is None for v in raw]
    assert age.targets.mean == pytest.approx(np.mean([v for v in raw if v is not None]))
    assert grade.targets.classes == ("A", "B", "C") and set(grade.labels) == {-1, 0, 1, 2}
    network = made.network(made.backbone)
    assert list(network.heads) == ["classify", "also_1", "also_2"]
    lost = int(np.isnan(age.labels).sum())
    assert (
        f"{lost} of {len(made.train)} training rows have no value of the further target 'age'"
        in " ".join(made.notes)
    )
    alone = targets.alone(made, age)
    assert alone.outcome == "regress" and len(alone.train) == len(made.train) - lost
    assert np.array_equal(alone.train, made.train[age.there])
    assert list(alone.network(made.backbone).heads) == ["regress"]


def test_a_class_that_no_training_row_has_counts_as_missing() -> None:
    names = {"classes": ["a", "b"], "raw": ["a", "b"]}
    told = {"name": "g", "head": "also_1", "outcome": "classify", "targets": names}
    classes = targets.restored([told])[0].targets
    assert targets.encoded(classes, ["b", None, "new", "a"]).tolist() == [1, -1, -1, 0]


def test_one_without_values_or_with_one_class_is_refused(written) -> None:
    rows = [f"{i % 7}.5,{i % 4}.25,,A,{i % 2}" for i in range(40)]
    path = written("t.csv", "\n".join([HEAD, *rows]))
    with pytest.raises(
        DataError,
        match="0 of 30 training rows have a value in the further target 'age'; expected 10",
    ):
        job.open_job(plan(path, "age=classify"))
    with pytest.raises(DataError, match=r"The further target 'grade': .*one class only"):
        job.open_job(plan(path, "grade"))
