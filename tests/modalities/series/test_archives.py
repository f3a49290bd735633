"""Files of the UCR and UEA archives, through the door that a run takes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.core.task import Task
from headstart.data.dataset import ArrowDataset
from headstart.data.opening import open_data, open_samples
from headstart.errors import DataError
from headstart.modalities.series import _signal, read

UNEVEN = """# a comment
@problemName Toy
@timeStamps false
@univariate false
@classLabel true up down
@data
1,2,3:4,?,6:up
3,2:6,5:down
1,2,4:4,5,NaN:up
9,2:6,1:down
"""


def opened(path: Path, modality: str = "auto", outcome: str = "auto") -> ArrowDataset:
    task = Task(data=str(path), modality=modality, outcome=outcome, test_share=0.5)
    return open_data(task, {"series": read}, cache=path.parent / "cache")


def values(data: ArrowDataset, row: int = 0) -> np.ndarray:
    return _signal.series(data.samples(np.array([row]))[0], data.fields).values


def test_ts_with_channels_gaps_and_unequal_length(tmp_path: Path) -> None:
    path = tmp_path / "Toy.ts"
    path.write_text(UNEVEN)
    data = opened(path)
    assert data.fields == (Field("channel 1", "bytes"), Field("channel 2", "bytes"))
    assert data.targets(np.arange(4)) == ["up", "down", "up", "down"]
    assert np.array_equal(values(data), [[1, 4], [2, np.nan], [3, 6]], equal_nan=True)
    assert len(values(data, 1)) == 2


def test_ts_with_numbers_to_regress_and_time_stamps(tmp_path: Path) -> None:
    path = tmp_path / "Toy.ts"
    head = "@timestamps true\n@targetlabel true\n@data\n"
    lines = [f"({i},1.5),({i + 1},{i}):{i / 4}" for i in range(24)]
    path.write_text(head + "\n".join(lines))
    data = opened(path)
    assert data.outcome == "regress"
    assert [f.kind for f in data.fields] == ["bytes", "time"]
    one = _signal.series(data.samples(np.array([3]))[0], data.fields)
    assert one.times is not None
    assert one.times.tolist() == [3.0, 4.0]
    assert one.values.ravel().tolist() == [1.5, 3.0]


def test_a_train_file_brings_its_test_file_and_the_split(tmp_path: Path) -> None:
    for part in ("TRAIN", "TEST"):
        (tmp_path / f"Toy_{part}.tsv").write_text("1\t0.5\t1\t2\n2.0e+00\t3\t2\tNaN\n")
    for path in (tmp_path / "Toy_TRAIN.tsv", tmp_path):
        data = opened(path, "series")
        assert data.metadata(np.arange(4))["split"] == ["train", "train", "test", "test"]
        assert data.targets(np.arange(4)) == ["1", "2", "1", "2"]
        assert values(data, 1).ravel().tolist() == [3.0, 2.0]
    assert "Toy_TRAIN.tsv to learn from" in data.notes[0]


def test_arff(tmp_path: Path) -> None:
    path = tmp_path / "Toy.arff"
    head = (
        "@relation toy\n@attribute t0 numeric\n@attribute t1 real\n@attribute target {1,2}\n@data\n"
    )
    path.write_text(head + "% comment\n1,2,'1'\n3,?,2\n4,5,1\n6,7,2\n")
    data = opened(path)
    assert data.targets(np.arange(4)) == ["1", "2", "1", "2"]
    assert values(data).ravel().tolist() == [1, 2]


def test_npz_keeps_channels_before_steps_as_the_archives_do(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    x = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    x[0, :, 3:] = np.nan
    np.savez(path, x_train=x, x_test=x + 1, y_train=list("abab"), y_test=list("abab"))
    data = opened(path)
    assert len(data) == 8
    assert np.array_equal(values(data, 1), x[1].T)
    assert len(values(data)) == 3


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.ts", "@classLabel true a b\n", "no line @data"),
        ("a.ts", "@data\n1,two,3\n", "could not convert"),
        ("a.ts", "@data\n", "holds no series"),
        ("a.ts", "@timestamps true\n@data\n(1;2)\n", "no pair of time and value"),
        ("a.arff", "@attribute b relational\n", "relational attributes are not read"),
        (
            "a.arff",
            "@attribute a numeric\n@attribute c {1}\n@data\n1,2,3\n",
            "3 cells instead of 2",
        ),
        ("a.npz", "no archive", "cannot be read.*save it again"),
    ],
)
def test_broken_files_are_refused_in_words(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        opened(path)


def test_a_pickle_in_an_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([[1], [1, 2]], dtype=object))
    with pytest.raises(DataError, match="allow_pickle"):
        opened(path)


def test_an_npz_of_other_arrays_is_refused_with_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "coils.npz"
    np.savez(path, coil1_x=np.zeros((3, 4, 4)), coil1_y=np.zeros(3))
    assert read.gather(path, None) is None
    told = (
        r"coils.npz holds coil1_x, coil1_y.*series: x \(N, channels, T\).*headstart.adapt.*Parquet"
    )
    with pytest.raises(DataError, match=told):
        opened(path)
    np.savez(tmp_path / "good.npz", x=np.random.default_rng(0).normal(size=(4, 9)), y=list("abab"))
    fields = opened(tmp_path / "good.npz").fields
    with pytest.raises(DataError, match=told):
        open_samples(path, fields, read, modality="series")


def test_rows_of_different_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_text("@data\n1,2:3,4\n1,2\n")
    with pytest.raises(DataError, match="1 to 2 channels"):
        opened(path)


def test_such_a_file_can_be_predicted(tmp_path: Path) -> None:
    path = tmp_path / "Toy.ts"
    path.write_text(UNEVEN)
    fields = opened(path).fields
    again = open_samples(str(path), fields, read, modality="series")
    assert np.array_equal(values(again, 1), [[3, 6], [2, 5]])


def test_a_table_with_a_header_is_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\tc\td\n1\t2\t3\t4\n")
    assert read.gather(path, None, named=True) is None
    (tmp_path / "b.tsv").write_text("1\t2\t3\t4\n")
    assert read.gather(tmp_path / "b.tsv", None, named=True) is not None
    assert read.gather(tmp_path / "b.tsv", None) is None


def test_the_published_files_are_read_whole() -> None:
    folder = Path(os.environ.get("HEADSTART_DATA", "")) / "ucr"
    if not os.environ.get("HEADSTART_DATA") or not folder.is_dir():
        pytest.skip("HEADSTART_DATA names no folder with ucr")
    found = read.gather(folder / "JapaneseVowels.npz", None)
    assert found is not None
    columns = found.columns
    lengths = {len(v) for v in columns["channel 12"]}
    assert (min(lengths), max(lengths)) == (7, 29)
    assert columns["split"].count("test") == 370
