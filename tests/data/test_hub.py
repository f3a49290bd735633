"""Data sets by `hf:` name: local copies, and a hub of three functions that counts what it is asked."""

from __future__ import annotations

import json
import shutil
import socket
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from headstart.core.task import Columns, Task
from headstart.data import hub, opening
from headstart.errors import DataError, OfflineError

README = """---
license: mit
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
# Reviews
"""


def rows(count: int, start: int = 0, label: int | None = None) -> pa.Table:
    numbers = range(start, start + count)
    return pa.table(
        {
            "text": [f"a {'fine' if i % 2 else 'poor'} film number {i}" for i in numbers],
            "label": [i % 2 if label is None else label for i in numbers],
        }
    )


def write(folder: Path, files: dict[str, pa.Table], readme: str = "") -> Path:
    for name, table in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    if readme:
        (folder / "README.md").write_text(readme, "utf-8")
    return folder


REVIEWS = {
    "data/train-00000-of-00002.parquet": rows(20),
    "data/train-00001-of-00002.parquet": rows(10, 20),
    "data/test-00000-of-00001.parquet": rows(12, 30),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write(tmp_path / "reviews", REVIEWS, README)


@pytest.fixture
def read(tmp_path: Path, readers: Any) -> Any:
    def make(data: str, **task: Any) -> Any:
        whole = Task(data=data, **task)
        return opening.open_data(whole, readers, cache=tmp_path / "cache")

    return make


def test_shards_splits_and_class_names_of_a_copy(copy: Path, read: Any) -> None:
    made = read(f"hf:{copy}")
    every = np.arange(len(made))
    assert (len(made), made.modality, made.target) == (42, "text", "label")
    assert set(made.targets(every)) == {"bad", "good"}
    assert made.samples(np.array([20]))[0]["text"] == "a poor film number 20"
    parts = made.metadata(every)[made.columns["split"]]
    assert (parts.count("train"), parts.count("test")) == (30, 12)


def test_a_folder_that_says_it_is_a_copy_needs_no_prefix(copy: Path, read: Any) -> None:
    assert len(read(str(copy))) == 42


@pytest.mark.parametrize(
    ("front", "told"),
    [
        ("license: mit", "mit"),
        ("license: [mit, cc-by-nc-4.0]", "mit AND cc-by-nc-4.0"),
        ("license: other\nlicense_name: llama3", "llama3"),
        ("license: other", "unknown"),
        ("license: [mit, other]", "unknown"),
        ("license: []", "unknown"),
        ("license: {a: 1", "unknown"),
        ("size: 3", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_licence_that_a_card_states(front: str, told: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text(f"---\n{front}\n---\n# Set\n", "utf-8")
    assert hub.licence(str(folder)) == told
    assert hub.licence(f"hf:{folder}") == told
    assert hub.licence(f"hf:{folder}:train") == told


def test_without_a_card_the_licence_is_unknown(tmp_path: Path) -> None:
    assert hub.licence("") == hub.licence(str(tmp_path)) == "unknown"
    assert hub.licence(str(tmp_path / "rows.csv")) == "unknown"
    assert hub.licence("hf:nobody/has-this-set") == "unknown"
    assert hub.licence("hf:../..") == "unknown"


def test_the_licence_of_a_set_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "datasets--someone--reviews"
    place = cache / "snapshots" / ("0" * 40)
    place.mkdir(parents=True)
    (place / "README.md").write_text(README, "utf-8")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    plain = huggingface_hub.try_to_load_from_cache

    def look(name: str, file: str, *, repo_type: str) -> Any:
        return plain(name, file, cache_dir=tmp_path, repo_type=repo_type)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look)
    assert hub.licence("hf:someone/reviews:train") == "mit"
    assert hub.licence("hf:someone/other") == "unknown"


def test_one_split_is_read_alone(copy: Path, read: Any) -> None:
    made = read(f"hf:{copy}:train")
    assert len(made) == 30
    assert "split" not in made.columns


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (":trian", "no split 'trian'. Did you mean 'train'"),
        (":plain:train", "no configuration 'plain'"),
        (":a:b:c", "too many parts"),
    ],
)
def test_what_is_not_there_is_told(copy: Path, read: Any, asked: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(f"hf:{copy}{asked}")


def test_several_configurations_want_a_name(tmp_path: Path, read: Any) -> None:
    folder = write(
        tmp_path / "many",
        {"en/train-00000.parquet": rows(20), "de/train-00000.parquet": rows(24)},
    )
    with pytest.raises(DataError, match=r"several configurations: de, en.*Name one: .*:de"):
        read(f"hf:{folder}")
    assert len(read(f"hf:{folder}:de")) == 24
    assert len(read(f"hf:{folder}:en:train")) == 20
    with pytest.raises(DataError, match="no configuration 'fr'"):
        read(f"hf:{folder}:fr")


def test_the_readme_names_the_usual_configuration(tmp_path: Path, read: Any) -> None:
    readme = """---
configs:
- config_name: small
  data_files: small/*.parquet
- config_name: large
  default: true
  data_files:
  - split: train
    path: ["large/a.parquet", "large/b.parquet"]
---"""
    files = {
        "small/x.parquet": rows(10),
        "large/a.parquet": rows(10),
        "large/b.parquet": rows(12, 10),
    }
    folder = write(tmp_path / "two", files, readme)
    assert len(read(f"hf:{folder}")) == 22
    assert len(read(f"hf:{folder}:small")) == 10


@pytest.mark.parametrize(
    ("files", "config", "splits"),
    [
        (["data/train-00000-of-00001.parquet"], "default", ["train"]),
        (["train.parquet", "test.parquet"], "default", ["test", "train"]),
        (["plain/train/0000.parquet", "plain/test/0000.parquet"], "plain", ["test", "train"]),
        (["data/my_train.parquet"], "default", ["train"]),
        (["0000.parquet"], "default", ["train"]),
    ],
)
def test_files_without_readme_tell_by_their_names(
    files: list[str], config: str, splits: list[str]
) -> None:
    assert {c: sorted(s) for c, s in hub._by_names(files).items()} == {config: splits}


def test_class_names_are_read_from_the_schema_too(tmp_path: Path, read: Any) -> None:
    told = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = rows(20).replace_schema_metadata({"huggingface": json.dumps(told)})
    folder = write(tmp_path / "schema", {"data/train-0.parquet": table})
    assert set(read(f"hf:{folder}").targets(np.arange(20))) == {"no", "yes"}


def test_a_part_without_labels_is_left_out(tmp_path: Path, read: Any) -> None:
    files = {
        "data/train-00000.parquet": rows(20),
        "data/validation-00000.parquet": rows(10, 20),
        "data/test-00000.parquet": rows(10, 30, label=-1),
        "data/unsupervised-00000.parquet": rows(10, 40, label=-1),
    }
    made = read(f"hf:{write(tmp_path / 'blind', files, README.split('configs')[0] + '---')}")
    assert len(made) == 30
    assert any("'test' was left out: its 'label' is nowhere known" in n for n in made.notes)
    assert any("neither training nor test: 'unsupervised'" in n for n in made.notes)
    assert set(made.metadata(np.arange(30))["split"]) == {"train", "validation"}


def test_pictures_as_bytes_and_path(tmp_path: Path, read: Any, picture: Any) -> None:
    cells = [{"bytes": picture(), "path": f"{i}.pic"} for i in range(20)]
    table = pa.table({"image": cells, "label": [i % 2 for i in range(20)]})
    readme = README.replace("name: text\n    dtype: string", "name: image\n    dtype: image")
    folder = write(tmp_path / "pictures", {"data/train-00000.parquet": table}, readme)
    made = read(f"hf:{folder}")
    assert made.modality == "image"
    assert made.samples(np.array([3]))[0]["image"] == cells[3]["bytes"]
    assert made.targets(np.arange(2)) == ["bad", "good"]


def test_pictures_as_paths_are_found_below_the_folder(
    tmp_path: Path, read: Any, picture: Any
) -> None:
    folder = tmp_path / "pictures"
    cells = [{"bytes": None, "path": f"files/{i}.pic"} for i in range(20)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(cells, kind), "label": [i % 2 for i in range(20)]})
    write(folder, {"data/train-00000.parquet": table}, README)
    (folder / "files").mkdir()
    for i in range(20):
        (folder / "files" / f"{i}.pic").write_bytes(picture())
    assert len(read(f"hf:{folder}")) == 20


def test_a_folder_without_parquet_is_told(tmp_path: Path, read: Any) -> None:
    with pytest.raises(DataError, match="holds no Parquet file"):
        read(f"hf:{tmp_path}")


# the hub


class Hub:
    """What `headstart` asks of the hub, answered from a folder; every request is noted."""

    def __init__(self, remote: Path, cache: Path) -> None:
        self.remote, self.cache, self.asked = remote, cache, list[tuple[str, Any]]()

    def list_repo_files(self, name: str, *, repo_type: str, revision: str | None = None) -> Any:
        self.asked.append(("list", revision))
        place = self.remote / (revision or "main").replace("/", "_")
        if not place.is_dir():
            raise _Missing("no such repository")
        return [p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()]

    def snapshot_download(
        self,
        name: str,
        *,
        repo_type: str,
        allow_patterns: Any = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> str:
        held = self.cache / (revision or "main").replace("/", "_")
        if local_files_only:
            if not held.is_dir():
                raise FileNotFoundError(name)
            return str(held)
        self.asked.append(("fetch", allow_patterns))
        place = self.remote / (revision or "main").replace("/", "_")
        held.mkdir(parents=True, exist_ok=True)
        for path in [p for p in place.rglob("*") if p.is_file()]:
            inner = path.relative_to(place).as_posix()
            if any(fnmatch(inner, pattern) for pattern in allow_patterns):
                (held / inner).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, held / inner)
        return str(held)


class _Missing(RepositoryNotFoundError):
    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name in hub.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    made = Hub(tmp_path / "remote", tmp_path / "hub-cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_only_the_files_of_the_split_are_fetched(remote: Hub, read: Any) -> None:
    write(remote.remote / "main", REVIEWS, README)
    assert len(read("hf:someone/reviews:test")) == 12
    assert remote.asked[-1] == ("fetch", ["data/test-00000-of-00001.parquet"])
    assert len(read("hf:someone/reviews")) == 42


def test_a_set_of_other_files_is_taken_from_the_hub_s_conversion(remote: Hub, read: Any) -> None:
    write(remote.remote / "main", {}, "")
    (remote.remote / "main").mkdir(parents=True)
    (remote.remote / "main" / "data.csv").write_text("text,label\n")
    converted = {"default/train/0000.parquet": rows(20), "default/test/0000.parquet": rows(10, 20)}
    write(remote.remote / "refs_convert_parquet", converted)
    assert len(read("hf:someone/reviews")) == 30
    assert ("list", hub.CONVERTED) in remote.asked


def test_a_set_that_nobody_converted_is_told(remote: Hub, read: Any) -> None:
    for revision in ("main", "refs_convert_parquet"):
        (remote.remote / revision).mkdir(parents=True)
        (remote.remote / revision / "data.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="holds no Parquet files, and the hub has not converted it"):
        read("hf:someone/reviews")


def test_an_unknown_name_is_told(remote: Hub, read: Any) -> None:
    with pytest.raises(DataError, match="knows no data set 'someone/nothing'"):
        read("hf:someone/nothing")
    with pytest.raises(DataError, match="it is no hub name"):
        read("hf:./nowhere")


def test_offline_reads_what_was_fetched_and_asks_nobody(
    remote: Hub, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(remote.remote / "main", REVIEWS, README)
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"not on this machine, and .*HEADSTART_OFFLINE forbids"):
        read("hf:someone/reviews")
    monkeypatch.delenv("HEADSTART_OFFLINE")
    read("hf:someone/reviews")
    before = len(remote.asked)
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert len(read("hf:someone/reviews")) == 42
    assert len(remote.asked) == before


def test_the_plan_forbids_the_network_too(remote: Hub, readers: Any, tmp_path: Path) -> None:
    write(remote.remote / "main", REVIEWS, README)
    with pytest.raises(OfflineError, match=r"the plan \(source.offline\) forbids"):
        opening.open_data(
            Task(data="hf:someone/reviews"), readers, cache=tmp_path / "c", offline=True
        )
    assert not remote.asked


def test_no_socket_is_opened_for_a_copy_or_while_offline(
    copy: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert len(read(f"hf:{copy}", columns=Columns(target="label"))) == 42
    with pytest.raises(OfflineError, match="hf:FOLDER"):
        read("hf:nobody/has-this-set")
