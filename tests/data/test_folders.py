"""Class folders: what is read, what is set aside, what stops a run."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.errors import DataError


def test_class_folders_become_rows_with_names_and_labels(photos, opened):
    made = opened(photos)
    rows = np.arange(len(made))
    assert len(made) == 20 and made.modality == "image" and made.outcome == "classify"
    assert made.fields == (Field("image", "path"),)
    assert made.targets(rows) == ["cats"] * 10 + ["dogs"] * 10
    assert set(made.names(rows)) >= {"cats/0.pic", "dogs/deep/9.pic"}
    first = made.samples(np.array([0]))[0]["image"]
    assert first == (photos / made.names(np.array([0]))[0]).read_bytes()


def test_rows_come_in_the_order_asked_for(photos, opened):
    made = opened(photos)
    assert made.names(np.array([7, 2, 2])) == [made.names(np.array([i]))[0] for i in (7, 2, 2)]


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", ".hidden.pic"])
def test_system_and_hidden_files_are_ignored(photos, opened, name):
    (photos / "cats" / name).write_bytes(b"x")
    made = opened(photos)
    assert len(made) == 20 and not made.set_aside


def test_other_files_are_set_aside_and_told(photos, opened):
    (photos / "cats" / "notes.md").write_text("x")
    (photos / "loose.pic").write_bytes(b"PIC")
    made = opened(photos)
    told = {a.name: a.reason for a in made.set_aside}
    assert "not a file of kind" in told["cats/notes.md"]
    assert "no class folder" in told["loose.pic"]
    assert len(made) == 20


def test_missing_folder(tmp_path, opened):
    with pytest.raises(DataError, match="There is no data at"):
        opened(tmp_path / "nowhere")


def test_empty_folder_says_what_is_expected(tmp_path, opened):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="one sub-folder per class"):
        opened(tmp_path / "empty")


def test_only_unreadable_kinds_names_them(tmp_path, opened):
    (tmp_path / "x" / "a").mkdir(parents=True)
    (tmp_path / "x" / "a" / "1.doc").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 \.doc.*image: \.pic"):
        opened(tmp_path / "x")


def test_empty_class_folder_is_noted(photos, opened):
    (photos / "birds").mkdir()
    assert any("birds" in n and "no usable file" in n for n in opened(photos).notes)


def test_one_class_stops(photos, opened):
    shutil.rmtree(photos / "dogs")
    with pytest.raises(DataError, match="one class only, 'cats'"):
        opened(photos)


def test_class_with_one_example_stops(photos, opened, picture):
    (photos / "bird").mkdir()
    (photos / "bird" / "1.pic").write_bytes(picture())
    with pytest.raises(DataError, match="one example only: 'bird'"):
        opened(photos)


def test_train_and_test_folders_fix_the_split(photos, opened, tmp_path):
    root = tmp_path / "parted"
    shutil.copytree(photos, root / "train")
    for name in ("cats", "dogs"):
        (root / "test" / name).mkdir(parents=True)
        shutil.move(root / "train" / name / "0.pic", root / "test" / name / "0.pic")
    made = opened(root)
    parts = made.metadata(np.arange(len(made)))["split"]
    assert parts.count("test") == 2 and made.columns == {"split": "split"}
    assert any("fix the split" in n for n in made.notes)


def test_a_fixed_split_may_be_dropped(photos, opened, tmp_path):
    shutil.copytree(photos, tmp_path / "parted" / "train")
    shutil.copytree(photos, tmp_path / "parted" / "test")
    made = opened(tmp_path / "parted", {"drop": ("split",)})
    assert not made.columns and not any("fix the split" in n for n in made.notes)


def test_columns_of_class_folders_are_refused(photos, opened):
    with pytest.raises(DataError, match=r"'patient' was named, but .* holds class folders"):
        opened(photos, {"group": "patient"})
    with pytest.raises(DataError, match="whose names are classes"):
        opened(photos, outcome="regress")


def test_val_alone_is_the_test_part(photos, opened, tmp_path):
    root = tmp_path / "parted"
    shutil.copytree(photos, root / "train")
    shutil.copytree(photos, root / "val")
    made = opened(root)
    assert made.metadata(np.arange(len(made)))["split"].count("test") == 20


def test_broken_file_is_set_aside_below_the_limit(photos, opened, tmp_path):
    (photos / "cats" / "0.pic").write_bytes(b"torn")
    made = opened(photos)
    assert len(made) == 19
    assert (made.set_aside[0].name, made.set_aside[0].reason) == ("cats/0.pic", "no picture")
    listed = next((tmp_path / "cache").glob("*.set_aside.csv")).read_text()
    assert "cats/0.pic,no picture,save it again" in listed


def test_above_the_limit_stops_and_says_how_to_allow_more(photos, opened):
    for number in range(3):
        (photos / "cats" / f"{number}.pic").write_bytes(b"torn")
    said = r"3 of 20 rows.*cats/0\.pic, cats/1\.pic, .*no picture.*--tolerate 0\.15"
    with pytest.raises(DataError, match=said):
        opened(photos)
    assert len(opened(photos, tolerate=0.15)) == 17


def test_missing_reading_rights_set_the_row_aside(photos, opened):
    (photos / "cats" / "0.pic").unlink()
    os.symlink("nowhere", photos / "cats" / "0.pic")
    made = opened(photos)
    assert made.set_aside[0].reason == "the file is missing"


def test_changed_file_is_an_error(photos, opened):
    made = opened(photos)
    (photos / "cats" / "0.pic").write_bytes(b"PIC another")
    row = made.names(np.arange(20)).index("cats/0.pic")
    with pytest.raises(DataError, match=r"cats/0\.pic.*changed"):
        made.samples(np.array([row]))


def test_deleted_file_is_an_error(photos, opened):
    made = opened(photos)
    (photos / "cats" / "0.pic").unlink()
    row = made.names(np.arange(20)).index("cats/0.pic")
    with pytest.raises(DataError, match="was readable when the data were opened"):
        made.samples(np.array([row]))


def test_second_opening_reads_nothing_again(photos, opened, readers):
    first = opened(photos)
    loads = readers["image"].loads
    second = opened(photos)
    assert readers["image"].loads == loads
    assert second.digest == first.digest and second.fields == first.fields


def test_changed_folder_is_read_again(photos, opened, picture):
    first = opened(photos)
    (photos / "cats" / "new.pic").write_bytes(picture())
    second = opened(photos)
    assert len(second) == 21 and second.digest != first.digest


def test_digest_is_of_content_and_label_not_of_names(photos, opened, tmp_path):
    first = opened(photos)
    shutil.copytree(photos, tmp_path / "copy")
    assert opened(tmp_path / "copy").digest == first.digest
    (photos / "cats" / "0.pic").rename(photos / "dogs" / "a.pic")
    assert opened(photos).digest != first.digest


def test_folder_with_one_table_is_opened_as_that_table(photos, opened):
    lines = [f"cats/{i}.pic,{i % 2}" for i in range(8)]
    shutil.rmtree(photos / "dogs")
    (photos / "labels.csv").write_text("\n".join(["file,label", *lines]))
    made = opened(photos)
    assert len(made) == 8 and made.fields == (Field("file", "path"),)
    assert made.names(np.array([3])) == ["cats/3.pic"]


def test_names_that_are_no_utf8_are_set_aside(photos, opened):
    odd = os.fsencode(photos / "cats") + b"/\xff.pic"
    with open(odd, "wb") as handle:
        handle.write(b"PIC12345678")
    made = opened(photos)
    assert len(made) == 20 and "udcff" in made.set_aside[0].name
