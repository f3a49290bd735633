"""Windows of series: where they lie, what they show, and that no test value is learned from."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.core import forecast, plugins
from headstart.core.task import Ahead, Columns, Task
from headstart.data import calendar, opening, origins, timeline, windows
from headstart.data.tables import from_columns
from headstart.data.timeline import TEST
from headstart.data.windows import Windows
from headstart.errors import DataError, PlanError
from headstart.serving.predictor import stepped

READER = plugins.Modality("series").read
READERS = {"series": READER, "table": plugins.Modality("table").read}
HORIZON, HISTORY = 6, 24


def hours(count: int, begin: int = 0) -> list[str]:
    start = calendar.seconds("2024-01-01")
    grid = calendar.Grid("seconds", 3600.0, start, True)
    return [grid.told(begin + k) for k in range(count)]


def cut(columns: dict[str, Any], **more: Any) -> Windows:
    """Windows of columns in memory; `more` goes to the task, `columns_` to its columns."""
    asked = Columns(**{"target": "y", **more.pop("columns_", {})})
    ahead = Ahead(**{"horizon": HORIZON, "history": HISTORY, **more.pop("ahead", {})})
    task = Task(outcome="forecast", columns=asked, forecast=ahead, **more)
    return windows.open_windows(from_columns(columns), task, READERS, cache=None)


def plain(count: int = 400) -> dict[str, Any]:
    """An hour a row; the value is its number, so that every window can be read."""
    return {"time": hours(count), "y": np.arange(count, dtype=float)}


def shown(made: Windows, row: int) -> np.ndarray:
    """(history, channels) of one window, in the person's units."""
    (sample,) = made.samples(np.array([row]))
    from headstart.modalities.series import _signal

    return _signal.series(sample, made.fields).values


def test_a_window_shows_what_came_before_and_asks_for_what_comes_next() -> None:
    made = cut(plain())
    for row in (0, 7, len(made) - 1):
        origin = int(made.origins[row])
        assert shown(made, row)[:, 0].tolist() == list(range(origin - HISTORY, origin))
        target = made.targets(np.array([row]))[0]
        assert target[:HORIZON].tolist() == list(range(origin, origin + HORIZON))
        assert target[HORIZON] == origin - 1  # the level: the last known value
        assert target[-1] == 24.0  # a day later the value has grown by 24
    assert made.names(np.array([0])) == [f"y from {hours(1, int(made.origins[0]))[0]}"]
    assert any("1 h, read off" in note for note in made.notes)
    assert made.modality == "series" and made.outcome == "forecast"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(12, 30), st.integers(150, 400), st.integers(1, 5))
def test_no_value_of_the_test_part_is_shown_or_asked_for_in_training(
    horizon: int, history: int, steps: int, tenths: int
) -> None:
    share = tenths / 10
    made = cut(plain(steps), ahead={"horizon": horizon, "history": history}, test_share=share)
    split = made.split(share)
    first = int(made.origins[split.test].min())
    last = int(made.origins[split.train].max()) + horizon
    assert last <= first
    for row in (split.train[0], split.train[-1]):
        assert shown(made, int(row)).max() < first


def test_windows_of_two_folds_ask_for_no_value_in_common() -> None:
    made = cut(plain())
    split = made.split(0.25)
    asked = [set(range(int(o), int(o) + HORIZON)) for o in made.origins[split.train]]
    parts = [set().union(*(a for a, g in zip(asked, split.groups, strict=True) if g == k))
             for k in np.unique(split.groups)]  # fmt: skip
    assert len(parts) == origins.BLOCKS
    assert sum(map(len, parts)) == len(set().union(*parts))
    tested = np.array(made.metadata(split.test)["stretch of time"])
    assert len(np.unique(tested)) >= 3 and (np.diff(tested) >= 0).all()


def test_a_split_column_fixes_the_parts_and_other_words_are_not_used() -> None:
    data = plain(300)
    data["split"] = ["train"] * 120 + ["val"] * 60 + ["test"] * 80 + ["unused"] * 40
    made = cut(data, columns_={"split": "split"})
    split = made.split(0.25)
    assert made.origins[split.train].max() + HORIZON <= 180
    assert made.origins[split.test].min() == 180
    assert made.origins[split.test].max() + HORIZON == 260


def test_several_series_are_cut_at_the_same_moment() -> None:
    stamps = hours(200) * 2
    data = {"t": stamps, "name": ["a"] * 200 + ["b"] * 200, "y": np.arange(400.0) % 200}
    made = cut(data, columns_={"sample": "name", "time": "t"})
    split = made.split(0.25)
    firsts = made.steps(split.test)
    begins = {n: min(m[0] for k, m in firsts if k == n) for n in ("a", "b")}
    assert begins["a"] == begins["b"]
    wide = {"t": hours(200), "a": np.arange(200.0), "b": np.arange(200.0) * 2}
    both = cut(wide, columns_={"target": "a, b"})
    assert len(both) == len(made) and {n for n, _ in both.steps(np.arange(len(both)))} == {"a", "b"}


