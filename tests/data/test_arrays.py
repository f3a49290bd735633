"""`fit(X, y)` and prediction: data from memory, and rows without targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Columns, Task
from headstart.data.opening import from_arrays, open_samples
from headstart.errors import DataError

TEXTS = [f"some words {i}" for i in range(6)]
LABELS = ["a", "b"] * 3


def test_texts(readers):
    made = from_arrays(TEXTS, LABELS, readers)
    assert made.modality == "text" and made.targets(np.arange(6)) == LABELS
    assert made.samples(np.array([1])) == [{"input": "some words 1"}]


def test_numbers_of_two_dimensions(readers):
    values = np.arange(12).reshape(6, 2)
    made = from_arrays(values, np.array([0, 1] * 3), readers)
    assert [f.name for f in made.fields] == ["x0", "x1"] and made.modality == "table"
    assert made.samples(np.array([2])) == [{"x0": 4.0, "x1": 5.0}]
    assert made.targets(np.array([1])) == [1]


def test_a_column_without_values_is_no_obstacle(readers):
    values = np.array([[1.0, np.nan]] * 6)
    made = from_arrays(values, [0, 1] * 3, readers)
    assert made.samples(np.array([0]))[0]["x0"] == 1.0


def test_float_targets_are_regressed(readers):
    made = from_arrays(np.random.default_rng(0).random((30, 2)), np.arange(30) / 7, readers)
    assert made.outcome == "regress"


def test_paths_bytes_and_records(readers, photos):
    paths = sorted(photos.rglob("*.pic"))
    labels = [p.relative_to(photos).parts[0] for p in paths]
    by_path = from_arrays(paths, labels, readers)
    by_bytes = from_arrays([p.read_bytes() for p in paths], labels, readers)
    assert by_path.names(np.array([0])) == [str(paths[0])]
    assert by_path.digests(np.arange(20)) == by_bytes.digests(np.arange(20))
    records = [{"text": t, "age": i} for i, t in enumerate(TEXTS)]
    made = from_arrays(records, LABELS, readers)
    assert made.fields == (Field("text", "text"),)
    assert made.metadata(np.array([2])) == {"age": [2]}


def test_frames_and_arrow_tables(readers):
    pandas = pytest.importorskip("pandas")
    columns = {"p": [1.0, 2.0] * 3, "q": [1, 1, 2, 2, 3, 3]}
    frame = from_arrays(pandas.DataFrame(columns), LABELS, readers)
    arrow = from_arrays(pa.table(columns), LABELS, readers)
    assert frame.digest == arrow.digest == from_arrays(columns, LABELS, readers).digest


def test_metadata_is_no_input(readers):
    made = from_arrays(
        {"p": [1, 2] * 3},
        LABELS,
        readers,
        metadata={"site": [1, 1, 2, 2, 3, 3]},
        task=Task(columns=Columns(group="site")),
    )
    assert [f.name for f in made.fields] == ["p"] and made.columns == {"group": "site"}
    assert made.sensitive == ()


def test_target_named_among_the_columns(readers):
    columns = {"text": TEXTS, "grade": LABELS}
    made = from_arrays(columns, None, readers, task=Task(columns=Columns(target="grade")))
    assert made.target == "grade"


def test_unlabelled(readers):
    made = from_arrays(TEXTS, None, readers)
    assert made.outcome == "" and made.targets(np.array([0])) == [None]


def test_short_words_with_a_fixed_modality(readers):
    made = from_arrays(["good", "bad"] * 3, LABELS, readers, task=Task(modality="text"))
    assert made.fields == (Field("input", "text"),)


@pytest.mark.parametrize(
    ("inputs", "labels", "told"),
    [
        ([], [], "No rows"),
        (TEXTS, LABELS[:5], "differ in length"),
        (TEXTS, ["a"] * 6, "one class"),
        (TEXTS, ["a"] * 5 + ["b"], "one example only"),
        (np.zeros((6, 2, 2)), LABELS, r"shape \(6, 2, 2\)"),
        ("words", LABELS, "expected a list"),
        ([object()] * 6, LABELS, "came as object"),
    ],
)
def test_arrays_that_cannot_be_used(readers, inputs, labels, told):
    with pytest.raises(DataError, match=told):
        from_arrays(inputs, labels, readers)


def test_missing_labels_in_arrays(readers):
    made = from_arrays([*TEXTS, "x y"], [*LABELS, None], readers, task=Task(tolerate=0.2))
    assert len(made) == 6 and made.set_aside[0].name == "row 7"


def test_arrays_in_a_cache(readers, tmp_path):
    made = from_arrays(TEXTS, LABELS, readers, cache=tmp_path)
    assert len(list(tmp_path.glob("*.arrow"))) == 1 and len(made) == 6


def test_predict_a_folder_files_and_one_file(photos, readers):
    fields = (Field("image", "path"),)
    reader = readers["image"]
    below = open_samples(photos, fields, reader)
    files = open_samples(sorted(photos.rglob("*.pic")), fields, reader)
    one = open_samples(str(photos / "cats" / "0.pic"), fields, reader)
    assert len(below) == len(files) == 20
    assert sorted(below.digests(np.arange(20))) == sorted(files.digests(np.arange(20)))
    assert len(one) == 1 and one.targets(np.array([0])) == [None]


def test_predict_files_with_a_model_of_bytes(photos, readers):
    made = open_samples([photos / "cats" / "0.pic"], (Field("image", "bytes"),), readers["image"])
    assert made.samples(np.array([0]))[0]["image"].startswith(b"PIC")


def test_predict_text_files_with_a_model_of_cells(tmp_path, readers):
    (tmp_path / "a.txt").write_text("from a file")
    made = open_samples([tmp_path / "a.txt"], (Field("text", "text"),), readers["text"])
    assert made.samples(np.array([0])) == [{"text": "from a file"}]


def test_predict_texts(readers):
    made = open_samples(["two words", "x" * 5000], (Field("text", "text"),), readers["text"])
    assert made.samples(np.array([0])) == [{"text": "two words"}]


def test_predict_a_table_keeps_other_columns(written, readers):
    path = written("new.csv", "key,p,q\nk1,1,2\nk2,3,\n")
    fields = (Field("p", "number"), Field("q", "number"))
    made = open_samples(path, fields, readers["table"])
    assert made.samples(np.arange(2)) == [{"p": 1.0, "q": 2.0}, {"p": 3.0, "q": None}]
    assert made.metadata(np.arange(2)) == {"key": ["k1", "k2"]}


def test_predict_a_table_without_a_column_names_it(written, readers):
    fields = (Field("price", "number"), Field("q", "number"))
    with pytest.raises(DataError, match=r"no column 'price'.*Did you mean 'prise'"):
        open_samples(written("new.csv", "prise,q\n1,2\n"), fields, readers["table"])


def test_predict_sets_bad_rows_aside_however_many(photos, readers):
    (photos / "bad.pic").write_bytes(b"torn")
    fields = (Field("image", "path"),)
    made = open_samples([photos / "bad.pic", Path("nowhere.pic")], fields, readers["image"])
    assert len(made) == 0 and [a.reason for a in made.set_aside] == [
        "no picture",
        "the file is missing",
    ]


def test_predict_rows_of_numbers(readers):
    fields = (Field("x0", "number"), Field("x1", "number"))
    made = open_samples(np.ones((3, 2)), fields, readers["table"])
    assert made.samples(np.array([2])) == [{"x0": 1.0, "x1": 1.0}]


@pytest.mark.parametrize(("inputs", "told"), [("nowhere", "nothing at"), ([], "No rows")])
def test_predict_nothing(readers, inputs, told):
    with pytest.raises(DataError, match=told):
        open_samples(inputs, (Field("image", "path"),), readers["image"])


def test_predict_an_empty_folder(tmp_path, readers):
    with pytest.raises(DataError, match=r"Expected \.pic"):
        open_samples(tmp_path, (Field("image", "path"),), readers["image"])


def test_no_usable_row(readers):
    with pytest.raises(DataError, match=r"None of 2 rows can be used.*is empty"):
        from_arrays(["  ", "   "], ["a", "b"], readers, task=Task(tolerate=1.0, modality="text"))
