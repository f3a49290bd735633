"""A run whose rows carry any number of tags, from a table with cells that are not known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api
from headstart.errors import PlanError

TAGS = ("kind-damp", "kind-loud", "kind-warm")


def write(path: Path, rows: int = 150) -> Path:
    """Four numbers, of which three decide a tag each; one cell in ten is not known."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(rows, 4))
    carried = (numbers[:, :3] + 0.4 * rng.normal(size=(rows, 3)) > 0.4).astype(int)
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["a", "b", "c", "d", *TAGS])
        for values, tags in zip(numbers, carried, strict=True):
            cells = [t if rng.random() > 0.1 else "" for t in tags]
            lines.writerow([*(f"{v:.4f}" for v in values), *cells])
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("tags")
    return hs.adapt(
        write(folder / "rows.csv"),
        columns={"target": "kind-*"},
        seeds=2,
        output=str(folder / "runs"),
    )


def test_it_ends_with_a_verdict_on_the_area_under_the_curve(run: api.Run) -> None:
    assert run.record.classes == TAGS
    assert run.verdict in ("helped", "harmed", "no evidence")
    assert "AUROC" in run.sentence
    found = {(m.name, m.group): m for f in run.record.findings for m in f.measures}
    assert found["AUROC", ""].value > 0.8
    for name in TAGS:
        one = found["AUROC", name]
        assert one.low is not None and one.high is not None
        assert one.low < one.value <= one.high


def test_the_pack_tells_the_tags_of_new_rows(run: api.Run) -> None:
    told = api.open_run(run.folder).predict(
        {"a": [2.5, -2.5], "b": [-2.5, -2.5], "c": [2.5, -2.5], "d": [0.0, 0.0]}
    )
    assert told.labels == ["kind-damp; kind-warm", ""]
    assert told.probabilities is not None
    assert told.probabilities.shape == (2, 3)


def test_the_report_names_the_tags(run: api.Run) -> None:
    page = run.report().read_text("utf-8")
    assert "Which of 3 tags" in page
    assert all(name in page for name in TAGS)


def test_a_replay_gives_the_same_weights(run: api.Run) -> None:
    assert run.replay()["equal"]


def test_labels_a_class_cannot_be_drawn_of_tags(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="per_class = 5 needs classes"):
        hs.adapt(write(tmp_path / "rows.csv"), columns={"target": "kind-*"}, per_class=5)
