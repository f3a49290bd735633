"""`headstart.cluster` and `headstart.similar` on folders, tables and values in memory."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import api
from headstart.core import plugins
from headstart.errors import DataError, PlanError
from headstart.report import groups as pages

ODD = "<script>alert(1)</script>"


def write(path: Path, label: str = "label") -> Path:
    """Three clouds of 30 rows with an odd name for one; every tenth row has no label."""
    rng = np.random.default_rng(0)
    kinds = ["round", ODD, "flat"]
    with path.open("w", newline="", encoding="utf-8") as handle:
        lines = csv.writer(handle)
        lines.writerow(["a", "b", label])
        for place in range(90):
            centre = ((0, 0), (9, 0), (0, 9))[place % 3]
            cells = [f"{v:.3f}" for v in rng.normal(size=2) * 0.4 + centre]
            lines.writerow([*cells, "" if place % 10 == 0 else kinds[place % 3]])
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> api.Clusters:
    return hs.cluster(write(tmp_path_factory.mktemp("c") / "rows.csv"), clusters=3, store="memory")


def test_rows_without_a_label_stay_and_labels_form_no_cluster(found: api.Clusters) -> None:
    assert len(found.numbers) == 90
    assert found.labels is not None and found.labels.count(None) == 9
    assert any("they form no cluster" in n for n in found.notes)
    for number in (1, 2, 3):
        here = np.flatnonzero(found.numbers == number)
        assert len(set((here % 3).tolist())) == 1


def test_agreement_stands_beside_plain_features(found: api.Clusters) -> None:
    said = {(m.name, m.group): m for m in found.measures}
    assert said["NMI", "the source"].value == pytest.approx(1.0)
    assert said["ARI", "plain features: scaled and one-hot columns"].value > 0.9
    assert said["gain in NMI", ""].n == 81
    assert not found.missing


def test_the_table_names_every_row(found: api.Clusters) -> None:
    columns, rows = found.table()
    assert columns == ["row", "name", "cluster", "cluster_name", "distance", "label"]
    assert [row[0] for row in rows] == list(range(1, 91))
    assert rows[0][1] == "row 1" and rows[0][5] == ""
    nearest = [found.clusters[row[2] - 1].nearest[0] + 1 for row in rows]
    assert rows[0][3] == f"like row {nearest[0]}"


def test_the_page_is_whole_and_escaped(found: api.Clusters) -> None:
    page = pages.clusters(found)
    assert ODD not in page and "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("<figure") == sum(len(c.nearest) for c in found.clusters)
    assert "3 clusters in rows.csv" in page and "gain in NMI" in page


def test_a_column_of_labels_may_be_named_and_missing_ones_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "kind")
    named = hs.cluster(path, columns={"target": "kind"}, clusters=3, store="memory")
    assert named.labels is not None and len(named.measures) == 6
    with pytest.raises(DataError, match="Did you mean 'kind'"):
        hs.cluster(path, columns={"target": "kin"}, store="memory")


def test_values_in_memory_with_and_without_labels() -> None:
    rows = np.concatenate([np.random.default_rng(s).normal(size=(12, 3)) + 9 * s for s in (0, 1)])
    plain = hs.cluster(rows, clusters=2, store="memory")
    assert plain.labels is None
    assert plain.missing == (("agreement with labels", "the rows have no labels"),)
    assert "label" not in plain.table()[0]
    marked = hs.cluster(rows, [*"x" * 12, *"y" * 12], method="spectral", clusters=2, store="memory")
    assert marked.measures[0].value == pytest.approx(1.0)
    with pytest.raises(PlanError, match="Name their column"):
        hs.cluster("rows.csv", labels=["x"])


def test_few_and_odd_rows(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(PlanError, match="Ask for at most 6"):
        hs.cluster(rows, clusters=9, store="memory")
    assert set(hs.cluster(rows[:2], store="memory").numbers.tolist()) == {1}
    for odd in (rows[:1], np.ones((5, 2)), np.full((5, 2), np.nan)):
        with pytest.raises(DataError):
            hs.cluster(odd, store="memory")
    rows[2, 0] = np.nan
    assert len(hs.cluster(rows, clusters=2, store="memory").numbers) == 6
    numbers = hs.cluster(rows, list(range(6)), clusters=2, store="memory")
    assert "are no classes" in dict(numbers.missing)["agreement with labels"]
    with pytest.raises(DataError, match="There is no data"):
        hs.cluster(tmp_path / "nothing.csv")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("PIL")
    home = tmp_path_factory.mktemp("photos")
    return Path(plugins.Modality("image").tiny.write(home / "photos", "classify", 24, 0))


def test_folders_with_and_without_classes(photos: Path, tmp_path: Path) -> None:
    classes = hs.cluster(photos, clusters=2, store="memory")
    assert classes.labels is not None and len(set(classes.labels)) >= 2
    assert classes.clusters[0].name.startswith("like ") and "/" not in classes.clusters[0].name
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(p for p in photos.rglob("*") if p.is_file())):
        (flat / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    (flat / "notes.doc").write_bytes(b"no picture")
    (flat / "broken.png").write_bytes(b"no picture either")
    bare = hs.cluster(flat, clusters=2, store="memory")
    assert bare.labels is None
    assert {b.name for b in bare.set_aside} == {"notes.doc", "broken.png"}
    assert len(bare.numbers) == 24
    page = pages.clusters(bare)
    assert "data:image/png;base64," in page and "broken.png" in page


def test_one_picture_is_a_cluster(photos: Path) -> None:
    only = next(p for p in sorted(photos.rglob("*")) if p.is_file())
    found = hs.cluster([str(only)], store="memory")
    assert found.numbers.tolist() == [1]
    assert found.clusters[0].name == f"like {only.name}"


def test_similar_rows_of_data_and_of_a_run(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv")
    asked = {"a": [9.0, 0.0], "b": [0.0, 9.0]}
    found = hs.similar(path, asked, 3, store="memory")
    assert found.rows.shape == (2, 3)
    assert set((found.rows[0] % 3).tolist()) == {1} and set((found.rows[1] % 3).tolist()) == {2}
    assert (np.diff(found.distances, axis=1) >= 0).all()
    quick = {"scratch": False, "champion": False, "learning_curve": False, "seeds": 1}
    run = hs.adapt(path, tolerate=0.2, output=str(tmp_path / "runs"), **quick)
    own = api.open_run(run.folder).similar(asked, 4, by="euclidean")
    columns, rows = own.table()
    assert columns == ["query", "rank", "row", "name", "distance", "label"]
    assert {row[5] for row in rows if row[0] == "row 1"} == {ODD}
    tested = set(run.record.predictions["names"])
    assert not tested & {row[3] for row in rows}
    page = pages.similar(own)
    assert ODD not in page and page.count("<figure") == 2 + 8
    with pytest.raises(PlanError, match="Did you mean 'cosine'"):
        run.similar(asked, by="cosin")
    with pytest.raises(PlanError, match="expected 1 or more"):
        run.similar(asked, 0)


def test_a_run_of_arrays_kept_no_rows(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    quick = {"scratch": False, "champion": False, "learning_curve": False, "seeds": 1}
    run = hs.adapt(rows, ["x", "y"] * 30, output=str(tmp_path / "runs"), **quick)
    with pytest.raises(DataError, match=r"headstart\.similar"):
        run.similar(rows[:1])
