"""Weights that the package carries: small, whole, in the catalogue, and each with its card."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from headstart.core import digest, plugins

FOLDER = Path(str(files("headstart").joinpath("weights")))
PLACES = {p.stem: p for p in FOLDER.glob("*.safetensors")} | {
    p.parent.name: p for p in FOLDER.glob("*/model.safetensors")
}
NAMES = sorted(PLACES)
MOST = {"image": 16_000_000}  # bytes; of other kinds of data:
OTHERS, TOGETHER = 4_000_000, 32_000_000
TOLD = (
    "licence",
    "trained_on",
    "command",
    "seed",
    "samples_seen",
    "flops",
    "seconds",
    "energy_kwh",
)


def entries() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name of the file -> kind of data and catalogue entry, of the kind that it was made for."""
    found = {}
    for name in plugins.names("modality"):
        for entry in plugins.Modality(name).catalogue():
            kind, _, place = str(entry["location"]).partition(":")
            if kind == "weights" and (place not in found or name in place):
                found[place] = (name, dict(entry))
    return found


def test_every_file_stands_in_the_catalogue_and_all_are_small() -> None:
    assert sorted(entries()) == NAMES
    assert sum(p.stat().st_size for p in FOLDER.rglob("*")) <= TOGETHER


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_what_card_and_catalogue_say(name: str) -> None:
    kind, entry = entries()[name]
    place = PLACES[name]
    card = json.loads(place.with_suffix(".json").read_text("utf-8"))
    assert place.stat().st_size <= MOST.get(kind, OTHERS)
    assert digest.file(place) == card["sha256"] == entry["sha256"]
    assert card["licence"] == entry["licence"]
    assert not [key for key in TOLD if card.get(key) in (None, "", "unknown")]
    assert card["known_weaknesses"] and all(len(told) > 20 for told in card["known_weaknesses"])
