"""`cluster` and `similar` on a command line, on generated rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import main


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with Path("rows.csv").open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["a", "b", "label"])
        for place in range(40):
            cells = [f"{v:.3f}" for v in rng.normal(size=2) * 0.4 + 9 * (place % 2)]
            lines.writerow([*cells, ["=left", "right"][place % 2]])
    return tmp_path


def test_cluster_writes_a_table_and_a_page(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "rows.csv", "--clusters", "2", "-o", "out", "--store", "memory"]) == 0
    said = capfd.readouterr().out
    assert "clusters.csv" in said and "NMI" in said and "plain features" in said
    with Path("out/clusters.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["row", "name", "cluster", "cluster_name", "distance", "label"]
    assert len(rows) == 41
    assert rows[1][5] == "'=left"
    assert "<!doctype html>" in Path("out/clusters.html").read_text("utf-8")


def test_cluster_never_overwrites_unasked(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ask = ["cluster", "rows.csv", "--clusters", "2", "-o", "out", "--store", "memory", "--json"]
    assert main(ask) == 0
    found = json.loads(capfd.readouterr().out)
    assert len(found["clusters"]) == 2
    assert {"name", "value", "low", "high"} <= set(found["measures"][0])
    assert main(ask) == 2
    assert "--force" in capfd.readouterr().err
    assert main([*ask, "--force"]) == 0


def test_cluster_answers_what_cannot_be(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for options, said in (
        (["--method", "kmean"], "Did you mean 'kmeans'"),
        (["--clusters", "99"], "Ask for at most 40"),
        (["--target", "lable"], "Did you mean 'label'"),
    ):
        assert main(["cluster", "rows.csv", "--store", "memory", *options]) == 2
        assert said in capfd.readouterr().err


def test_similar_of_data_is_csv_in_a_pipe(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("new.csv").write_text("a,b\n9,9\n0,0\n", "utf-8")
    ask = ["similar", "rows.csv", "new.csv", "-k", "2", "--store", "memory"]
    assert main(ask) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "query,rank,row,name,distance,label"
    assert len(lines) == 5
    assert [line.split(",")[5] for line in lines[1:]] == ["right", "right", "'=left", "'=left"]
    assert main([*ask, "--page", "near.html", "--output", "near.csv"]) == 0
    assert Path("near.html").read_text("utf-8").count("<figure") == 2 + 4
    assert main([*ask, "--output", "near.csv"]) == 2
    capfd.readouterr()
    assert main([*ask, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["neighbours"][0]["label"] == "right"


def test_similar_of_no_run_says_so(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", "nothing", "x"]) == 2
    assert "There is no run 'nothing'" in capfd.readouterr().err
