"""Texts and tables: whole names at every width, nothing wrapped or cut in a file."""

from __future__ import annotations

import pytest

from headstart.cli import _console as console

RUNS = (
    ("id", "verdict", "data", "source"),
    [
        (
            "20261121-101500-3fa2",
            "no evidence",
            "/data/fields/leaves/of/a/path.csv",
            "timm:resnet18",
        ),
        ("20261121-101501-77aa", "helped", "/data/" + "deep/" * 20 + "x.csv", "builtin:formula"),
    ],
)
ARMS = (
    ("arm", "skill", "95 % interval", "test rows"),
    [("simple champion: linear autoregression", "0.182", "0.085 to 0.278", "176 in 10 groups")],
    (1, 2, 3),
)
LONG = "a sentence of words " * 30


@pytest.mark.parametrize("width", ["", "40", "60", "80", "200"])
@pytest.mark.parametrize("shown", [RUNS, ARMS], ids=["runs", "arms"])
def test_no_name_and_no_figure_is_broken_or_cut(
    shown: tuple, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    console.table(*shown)
    out = capsys.readouterr().out
    words = {word for row in shown[1] for cell in row for word in cell.split()}
    assert words <= set(out.split())
    if width:
        wide = [line for line in out.splitlines() if len(line) > int(width)]
        assert all(len(line.split()) == 1 for line in wide), "only a word alone runs over"
    else:
        assert len(out.splitlines()) == 1 + len(shown[1]), "a line a row"


@pytest.mark.parametrize("width", ["", "60"])
def test_a_pipe_has_no_width(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    console.say(LONG)
    console.remark(LONG)
    console.facts([("note", LONG), ("more", "x")])
    out, err = capsys.readouterr()
    lines = [*out.splitlines(), *err.splitlines()]
    if width:
        assert max(map(len, lines)) <= 60
    else:
        assert [len(out.splitlines()), len(err.splitlines())] == [3, 1]
    assert not [line for line in lines if line != line.rstrip()]


def test_a_long_word_of_a_fact_stands_whole_behind_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    console.facts([("uri", "builtin:formula"), ("path", "/x" * 50), ("trained on", "nothing")])
    assert capsys.readouterr().out.splitlines() == [
        "uri         builtin:formula",
        "path:",
        "/x" * 50,
        "trained on  nothing",
    ]