def test_duplicates_are_averaged_and_gaps_are_said() -> None:
    data = {"time": hours(300), "y": np.arange(300.0)}
    keep = [k for k in range(300) if k % 50 != 10]
    rows = [*keep, 20, 20]
    shuffled = np.random.default_rng(0).permutation(rows)
    first = int(np.flatnonzero(shuffled == 20)[0])
    values = [float(k) + 3.0 * (k == 20 and i != first) for i, k in enumerate(shuffled)]
    made = cut({"time": [data["time"][k] for k in shuffled], "y": values})
    assert any("repeat a time stamp" in n for n in made.notes)
    assert any("6 of 300 steps have no value" in n for n in made.notes)
    window, begin = shown(made, 0)[:, 0], int(made.origins[0]) - HISTORY
    assert np.isnan(window[10 - begin]) and window[9 - begin] == 9 and window[11 - begin] == 11
    assert window[20 - begin] == 22  # the mean of 20, 23 and 23


def test_irregular_stamps_are_taken_to_the_grid_or_refused() -> None:
    rng = np.random.default_rng(1)
    start = calendar.seconds("2024-01-01")
    jitter = np.where(np.arange(300) % 10 == 0, 900.0, 0.0)
    stamps = [float(start + 3600 * k + jitter[k]) for k in range(300)]
    told = [str(np.datetime64(int(s), "s")) for s in stamps]
    made = cut({"time": told, "y": np.arange(300.0)})
    assert any(n.startswith("Irregular time stamps") for n in made.notes)
    wild = np.cumsum(rng.exponential(1.0, 300))
    with pytest.raises(DataError, match="off an even grid"):
        cut({"time": wild, "y": np.arange(300.0)})


def jittered(spread: float, count: int = 400, minutes: float = 0.0) -> list[str]:
    """Hours, each up to `spread` minutes off."""
    rng = np.random.default_rng(2)
    start = calendar.seconds("2024-01-01") + 60 * minutes
    moments = start + 3600.0 * np.arange(count) + rng.uniform(-60 * spread, 60 * spread, count)
    return [str(np.datetime64(int(m), "s")) for m in moments]


@pytest.mark.parametrize("minutes", [0.0, 30.0])
def test_a_named_frequency_takes_stamps_that_lie_far_off(minutes: float) -> None:
    data = {"time": jittered(25, minutes=minutes), "y": np.arange(400.0)}
    with pytest.raises(DataError, match="averaged, such as 'h'"):
        cut(data)
    made = cut(data, ahead={"frequency": "h"})
    (told,) = [n for n in made.notes if n.startswith("Irregular time stamps")]
    assert "0 steps hold several values" in told and "and 0 none" in told
    origin = int(made.origins[3])
    assert shown(made, 3)[:, 0].tolist() == list(range(origin - HISTORY, origin))
    later = from_columns({"time": jittered(25, 60, minutes=minutes), "y": np.arange(60.0)})
    found = windows.for_prediction(later, made.form, READER)
    assert found.steps(np.array([len(found) - 1]))[0][1][0][:13] == "2024-01-03 12"


def test_values_that_fall_into_one_named_step_are_averaged_and_counted() -> None:
    rng = np.random.default_rng(1)
    start = calendar.seconds("2024-01-01")
    moments = np.sort(start + rng.uniform(0, 400 * 3600, 400))
    told = [str(np.datetime64(int(m), "s")) for m in moments]
    made = cut({"time": told, "y": np.arange(400.0)}, ahead={"frequency": "2h"})
    assert any("averaged over steps of 2 h" in n for n in made.notes)
    data = {"time": told, "y": np.arange(400.0)}
    with pytest.raises(DataError, match="coarser frequency, such as 'h'"):
        cut(data, ahead={"frequency": "15min"})


def test_a_coarser_frequency_averages() -> None:
    made = cut(plain(2400), ahead={"frequency": "6h", "history": 8, "horizon": 4})
    assert shown(made, 0)[:2, 0].tolist() == [2.5, 8.5]
    assert any("averaged over steps of 6 h" in n for n in made.notes)


