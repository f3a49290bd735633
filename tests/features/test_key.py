"""What a stored row depends on."""

from __future__ import annotations

import dataclasses

from headstart.features import key


def test_every_part_is_in_the_name():
    space = key.spaces("w", "t", cut=3, profile="exact", where=key.processor())("eager 2")
    names = {space.name}
    for change in (
        {"weights": "v"},
        {"cut": 4},
        {"transform": "u"},
        {"executor": "eager 3"},
        {"profile": "fast"},
        {"processor": "another"},
        {"view": 0},
    ):
        names.add(dataclasses.replace(space, **change).name)
    assert len(names) == 8


def test_the_processor_is_named():
    assert len(key.processor().split()) >= 2
    assert key.device("cpu") == key.processor()
