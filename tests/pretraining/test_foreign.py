"""Sources of other libraries are trained on, and read again by what is written alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import headstart as hs
from headstart import job
from headstart.core import plugins
from headstart.core.source import Loaded
from headstart.errors import MissingExtra, PlanError, SourceError, UserError
from headstart.modalities.image import backbones
from headstart.pretraining import door
from headstart.pretraining.ask import Ask
from headstart.providers import file
from testing import provider as suite

SCHEMES = ("torchvision", "keras", "open_clip")
WITHOUT = {"torchvision": "fc", "keras": "head"}
"""The classifier that each example has."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    return Path(plugins.Modality("image").tiny.write(folder, "classify", 24, 0))


class Trained:
    """One source that was trained on, and the network as it was in memory when it was written."""

    def __init__(self, scheme: str, data: Path, output: Path) -> None:
        asked = Ask(
            data=str(data),
            objective="simclr",
            source=self.parent(scheme),
            settings={"epochs": 1},
            batch=12,
            licence="MIT",
            output=str(output),
        )
        kept: list[door.Ready] = []
        prepare = door.prepare
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(door, "prepare", lambda *given: kept.append(prepare(*given)) or kept[0])
            patch.setenv("HEADSTART_CACHE", str(output / "cache"))
            self.made = door.pretrain(asked)
        self.backbone = kept[0].backbone
        self.before = kept[0].origin.loaded

    @staticmethod
    def parent(scheme: str) -> str:
        return f"{scheme}:{suite.EXAMPLES[scheme]()[0]}"


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    done: dict[str, Trained] = {}

    def of(scheme: str) -> Trained:
        if scheme not in done:
            done[scheme] = Trained(scheme, photos, tmp_path_factory.mktemp(scheme))
        return done[scheme]

    return of


def opened(folder: Path) -> Loaded:
    return job.load(f"file:{folder / 'model.safetensors'}", plugins.Modality("image"), offline=True)


