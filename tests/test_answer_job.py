"""A run that answers questions, from a table to a verdict, a pack and answers cut from new texts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import headstart as hs
from headstart import api
from headstart.cli import main
from headstart.errors import DataError
from headstart.modalities.text import tiny

NEW = {
    "question": ["Which was superb?", "Which was poor?", " "],
    "context": [
        "Later  the roses was poor, and the pan was superb, and the tide was awful. " * 30,
        "As always the Onion — was poor.",
        "Nothing was asked.",
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("answers")
    path = tiny.write(folder, "answer", 48, 0)
    with path.open("a", encoding="utf-8") as handle:
        handle.write("A text.,Which?,text,700\n")
    return hs.adapt(
        path,
        strategy="linear_probe",
        seeds=1,
        scratch=False,
        learning_curve=False,
        output=str(folder / "runs"),
    )


def test_it_ends_with_a_verdict_on_words(run: api.Run) -> None:
    assert run.verdict in ("helped", "harmed", "no evidence")
    assert "overlap of words" in run.sentence
    finding = run.record.finding("answers")
    assert finding is not None
    found = {m.name: m for m in finding.measures if not m.group}
    assert found["word F1"].value > 0.2
    assert found["exact match"].value <= found["word F1"].value <= found["overlap"].value
    assert run.record.facts["outcome"] == "answer"
    (aside,) = [s for s in run.record.set_aside if "outside the text" in s["reason"]]
    assert aside["name"] == "row 49"


def test_answers_are_cut_from_the_text_as_it_is(run: api.Run) -> None:
    told = api.open_run(run.folder).predict(NEW)
    assert told.table is not None
    columns, lines = told.table
    assert columns == ["name", "answer", "start", "end", "confidence"]
    assert [b.name for b in told.bad] == ["row 3"]
    for (_, answer, start, end, sure), text in zip(lines, NEW["context"], strict=False):
        assert answer == text[start:end] and answer.strip() == answer != ""
        assert 0 < sure <= 1
    assert told.labels == [line[1] for line in lines]
    assert any("passages read in windows" in note for note in told.notes)


def test_the_command_line_writes_answers(run: api.Run, tmp_path: Path) -> None:
    table, out = tmp_path / "new.csv", tmp_path / "out.csv"
    with table.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerows([list(NEW), *list(zip(*NEW.values(), strict=True))[:2]])
    assert main(["predict", str(run.folder), str(table), "-o", str(out), "--quiet"]) == 0
    with out.open() as handle:
        rows = list(csv.DictReader(handle))
    assert [r["name"] for r in rows] == ["row 1", "row 2"]
    assert rows[1]["answer"] == NEW["context"][1][int(rows[1]["start"]) : int(rows[1]["end"])]


def test_the_command_line_prints_answers_as_json(
    run: api.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "new.jsonl"
    table.write_text(json.dumps({k: v[1] for k, v in NEW.items()}), "utf-8")
    assert main(["predict", str(run.folder), str(table), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["predictions"]
    assert set(told) == {"name", "answer", "start", "end", "confidence"}


def test_the_report_shows_the_question_and_marks_the_answer(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "Which words answer each question of questions.csv?" in page
    assert "<p>Which was" in page
    assert '<mark class="wrong">' in page


def test_a_replay_gives_the_same_weights(run: api.Run) -> None:
    assert run.replay()["equal"]


def test_pictures_and_class_folders_are_refused_before_training(tmp_path: Path) -> None:
    for name in ("roses", "tulips"):
        (tmp_path / "kinds" / name).mkdir(parents=True)
        for n in range(3):
            (tmp_path / "kinds" / name / f"{n}.txt").write_text(f"{name} in pot {n}", "utf-8")
    with pytest.raises(DataError, match="Choose classify"):
        hs.adapt(tmp_path / "kinds", outcome="answer")
    rows = tiny.write(tmp_path, "answer", 8, 0)
    with pytest.raises(DataError, match="no text in which a span could be one"):
        hs.adapt(rows, outcome="answer", modality="table")
