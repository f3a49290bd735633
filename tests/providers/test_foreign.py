"""Sources of other libraries: features as the library itself gives them; what is unsafe is refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from headstart.core import plugins, staging
from headstart.core.dataset import Field
from headstart.core.network import Network
from headstart.core.source import Loaded
from headstart.errors import DamagedError, OfflineError, PlanError, SourceError
from headstart.modalities.image import backbones, batch
from headstart.providers import _inputs as inputs
from headstart.providers import onnx, torchvision
from testing import provider as suite

SIDES = ((40, 60), (33, 33), (90, 48))


def pictures() -> list[Image.Image]:
    """Three pictures of different size and shape."""
    rng = np.random.default_rng(3)
    return [
        Image.fromarray(rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)).resize((wide, high))
        for high, wide in SIDES
    ]


def ours(loaded: Loaded) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Staged features of the pictures in company and alone, and the inputs."""
    transform = batch.make(loaded.source.preprocessing, [Field("image", "bytes")], [])
    items = []
    for picture in pictures():
        data = io.BytesIO()
        picture.save(data, "PNG")
        items.append(transform({"image": data.getvalue()}))
    together = transform.collate(items)
    with torch.no_grad():
        said = backbones.reference(loaded, together)
        backbone = backbones.stage(loaded, transform)
        staging.verify(backbone, said, together)
        mixed = backbone.pool(backbone.run(together))
        single = [backbone.pool(backbone.run(transform.collate([i]))) for i in items]
    return mixed, torch.cat(single), together


def same(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max())))


def open_one(name: str) -> Loaded:
    reference, entry = suite.EXAMPLES[name]()
    return suite.opened(name, reference, entry=entry)


# --- torchvision


def test_torchvision_says_what_the_library_says_from_file_to_features() -> None:
    """Its own transforms and its own forward pass, on the same pictures."""
    from torchvision import models

    reference, _ = suite.EXAMPLES["torchvision"]()
    loaded = suite.opened("torchvision", reference.replace("&input_size=32", ""))
    net = models.get_model(suite.SMALL, weights=None, num_classes=3).eval()
    net.load_state_dict(loaded.module.state_dict())
    net.fc = nn.Identity()
    prepare = models.get_model_weights(suite.SMALL).DEFAULT.transforms()
    with torch.no_grad():
        expected = torch.cat([net(prepare(p)[None]) for p in pictures()])
    mixed, single, _ = ours(loaded)
    assert same(mixed, expected)
    assert same(single, expected)


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "efficientnet_b4", "maxvit_t"])
def test_torchvision_s_sizes_are_kept(name: str) -> None:
    from torchvision import models

    for weights in models.get_model_weights(name):
        told, made = weights.transforms(), torchvision.preprocessing(weights)
        assert int(np.floor(made["input_size"][1] / made["crop_pct"])) == told.resize_size[0]
        assert made["input_size"][1] == told.crop_size[0]


