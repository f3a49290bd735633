"""Networks of other libraries that are built by a document beside the weights."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from headstart.core import plugins
from headstart.core.source import Loaded
from headstart.errors import PlanError
from headstart.modalities.image import backbones
from headstart.providers import file


@pytest.mark.parametrize(
    ("name", "arguments", "path", "width"),
    [
        ("googlenet", {"num_classes": 3, "aux_logits": True}, "fc", 1024),
        ("squeezenet1_1", {"num_classes": 3}, "classifier", 512),
    ],
)
def test_odd_classifiers_of_torchvision_are_taken_off_and_fit_again(
    name: str, arguments: dict[str, Any], path: str, width: int, tmp_path: Path
) -> None:
    """Auxiliary classifiers, and one that is a convolution."""
    source = opened_card(tmp_path, {"architecture": name, "arguments": arguments, "without": path})
    loaded = file.open(str(source / "model.safetensors"), {}, offline=True)
    backbone = backbones.stage(loaded)
    assert backbone.width == width
    with torch.no_grad():
        made = backbone.pool(backbone.run({"pixels": torch.zeros(2, 3, 64, 64)}))
    assert made.shape == (2, width)
    assert getattr(loaded.module, "aux1", None) is None


def opened_card(folder: Path, card: Mapping[str, Any]) -> Path:
    """A folder with the weights of what torchvision calls that, staged, and the document."""
    provider: Any = plugins.load("provider", "torchvision")
    told = {"library": "torchvision", "input_size": [3, 64, 64], **card}
    net = provider.rebuilder(card["architecture"], card["arguments"])(0)
    like = plugins.Modality("image").tiny.loaded(0).source
    backbones.stage(Loaded(like, net, {"library": "torchvision"}, None))
    plain = {n: t.detach().contiguous().clone() for n, t in net.state_dict().items()}
    save_file(plain, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(told), "utf-8")
    return folder


def test_a_network_of_keras_applications_is_named_by_its_arguments(tmp_path: Path) -> None:
    provider: Any = plugins.load("provider", "keras")
    told = {
        "library": "keras",
        "architecture": "MobileNetV3Small",
        "arguments": {
            "input_shape": [32, 32, 3],
            "alpha": 0.75,
            "minimalistic": True,
            "classes": 3,
        },
        "mode": "raw",
        "without": "head",
        "input_size": [3, 32, 32],
    }
    card = {**told, "arguments": {**told["arguments"], "weights": None}}
    with pytest.raises(PlanError, match="does not take 'weights'"):
        provider.blank(card, (3, 32, 32))
    first = provider.blank(told, (3, 32, 32))(3)
    names = set(first.state_dict())
    plain = {n: t.clone() for n, t in first.state_dict().items() if not n.startswith("head.")}
    assert len(plain) == len(names) - 2
    save_file(plain, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps(told), "utf-8")
    loaded = file.open(str(tmp_path / "model.safetensors"), {}, offline=True)
    assert loaded.source.family == "MobileNetV3Small"
    assert backbones.stage(loaded).width == first.head.in_features


def test_a_network_without_a_classifier_has_a_twin_of_its_width_for_any_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its layers have no names: Keras numbers them, anew in each network, whatever was built before."""
    provider: Any = plugins.load("provider", "keras")  # chooses the backend
    keras = pytest.importorskip("keras")

    def small(weights: str | None, input_shape: tuple[int, ...]) -> Any:
        given = keras.Input(input_shape)
        made = keras.layers.Conv2D(5, 3, activation="relu")(given)
        return keras.Model(given, keras.layers.GlobalAveragePooling2D()(made))

    monkeypatch.setattr(keras.applications, "Small", small, raising=False)
    card = {"architecture": "Small", "arguments": {"input_shape": [12, 12, 3]}, "mode": "tf"}
    draw = provider.blank(card, (3, 12, 12))
    np.random.seed(4)
    random.seed(4)
    state, known = torch.get_rng_state(), (np.random.get_state()[1].copy(), random.getstate())
    first, second = draw(2**40 + 1), draw(2**40 + 2)
    assert first.feature_width == 5
    own, other = first.state_dict(), second.state_dict()
    assert set(own) == set(other)
    assert not torch.equal(next(iter(own.values())), next(iter(other.values())))
    assert torch.equal(state, torch.get_rng_state())
    assert (known[0] == np.random.get_state()[1]).all()
    assert known[1] == random.getstate()
