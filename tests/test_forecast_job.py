"""A run that forecasts, from a table of hours to a verdict, a pack and a CSV of forecasts with bands."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api, arms, curve
from headstart import job as jobs
from headstart.cli import main
from headstart.errors import DataError, PlanError

HOURS, HORIZON = 700, 6


def write(path: Path, hours: int = HOURS, spike: int = -1) -> Path:
    """A daily wave with noise at two sites; `spike` is an hour at which site a jumps."""
    rng = np.random.default_rng(7)
    start = np.datetime64("2024-01-01T00", "h")
    with path.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(["date", "site", "load", "wind"])
        for site, level in (("a", 50.0), ("b", 400.0)):
            day = np.sin(2 * np.pi * np.arange(hours) / 24)
            load = level + 8 * day + rng.normal(size=hours)
            if spike >= 0 and site == "a":
                load[spike] += 60
            for hour in range(hours):
                stamp = str(start + hour).replace("T", " ")
                rows.writerow([f"{stamp}:00", site, f"{load[hour]:.3f}", f"{rng.normal():.2f}"])
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("forecast")
    return hs.adapt(
        write(folder / "hours.csv"),
        forecast={"horizon": HORIZON, "history": 48},
        columns={"target": "load", "sample": "site"},
        seeds=1,
        learning_curve=False,
        output=str(folder / "runs"),
    )


def test_it_ends_with_a_verdict_on_the_skill(run: api.Run) -> None:
    assert run.verdict in ("helped", "no evidence", "harmed")
    assert "skill over the seasonal naive forecast" in run.sentence
    found = run.record.finding("forecast")
    assert found is not None
    values = {(m.name, m.group): m for m in found.measures}
    # noise of deviation 1 alone: the forecast errs by about 0.8, the naive one by 0.8 sqrt(2)
    scaled = values["MASE", ""]
    assert scaled.low is not None and scaled.high is not None
    assert 0.6 < scaled.low < scaled.value < scaled.high < 0.95
    assert 0.8 < values["coverage of 90 % bands", ""].value < 0.98
    assert run.record.source["uri"] == "builtin:recent-values"
    page = run.report().read_text("utf-8")
    assert "what came" in page and "MASE" in page


def test_forecasts_begin_where_the_table_ends(run: api.Run, tmp_path: Path) -> None:
    told = run.predict(write(tmp_path / "later.csv", 200))
    assert told.table is not None
    columns, rows = told.table
    assert columns == ["name", "time", "step", "forecast", "low", "high", "actual", "anomaly"]
    last = [r for r in rows if r[0] == "b"][-HORIZON:]
    assert last[0][1] == "2024-01-09 08:00" and [r[2] for r in last] == list(range(1, 7))
    assert all(r[6] == r[7] == "" for r in last)
    hours = (200 + np.arange(HORIZON)) % 24
    assert np.allclose([r[3] for r in last], 400 + 8 * np.sin(2 * np.pi * hours / 24), atol=2.5)
    assert all(r[4] < r[3] < r[5] for r in rows)


def test_a_planted_spike_has_the_highest_anomaly_score(run: api.Run, tmp_path: Path) -> None:
    told = run.predict(write(tmp_path / "spiked.csv", 200, spike=160))
    assert told.table is not None
    known = [r for r in told.table[1] if r[7] != ""]
    worst = max(known, key=lambda r: r[7])
    assert worst[:2] == ["a", "2024-01-07 16:00"] and worst[7] > 5
    assert np.median([r[7] for r in known]) < 1.2


def test_the_command_line_writes_the_bands(run: api.Run, tmp_path: Path) -> None:
    path, out = write(tmp_path / "later.csv", 120), tmp_path / "out.csv"
    assert main(["predict", str(run.folder), str(path), "-o", str(out), "--quiet"]) == 0
    with out.open() as handle:
        rows = list(csv.DictReader(handle))
    assert rows[-1]["low"] < rows[-1]["high"] and rows[0]["anomaly"] != ""


def test_the_simple_champion_forecasts_with_bands_of_its_own(run: api.Run, tmp_path: Path) -> None:
    path, out = write(tmp_path / "later.csv", 200), tmp_path / "out.csv"
    told, own = run.predict(path, champion=True), run.predict(path)
    assert told.table is not None and own.table is not None
    assert any("fitted again" in n for n in told.notes)
    assert told.table[0] == own.table[0] and told.names == own.names
    ours, theirs = own.table[1], told.table[1]
    assert [r[:3] for r in ours] == [r[:3] for r in theirs]
    assert any(a[3] != b[3] or a[5] != b[5] for a, b in zip(ours, theirs, strict=True))
    last = [r for r in theirs if r[0] == "b"][-HORIZON:]
    hours = (200 + np.arange(HORIZON)) % 24
    assert np.allclose([r[3] for r in last], 400 + 8 * np.sin(2 * np.pi * hours / 24), atol=3)
    assert all(r[4] < r[5] for r in theirs)
    known = [r for r in theirs if r[6] != ""]
    assert 0.75 < np.mean([r[4] <= r[6] <= r[5] for r in known]) <= 1
    assert (
        main(["predict", str(run.folder), str(path), "--champion", "-o", str(out), "--quiet"]) == 0
    )
    with out.open() as handle:
        assert len(list(csv.DictReader(handle))) == len(theirs)
    assert run.record.facts["champion_again"]


def test_what_is_chosen_is_judged_on_what_came_later(run: api.Run) -> None:
    made = jobs.open_job(run.record.plan, None, None)
    features = made.extract(made.train).features
    probe = arms.probe(made, features, 0.0)
    places, said = probe.held_out
    starts = made.dataset.origins[made.train[places]]  # type: ignore[attr-defined]
    parts = arms.folds(made, made.labels, made.groups, 0)
    assert np.isfinite(said).all() and 0 < len(places) < len(made.train)
    assert np.isfinite(probe.validation).all() and len(starts) == len(said)
    assert len(parts) == arms.FOLDS
    for learn, hold in parts:
        assert made.groups[learn].max() < made.groups[hold].min()
    points = curve.measured(made, features)
    assert np.isfinite(points["score"]).all() and points["n"] == [len(places)] * 4


def test_a_replay_gives_the_same_weights(run: api.Run) -> None:
    assert run.replay()["bitwise"]


def test_what_cannot_be_forecast_is_refused_before_training(tmp_path: Path) -> None:
    path = write(tmp_path / "hours.csv", 100)
    with pytest.raises(PlanError, match="longer than the history"):
        hs.adapt(path, forecast={"horizon": 48, "history": 24}, columns={"target": "load"})
    with pytest.raises(DataError, match="no column 'lod'"):
        hs.adapt(path, forecast={"horizon": 4}, columns={"target": "lod"})
    with pytest.raises(DataError, match="Arrays"):
        hs.adapt(np.zeros((50, 3)), list(range(50)), forecast={"horizon": 4})