FAMILIES = {  # side of its pictures, stages
    "alexnet": (64, 6),
    "mobilenet_v3_small": (32, 14),
    "densenet121": (32, 8),
    "regnet_y_400mf": (32, 17),
    "mnasnet0_5": (32, 18),
    "squeezenet1_1": (32, 13),
    "googlenet": (32, 12),
    "convnext_tiny": (32, 22),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_of_torchvision_is_staged(name: str) -> None:
    side, stages = FAMILIES[name]
    module = torchvision.rebuilder(name, {"num_classes": 5})(0)
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.add_(torch.randn(part.running_mean.shape, generator=generator) * 0.1)
    made = Loaded(open_one("torchvision").source, module, {"library": "torchvision"}, None)
    inputs = {"pixels": torch.randn(2, 3, side, side, generator=generator)}
    with torch.no_grad():
        said = backbones.reference(made, inputs)["pool"]
        backbone = backbones.stage(made)
        final = backbone.run(inputs)
        assert same(backbone.pool(final), said)
        cut = stages // 2
        again = backbone.run(backbone.run(inputs, stop=cut), start=cut)
        assert same(backbone.pool(again), said)
    assert len(backbone.stages) == len(set(backbone.stages)) == stages
    own = [n for n, _ in backbone.named_parameters() if not n.startswith("source_head.")]
    assert all(0 <= backbone.stage_of(n) < stages for n in own)
    above = {n for n in own if backbone.stage_of(n) >= cut}
    assert above
    assert above != set(own)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Published weights of a small network in the library's cache, with their digest in the name."""
    from torchvision import models

    weights = models.get_model_weights(suite.SMALL).DEFAULT
    net = torchvision.rebuilder(suite.SMALL, {"num_classes": 1000})(1)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "draft.pth"
    place.parent.mkdir(parents=True)
    torch.save(net.state_dict(), place)
    from headstart.core import digest

    whole = place.rename(place.with_name(f"small-{digest.file(place)[:8]}.pth"))
    monkeypatch.setattr(weights.value, "url", f"https://nowhere.invalid/{whole.name}")
    return whole


def test_published_weights_of_torchvision_come_from_the_cache(published: Path) -> None:
    loaded = suite.opened("torchvision", suite.SMALL)
    assert loaded.source.trained_on == "ImageNet-1K"
    assert loaded.source.licence == "unknown"
    assert published.name in loaded.checked[0]
    published.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(DamagedError, match="SHA-256 begins with"):
        suite.opened("torchvision", suite.SMALL)
    published.unlink()
    with pytest.raises(OfflineError, match="the plan"):
        suite.opened("torchvision", suite.SMALL)


# --- Keras


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    if find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    plugins.load("provider", "keras")  # chooses the backend
    import keras as library

    return library


def test_keras_says_what_keras_says(keras: ModuleType) -> None:
    reference, _ = suite.EXAMPLES["keras"]()
    loaded = open_one("keras")
    model = keras.saving.load_model(reference.partition("?")[0], compile=False)
    inner = keras.Model(model.input, model.layers[-2].output)
    mixed, single, together = ours(loaded)
    with torch.no_grad():
        expected = inner(together["pixels"].permute(0, 2, 3, 1), training=False).cpu()
    assert same(mixed, expected)
    assert same(single, expected)
    assert loaded.source.preprocessing["mean"] == [0.5, 0.5, 0.5]
    assert len(backbones.stage(loaded).stages) == 2


APPLICATIONS = {"MobileNet": ("tf", "alpha=0.25"), "MobileNetV3Small": ("raw", "alpha=0.75")}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_of_keras_with_weights_of_a_file(
    name: str, keras: ModuleType, tmp_path: Path
) -> None:
    provider: Any = plugins.load("provider", "keras")
    mode, setting = APPLICATIONS[name]
    arguments = {"alpha": float(setting.partition("=")[2]), "classes": 4}
    with keras.device("cpu"):
        model = getattr(keras.applications, name)(
            weights=None,
            input_shape=(32, 32, 3),
            include_top=False,
            pooling="avg",
            alpha=arguments["alpha"],
        )
        model.save_weights(tmp_path / "own.weights.h5")
    place = f"{name}?weights={tmp_path / 'own.weights.h5'}&{setting}&pooling=avg&input_size=32"
    loaded = suite.opened("keras", place)
    mixed, single, together = ours(loaded)
    mean, std = (
        torch.tensor(loaded.source.preprocessing[k]).view(1, 3, 1, 1) for k in ("mean", "std")
    )
    levels = ((together["pixels"] * std + mean) * 255).permute(0, 2, 3, 1).numpy()
    module: Any = provider.inspect.getmodule(getattr(keras.applications, name))
    with torch.no_grad():
        expected = model(module.preprocess_input(levels.copy()), training=False).cpu()
    assert provider._own_mode(name) == mode
    assert same(mixed, expected)
    assert same(single, expected)
    assert sum(p.requires_grad for p in loaded.module.parameters()) > 10


@pytest.mark.parametrize(
    ("name", "mode"),
    [("VGG16", "caffe"), ("ResNet50V2", "tf"), ("DenseNet121", "torch"), ("EfficientNetB0", "raw")],
)
def test_how_keras_wants_its_pixels(name: str, mode: str, keras: ModuleType) -> None:
    provider: Any = plugins.load("provider", "keras")
    assert provider._own_mode(name) == mode


def test_blue_comes_first_where_the_weights_want_it(keras: ModuleType) -> None:
    reference, _ = suite.EXAMPLES["keras"]()
    plain, flipped = (
        suite.opened("keras", f"{reference.partition('?')[0]}?mode={mode}").module
        for mode in ("raw", "caffe")
    )
    pixels = torch.rand(2, 3, 24, 24)
    with torch.no_grad():
        assert torch.equal(plain(pixels.flip(1)), flipped(pixels))
        assert not torch.equal(plain(pixels), flipped(pixels))


def test_an_unknown_layer_leaves_one_frozen_stage(keras: ModuleType, tmp_path: Path) -> None:
    with keras.device("cpu"):
        given = keras.Input((16, 16, 3))
        made = keras.layers.UpSampling2D()(keras.layers.Conv2D(4, 3)(given))
        model = keras.Model(given, keras.layers.GlobalAveragePooling2D()(made))
        model.save(tmp_path / "odd.keras")
    loaded = suite.opened("keras", f"{tmp_path / 'odd.keras'}?mode=raw")
    mixed, single, together = ours(loaded)
    with torch.no_grad():
        expected = model(together["pixels"].permute(0, 2, 3, 1)).cpu()
    assert same(mixed, expected)
    assert same(single, expected)
    backbone = backbones.stage(loaded)
    assert backbone.stages == ("all",)
    assert "UpSampling2D is not known" in backbone.frozen
    assert loaded.rebuild is None


def test_code_in_a_keras_archive_is_refused(keras: ModuleType, tmp_path: Path) -> None:
    with keras.device("cpu"):
        given = keras.Input((16, 16, 3))
        made = keras.layers.Lambda(lambda x: x * 2)(given)
        keras.Model(given, made).save(tmp_path / "code.keras")
    with pytest.raises(SourceError, match="'Lambda' which can run any code"):
        suite.opened("keras", f"{tmp_path / 'code.keras'}?mode=raw")
    foreign = tmp_path / "foreign.keras"
    with zipfile.ZipFile(tmp_path / "code.keras") as old, zipfile.ZipFile(foreign, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                data = data.replace(b'"keras.layers"', b'"os.path"').replace(b"Lambda", b"Exec")
            new.writestr(name, data)
    with pytest.raises(SourceError, match=r"os\.path, a package of its own"):
        suite.opened("keras", f"{foreign}?mode=raw")


def test_a_keras_model_that_does_not_say_its_pixels_asks(keras: ModuleType) -> None:
    reference, _ = suite.EXAMPLES["keras"]()
    with pytest.raises(PlanError, match=r"mode=caffe, tf, torch or raw"):
        suite.opened("keras", reference.partition("?")[0])
    with pytest.raises(PlanError, match="Did you mean 'mode'"):
        suite.opened("keras", reference.replace("mode", "modus"))


# --- OpenCLIP


def test_open_clip_says_what_the_library_says() -> None:
    pytest.importorskip("open_clip")
    import open_clip

    loaded = open_one("open_clip")
    whole = open_clip.create_model(suite.TOWER).eval()
    whole.visual.load_state_dict(loaded.module.state_dict())
    prepare = open_clip.image_transform(24, is_train=False)
    with torch.no_grad():
        expected = torch.cat([whole.encode_image(prepare(p)[None]) for p in pictures()])
    mixed, single, _ = ours(loaded)
    assert same(mixed, expected)
    assert same(single, expected)
    assert backbones.stage(loaded).stages == (
        "embed",
        "transformer.resblocks.0",
        "transformer.resblocks.1",
    )


# --- ONNX


def test_onnx_says_what_the_runtime_says() -> None:
    import onnxruntime

    reference, _ = suite.EXAMPLES["onnx"]()
    loaded = open_one("onnx")
    mixed, single, together = ours(loaded)
    session = onnxruntime.InferenceSession(reference.partition("?")[0])
    expected = torch.from_numpy(session.run(None, {"image": together["pixels"].numpy()})[0])
    assert same(mixed, expected)
    assert same(single, expected)
    assert loaded.source.parameters == 6 * 3 * 9
    backbone = backbones.stage(loaded)
    assert backbone.operations(0, 1) == 2 * 11 * 11 * 6 * 27


Change = Callable[[Any], None]


def changed(tmp_path: Path, change: Change) -> Path:
    """The example's graph, changed."""
    import onnx as library

    reference, _ = suite.EXAMPLES["onnx"]()
    model = library.load(reference.partition("?")[0])
    change(model)
    library.save(model, tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


def test_a_graph_for_two_rows_at_once_takes_any_number(tmp_path: Path) -> None:
    def two(model: Any) -> None:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = 2

    place = changed(tmp_path, two)
    loaded = suite.opened("onnx", f"{place}?mean=0.5&std=0.25")
    mixed, single, _ = ours(loaded)
    expected, _, _ = ours(open_one("onnx"))
    assert same(mixed, expected)
    assert same(single, expected)


def test_features_from_inside_a_graph(tmp_path: Path) -> None:
    reference, _ = suite.EXAMPLES["onnx"]()
    inner = suite.opened("onnx", f"{reference}&output=positive")
    assert same(ours(inner)[0], ours(open_one("onnx"))[0])  # the mean over places
    assert inner.source.sha256 != open_one("onnx").source.sha256
    with pytest.raises(PlanError, match=r"no output 'positve'\. Did you mean 'positive'"):
        suite.opened("onnx", f"{reference}&output=positve")


def _renamed(model: Any) -> None:
    import onnx as library

    model.graph.input.append(
        library.helper.make_tensor_value_info("mask", library.TensorProto.FLOAT, ["n", 4])
    )


def _open_size(model: Any) -> None:
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].Clear()


def _open_all(model: Any) -> None:
    for axis in (1, 2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].Clear()


def _two_results(model: Any) -> None:
    import onnx as library

    model.graph.output.append(
        library.helper.make_tensor_value_info("mean", library.TensorProto.FLOAT, ["n", 6, 1, 1])
    )


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        (_renamed, "mean=0&std=1", r"image float32 \(\?, 3, 24, 24\), mask float32 \(\?, 4\)"),
        (_open_size, "mean=0&std=1", r"input_size=224"),
        (_open_all, "mean=0&std=1", r"layout=nchw"),
        (_two_results, "mean=0&std=1", r"2 results: features, mean"),
        (lambda m: None, "", r"does not say how it wants its pixels"),
        (lambda m: None, "mean=0&std=1&input_size=64", r"pictures of 24 x 24 pixels"),
        (lambda m: None, "mean=0,1&std=1", r"one number, or 3"),
        (lambda m: None, "mean=0&std=1&input=mask", r"no input 'mask'"),
    ],
)  # fmt: skip
def test_what_an_onnx_file_does_not_tell_is_asked_for(
    change: Change, settings: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises((PlanError, SourceError), match=words):
        suite.opened("onnx", f"{changed(tmp_path, change)}?{settings}")


def test_a_document_beside_an_onnx_file_is_read_and_checked(tmp_path: Path) -> None:
    from headstart.core import digest

    place = changed(tmp_path, lambda m: None)
    card = {"mean": 0.5, "std": 0.25, "licence": "MIT", "sha256": digest.file(place)}
    place.with_suffix(".json").write_text(json.dumps(card), "utf-8")
    loaded = suite.opened("onnx", str(place))
    assert loaded.source.licence == "MIT"
    assert loaded.checked == ("other.onnx: SHA-256 as in other.json",)
    place.with_suffix(".json").write_text(json.dumps({**card, "sha256": "00" * 32}), "utf-8")
    with pytest.raises(DamagedError, match=r"other\.json describes"):
        suite.opened("onnx", str(place))


# --- what cannot be trained


@pytest.mark.parametrize("name", ["onnx", "torchvision", "keras", "open_clip"])
def test_fine_tuning_is_refused_where_there_are_no_gradients(name: str) -> None:
    strategy = plugins.load("strategy", "fine_tune")
    objective = plugins.load("objective", "simclr")
    network = Network(backbones.stage(open_one(name)), {})
    refusals = [
        strategy.Strategy(strategy.Settings()).refuse(network),
        objective.Objective(objective.Settings()).refuse(network),
    ]
    if name == "onnx":
        assert all("gives no gradients" in why for why in refusals)
    else:
        assert refusals == ["", ""]


def test_a_pickle_in_a_setting_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "weights.pth"
    place.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SourceError, match="is a pickle"):
        suite.opened("torchvision", f"{suite.SMALL}?weights={place}")


