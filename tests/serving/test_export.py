"""Exports: what the other library loads says what the run says; what it cannot hold is refused with a
reason."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torchvision import models

import headstart as hs
from headstart.core import plugins
from headstart.core.plan import Engine, EvidenceChoice, Plan, SourceChoice, StrategyChoice
from headstart.core.task import Task
from headstart.errors import PackError, PlanError, StorageError
from headstart.modalities.text import tiny
from headstart.registry import packs
from headstart.serving import _encoders, _pictures
from headstart.serving import export as door
from tests import forks

EVIDENCE = EvidenceChoice(
    seeds=1, champion=False, scratch=False, learning_curve=False, checks=("accuracy",)
)
ONE = {"epochs": 1, "rate": 0.003, "augment": False}


def adapted(place: Path, data: Path, kind: str, source: str, name: str, **settings: Any) -> hs.Run:
    outcome = "regress" if data.suffix == ".csv" and kind == "image" else "classify"
    plan = Plan(
        task=Task(data=str(data), modality=kind, outcome=outcome),
        source=SourceChoice(source, offline=True),
        strategy=StrategyChoice(name, settings),
        engine=Engine(store="memory"),
        evidence=EVIDENCE,
        output=str(place / "runs"),
    )
    return hs.adapt(plan=plan)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny texts, and a tiny encoder as transformers saves it."""
    folder = tmp_path_factory.mktemp("texts")
    plugins.Modality("text").tiny.write(folder / "data", "classify", 30, 0)
    made = tiny.loaded(0)
    made.module.save_pretrained(folder / "bert")  # type: ignore[operator]
    words = made.source.preprocessing["tokenizer_json"]
    (folder / "bert" / "tokenizer.json").write_text(words, "utf-8")
    (folder / "bert" / "README.md").write_text("---\nlicense: cc-by-nc-nd-4.0\n---\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny pictures, and files of a network of timm and one of torchvision."""
    folder = tmp_path_factory.mktemp("pictures")
    plugins.Modality("image").tiny.write(folder / "data", "classify", 24, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = timm.create_model("resnet10t", num_classes=3)
        second = models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=3)
    save_file(
        {n: t.contiguous() for n, t in first.state_dict().items()}, folder / "net.safetensors"
    )
    save_file(
        {n: t.contiguous() for n, t in second.state_dict().items()}, folder / "vis.safetensors"
    )
    card = {"architecture": "resnet10t", "num_classes": 3, "licence": "MIT", "input_size": 32}
    (folder / "net.json").write_text(json.dumps({**card, "input_size": [3, 32, 32]}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(texts: Path) -> dict[str, hs.Run]:
    data, source = texts / "data" / "texts.csv", f"hf:{texts / 'bert'}"
    settings = {"fine_tune": ONE, "lora": {**ONE, "rank": 2}, "adapter": {**ONE, "width": 4}}
    return {n: adapted(texts, data, "text", source, n, **s) for n, s in settings.items()}


@pytest.fixture(scope="module")
def seen(pictures: Path) -> hs.Run:
    source = f"file:{pictures / 'net.safetensors'}"
    return adapted(
        pictures, pictures / "data", "image", source, "fine_tune", **ONE, statistics=True
    )


def snippet(folder: Path) -> dict[str, Any]:
    """What the README's code defines."""
    body = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.S)
    assert body is not None
    space: dict[str, Any] = {}
    exec(compile(body[1], "README.md", "exec"), space)
    return space


def rows(texts: Path) -> list[str]:
    lines = (texts / "data" / "texts.csv").read_text("utf-8").splitlines()[1:]
    return [line.rpartition(",")[0].strip('"') for line in lines[:7]]


def test_timm_loads_the_network_with_its_head(seen: hs.Run, tmp_path: Path) -> None:
    made = hs.export(seen, tmp_path / "out")
    assert (made.to, made.folder) == ("timm", tmp_path / "out") and made.gap <= 1e-4
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    given = door._opened(packs.load(seen.folder / "pack"), "", offline=True)
    expected = given.outputs({"pixels": pixels})
    weights = str(made.folder / "model.safetensors")
    for network in (
        timm.create_model(f"local-dir:{made.folder}", pretrained=True),
        timm.create_model("resnet10t", num_classes=3, checkpoint_path=weights),
    ):
        with torch.inference_mode():
            torch.testing.assert_close(network.eval()(pixels), expected, atol=1e-4, rtol=0)
    config = json.loads((made.folder / "config.json").read_text("utf-8"))
    assert config["label_names"] == ["ring", "square", "stripes"] and config["num_classes"] == 3
    told = config["pretrained_cfg"]
    assert told["input_size"] == [3, 32, 32] and {
        "mean",
        "std",
        "interpolation",
        "crop_pct",
    } <= set(told)
    card = (made.folder / "README.md").read_text("utf-8")
    assert "net.safetensors" in card and "MIT" in card and "may one share it" in card.lower()


def test_torchvision_loads_the_state(pictures: Path, tmp_path: Path) -> None:
    source = f"torchvision:shufflenet_v2_x0_5?weights={pictures / 'vis.safetensors'}&input_size=32"
    run = adapted(pictures, pictures / "data", "image", source, "linear_probe")
    made = run.export(tmp_path / "out")
    network = models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=3)
    network.load_state_dict(load_file(made.folder / "model.safetensors"))
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    given = door._opened(packs.load(run.folder / "pack"), "", offline=True)
    with torch.inference_mode():
        found = network.eval()(pixels)
    torch.testing.assert_close(found, given.outputs({"pixels": pixels}), atol=1e-4, rtol=0)


def test_a_number_keeps_its_unit(pictures: Path, tmp_path: Path) -> None:
    """Scale and shift of the targets are in the exported classifier."""
    data = plugins.Modality("image").tiny.write(tmp_path / "data", "regress", 20, 0)
    run = adapted(tmp_path, data, "image", f"file:{pictures / 'net.safetensors'}", "linear_probe")
    made = run.export(tmp_path / "out")
    network = timm.create_model(f"local-dir:{made.folder}", pretrained=True).eval()
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        said = network(pixels)
    given = door._opened(packs.load(run.folder / "pack"), "", offline=True)
    torch.testing.assert_close(said, given.outputs({"pixels": pixels}), atol=1e-3, rtol=1e-5)
    assert float(said.mean()) > 10  # sides of 40 to 60 pixels, not standard scores


@pytest.mark.parametrize("name", ["fine_tune", "lora"])
def test_the_readme_of_an_encoder_predicts_as_the_run(
    name: str, runs: dict[str, hs.Run], texts: Path, tmp_path: Path
) -> None:
    made = hs.export(runs[name], tmp_path / "out")
    assert made.to == "transformers"
    found = snippet(made.folder)["predict"](rows(texts), str(made.folder)).numpy()
    np.testing.assert_allclose(found, runs[name].predict(rows(texts)).probabilities, atol=1e-5)


def test_updates_are_opened_by_peft(runs: dict[str, hs.Run], texts: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the PEFT library is not installed")
    made = hs.export(runs["lora"], tmp_path / "out", to="peft")
    assert "PEFT" in made.checked and not (made.folder / "model.safetensors").exists()
    found = snippet(made.folder)["predict"](rows(texts), str(made.folder)).numpy()
    np.testing.assert_allclose(found, runs["lora"].predict(rows(texts)).probabilities, atol=1e-5)


def test_updates_are_checked_by_formula_without_peft(
    runs: dict[str, hs.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_encoders, "_installed", lambda: False)
    made = hs.export(runs["lora"], tmp_path / "out", to="peft")
    assert "formula" in made.checked and made.gap <= 1e-4


def test_what_other_libraries_cannot_hold_is_refused(
    runs: dict[str, hs.Run], seen: hs.Run, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    with pytest.raises(PackError, match=r"adapter.*leaves modules of its own.*--strategy lora"):
        hs.export(runs["adapter"], place)
    with pytest.raises(PackError, match="trained by fine_tune"):
        hs.export(runs["fine_tune"], place, to="peft")
    with pytest.raises(PackError, match="expected a text encoder"):
        hs.export(seen, place, to="transformers")
    with pytest.raises(PackError, match="reads text samples"):
        hs.export(runs["lora"], place, to="timm")
    with pytest.raises(PlanError, match="no export to 'tim'"):
        hs.export(seen, place, to="tim")
    pack = packs.load(seen.folder / "pack")
    with pytest.raises(PackError, match="outcome is 'label_each'"):
        door._refuse(dataclasses.replace(pack, outcome="label_each"))
    assert not list(tmp_path.iterdir())


def test_a_use_that_the_base_forbids_is_refused(
    runs: dict[str, hs.Run], seen: hs.Run, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="commercial use"):
        hs.export(runs["lora"], tmp_path / "out", uses=("commercial",))
    with pytest.raises(
        PlanError, match="being shared"
    ):  # changed weights of a no-derivatives licence
        hs.export(runs["fine_tune"], tmp_path / "out", uses=("share",))
    assert not list(tmp_path.iterdir())


def test_weights_that_a_folder_holds_are_shared_with_it(seen: hs.Run) -> None:
    pack = packs.load(seen.folder / "pack")
    held = {link["what"]: link["carried"] for link in door._chain(pack, carried=True)}
    assert all(held[name] for name in held if name.startswith("weights"))


def test_other_outputs_leave_nothing_behind(
    seen: hs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier that does more than the run's head: the folder is not put in its place."""
    right = _pictures._filled

    def wrong(*given: Any) -> Any:
        held = right(*given)
        return {n: t + 0.01 if n == "fc.weight" else t for n, t in held.items()}

    monkeypatch.setattr(_pictures, "_filled", wrong)
    with pytest.raises(PackError, match="other outputs than the run"):
        hs.export(seen, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_left_alone(seen: hs.Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept", "utf-8")
    with pytest.raises(StorageError, match="not empty"):
        hs.export(seen, tmp_path)
    assert (tmp_path / "mine").read_text("utf-8") == "kept"


def test_the_command(seen: hs.Run, tmp_path: Path) -> None:
    done = forks.run(forks.command, ["export", str(seen.folder), "out", "--json"], tmp_path, {})
    assert done.code == 0, done.output
    assert '"to": "timm"' in done.output and (tmp_path / "out" / "config.json").is_file()
