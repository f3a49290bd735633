"""Pre-training from the outside: a folder, a table, a generator or a source in; a source out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart
from headstart import job
from headstart.core import digest, plugins
from headstart.core.plan import SourceChoice
from headstart.engine.streams import Drawn, Views
from headstart.errors import DataError, PlanError, StorageError
from headstart.modalities.audio import decode
from headstart.pretraining import call, document, door

SMALL = {"width": 16, "blocks": 2, "halved": 1}
SERIES = "encoder?width=16&blocks=2&halved=1"


class Heard:
    """Remembers what was said, and interrupts after some steps."""

    def __init__(self, most: int = 10**6) -> None:
        self.said: list[str] = []
        self.left = most

    def step(self, step: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waves")
    return Path(plugins.Modality("series").tiny.write(folder, "classify", 48, 0))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    return Path(plugins.Modality("image").tiny.write(folder, "classify", 24, 0))


def made(data: Any, **more: Any) -> door.Pretrained:
    """A short pre-training of the series encoder, unless the test says otherwise."""
    asked = {
        "architecture": SERIES,
        "objective": "masked",
        "epochs": 2,
        "batch": 12,
        "output": "out",
    }
    return headstart.pretrain(data, **{**asked, **more})


def weights(one: door.Pretrained) -> str:
    return digest.file(one.folder / document.WEIGHTS)


def test_a_table_of_series_becomes_a_source_that_is_used_at_once(waves: Path) -> None:
    one = made(waves, licence="MIT")
    facts = json.loads((one.folder / "model.json").read_text("utf-8"))
    assert facts["sha256"] == weights(one)
    assert facts["licence"] == "MIT"
    assert facts["data"]["licence"] == "unknown"
    assert facts["parents"] == []
    assert facts["samples_seen"] == 96
    assert facts["flops"] > 0
    assert [h["epoch"] for h in facts["history"]] == [0, 1, 2]
    assert "probe" in facts["history"][0]
    card = (one.folder / "README.md").read_text("utf-8")
    for part in (
        "masked",
        "96",
        facts["data"]["digest"],
        "Linear probe",
        "license: MIT",
        "assumed",
    ):
        assert part in card
    run = headstart.adapt(
        str(waves),
        source=one.uri,
        strategy="fine_tune",
        settings={"epochs": 2, "rate": 1e-3},
        output="runs",
        seeds=1,
        scratch=False,
        champion=False,
        learning_curve=False,
    )
    assert run.record.source["licence"] == "MIT"
    assert "masked" in run.record.source["trained_on"]


def test_the_file_holds_what_was_trained(waves: Path) -> None:
    one = made(waves)
    ask, given = call.asked(waves, objective="masked", architecture=SERIES, settings={"epochs": 2})
    ready = door.prepare(ask, given)
    before = digest.tensors(ready.backbone.state_dict().items())
    modality = ready.samples.modality
    loaded = job.load(one.uri, modality, offline=True)
    again = modality.backbones.stage(loaded, ready.transform)
    assert digest.tensors(again.state_dict().items()) != before
    assert set(again.state_dict()) == set(ready.backbone.state_dict())


def test_interrupted_and_repeated_gives_the_same_bytes(waves: Path) -> None:
    whole = made(waves, epochs=4, output="whole")
    with pytest.raises(KeyboardInterrupt):
        made(waves, epochs=4, output="cut", watcher=Heard(most=2))
    assert not (Path("cut") / "model.json").exists()
    heard = Heard()
    cut = made(waves, epochs=4, output="cut", watcher=heard)
    assert heard.left == 10**6 - 2  # two epochs were left
    assert weights(cut) == weights(whole)
    assert cut.document["history"] == whole.document["history"]


def test_repeated_when_done_it_is_used_as_it_is(waves: Path) -> None:
    first = made(waves)
    stamp = (first.folder / "model.json").stat().st_mtime_ns
    heard = Heard(most=0)
    assert made(waves, watcher=heard).document == first.document
    assert (first.folder / "model.json").stat().st_mtime_ns == stamp
    assert "has made" in heard.said[-1]
    with pytest.raises(PlanError, match="Another source lies"):
        made(waves, seed=1)


def test_a_source_is_trained_on_and_named_as_parent(waves: Path) -> None:
    first = made(waves, licence="MIT")
    second = made(waves, architecture="", from_=first.uri, objective="denoise", output="second")
    parent = second.document["parents"][0]
    assert parent["uri"] == first.uri
    assert parent["licence"] == "MIT"
    assert second.document["licence"] == "unknown"
    assert second.document["architecture"] == "encoder"
    assert second.document["arguments"] == first.document["arguments"]
    assert weights(second) != weights(first)
    assert "before that" in second.document["trained_on"]


def test_pictures_from_the_built_in_source_go_on(photos: Path) -> None:
    one = headstart.pretrain(
        photos, from_="builtin:formula?input_size=32", objective="simclr", epochs=1, output="out"
    )
    assert one.document["parents"][0]["uri"] == "builtin:formula?input_size=32"
    modality = plugins.Modality("image")
    loaded = job.load(one.uri, modality, offline=True)
    assert loaded.source.preprocessing["input_size"] == [3, 32, 32]
    assert loaded.source.parameters == one.document["parameters"]
    assert job.choose_uri(one.uri, modality)[1] is None
    assert SourceChoice(uri=one.uri).uri.startswith("file:")


def test_a_generator_of_pictures_is_named_by_its_labels() -> None:
    architecture = "mobilenetv3_small_050?input_size=32"
    one = headstart.pretrain(
        "generator:scenes?size=32",
        architecture=architecture,
        samples=24,
        epochs=1,
        batch=8,
        output="out",
    )
    assert one.document["objective"] == "supervised"
    assert one.document["data"]["name"] == "generator:scenes?size=32"
    assert one.document["data"]["licence"] == "CC0-1.0"
    parts = one.document["history"][1]
    assert {"label1", "label2", "label3", "label4"} <= set(parts)
    job.load(one.uri, plugins.Modality("image"), offline=True)


def test_sounds_of_a_generator_keep_their_rate() -> None:
    ask, given = call.asked(
        "generator:tones?rate=4000&samples=2000",
        architecture="mobilenetv3_small_050?input_size=32",
        samples=16,
    )
    ready = door.prepare(ask, given)
    sample = next(iter(ready.samples.examples[0].values()))
    sound = decode.sound(sample)
    assert (sound.rate, len(sound.samples)) == (4000, 2000)
    batch = ready.stream().batch(np.arange(4), 1)
    assert batch.inputs["pixels"].shape[0] == 4
    assert {"label1", "label8"} <= set(batch.targets)


@pytest.mark.parametrize("objective", ["supervised", "simclr"])
def test_graphs_of_a_generator_make_a_source_for_other_graphs(
    tmp_path: Path, objective: str
) -> None:
    one = headstart.pretrain(
        "generator:motifs?most=12",
        architecture="gin, 2 layers, width 8, 4 kinds",
        objective=objective,
        samples=24,
        epochs=2,
        batch=8,
        output="out",
    )
    assert one.document["data"]["name"] == "generator:motifs?most=12"
    labels = {f"label{k + 1}" for k in range(6)}
    assert (labels <= set(one.document["history"][1])) == (objective == "supervised")
    data = plugins.Modality("graph").tiny.write(tmp_path / "own", "classify", 36, 0)
    plan = {"strategy": "linear_probe", "seeds": 1, "scratch": False, "champion": False}
    run = headstart.adapt(data, source=one.uri, learning_curve=False, output="runs", **plan)
    assert run.record.plan.source.uri == one.uri
    assert len(headstart.open_run(run.folder).predict(data).labels) == 36


def test_what_is_drawn_follows_from_seed_epoch_and_place() -> None:
    ask, given = call.asked(
        "generator:scenes?size=32", architecture="mobilenetv3_small_050?input_size=32", samples=16
    )
    stream = door.prepare(ask, given).stream()
    assert isinstance(stream, Drawn)
    places = np.arange(4)
    first, again = stream.batch(places, 1), stream.batch(places, 1)
    assert torch.equal(first.inputs["pixels"], again.inputs["pixels"])
    assert torch.equal(first.targets["label1"], again.targets["label1"])
    assert not torch.equal(first.inputs["pixels"], stream.batch(places, 2).inputs["pixels"])
    assert not torch.equal(first.inputs["pixels"], stream.batch(places + 4, 1).inputs["pixels"])


def test_views_are_copies_of_one_row_one_after_another(photos: Path) -> None:
    ask, given = call.asked(photos, objective="simclr")
    stream = door.prepare(ask, given).stream()
    assert isinstance(stream, Views)
    places = np.array([3, 0, 5])
    two, again = stream.batch(places, 0).inputs["pixels"], stream.batch(places, 0).inputs["pixels"]
    assert len(two) == 6
    assert torch.equal(two, again)
    assert not torch.equal(two[:3], two[3:])
    alone = stream.batch(np.array([5]), 0).inputs["pixels"]
    assert torch.equal(alone, two[[2, 5]])  # whatever comes with a row
    plain = stream.batch(places, -1).inputs["pixels"]
    assert len(plain) == 3


def test_several_columns_of_labels_at_once(waves: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in waves.read_text("utf-8").splitlines()]
    for place, row in enumerate(rows):
        row["half"] = None if place % 7 == 0 else "ab"[place % 2]
    data = tmp_path / "two.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    one = made(
        data,
        objective="supervised",
        labels_in=["half"],
        columns={"target": "label", "inputs": ["a", "b"]},
    )
    assert {"label", "half"} <= set(one.document["history"][1])
    assert "probe" not in one.document["history"][1]  # the labels are what is learned


def test_bad_rows_are_set_aside(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for place in range(10):
        Image.new("RGB", (40, 40), (20 * place, 0, 90)).save(folder / f"{place}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    ask, given = call.asked(folder, objective="simclr")
    ready = door.prepare(ask, given)
    assert ready.samples.count == 10
    assert [Path(s.name).name for s in ready.samples.set_aside] == ["broken.png"]


def test_nothing_is_written_by_a_rehearsal(waves: Path) -> None:
    found = call.rehearse(waves, objective="byol", architecture=SERIES, output="out", batch=12)
    assert not Path("out").exists()
    assert found["steps"] == 400
    assert found["labels"] == {"label": 3}
    assert found["seconds_training"] > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"objective": "simclear"}, "Did you mean 'simclr'"),
        ({"batch": 100}, "there are 48 samples"),
        ({"objective": "simclr", "batch": 1}, "compares 2 or more"),
        ({"settings": {"temperatur": 1}}, "temperatur"),
        ({"architecture": "encoder", "from_": "builtin:series-encoder"}, "both given"),
        ({"epochs": -1}, "epochs came as -1"),
        ({"epochs": 0}, "epochs came as 0; expected more than 0"),
        ({"rate": 0.0}, "rate came as 0"),
        ({"objective": "simclr", "settings": {"temperature": -1}}, "temperature came as -1"),
        (
            {"objective": "byol", "settings": {"momentum": 3}},
            "momentum came as 3",
        ),
        ({"objective": "byol", "settings": {"hidden": 0}}, "hidden came as 0"),
        ({"objective": "vicreg", "settings": {"variance": -1}}, "variance came as -1"),
        ({"objective": "denoise", "settings": {"least": 2}}, "least came as 2.0 and most as 1.0"),
        ({"architecture": "", "from_": "builtin:random-convolutions"}, "no features of places"),
    ],
)
def test_what_cannot_work_is_refused(waves: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        made(waves, **asked)
    assert not Path("out").exists()


def test_an_empty_folder_asks_for_files_and_for_no_classes(tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(DataError, match=r"empty holds no files\. Expected files of one kind"):
        made(tmp_path / "empty")


def test_the_objectives_that_fit_are_named(photos: Path) -> None:
    with pytest.raises(PlanError, match=r"needs labels.*These fit: .*simclr"):
        headstart.pretrain([p.read_bytes() for p in photos.rglob("*.png")], objective="supervised")
    with pytest.raises(PlanError, match="cannot be trained on"):
        rows = {"a": list(range(20)), "b": [0.5 * k for k in range(20)]}
        headstart.pretrain(rows, from_="builtin:random-features", objective="simclr")


def test_an_unknown_generator_and_one_of_other_data_are_refused() -> None:
    with pytest.raises(PlanError, match="Did you mean 'scenes'"):
        headstart.pretrain("generator:scene")
    with pytest.raises(PlanError, match="There is no generator 'ink'"):
        headstart.pretrain("generator:ink")
    with pytest.raises(PlanError, match="no setting 'sise'"):
        headstart.pretrain("generator:scenes?sise=32")
    for setting in ("scenes?size=0", "scenes?size=9999999", "kernels?steps=2", "motifs?most=x"):
        with pytest.raises(PlanError, match=r"came as \w+\. Expected a number from"):
            headstart.pretrain(f"generator:{setting}")
    for drawn in ("scenes?size=32", "causes"):
        with pytest.raises(PlanError, match="reader of text data does not take it"):
            headstart.pretrain(f"generator:{drawn}", modality="text")
    with pytest.raises(PlanError, match="reader of image data does not take it"):
        headstart.pretrain("generator:motifs", modality="image")


def test_an_output_that_cannot_be_written_is_told_before_training(waves: Path) -> None:
    Path("file").write_text("x")
    with pytest.raises(PlanError, match="is a file"):
        made(waves, output="file")
    with pytest.raises(StorageError, match="cannot be written"):
        made(waves, output="file/inside")
