"""The other verbs: each with its exit codes, its JSON and its files."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cli import _tables as tables
from headstart.errors import StorageError
from headstart.serving.predictor import Predictions, Span
from tests.cli.conftest import Said
from tests.cli.fake import ODD, Api

Call = Callable[..., Said]


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_predict_writes_csv_that_is_quoted_and_harmless(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    said = call("predict", "last", "=cmd.png", "b,c.png", "bad.png", "--output", str(out))
    assert said.code == 0, said.err
    rows = read(out)
    assert rows[0] == ["name", "prediction", "confidence", *(f"p_{c}" for c in ODD)]
    assert rows[1][:3] == ["'=cmd.png", "'" + ODD[0], "0.7"]
    assert rows[2][:2] == ["b,c.png", "'-2+3"]
    assert read(tmp_path / "out.bad.csv") == [
        ["name", "reason", "remedy"],
        ["bad.png", "no picture", "send a picture"],
    ]
    assert "1 row could not be read" in said.err
    assert sorted(os.listdir(tmp_path)) == ["out.bad.csv", "out.csv"]


def test_predict_never_overwrites_unasked(call: Call, api: Api, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    said = call("predict", "last", "a.png", "--output", str(out))
    assert said.code == 2
    assert "--force" in said.err
    assert out.read_text() == "mine"
    assert not api.calls
    assert call("predict", "last", "a.png", "--output", str(out), "--force").code == 0
    assert out.read_text() != "mine"


def test_predict_into_a_pipe_is_csv_and_json_is_json(call: Call) -> None:
    said = call("predict", "last", "a.png", "b.png", "--quiet")
    assert said.out.splitlines()[0] == "name,prediction,confidence"
    assert "p_plain" in call("predict", "last", "a.png", "--probabilities").out
    found = json.loads(call("predict", "last", "a.png", "bad.png", "--json").out)
    assert found["predictions"][0]["probabilities"]["plain"] == 0.1
    assert found["bad"][0]["reason"] == "no picture"


def test_rows_of_which_preprocessing_noted_something_are_marked(call: Call) -> None:
    said = call("predict", "last", "a.wav", "silent.wav", "--quiet").out.splitlines()
    assert said[0] == "name,prediction,confidence,notes"
    assert [line.rpartition(",")[2] for line in said[1:]] == ["", "silent; cut"]
    found = json.loads(call("predict", "last", "a.wav", "silent.wav", "--json").out)
    assert [p["notes"] for p in found["predictions"]] == [[], ["silent", "cut"]]
    assert "notes" not in call("predict", "last", "a.wav").out


def test_a_row_of_several_lines_has_its_notes_on_each() -> None:
    lines = [[name, step] for name in ("load", "load", "load") for step in (1, 2)]
    found = Predictions(
        ["load from 1", "load from 3", "load from 5"], [0.0] * 3, None, (), [],
        table=(["name", "step"], lines), row_notes=((), ("gap",), ()),
    )  # fmt: skip
    columns, rows = tables.predicted(found, False)
    assert columns == ["name", "step", "notes"]
    assert [row[-1] for row in rows] == ["", "", "gap", "gap", "", ""]
    told = tables.as_document(found)["predictions"]
    assert [line["notes"] for line in told] == [[], [], ["gap"], ["gap"], [], []]
    spans = [[Span(0, 0, "a", "x", 1.0), Span(2, 2, "a", "y", 1.0)], [], []]
    tagged = dataclasses.replace(found, labels=[["a"]] * 3, table=None, spans=spans)
    assert [row[-1] for row in tables.predicted(tagged, False)[1]] == ["", ""]
    assert [e["notes"] for e in tables.as_document(tagged)["predictions"]] == [[], ["gap"], []]


def test_how_much_was_predicted_is_told_in_its_own_words() -> None:
    found = Predictions(["a", "b"], ["x", "y"], None, (), [])
    assert tables.amount(found) == "2 rows predicted"
    assert tables.amount(dataclasses.replace(found, names=["a"])) == "1 row predicted"
    lines = [[name, "t", step, 0.5] for name in ("load", "rain") for step in (1, 2, 3)]
    steps = dataclasses.replace(found, table=(["name", "time", "step", "forecast"], lines))
    said = "6 steps forecast of 2 series (load, rain): 3 ahead from each of 2 origins"
    assert tables.amount(steps) == said
    answers = dataclasses.replace(
        found, table=(["name", "answer", "confidence"], [["a", "b", 1.0]])
    )
    assert tables.amount(answers) == "2 rows predicted"


def test_predicted_numbers_have_no_confidence(call: Call) -> None:
    said = call("predict", "last", "numbers")
    assert said.out.splitlines() == ["name,prediction", "numbers,1.5"]


def test_predict_of_nothing_readable_is_two(call: Call) -> None:
    said = call("predict", "last", "bad1", "bad2")
    assert said.code == 2
    assert "no picture" in said.err


def test_predict_takes_a_pack_folder(call: Call, api: Api, tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text("{}")
    assert call("predict", str(tmp_path), "a").code == 0
    assert api.calls[0][0] == "open_pack"


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        tables.place(tmp_path / "x.csv", "text")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_formulas_are_disarmed_and_numbers_stay(cell: str) -> None:
    assert tables.harmless(cell) == "'" + cell
    assert tables.harmless(-1.5) == "-1.5"
    assert tables.harmless("plain") == "plain"


def test_output_goes_where_a_folder_is(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        tables.refuse(tmp_path, True)
    with pytest.raises(StorageError, match="mkdir"):
        tables.refuse(tmp_path / "no" / "x.csv", False)


def test_report_prints_the_path_and_copies(call: Call, tmp_path: Path) -> None:
    said = call("report")
    assert said.code == 0
    assert str(tmp_path / "report.html") in said.out
    copy = tmp_path / "copy.html"
    assert call("report", "last", "--output", str(copy)).code == 0
    assert copy.read_text().startswith("<!doctype")
    assert call("report", "last", "--output", str(copy)).code == 2
    assert json.loads(call("report", "last", "--json").out)["verdict"] == "helped"


def test_replay_ends_with_one_where_it_differs(call: Call) -> None:
    assert call("replay", "last").code == 0
    said = call("replay", "harmed")
    assert said.code == 1
    assert "different" in said.out
    assert json.loads(call("replay", "last", "--json").out)["equal"] is True


def test_store_is_cleared_only_when_told_so(call: Call, api: Api) -> None:
    said = call("store", "clear")
    assert said.code == 2
    assert "--yes" in said.err
    assert not api.calls
    said = call("store", "clear", "--yes", "--space", "9f")
    assert (said.code, api.calls) == (0, [("store_clear", "9f")])
    assert "3.90\u00a0MB freed" in said.out


def test_doctor_fails_when_something_fails(call: Call, api: Api) -> None:
    assert call("doctor").code == 0
    api.word = "harmed"
    said = call("doctor")
    assert said.code == 1
    assert "free some space" in said.out


def test_no_runs_yet(call: Call) -> None:
    assert "headstart run DATA" in call("runs", "--output", "empty").out


def test_sources_of_an_unknown_modality(call: Call) -> None:
    said = call("sources", "--modality", "imgae")
    assert said.code == 2
    assert "'image'" in said.err


@pytest.mark.parametrize(
    "verbs",
    [
        ("runs",),
        ("compare", "a", "b"),
        ("sequence", "last"),
        ("sources",),
        ("store", "list"),
        ("store", "clear", "--yes"),
        ("doctor",),
    ],
)
def test_json_of_every_verb_is_one_document(verbs: tuple[str, ...], call: Call) -> None:
    said = call(*verbs, "--json")
    assert json.loads(said.out) is not None
    assert said.err == ""


def test_a_sequence_is_a_triangle_and_its_differences(call: Call) -> None:
    said = call("sequence", "last")
    for part in ("after older", "0.700", "all earlier tasks", "\u221230.0 to \u221210.0"):
        assert part in said.out
    assert "nan" not in said.out


def test_compare_tells_what_differs(call: Call) -> None:
    said = call("compare", "a", "b")
    for part in ("seed", "no difference", "It rains.", "90.0\u00a0%"):
        assert part in said.out