@pytest.mark.parametrize(
    ("name", "reference", "words"),
    [
        ("torchvision", f"{suite.SMALL}?weights={{}}", "with the tensors of torchvision's shuffle"),
        ("open_clip", "RN50?pretrained={}", "with the tensors of OpenCLIP's RN50"),
        ("keras", "MobileNet?weights={}", r"Expected FILE\.weights\.h5"),
        ("keras", "{}", r"Expected a file that ends in \.keras"),
        ("onnx", "{}", r"Expected one \.onnx file"),
    ],
)
def test_a_file_of_another_kind_is_told_what_was_expected(
    name: str, reference: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(SourceError, match=words):
        suite.opened(name, reference.format(tmp_path / "folder.safetensors"))
    if name != "onnx":
        (tmp_path / "weights.txt").write_text("", "utf-8")
        with pytest.raises(SourceError, match=words):
            suite.opened(name, reference.format(tmp_path / "weights.txt"))


def test_settings_that_nothing_reads_are_named() -> None:
    reference, _ = suite.EXAMPLES["onnx"]()
    with pytest.raises(PlanError, match="Did you mean 'layout'"):
        suite.opened("onnx", f"{reference}&layuot=nchw")
    assert inputs.numbers("0.5", "mean", 1) == [0.5]
    assert onnx.FROZEN
