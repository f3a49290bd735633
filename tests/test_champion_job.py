"""A simple model that does better than the transfer is named and offered, and predicts when fitted again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api, baseline, job
from headstart.cli import main
from headstart.cli.run import show
from headstart.errors import DataError, PlanError

QUICK = {"seeds": 1, "scratch": False, "learning_curve": False}


def write(path: Path, rows: int = 150) -> Path:
    """The sum of three of twelve numbers decides, which random features see late."""
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(rows, 12))
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow([*(f"n{k}" for k in range(12)), "label"])
        for values in numbers:
            named = "up" if values[:3].sum() > 0 else "down"
            lines.writerow([*(f"{v:.4f}" for v in values), named])
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("better")
    return hs.adapt(write(folder / "rows.csv"), output=str(folder / "runs"), **QUICK)


def test_the_better_one_is_named_with_what_to_do(run: api.Run) -> None:
    assert run.better.startswith("simple ")
    assert run.better in run.sentence
    page = run.report().read_text("utf-8")
    assert f"headstart predict {run.id} INPUT... --champion" in page


def test_it_predicts_as_it_did_on_the_test_rows(run: api.Run) -> None:
    data = run.record.plan.task.data
    found = run.predict(data, champion=True)
    assert found.probabilities is not None
    assert np.allclose(found.probabilities.sum(axis=1), 1.0)
    made = job.open_job(run.record.plan, keep=False)
    name = run.better.partition(": ")[2]
    said = baseline.again(made, name)[0](list(job.Lazy(made.dataset, made.split.test)))
    told = found.probabilities[made.split.test]
    assert np.allclose(told, said)
    truth = made.targets.encode(made.dataset.targets(made.split.test))
    score = next(m for m in run.record.finding("verdict").measures if m.group == run.better)
    assert (told.argmax(axis=1) == truth).mean() == pytest.approx(score.value)


def test_the_command_line_offers_and_uses_it(
    run: api.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    data = run.record.plan.task.data
    assert main(["predict", str(run.folder), data, "--champion", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("name,prediction,confidence")
    assert len(said.splitlines()) == 151


def test_a_run_on_arrays_offers_no_fitting_again(tmp_path: Path) -> None:
    rows = list(csv.reader(write(tmp_path / "r.csv").open(encoding="utf-8")))[1:]
    inputs = np.array([[float(v) for v in row[:-1]] for row in rows])
    labels = [row[-1] for row in rows]
    made = hs.adapt(inputs, labels, output=str(tmp_path / "runs"), **QUICK)
    assert made.better
    assert "--champion" not in made.report().read_text("utf-8")
    with pytest.raises(DataError, match="arrays in memory"):
        made.predict(inputs, champion=True)


def test_the_end_of_a_run_offers_it(run: api.Run, capsys: pytest.CaptureFixture[str]) -> None:
    show(run, "report.html")
    said = " ".join(capsys.readouterr().out.split())
    assert f"'{run.better}'. It cannot be packed, only fitted again" in said.replace(
        "‘", "'"
    ).replace("’", "'")
    assert "INPUT... --champion" in said


def test_what_cannot_be_is_refused(run: api.Run, tmp_path: Path) -> None:
    data = run.record.plan.task.data
    with pytest.raises(PlanError, match="leave out scope or champion"):
        run.predict(data, scope=True, champion=True)
    made = job.open_job(run.record.plan, keep=False)
    with pytest.raises(PlanError, match="No simple model 'trees'"):
        baseline.again(made, "trees")
    alone = hs.adapt(
        write(tmp_path / "r.csv", 60), output=str(tmp_path / "runs"), **QUICK, champion=False
    )
    assert alone.better == ""
    with pytest.raises(PlanError, match="compared with no simple model"):
        alone.predict(data, champion=True)
    with Path(data).open("a", encoding="utf-8") as handle:
        handle.write(",".join(["0.5"] * 12) + ",up\n")
    with pytest.raises(DataError, match="Bring back the same files"):
        run.predict(data, champion=True)
