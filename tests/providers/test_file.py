"""`file:` sources whose document is odd: mended where it is clear what is meant, else told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from headstart.errors import PlanError, SourceError
from headstart.providers import _inputs as inputs
from headstart.providers import file
from headstart.providers.timm import rebuilder

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's weights, without a document."""
    place = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file(rebuilder(NAME, {"num_classes": 0})(0).state_dict(), place)
    return place


@pytest.fixture
def opened(weights: Path) -> Callable[..., Any]:
    def open_it(**facts: Any) -> Any:
        card = {"architecture": NAME, "num_classes": 0, "input_size": [3, 32, 32], **facts}
        weights.with_suffix(".json").write_text(json.dumps(card), "utf-8")
        return file.open(str(weights), {}, offline=True).source

    return open_it


def test_one_number_stands_for_all_channels_and_null_for_nothing(
    opened: Callable[..., Any],
) -> None:
    told = opened(mean=0.5, std="0.25", input_size=32, crop_pct=None, licence=None, parents=None)
    assert told.preprocessing["mean"] == [0.5] * 3
    assert told.preprocessing["std"] == [0.25] * 3
    assert told.preprocessing["input_size"] == [3, 32, 32]
    assert told.preprocessing["crop_pct"] == 1.0
    assert (told.licence, told.parents) == ("unknown", ())


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"mean": [0.5, 0.5]}, r"'mean' came as \[0.5, 0.5\]; expected one number, or 3"),
        ({"mean": "grey"}, "'mean' came as 'grey'"),
        ({"mean": {"r": 1}}, "'mean' came as"),
        ({"std": 0}, "'std' came as .* above 0"),
        ({"std": [0.1, None, 0.1]}, "'std' came as"),
        ({"input_size": "large"}, "'input_size' came as"),
        ({"input_size": [32, 32]}, "three whole numbers above 0"),
        ({"input_size": [3, 0, 32]}, "three whole numbers above 0"),
        ({"crop_pct": "most"}, "'crop_pct' came as 'most'; expected one number"),
        ({"crop_pct": -1}, "'crop_pct' came as"),
        ({"num_classes": "ten"}, "'num_classes' came as 'ten'"),
        ({"arguments": [1]}, r"'arguments' came as \[1\]"),
        ({"parents": "timm:resnet18"}, "'parents' came as"),
        ({"parents": ["timm:resnet18"]}, "'parents' came as"),
        ({"architecture": None}, "without an architecture"),
        ({"architecture": 7}, "no architecture '7'"),
    ],
    ids=str,
)
def test_a_broken_document_is_told_with_what_was_expected(
    facts: dict[str, Any], told: str, opened: Callable[..., Any]
) -> None:
    with pytest.raises((PlanError, SourceError), match=told):
        opened(**facts)


def test_a_network_of_one_channel_has_one_mean() -> None:
    made = inputs.sealed({"input_size": [1, 32, 32]}, {})
    assert (made["mean"], made["std"]) == ([0.5], [0.5])
    assert inputs.sealed({}, {"input_size": 64})["input_size"] == [3, 64, 64]
    for setting in ({"input_size": "big"}, {"input_size": "-3"}, {"crop_pct": "most"}):
        with pytest.raises(PlanError, match=f"'{next(iter(setting))}' came as"):
            inputs.separate(setting)
    with pytest.raises(PlanError, match="came as nan"):
        inputs.numbers(float("nan"), "mean")