def test_what_is_known_ahead_is_shown_a_horizon_later() -> None:
    data = {**plain(), "plan": np.arange(400.0) * 10}
    made = cut(data, ahead={"known": ("plan", "hour")}, columns_={"inputs": ("plan",)})
    assert [f.name for f in made.fields] == [
        "y",
        "plan ahead",
        "hour sine ahead",
        "hour cosine ahead",
    ]
    origin = int(made.origins[5])
    window = shown(made, 5)
    assert window[-1, 1] == 10 * (origin + HORIZON - 1)
    angle = 2 * np.pi * (origin + HORIZON - 1) / 24
    assert np.allclose(window[-1, 2:], [np.sin(angle), np.cos(angle)])


def test_digests_follow_the_content_of_a_window() -> None:
    first, same = cut(plain()), cut(plain())
    assert first.digest == same.digest
    changed = plain()
    changed["y"][5] = 99.0
    other = cut(changed)
    differs = [a != b for a, b in zip(first.digests(np.arange(len(first))),
                                      other.digests(np.arange(len(other))), strict=True)]  # fmt: skip
    assert differs[0] and not differs[-1] and first.digest != other.digest


def test_rows_take_no_memory_of_their_history() -> None:
    made = cut(plain(5000), ahead={"history": 200})
    held = made.origins.nbytes + made.parts.nbytes + made.blocks.nbytes + made.values.nbytes
    assert held < 40 * len(made) and len(made) > 4000


def test_values_are_mapped_from_one_file(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    data = plain(200)
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["time", "y", "split"])
        rows.writerows(zip(data["time"], data["y"], ["train"] * 150 + ["test"] * 50, strict=True))
    task = Task(data=str(path), columns=Columns(target="y"), forecast=Ahead(HORIZON, HISTORY))
    made = opening.open_data(task, READERS, cache=tmp_path / "cache")
    assert isinstance(made, Windows) and isinstance(made.values, np.memmap)
    again = opening.open_data(task, READERS, cache=tmp_path / "cache")
    assert again.digest == made.digest
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_prediction_begins_where_the_table_ends_and_looks_back() -> None:
    made = cut(plain(), ahead={"known": ("hour",)})
    table = from_columns({"time": hours(100, 1000), "y": np.arange(100.0)})
    found = windows.for_prediction(table, made.form, READER)
    steps = found.steps(np.arange(len(found)))
    assert steps[-1][1] == hours(HORIZON, 1100)
    assert steps[-2][1] == hours(HORIZON, 1094)
    last, before = found.targets(np.array([len(found) - 1, len(found) - 2]))
    assert np.isnan(last[:HORIZON]).all() and before[:HORIZON].tolist() == list(range(94, 100))
    assert np.isfinite(shown(found, len(found) - 1)).all()
    short = windows.for_prediction(
        from_columns({"time": hours(10), "y": np.arange(10.0)}), made.form, READER
    )
    assert not len(short) and "24 steps or more" in short.set_aside[0].remedy
    assert stepped(short, np.arange(0), np.empty((0, HORIZON)), None) is None


REFUSED: Sequence[tuple[dict[str, Any], type[Exception], str]] = (
    ({"ahead": {"history": 4}}, PlanError, "longer than the history"),
    ({"ahead": {"horizon": 0}}, PlanError, "--horizon 24"),
    ({"ahead": {"history": 390}}, DataError, "a window needs 390"),
    ({"columns_": {"target": "z"}}, DataError, "no column 'z'"),
    ({"columns_": {"target": "word"}}, DataError, "holds 'a'"),
    ({"columns_": {"target": "flat"}}, DataError, "nothing to forecast"),
    ({"modality": "table"}, DataError, "cannot be forecast"),
    ({"per_class": 3}, PlanError, "--per-class"),
    ({"columns_": {"leave_out": ("val",)}}, PlanError, "--leave-out"),
    ({"levels": ("low", "high")}, PlanError, "--levels"),
    ({"ahead": {"frequency": "5"}}, DataError, "does not fit the time column"),
)


