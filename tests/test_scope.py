"""Rows of no known class: chosen on training rows, judged on test rows, told by predict."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api
from headstart.cli import _tables as tables
from headstart.errors import DataError, PlanError

CENTRES = {"ash": (0, 0, 6), "birch": (6, 0, 0), "cedar": (0, 6, 0)}
OUT = "none of these"
QUICK = {"scratch": False, "champion": False, "learning_curve": False, "seeds": 1}


def write(path: Path, outside: int = 40, label: str = OUT) -> Path:
    """Three classes of 40 rows around centres of their own; rows outside lie on the other side."""
    rng = np.random.default_rng(5)
    rows = [
        (*(rng.normal(size=3) + centre), name)
        for name, centre in CENTRES.items()
        for _ in range(40)
    ]
    rows += [(*(rng.normal(size=3) - 7), label) for _ in range(outside)]
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["a", "b", "c", "label"])
        lines.writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("scope")
    return hs.adapt(
        write(folder / "rows.csv"), out_of_scope=OUT, output=str(folder / "runs"), **QUICK
    )


def measures(run: api.Run) -> dict[str, object]:
    found = run.record.finding("scope")
    assert found is not None
    return {m.name: m for m in found.measures if not m.group}


def test_the_label_is_no_class(run: api.Run) -> None:
    assert run.record.classes == tuple(CENTRES)
    assert len(run.record.predictions["rows"]) == 30  # a quarter of 120, those outside left out
    assert run.record.facts["train_rows"] == 90


def test_the_evidence_has_intervals(run: api.Run) -> None:
    found = measures(run)
    assert found["AUROC of rows out of scope"].value > 0.95
    assert found["FPR at 95 % TPR"].value < 0.2
    assert found["in-scope accuracy"].n == 30
    assert found["all test rows told right, marks included"].n == 40
    for one in found.values():
        assert one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high and one.low < one.high
    chosen = next(n for n in run.record.notes if n.startswith("Rows out of scope are told by"))
    assert "30 rows outside" in chosen and "mahalanobis" in chosen and "energy" in chosen


def test_predict_marks_rows_outside(run: api.Run) -> None:
    told = api.open_run(run.folder).predict({"a": [6.0, -7.0], "b": [0.0, -7.0], "c": [0.0, -7.0]})
    assert told.labels == ["birch", OUT]
    assert told.outside is not None and told.outside.tolist() == [False, True]
    columns, rows = tables.predicted(told, False)
    assert columns == ["name", "prediction", "confidence", "scope_score", "out_of_scope"]
    assert [row[-1] for row in rows] == ["no", "yes"]
    listed = tables.as_document(told)["predictions"]
    assert listed[1]["out_of_scope"] is True
    assert listed[1]["scope_score"] > listed[0]["scope_score"]
    assert set(listed[0]["probabilities"]) == set(CENTRES)


def test_a_replay_gives_the_same_weights(run: api.Run) -> None:
    assert run.replay()["equal"]


def test_the_report_speaks_of_it(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "AUROC of rows out of scope" in page


def test_without_a_label_the_score_is_had_for_the_asking(tmp_path: Path) -> None:
    made = hs.adapt(write(tmp_path / "rows.csv", 0), output=str(tmp_path / "runs"), **QUICK)
    new = {"a": [6.0, -7.0], "b": [0.0, -7.0], "c": [0.0, -7.0]}
    plain = made.predict(new)
    assert plain.scope is None and plain.outside is None
    told = made.predict(new, scope=True)
    assert told.outside is not None and told.outside.tolist() == [False, True]
    assert told.labels == plain.labels
    marked = measures(made)["rows of known classes marked as out of scope"]
    assert marked.low <= 0.05 <= marked.high
    assert "AUROC of rows out of scope" in dict(made.record.finding("scope").missing)


def test_no_training_row_outside_leaves_the_distance(tmp_path: Path) -> None:
    """All rows outside stand in the test part."""
    path = write(tmp_path / "rows.csv")
    lines = path.read_text("utf-8").splitlines()
    made = [lines[0] + ",split"]
    for number, line in enumerate(lines[1:]):
        test = line.endswith(OUT) or number % 4 == 0
        made.append(f"{line},{'test' if test else 'train'}")
    path.write_text("\n".join(made), "utf-8")
    run = hs.adapt(path, out_of_scope=OUT, output=str(tmp_path / "runs"), **QUICK)
    assert any("untried on such rows" in n for n in run.record.notes)
    assert not any("cannot be predicted" in n for n in run.record.notes)
    assert measures(run)["AUROC of rows out of scope"].value > 0.95
    assert run.predict({"a": [-7.0], "b": [-7.0], "c": [-7.0]}).labels == [OUT]


def test_a_tuned_network_is_guarded_by_its_base(tmp_path: Path) -> None:
    made = hs.adapt(
        write(tmp_path / "rows.csv"),
        out_of_scope=OUT,
        output=str(tmp_path / "runs"),
        strategy="fine_tune",
        settings={"epochs": 1},
        **QUICK,
    )
    new = {"a": [6.0, -7.0], "b": [0.0, -7.0], "c": [0.0, -7.0]}
    told = made.predict(new)
    assert told.outside is not None and told.outside.tolist() == [False, True]
    assert np.allclose(api.open_run(made.folder).predict(new).scope, told.scope)


def test_wrong_labels_and_outcomes_are_answered(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv")
    with pytest.raises(DataError, match="Did you mean 'none of these'"):
        hs.adapt(path, out_of_scope="none of thse", **QUICK)
    with pytest.raises(PlanError, match="needs classes"):
        hs.adapt(path, columns={"target": "a"}, outcome="regress", out_of_scope="x", **QUICK)


def test_a_model_of_numbers_tells_no_scope(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv")
    columns = {"target": "a", "inputs": ["b", "c"]}
    made = hs.adapt(
        path, columns=columns, outcome="regress", output=str(tmp_path / "runs"), **QUICK
    )
    assert len(made.predict({"b": [1.0], "c": [2.0]}).labels) == 1
    with pytest.raises(PlanError, match="tells no rows out of scope"):
        made.predict({"b": [1.0], "c": [2.0]}, scope=True)
