"""Whole runs of several targets: the evidence for each, the pack with all heads, predictions, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.cli import main
from headstart.core import plugins
from headstart.errors import DataError, PackError, PlanError
from headstart.evidence import multitask
from headstart.registry import packs

QUICK: dict[str, Any] = {
    "seeds": 2,
    "scratch": False,
    "champion": False,
    "learning_curve": False,
    "near_duplicates": False,
    "source": "builtin:random-features?features=24",
}
SETTINGS = {"epochs": 2, "rate": 1e-3}
ROWS = 420  # so many that rates are chosen on one fold


def table(path: Path, rows: int = ROWS) -> Path:
    """A label, a number and a grade that follow from three columns; some cells are empty."""
    drawn = np.random.default_rng(0)
    x = drawn.normal(size=(rows, 3))
    z = x[:, 0] + x[:, 1]
    lines = []
    for i, ((a, b, c), v) in enumerate(zip(x, z, strict=True)):
        age = "" if i % 5 == 0 else f"{50 + 10 * v:.3f}"
        grade = "" if i % 7 == 0 else ("low", "mid", "high")[int(np.digitize(v, [-1, 1]))]
        lines.append(f"{a:.4f},{b:.4f},{c:.4f},{'up' if v > 0 else 'down'},{age},{grade}")
    path.write_text("\n".join(["a,b,c,label,age,grade", *lines]), "utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    return table(place / "people.csv")


@pytest.fixture(scope="module")
def run(data: Path, place: Path) -> hs.Run:
    columns = {"target": "label", "also": ["age", "grade"]}
    return hs.adapt(data, columns=columns, settings=SETTINGS, output=str(place / "runs"), **QUICK)


def test_every_target_has_its_gain_and_its_word(run: hs.Run) -> None:
    assert run.record.facts["strategy"] == "multitask"
    finding = run.record.finding("multitask")
    assert finding is not None and not finding.missing
    assert set(multitask.flags(finding)) == {"label", "age", "grade"}
    gains = {m.group: m for m in finding.measures if m.name.startswith("gain over")}
    test = len(run.record.predictions["rows"])
    assert gains["label"].n == test > gains["age"].n > 0
    assert all(m.low is not None and m.low <= m.value <= m.high for m in gains.values())
    scores = {m.group: m.value for m in finding.measures if m.name.endswith("learned together")}
    assert scores["age"] > 0.8 and scores["grade"] > 0.7
    assert run.verdict in ("not measured", "helped", "harmed", "no evidence")


def test_the_report_tells_of_rows_without_a_target(run: hs.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "Targets that were learned together" in page
    assert "have no value of the further target" in page and "learning it alone" in page
    assert run.record.facts["openings"] == 1


def test_slices_are_not_cut_by_further_targets(run: hs.Run) -> None:
    finding = run.record.finding("slices")
    groups = " ".join(m.group for m in finding.measures) if finding else ""
    assert "age" not in groups and "grade" not in groups


def test_predictions_of_every_target_from_the_pack(run: hs.Run, data: Path) -> None:
    found = run.predict(data)
    age, grade = found.further
    assert (age.name, grade.name) == ("age", "grade")
    assert len(found.labels) == len(age.labels) == len(grade.labels) == ROWS
    assert age.probabilities is None and grade.probabilities.shape == (ROWS, 3)
    assert grade.classes == ("high", "low", "mid") and set(grade.labels) <= set(grade.classes)
    rows = list(csv.DictReader(data.open(encoding="utf-8")))
    told = np.array(
        [[float(r["age"]), v] for r, v in zip(rows, age.labels, strict=True) if r["age"]]
    )
    assert np.corrcoef(told.T)[0, 1] > 0.9
    pack = packs.load(run.folder / "pack")
    assert [one["name"] for one in pack.recipe["further"]] == ["age", "grade"]
    assert {"heads.also_1.linear.weight", "heads.also_2.linear.weight"} <= pack.tensors.keys()
    assert [f.name for f in pack.fields] == ["a", "b", "c"]


def test_the_command_line_gives_columns_for_every_target(
    run: hs.Run, place: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    new = place / "new.csv"  # without the targets, which are no inputs
    lines = data.read_text("utf-8").splitlines()
    new.write_text("\n".join(",".join(line.split(",")[:3]) for line in lines[:4]), "utf-8")
    out = place / "told.csv"
    assert main(["predict", str(run.folder), str(new), "--output", str(out)]) == 0
    with out.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0])[:5] == ["name", "prediction", "confidence", "p_down", "p_up"]
    assert list(rows[0])[5:8] == ["age", "grade", "grade:confidence"] and len(rows) == 3
    shares = [float(rows[0][f"grade:p_{c}"]) for c in ("high", "low", "mid")]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert float(rows[0]["grade:confidence"]) == pytest.approx(max(shares), rel=1e-4)
    capfd.readouterr()
    assert main(["predict", str(run.folder), str(new), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["predictions"][0]
    assert set(told["further"]) == {"age", "grade"} and "probabilities" in told["further"]["grade"]


def test_a_replay_gives_the_same_weights_and_a_repeated_run_the_same(run: hs.Run) -> None:
    told = run.replay()
    assert told["equal"] and told["bitwise"], told
    again = hs.adapt(plan=run.record.plan)
    assert again.record.digests["predictions"] == run.record.digests["predictions"]


def test_it_is_not_handed_to_libraries_that_know_one_head(run: hs.Run, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="several targets at once"):
        run.export(tmp_path / "out")


def test_by_the_command_line_with_a_way_of_balance(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    typed = [
        "run",
        str(data),
        "--target",
        "label",
        "--also",
        "age",
        "--also",
        "grade",
        "--seeds",
        "1",
    ]
    typed += ["--strategy", "multitask", "--source", QUICK["source"], "--output", str(tmp_path)]
    for one in ("balance=pcgrad", "epochs=1", "rate=0.001", "evidence.checks=['multitask']"):
        typed += ["--set", one]
    for one in (
        "evidence.scratch",
        "evidence.champion",
        "evidence.learning_curve",
        "task.near_duplicates",
    ):
        typed += ["--set", f"{one}=false"]
    assert main(typed) == 0, capfd.readouterr().err
    shown = " ".join(capfd.readouterr().out.split())
    assert "targets learned together" in shown and "grade" in shown and "age" in shown


def test_pictures_beside_their_twin(tmp_path: Path) -> None:
    """The twin learns the main target alone, from rows of pictures named in a table."""
    folder = plugins.Modality("image").tiny.write(tmp_path / "photos", "classify", 40, 0)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{p.relative_to(tmp_path)},{p.parent.name},{i % 30 + 0.5}" for i, p in enumerate(files)
    ]
    (tmp_path / "list.csv").write_text("\n".join(["image,label,size", *lines]), "utf-8")
    asked = {
        **QUICK,
        "source": "builtin:formula",
        "scratch": True,
        "twin_floor_tflop": 0.0,
        "seeds": 1,
    }
    made = hs.adapt(
        tmp_path / "list.csv",
        columns={"target": "label", "also": ["size"]},
        settings={"epochs": 1, "rate": 1e-3, "cut": -1, "augment": False},
        checks=["multitask", "verdict"],
        output=str(tmp_path / "runs"),
        **asked,
    )
    assert made.verdict != "not measured"
    assert set(multitask.flags(made.record.finding("multitask"))) == {"label", "size"}


@pytest.mark.parametrize(
    ("strategy", "also", "settings", "words"),
    [
        ("multitask", [], {}, "name further ones with --also"),
        ("fine_tune", ["age"], {}, r"learns one target, .*'age'.*choose multitask"),
        ("linear_probe", ["age"], {}, "choose multitask"),
        ("multitask", ["age"], {"balance": "even"}, "balance came as 'even'"),
        ("multitask", ["age"], {"balanced": True}, "a loss of its own"),
        ("multitask", ["age"], {"find_rate": True}, "leave find_rate out"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(
    strategy: str, also: list[str], settings: dict[str, Any], words: str, data: Path, tmp_path: Path
) -> None:
    columns = {"target": "label", "also": also}
    with pytest.raises(PlanError, match=words):
        hs.adapt(
            data,
            columns=columns,
            strategy=strategy,
            settings=settings,
            output=str(tmp_path),
            **QUICK,
        )
    assert not list(tmp_path.iterdir())


def test_values_that_no_training_row_has_are_told(tmp_path: Path) -> None:
    """`kind` has a class of the test rows alone; `name` has nothing else there."""
    drawn = np.random.default_rng(0)
    lines = ["a,label,kind,name,part"]
    for i, a in enumerate(drawn.normal(size=90)):
        test = i % 3 == 0
        kind = "rare" if test and i < 30 else ("one", "two")[i % 2]
        name = "new" if test else ("old", "older")[i % 2]
        lines.append(
            f"{a:.4f},{'up' if a > 0 else 'down'},{kind},{name},{'test' if test else 'train'}"
        )
    (tmp_path / "rows.csv").write_text("\n".join(lines), "utf-8")
    columns = {"target": "label", "also": ["kind", "name"], "split": "part"}
    settings = {"epochs": 1, "rate": 1e-3}
    asked = {**QUICK, "seeds": 1, "checks": ["multitask"], "settings": settings}
    run = hs.adapt(tmp_path / "rows.csv", columns=columns, output=str(tmp_path / "runs"), **asked)
    finding = run.record.finding("multitask")
    assert finding is not None
    assert finding.missing == (
        (
            "gain of 'name' over learning it alone",
            "no test row has a value of it that a training row has",
        ),
    )
    told = "10 of 30 test rows have a value of the further target 'kind' that no training row has"
    assert any(note.startswith(told) for note in run.record.notes)
    assert {m.n for m in finding.measures if m.group == "kind"} == {20}


def test_a_further_target_of_names_is_refused(tmp_path: Path) -> None:
    lines = ["a,label,id", *(f"{i % 7},{'up' if i % 2 else 'down'},n{i}" for i in range(60))]
    (tmp_path / "rows.csv").write_text("\n".join(lines), "utf-8")
    columns = {"target": "label", "also": ["id"]}
    with pytest.raises(DataError, match=r"'id' has \d+ classes in \d+ training rows.*--also"):
        hs.adapt(tmp_path / "rows.csv", columns=columns, output=str(tmp_path / "runs"), **QUICK)
