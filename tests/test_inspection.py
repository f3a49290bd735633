"""Sources looked at, checked, and kept under names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import headstart as hs
from headstart import catalogue, inspection, job
from headstart.cli import main
from headstart.core import plugins
from headstart.errors import DamagedError, PlanError, SourceError, StorageError
from headstart.loading import choose_uri
from testing import provider as suite

KIND = "image"


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEADSTART_CONFIG", str(tmp_path / "settings"))
    return tmp_path / "settings"


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """An ONNX file of a person's own, in the folder in which they stand."""
    shutil.copy(suite.EXAMPLES["onnx"]()[0].partition("?")[0], tmp_path / "mine.onnx")
    return f"onnx:{tmp_path / 'mine.onnx'}?mean=0.5&std=0.25"


def damage(tmp_path: Path) -> None:
    """Other weights in the same graph."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(tmp_path / "mine.onnx")
    kernel = numpy_helper.to_array(model.graph.initializer[0]) + 1
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "kernel"))
    onnx.save(model, tmp_path / "mine.onnx")


def test_the_card_of_a_built_in_source() -> None:
    card = hs.sources.show("builtin:formula", KIND)
    assert card["stages"][0] == "stem"
    assert card["features"] == 320
    assert card["parameters"] > 1_000_000
    assert len(card["digest"]) == 64
    assert card["preprocessing"]["input_size"] == [3, 48, 48]
    assert {a["use"]: a["answer"] for a in card["answers"]}["commercial"] == "conditions"
    assert json.dumps(card)


def test_what_a_source_is_the_default_for_and_its_note(capfd: pytest.CaptureFixture[str]) -> None:
    card = hs.sources.show("builtin:prior-fitted", "table")
    entry = next(e for e in catalogue.of("table") if e["uri"] == "builtin:prior-fitted")
    assert card["note"] == entry["note"]
    assert card["default_for"] == {
        "outcomes": ["classify"],
        "strategies": ["in_context"],
        "most_rows": entry["most_rows"],
        "most_classes": entry["most_classes"],
    }
    assert main(["sources", "show", "builtin:prior-fitted"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "classify; strategy in_context; up to 2,000 rows; up to 10 classes" in said
    assert entry["note"] in said
    assert main(["sources", "show", "builtin:random-features"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "features (512, 1 to 65,536)" in said
    assert "default for" not in said


def test_a_source_is_shown_for_the_kind_of_data_that_it_reads(mine: str) -> None:
    card = hs.sources.show(mine)
    assert card["modality"] == KIND
    assert card["stages"] == ["all"]
    assert "gives no gradients" in card["frozen"]
    assert not card["twin"]
    assert card["licence"] == "unknown"
    assert (card["note"], card["default_for"], card["settings"]) == ("", {}, {})
    assert all(a["answer"] == "unknown" for a in card["answers"])


def test_verify_tells_three_things_apart(mine: str, tmp_path: Path) -> None:
    assert hs.sources.verify("builtin:formula", KIND)["state"] == "intact"
    assert hs.sources.verify(mine, KIND)["state"] == "unknown"
    hs.sources.add(mine, "mine", KIND)
    assert hs.sources.verify("mine")["state"] == "intact"
    assert hs.sources.verify(mine)["state"] == "intact"
    damage(tmp_path)
    found = hs.sources.verify("mine")
    assert found["state"] == "differs"
    assert "is not what was added on" in found["sentence"]
    (tmp_path / "mine.onnx").write_bytes((tmp_path / "mine.onnx").read_bytes()[:60])
    assert hs.sources.verify("mine")["state"] == "differs"
    with pytest.raises(SourceError, match="There is no file"):
        hs.sources.verify("onnx:nowhere.onnx", KIND)


def test_what_was_added_is_listed_used_and_pinned(
    mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = mine.replace(f"{tmp_path}/", "")
    made = hs.sources.add(relative, "mine", licence="MIT", data_licence="CC0-1.0")
    assert made["uri"] == mine
    assert made["modality"] == KIND
    listed = hs.sources(KIND)
    assert [e["name"] for e in listed][-1] == "mine"
    assert "mine" not in [e["name"] for e in hs.sources("table")]
    modality = plugins.Modality(KIND)
    assert choose_uri("mine", modality) == (mine, None)
    monkeypatch.chdir("/")
    loaded = job.load("mine", modality, offline=True)
    assert loaded.source.licence == "MIT"
    assert loaded.source.trained_on == "unknown"
    assert loaded.source.uri == mine
    damage(tmp_path)
    with pytest.raises(DamagedError, match="is not what was added"):
        job.load("mine", modality, offline=True)


def test_what_a_document_states_is_not_stated_otherwise() -> None:
    stated = hs.sources.show("builtin:formula", KIND)["licence"]
    with pytest.raises(PlanError, match=f"licence came as 'MIT', but the document .* '{stated}'"):
        hs.sources.add("builtin:formula?input_size=32", "mine", KIND, licence="MIT")
    hs.sources.add("builtin:formula?input_size=32", "mine", KIND, licence=stated)
    assert hs.sources.show("mine")["licence"] == stated


def test_nothing_is_read_twice(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hs.sources.add(mine, "mine", KIND)
    read: list[str] = []

    def counted(owner: object, name: str) -> None:
        own = getattr(owner, name)

        def call(*given: object, **more: object) -> object:
            read.append(name)
            return own(*given, **more)

        monkeypatch.setattr(owner, name, call)

    counted(catalogue, "added")
    job.load("mine", plugins.Modality(KIND), offline=True)
    assert read == ["added"]
    counted(plugins.load("provider", "onnx"), "open")
    hs.sources.show(mine, KIND)
    assert read.count("open") == 1


def test_names_are_free_once_and_can_be_taken_back(mine: str) -> None:
    hs.sources.add(mine, "mine", KIND)
    with pytest.raises(PlanError, match="There is a source 'mine' already"):
        hs.sources.add(mine, "mine", KIND)
    with pytest.raises(PlanError, match="no name for a source"):
        hs.sources.add(mine, "a:b", KIND)
    with pytest.raises(PlanError, match="no name for a source"):
        hs.sources.add(mine, "auto", KIND)
    with pytest.raises(PlanError, match="Did you mean 'mine'"):
        hs.sources.remove("mien")
    with pytest.raises(PlanError, match="nothing that is kept"):
        hs.sources.add(mine, "more", KIND, colour="red")
    assert hs.sources.remove("mine")["uri"] == mine
    assert catalogue.added() == []


def test_a_name_that_nobody_added_is_answered(mine: str) -> None:
    hs.sources.add(mine, "mine", KIND)
    with pytest.raises(SourceError, match="Did you mean 'mine'"):
        job.load("mien", plugins.Modality(KIND), offline=True)


def test_the_list_is_whole_or_as_it_was(
    mine: str, own_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hs.sources.add(mine, "mine", KIND)
    before = catalogue.path().read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(StorageError, match="disk is full"):
            hs.sources.add(mine, "second", KIND)
    assert catalogue.path().read_bytes() == before
    assert [p.name for p in own_settings.iterdir()] == [catalogue.FILE]
    catalogue.path().write_text("source = 3\n")
    with pytest.raises(StorageError, match="cannot be read"):
        hs.sources(KIND)


def test_a_source_that_no_kind_of_data_reads_is_not_added(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no file"):
        hs.sources.add(f"file:{tmp_path}/none.safetensors", "none")
    assert catalogue.added() == []


def test_whole_paths_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"")
    found = inspection.absolute("torchvision:resnet18?weights=a.safetensors&input_size=64")
    assert found == f"torchvision:resnet18?weights={tmp_path / 'a.safetensors'}&input_size=64"


def test_the_command_line(
    mine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes, one JSON document, and lines of at most 80 characters where no name is longer."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        code = main(["sources", *arguments])
        return code, capfd.readouterr().out

    assert call("add", mine, "--name", "mine", "--modality", KIND)[0] == 0
    assert call("add", mine, "--name", "mine", "--modality", KIND)[0] == 2
    for arguments in ((), ("list",), ("show", "mine"), ("verify", "mine")):
        code, out = call(*arguments)
        assert code == 0
        assert "mine" in out
        wide = [line for line in out.splitlines() if len(line) > 80]
        assert all(len(line.split()) == 1 for line in wide), "only a long name runs on"
    assert "mine" in json.dumps(json.loads(call("show", "mine", "--json")[1]))
    assert json.loads(call("verify", "mine", "--json")[1])["state"] == "intact"
    damage(tmp_path)
    code, out = call("verify", "mine")
    assert code == 1
    assert out.startswith("differs\n")
    assert call("remove", "mine")[0] == 0
    assert call("remove", "mine")[0] == 2