def features(backbone: Any, side: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    pixels = {"pixels": torch.randn(3, 3, side, side, generator=generator)}
    with torch.no_grad():
        made: Tensor = backbone.pool(backbone.eval().run(pixels))
    return made


def side(loaded: Loaded) -> int:
    return int(loaded.source.preprocessing["input_size"][1])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_written_is_the_network_that_was_trained(
    scheme: str, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    one = trained(scheme)
    folder = tmp_path / "alone"  # nothing but the three files
    folder.mkdir()
    for name in ("model.safetensors", "model.json", "README.md"):
        shutil.copy(one.made.folder / name, folder / name)
    loaded = opened(folder)
    before = one.before.source
    assert loaded.config["library"] == scheme
    assert loaded.source.preprocessing == before.preprocessing
    assert loaded.source.licence == "MIT"
    assert [p["uri"] for p in loaded.source.parents] == [before.uri]
    assert loaded.config["card"].get("without", "") == WITHOUT.get(scheme, "")
    again = backbones.stage(loaded)
    assert again.stages == one.backbone.stages
    assert again.width == one.backbone.width > 0
    assert again.source_head is None
    found, expected = features(again, side(loaded)), features(one.backbone, side(loaded))
    assert float((found - expected).abs().max()) <= 1e-6
    parent = job.load(Trained.parent(scheme), plugins.Modality("image"), offline=True)
    assert not torch.allclose(features(backbones.stage(parent), side(loaded)), expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_its_twin_is_the_same_network_with_other_weights(
    scheme: str, trained: Callable[[str], Trained]
) -> None:
    loaded = opened(trained(scheme).made.folder)
    assert loaded.rebuild is not None
    first, second = loaded.rebuild(1), loaded.rebuild(2)
    own = {n: t.shape for n, t in loaded.module.state_dict().items()}
    assert {n: t.shape for n, t in first.state_dict().items()} == own
    staged = backbones.stage(Loaded(loaded.source, first, loaded.config, None))
    assert staged.width == backbones.stage(loaded).width
    other = backbones.stage(Loaded(loaded.source, second, loaded.config, None))
    assert not torch.equal(features(staged, side(loaded)), features(other, side(loaded)))


def test_it_is_fine_tuned_beside_its_twin(
    trained: Callable[[str], Trained], photos: Path, tmp_path: Path
) -> None:
    run = hs.adapt(
        str(photos),
        source=trained("keras").made.uri,
        strategy="fine_tune",
        settings={"epochs": 1, "cut": 0, "augment": False},
        checks=["accuracy"],
        seeds=1,
        champion=False,
        learning_curve=False,
        output=str(tmp_path / "runs"),
    )
    assert run.record.source["parents"][0]["uri"] == Trained.parent("keras")
    assert run.record.facts["flops_scratch"] > 0
    assert "no from-scratch twin" not in " ".join(run.record.notes)


def test_a_run_based_on_such_a_source_is_trained_on(
    trained: Callable[[str], Trained], photos: Path, tmp_path: Path
) -> None:
    first = hs.adapt(
        str(photos),
        source=trained("keras").before.source.uri,
        strategy="fine_tune",
        settings={"epochs": 1, "cut": -1, "augment": False},
        checks=["accuracy"],
        seeds=1,
        champion=False,
        scratch=False,
        learning_curve=False,
        output=str(tmp_path / "runs"),
    )
    made = hs.pretrain(
        str(photos), from_=f"run:{first.folder}", objective="simclr", epochs=1, output="next"
    )
    loaded = opened(made.folder)
    assert loaded.source.parents[0]["uri"] == f"run:{first.folder}"
    assert loaded.config["card"]["without"] == "head"


LAMBDA = {
    "class_name": "Sequential",
    "module": "keras",
    "config": {
        "name": "trap",
        "layers": [{"class_name": "Lambda", "module": "keras.layers", "config": {}}],
    },
}


@pytest.mark.parametrize(
    ("scheme", "changed", "told"),
    [
        ("torchvision", {"library": "torchvison"}, "'library' came as 'torchvison'.*torchvision"),
        ("torchvision", {"library": ["keras"]}, r"'library' came as \['keras'\]"),
        ("torchvision", {"architecture": "resnet19"}, "no classification network 'resnet19'"),
        ("torchvision", {"architecture": None}, "no 'architecture'"),
        ("torchvision", {"architecture": 18}, "'architecture' came as 18"),
        ("torchvision", {"arguments": [3]}, r"'arguments' came as \[3\]"),
        ("torchvision", {"arguments": {"depth": 3}}, "does not take these arguments"),
        ("torchvision", {"arguments": {"num_classes": "ten"}}, "does not take these arguments"),
        ("torchvision", {"arguments": {"weights": "x"}}, "does not take these arguments"),
        ("torchvision", {"without": None}, "do not fit .*missing .*fc.weight"),
        ("torchvision", {"without": "head"}, "has no classifier at 'head'"),
        ("torchvision", {"without": "maxpool"}, "has no classifier at 'maxpool'"),
        ("torchvision", {"without": True}, "'without' came as True"),
        ("torchvision", {"architecture": "shufflenet_v2_x1_0"}, "have other shapes"),
        ("keras", {"mode": "grey"}, "'mode' came as 'grey'; expected one of caffe"),
        ("keras", {"mode": 3}, "'mode' came as 3"),
        ("keras", {"configuration": LAMBDA}, "The document holds a layer or function 'Lambda'"),
        ("keras", {"configuration": "{}"}, "'configuration' came as '{}'"),
        ("keras", {"configuration": {"class_name": "Dense"}}, "'configuration'"),
        ("keras", {"configuration": None}, "no network 'small' in keras.applications"),
        ("open_clip", {"architecture": "ViT-B-33"}, "OpenCLIP has no model 'ViT-B-33'.*ViT-B-32"),
        ("open_clip", {"arguments": {"quick_gelu": 1}}, 'expected {"quick_gelu": true}'),
        ("open_clip", {"arguments": {"vision_cfg": {}}}, 'expected {"quick_gelu": true}'),
    ],
    ids=str,
)
def test_a_broken_document_is_told_with_what_was_expected(
    scheme: str,
    changed: dict[str, Any],
    told: str,
    trained: Callable[[str], Trained],
    tmp_path: Path,
) -> None:
    folder = trained(scheme).made.folder
    shutil.copy(folder / "model.safetensors", tmp_path)
    card = json.loads((folder / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**card, **changed}), "utf-8")
    with pytest.raises(UserError, match=told):
        opened(tmp_path)


def test_weights_that_do_not_fit_are_refused(
    trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    folder = trained("open_clip").made.folder
    tensors = load_file(folder / "model.safetensors")
    lost = sorted(tensors)[0]
    save_file({n: t for n, t in tensors.items() if n != lost}, tmp_path / "model.safetensors")
    card = json.loads((folder / "model.json").read_text("utf-8"))
    del card["sha256"]
    (tmp_path / "model.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(SourceError, match=f"do not fit VisionTransformer: missing .*{lost}"):
        opened(tmp_path)


def test_a_library_that_is_missing_is_told_with_how_it_is_installed(
    trained: Callable[[str], Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained("open_clip").made.folder
    monkeypatch.delitem(sys.modules, "headstart.providers.open_clip")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(
        MissingExtra, match=r"needs the library 'open_clip'.*headstart\[open_clip\]"
    ):
        file.open(str(folder / "model.safetensors"), {}, offline=True)


def test_a_network_that_the_document_would_not_make_is_refused_before_training(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider: Any = plugins.load("provider", "torchvision")
    original = provider.rebuilder
    monkeypatch.setattr(
        provider, "rebuilder", lambda *given: lambda seed: _wider(original(*given)(seed))
    )
    with pytest.raises(PlanError, match="cannot be written as a file that can be read again"):
        hs.pretrain(str(photos), from_=Trained.parent("torchvision"), output=str(tmp_path / "made"))
    assert not list((tmp_path / "made").glob("*.safetensors"))


def _wider(net: nn.Module) -> nn.Module:
    """With a module that the source does not have."""
    net.add_module("beside", nn.Linear(2, 2))
    return net