@pytest.mark.parametrize(("more", "kind", "words"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_cannot_be_forecast_is_refused_in_words(
    more: dict[str, Any], kind: type[Exception], words: str
) -> None:
    data = {**plain(), "word": ["a"] * 400, "flat": [1.0] * 400}
    with pytest.raises(kind, match=words):
        cut(data, **more)


def test_a_horizon_with_another_outcome_is_refused() -> None:
    with pytest.raises(PlanError, match="outcome forecast"):
        windows.asked(Task(outcome="classify", forecast=Ahead(3)))
    assert windows.asked(Task(forecast=Ahead(3))) and not windows.asked(Task())


def test_parts_are_learn_and_test_only() -> None:
    made = cut(plain())
    assert set(np.unique(made.parts)) == {0, TEST}
    assert made.split(0.0).test.size == 0
    assert forecast.CONTEXT == 3 and len(made.targets(np.array([0]))[0]) == HORIZON + 3


def formed(columns: dict[str, Any], **asked: Any) -> tuple[timeline.Timeline, list[str]]:
    """The series of some columns, and what is said of them."""
    table, notes = from_columns(columns), list[str]()
    form = timeline.find_form(table, Columns(target="y", **asked), (), notes)
    made = timeline.read(table, form)
    return made, notes + made.notes


DAYS = [datetime.date(2025, 1, 1) + datetime.timedelta(days=k) for k in range(60) if k != 40]


@pytest.mark.parametrize("name", ["when", "date"])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y"])
def test_dates_are_the_time_whatever_their_name_and_form(name: str, form: str) -> None:
    made, notes = formed({name: [d.strftime(form) for d in DAYS], "y": np.arange(59.0)})
    assert made.form.time == name and made.grid.words == "1 d" and not made.set_aside
    assert made.grid.told(0) == "2025-01-01" and len(made.lines[0].values) == 60
    assert any("01.2025 is" in n or "01/2025 is" in n for n in notes) == (form != "%Y-%m-%d")


def test_whole_numbers_of_eight_digits_are_dates() -> None:
    stamps = [int(f"{d:%Y%m%d}") for d in DAYS]
    made, notes = formed({"date": stamps, "y": np.arange(59.0)})
    assert len(made.lines[0].values) == 60 and made.grid.told(59) == "2025-03-01"
    assert "'date' holds dates: 20250101 is 2025-01-01." in notes
    assert formed({"code": stamps, "y": np.arange(59.0)})[0].form.time == ""
    assert formed({"code": stamps, "y": np.arange(59.0)}, time="code")[0].grid.dated
    again = timeline.read(
        from_columns({"date": [str(d) for d in DAYS], "y": np.arange(59.0)}), made.form
    )
    assert np.array_equal(again.lines[0].values, made.lines[0].values, equal_nan=True)


def test_of_several_columns_of_dates_one_is_named() -> None:
    texts = [str(d) for d in DAYS]
    data = {"sent on": texts, "paid": texts, "y": np.arange(59.0)}
    with pytest.raises(DataError, match=r"'sent on', 'paid'.*--time 'sent on'"):
        formed(data)
    assert formed(data, time="paid")[0].form.time == "paid"
    assert formed(data, drop=("paid",))[0].form.time == "sent on"
    assert formed({**data, "date": texts})[0].form.time == "date"


def test_dates_that_cannot_be_read_are_said() -> None:
    texts = [f"{k:02d}/{k:02d}/2025" for k in range(1, 12)] + ["01/02/2025"]
    data = {"when": texts, "month": ["May"] * 12, "y": np.arange(12.0)}
    notes = formed(data)[1]
    assert any("'when' is not taken as time: day and month" in n for n in notes)
    assert any("'month' is not taken as time: 'May' is no date" in n for n in notes)
    with pytest.raises(DataError, match="'when' cannot be read: day and month"):
        formed(data, time="when")
    made, _ = formed({"date": DAYS, "y": np.arange(59.0)})
    with pytest.raises(DataError, match="holds numbers, in training dates"):
        timeline.read(from_columns({"date": np.arange(59), "y": np.arange(59.0)}), made.form)


@pytest.mark.parametrize("row", [3, 1500])
def test_the_bad_cell_is_named_and_not_a_good_one(row: int) -> None:
    cells = [f"{k}.5" for k in range(2000)]
    cells[1], cells[row] = "NA", "broken"
    with pytest.raises(DataError, match=rf"holds 'broken' \(row {row + 1}\)"):
        formed({"y": cells})
    good = [c.replace("broken", "") for c in cells]
    assert np.isnan(formed({"y": good})[0].lines[0].values[[1, row], 0]).all()


def test_series_on_top_of_each_other_are_told_apart_by_name() -> None:
    stamps = [str(d) for d in DAYS] * 2
    data = {
        "date": stamps, "id": [f"r{k}" for k in range(118)], "kind": ["x"] * 118,
        "the shop": ["a"] * 59 + ["b"] * 59, "y": np.arange(118.0),
    }  # fmt: skip
    said = " ".join(formed(data)[1])
    assert "59 rows repeat" in said and "--sample 'the shop'." in said
    assert "--sample" not in " ".join(formed(data, sample="the shop")[1])
    assert "--sample COLUMN" in " ".join(formed({k: data[k] for k in ("date", "kind", "y")})[1])
    few = {"date": [str(d) for d in [*DAYS, DAYS[0]]], "y": np.arange(60.0)}
    assert "--sample" not in " ".join(formed(few)[1])
